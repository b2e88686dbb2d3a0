"""The plugin: snapshots of every cache of the process go into one file."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence

from predis_core.clock import Clock
from predis_core.plugin import (
    CacheView,
    Exporter,
    Health,
    Metric,
    MetricSource,
    Sample,
    Snapshot,
    hookimpl,
)
from predis_history.config import HistoryConfig
from predis_history.writing import Origin, Writer

SNAPSHOTS = Metric(
    "predis.history.snapshots", "counter", "1", "Snapshots that were written to the history."
)
DROPPED = Metric(
    "predis.history.dropped",
    "counter",
    "1",
    "Snapshots that could not be written to the history, and are lost.",
    ("cache", "reason"),
)
SIZE = Metric(
    "predis.history.size",
    "gauge",
    "bytes",
    "The history's file, which caches and processes may share, with what SQLite puts beside it.",
)


class Chronicle:
    """Writes down what one cache measures: an exporter, and a source of metrics.

    Args:
        view: the cache.
        interval: seconds.
        writer: writes.
    """

    metrics = (SNAPSHOTS, DROPPED, SIZE)

    def __init__(self, view: CacheView, interval: float, writer: Writer) -> None:
        self.interval = interval
        self._cache = view.name
        self._writer = writer
        self._origin = Origin(
            os.urandom(16), view.name, socket.gethostname(), os.getpid(), Clock().wall()
        )

    def export(self, snapshot: Snapshot) -> None:
        """Write a snapshot; what goes wrong is told by the plugin's health."""
        self._writer.add(self._origin, snapshot)

    def collect(self) -> list[Sample]:
        """Return how many snapshots were written, and how many were not."""
        dropped = self._writer.dropped(self._cache).items()
        return [
            Sample(SNAPSHOTS, (self._cache,), self._writer.written(self._cache)),
            *(Sample(DROPPED, (self._cache, reason), count) for reason, count in dropped),
            Sample(SIZE, (self._cache,), self._writer.size()),
        ]


class History:
    """Keeps what the caches of the process measure.

    Args:
        config: the section `[plugins.history]`.

    Raises:
        ValueError: if there can be no file as the section says; names the field and the way out.
    """

    def __init__(self, config: HistoryConfig) -> None:
        self._interval = float(config.interval)
        self._writer = Writer(config)
        self._chronicles: dict[str, Chronicle] = {}

    def close(self) -> None:
        """Write what waits, and let go of the file."""
        self._writer.close()

    @hookimpl
    def predis_exporters(self, cache: CacheView) -> Sequence[Exporter]:
        """Write a snapshot every `interval`, and as the cache closes."""
        chronicle = Chronicle(cache, self._interval, self._writer)
        self._chronicles[cache.name] = chronicle
        return [chronicle]

    @hookimpl
    def predis_metric_sources(self, cache: CacheView) -> Sequence[MetricSource]:
        """Tell how many snapshots were written."""
        return [self._chronicles[cache.name]]

    @hookimpl
    def predis_cache_closing(self, cache: CacheView) -> None:
        """Forget the cache."""
        self._chronicles.pop(cache.name, None)

    @hookimpl
    def predis_health(self) -> Health:
        """Degraded while the file cannot be written."""
        trouble = self._writer.trouble
        return Health("degraded", trouble) if trouble else Health()
