"""The cells of the comparison: lru with our prefetchers, beside lru with libCacheSim's."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from predis_lab.ahead import Ahead, replay_ahead
from predis_lab.traces import open_trace

PLUGINS: dict[str, dict[str, Any]] = {"prefetch": {}}
"""What is compared: both prefetchers as they ship."""

ENTRY_BYTES = 4_096
"""What an entry of the cache counts for where metadata is charged."""

METADATA = 0.1
"""The share of a cache that metadata may take where it is charged: what Mithril may, too."""

LATENCY, RATE = 0.001, 10_000.0
"""Seconds that a load takes, and requests per second, where time is simulated."""

MOST = 200_000
"""Requests, from a trace's beginning, that are replayed besides `instant`, which takes all."""

THEIRS = ("lru+mithril", "lru+obl_k1", "lru+obl_k4", "lru+pg")

Ratios = dict[tuple[str, int], dict[str, float]]


class Cell(NamedTuple):
    """A trace in a file, and a cache of so many entries, which are a share of its keys."""

    path: Path
    fraction: float
    entries: int

    @property
    def trace(self) -> str:
        return self.path.name.partition(".")[0]


Row = dict[str, str | float]
"""One cell, by column; miss ratios and shares, and "" where there is none."""

COLUMNS = (
    "trace", "fraction", "entries", "lru", "ours", "saved", "fetches", "precision", "is_quiet",
    "charged_saved", "timed_saved", "timed_seconds", "timed_of", "timed_precision",
    "timed_is_quiet", *THEIRS,
)  # fmt: skip
"""Of a row: what lru misses and what ours does; the share of lru's misses saved, keys the backend
loads per key for lru, precision, whether all that loaded were quiet at the end; saved with metadata
charged; and, where time is simulated, misses saved, seconds of waiting saved, of how many seconds,
precision, and whether all that loaded were quiet."""


def cells(folder: Path, fractions: Iterable[float]) -> Iterator[Cell]:
    """Yield the cells of every trace in a folder; a size is rounded, and at least 16 entries."""
    for path in sorted(folder.iterdir()):
        if not path.name.endswith((".npy", ".npy.zst")):
            continue
        distinct = len(np.unique(_keys(path)))
        for fraction in fractions:
            if (entries := round(fraction * distinct)) >= 16:
                yield Cell(path, fraction, entries)


def known(file: Path) -> Ratios:
    """Return libCacheSim's miss ratios, which a folder of traces brings, by trace and entries."""
    found: Ratios = {}
    if file.exists():
        with file.open(encoding="utf-8", newline="") as lines:
            for row in csv.DictReader(lines, delimiter="\t"):
                at = row["trace"], int(row["entries"])
                found.setdefault(at, {})[row["policy"]] = float(row["miss_ratio"])
    return found


def compare(chosen: Iterable[Cell], ratios: Ratios, jobs: int) -> Iterator[Row]:
    """Replay every cell, so many at a time; yield a row for each as it is done."""
    if jobs == 1:
        yield from (_row(cell, ratios) for cell in chosen)
        return
    with ProcessPoolExecutor(jobs) as pool:
        for done in as_completed([pool.submit(_row, cell, ratios) for cell in chosen]):
            yield done.result()


def _row(cell: Cell, ratios: Ratios) -> Row:
    keys = _keys(cell.path)
    instant = _replay(keys, cell, cell.entries, PLUGINS, 0.0)
    timed = _replay(keys[:MOST], cell, cell.entries, PLUGINS, LATENCY)
    memory = int(METADATA * cell.entries * ENTRY_BYTES)
    plugins = {"prefetch": {"association": {"memory": memory}}}
    charged = _replay(keys[:MOST], cell, cell.entries - -(-memory // ENTRY_BYTES), plugins, 0.0)
    row: Row = {
        "trace": cell.trace,
        "fraction": cell.fraction,
        "entries": cell.entries,
        "lru": instant.plain_misses / instant.requests,
        "ours": instant.misses / instant.requests,
        "saved": instant.saved,
        "fetches": instant.fetches,
        "precision": instant.precision if instant.loads else "",
        "is_quiet": _is_quiet(instant),
        "charged_saved": 1 - charged.misses / max(1, timed.plain_misses),
        "timed_saved": timed.saved,
        "timed_seconds": timed.saved_seconds,
        "timed_of": timed.plain_waited,
        "timed_precision": timed.precision if timed.loads else "",
        "timed_is_quiet": _is_quiet(timed),
    }
    theirs = ratios.get((cell.trace, cell.entries), {})
    return row | {
        policy: 1 - theirs[policy] / theirs["lru"] if policy in theirs else "" for policy in THEIRS
    }


def _is_quiet(replayed: Ahead) -> int:
    """Return whether every prefetcher that loaded anything had to stop."""
    return int(all(each.is_quiet for each in replayed.prefetchers if each.loads))


def _replay(keys: Any, cell: Cell, entries: int, plugins: Any, latency: float) -> Ahead:
    return replay_ahead(
        keys, entries, "lru", plugins=plugins, latency=latency, rate=RATE, name=cell.trace
    )


@cache
def _keys(path: Path) -> Any:
    return np.concatenate(list(open_trace(path).chunks()))
