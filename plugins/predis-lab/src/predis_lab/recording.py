"""What a cache did lately: its last batches, kept while it works."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from datetime import datetime
from math import ceil
from pathlib import Path
from typing import NamedTuple

from predis_core.clock import NANOSECONDS, stopwatch
from predis_core.errors import CacheUnusable
from predis_core.plugin import BatchStats, CacheView, Metric, Sample, Snapshot

QUANTILES = (0.5, 0.99, 0.999)
LOOK_UPS = ("get", "load")
"""The operations whose keys hit or miss."""

Batch = tuple[int, BatchStats]
"""When a batch ended, in nanoseconds of the stopwatch, and what it did."""

BATCHES = Metric("predis.lab.batches", "gauge", "1", "Batches that are remembered.")
HIT_RATIO = Metric(
    "predis.lab.hit_ratio",
    "gauge",
    "1",
    "Hits per key looked up in the batches that are remembered.",
)
BATCH_SECONDS = Metric(
    "predis.lab.batch.duration",
    "gauge",
    "seconds",
    "Quantiles of how long the batches took that are remembered.",
    ("cache", "operation", "quantile"),
)


class Operation(NamedTuple):
    """All batches of one operation.

    Attributes:
        batches, keys, found: counts; see `BatchStats` for what found is.
        latencies: seconds per batch at each of QUANTILES.
    """

    batches: int
    keys: int
    found: int
    latencies: tuple[float, ...]


def by_operation(batches: Iterable[Batch]) -> dict[str, Operation]:
    """Sum batches up by operation, in the order in which they were first used."""
    grouped: dict[str, list[BatchStats]] = {}
    for _, stats in batches:
        grouped.setdefault(stats.operation, []).append(stats)
    return {
        name: Operation(
            len(group),
            sum(stats.keys for stats in group),
            sum(stats.found for stats in group),
            _quantiles(sorted(stats.nanoseconds for stats in group)),
        )
        for name, group in grouped.items()
    }


def hit_ratio(operations: dict[str, Operation]) -> float | None:
    """Hits per key looked up; None if none was."""
    looked_up = [operations[name] for name in LOOK_UPS if name in operations]
    keys = sum(operation.keys for operation in looked_up)
    return sum(operation.found for operation in looked_up) / keys if keys else None


def _quantiles(ascending: Sequence[int]) -> tuple[float, ...]:
    """The least durations, in seconds, that at least such a share of all does not exceed."""
    ranks = (ceil(at * len(ascending)) - 1 for at in QUANTILES)
    return tuple(ascending[rank] / NANOSECONDS for rank in ranks)


class Recording:
    """The last batches of a cache: an observer, and a source of metrics about them.

    Args:
        cache: the cache.
        keep: batches that are remembered.
    """

    metrics = (BATCHES, HIT_RATIO, BATCH_SECONDS)

    def __init__(self, cache: CacheView, keep: int) -> None:
        self._cache = cache
        self._batches: deque[Batch] = deque(maxlen=keep)
        self._append = self._batches.append

    @property
    def cache(self) -> str:
        """The cache's name."""
        return self._cache.name

    def on_batch(self, stats: BatchStats) -> None:
        """Remember a batch. Any thread; a deque's append needs no lock."""
        self._append((stopwatch(), stats))

    def batches(self) -> list[Batch]:
        """Return the batches that are remembered, the oldest first."""
        return list(self._batches)  # in one go: nothing that is called here is Python

    def collect(self) -> list[Sample]:
        """Return the samples of `metrics`."""
        operations = by_operation(self.batches())
        count = sum(operation.batches for operation in operations.values())
        found = [Sample(BATCHES, (self.cache,), count)]
        ratio = hit_ratio(operations)
        if ratio is not None:
            found.append(Sample(HIT_RATIO, (self.cache,), ratio))
        for name, operation in operations.items():
            for at, seconds in zip(QUANTILES, operation.latencies, strict=True):
                found.append(Sample(BATCH_SECONDS, (self.cache, name, f"{at:g}"), seconds))
        return found

    def snapshot(self) -> Snapshot | None:
        """Return all that is measured about the cache; None once it is closed."""
        try:
            return self._cache.snapshot()
        except CacheUnusable:
            return None

    def write(self, path: Path) -> None:
        """Write a page about the recording.

        Raises:
            OSError: if it cannot be written.
        """
        from predis_lab.html.live_page import live_page

        now = datetime.now().astimezone()
        pages = self._cache.report_pages()
        live_page(self.cache, self.batches(), self.snapshot(), now, pages).write(path)


_open: dict[str, Recording] = {}


def recording_of(cache: str = "default") -> Recording:
    """Return the recording of an open cache.

    Args:
        cache: its name.

    Raises:
        LookupError: if no open cache of that name has the plugin.
    """
    try:
        return _open[cache]
    except KeyError:
        raise LookupError(
            f"cache {cache!r} is not recorded; open it with [plugins.lab] in its configuration"
        ) from None


def publish(recording: Recording) -> None:
    """Let `recording_of` find a recording."""
    _open[recording.cache] = recording


def withdraw(recording: Recording) -> None:
    """Let `recording_of` find it no longer; harmless if it does not."""
    if _open.get(recording.cache) is recording:
        del _open[recording.cache]
