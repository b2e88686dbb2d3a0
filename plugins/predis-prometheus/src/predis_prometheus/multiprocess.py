"""Metrics of a service's processes, in files from which one of them serves the sum.

The files are those of prometheus_client's multiprocess mode, so any MultiProcessCollector of the
folder adds them up, together with what the service itself measures there. Each process writes
`counter_predis-PID.db` and `histogram_predis-PID.db`, which stay when it ends, for sums must not
shrink, and `gauge_MODE_predis-PID.db`, which go with it. prometheus_client's own files have no
"predis" in their name, so that both may be in use in the same process.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TypeAlias

from prometheus_client.mmap_dict import MmapedDict, mmap_key

from predis_core import telemetry
from predis_core.plugin import Distribution, Metric, Sample, Snapshot
from predis_prometheus.families import bounds_of, spelled
from predis_prometheus.names import Names, Spelling

_GAUGE_MODES = {telemetry.INFO.name: "livemax", telemetry.PLUGIN_UP.name: "livemin"}
"""How the processes' values of a gauge become one, where its unit does not tell."""

_GROWING = ("counter", "histogram")
_OF_GAUGES = re.compile(r"gauge_live[a-z]+_predis-(\d+)\.db")

Values: TypeAlias = dict[str, dict[str, float]]
"""By the beginning of a file's name, then by prometheus_client's key of a series."""


class ProcessFiles:
    """The files of this process.

    A file is written anew and put in the place of the former one, so a reader never meets half of
    a snapshot, and what has ended is gone.

    Args:
        folder: where they are put; it exists.
        names: which metric has which name.

    Raises:
        OSError: if they cannot be put there.
    """

    def __init__(self, folder: Path, names: Names) -> None:
        self._folder = folder
        self._names = names
        self._pid = os.getpid()
        self._current: dict[str, Values] = {}
        # What caches counted that are closed, and what an earlier process of this number counted.
        self._past: Values = {kind: dict(self._read(kind)) for kind in _GROWING}
        self._write_all()

    def write(self, snapshot: Snapshot) -> None:
        """Put a cache's values of now into the files."""
        self._current[snapshot.cache] = self._values_of(snapshot)
        self._write_all()

    def forget(self, cache: str) -> None:
        """A cache closed: what it counted stays, its gauges go."""
        values = self._current.pop(cache, {})
        for kind in _GROWING:
            for key, value in values.get(kind, {}).items():
                self._past[kind][key] = self._past[kind].get(key, 0.0) + value
        self._write_all()

    def remove_those_of_the_dead(self) -> None:
        """Remove the gauges of processes that ended without doing so."""
        for path in self._folder.glob("gauge_live*_predis-*.db"):
            found = _OF_GAUGES.fullmatch(path.name)
            if found and not _lives(int(found[1])):
                path.unlink(missing_ok=True)

    def close(self) -> None:
        """Remove this process's gauges."""
        for path in self._gauges():
            path.unlink(missing_ok=True)

    def _gauges(self) -> list[Path]:
        return list(self._folder.glob(f"gauge_live*_predis-{self._pid}.db"))

    def _path(self, kind: str) -> Path:
        return self._folder / f"{kind}_predis-{self._pid}.db"

    def _read(self, kind: str) -> Iterator[tuple[str, float]]:
        with contextlib.suppress(FileNotFoundError):
            values = MmapedDict.read_all_values_from_file(self._path(kind))  # type: ignore[no-untyped-call]
            yield from ((key, value) for key, value, _, _ in values)

    def _values_of(self, snapshot: Snapshot) -> Values:
        found: Values = defaultdict(dict)
        for sample, spelling, labels in spelled(snapshot, self._names):
            metric = sample.metric
            kind = f"gauge_{_mode_of(metric)}" if metric.kind == "gauge" else metric.kind
            for name, more, value in _series(sample, spelling):
                names = [*spelling.labels, *more]
                given = [*labels, *more.values()]
                key = mmap_key(spelling.name, name, names, given, metric.help)
                found[kind][key] = value
        return found

    def _write_all(self) -> None:
        """Write what the caches measure, on top of what closed ones of the same name counted."""
        sums: Values = {kind: dict(values) for kind, values in self._past.items()}
        for values in self._current.values():
            for kind, series in values.items():
                into = sums.setdefault(kind, {})
                for key, value in series.items():
                    into[key] = into.get(key, 0.0) + value
        for kind, series in sums.items():
            self._replace(self._path(kind), series)
        written = {self._path(kind).name for kind in sums}
        for path in self._gauges():
            if path.name not in written:
                path.unlink(missing_ok=True)

    def _replace(self, path: Path, series: Mapping[str, float]) -> None:
        fresh = path.with_suffix(".new")
        fresh.unlink(missing_ok=True)
        file = MmapedDict(os.fspath(fresh))  # type: ignore[no-untyped-call]
        try:
            for key, value in series.items():
                file.write_value(key, value, 0.0)  # type: ignore[no-untyped-call]
        finally:
            file.close()  # type: ignore[no-untyped-call]
        fresh.replace(path)


def _mode_of(metric: Metric) -> str:
    """Return how the processes' values of a gauge become one."""
    if metric.name in _GAUGE_MODES:
        return _GAUGE_MODES[metric.name]
    # The sum of times or shares of several processes says nothing; the worst of them does.
    return "livemax" if metric.unit in ("seconds", "ratio") else "livesum"


def _series(sample: Sample, spelling: Spelling) -> Iterator[tuple[str, dict[str, str], float]]:
    """Yield (name, further labels, value) of each series of a sample, buckets not cumulative."""
    value = sample.value
    if isinstance(value, Distribution):
        for bound, count in zip(bounds_of(value), value.counts, strict=True):
            yield f"{spelling.name}_bucket", {"le": bound}, count
        yield f"{spelling.name}_sum", {}, value.sum
    else:
        suffix = "_total" if sample.metric.kind == "counter" else ""
        yield spelling.name + suffix, {}, value


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True
