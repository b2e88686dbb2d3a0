"""Reading a history: one row per time, series and statistic, in the order of time."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

import msgspec

from predis_history.database import Damaged, damage_told
from predis_history.packing import Series, Value, series_of, values_of

QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99}
"""By the name of their statistic."""

_AT_ONCE = 500


class Row(NamedTuple):
    """One number.

    Attributes:
        time: nanoseconds since the Unix epoch.
        cache: of the label `cache`: the cache's name, or "CACHE/NAMESPACE".
        host: the machine whose process measured it.
        pid: the process.
        metric: its dotted name.
        kind: "counter", "gauge" or "histogram".
        unit: of the metric.
        labels: the other labels.
        statistic: "value"; of histograms "count", "sum", "p50", "p90" and "p99".
        value: a counter's, a count's and a sum's since the cache was opened; a quantile's since the
            snapshot before.
    """

    time: int
    cache: str
    host: str
    pid: int
    metric: str
    kind: str
    unit: str
    labels: dict[str, str]
    statistic: str
    value: float | int


class Choice(NamedTuple):
    """Which rows are wanted.

    Attributes:
        since: nanoseconds since the Unix epoch from which on.
        until: and before which.
        metrics: patterns, of which a metric's name matches one; () for every one.
        caches: the same for the label `cache`.
    """

    since: int = -(1 << 63)
    until: int = (1 << 63) - 1
    metrics: Sequence[str] = ()
    caches: Sequence[str] = ()

    def has(self, series: Series) -> bool:
        """Say whether the rows of a series are wanted."""
        return _matches(series.metric, self.metrics) and _matches(
            series.labels.get("cache", ""), self.caches
        )


def rows_of(connection: sqlite3.Connection, choice: Choice) -> Iterator[Row]:
    """Yield what a history holds. Whoever writes meanwhile does not wait for it.

    Raises:
        Damaged: if the file is not whole.
        sqlite3.OperationalError: if it cannot be read.
    """
    with damage_told():
        reader = _Reader(connection, choice)
        while snapshots := reader.next():
            for snapshot in snapshots:
                yield from reader.rows(*snapshot)


class _Reader:
    """Reads snapshots, some at a time, and turns them into rows.

    Args:
        connection: the file.
        choice: which rows are wanted.
    """

    def __init__(self, connection: sqlite3.Connection, choice: Choice) -> None:
        self._connection = connection
        self._choice = choice
        self._last = (choice.since, -1)
        self._layouts: dict[int, tuple[Series, ...]] = {}
        self._writers: dict[int, tuple[str, int]] = {}
        self._counts: dict[tuple[Any, ...], tuple[int, ...]] = {}

    def next(self) -> list[tuple[int, int, int, bytes]]:
        """Return (time, writer, layout, data) of the next snapshots, and know what they refer to.

        All in one transaction, as a writer may remove them at any time; and in a short one, as the
        log of what is written cannot be shortened while somebody reads.
        """
        self._connection.execute("BEGIN")
        try:
            found = self._connection.execute(
                "SELECT time, id, writer, layout, data FROM snapshots "
                "WHERE (time, id) > (?, ?) AND time < ? ORDER BY time, id LIMIT ?",
                (*self._last, self._choice.until, _AT_ONCE),
            ).fetchall()
            wanted = {row[3] for row in found}
            self._layouts = {key: self._layouts[key] for key in wanted & self._layouts.keys()}
            for time, _, writer, layout, _ in found:
                self._learn(layout)
                if writer not in self._writers:
                    self._meet(writer, time)
        finally:
            self._connection.execute("COMMIT")
        if found:
            self._last = found[-1][:2]
        return [(time, writer, layout, data) for time, _, writer, layout, data in found]

    def _learn(self, layout: int) -> None:
        """Know the series of a layout."""
        if layout in self._layouts:
            return
        found = self._connection.execute(
            "SELECT series FROM layouts WHERE id = ?", (layout,)
        ).fetchone()
        if found is None:
            raise Damaged(f"there is no layout {layout}")
        try:
            self._layouts[layout] = series_of(found[0])
        except msgspec.DecodeError as error:
            raise Damaged(f"layout {layout}: {error}") from error

    def _meet(self, writer: int, time: int) -> None:
        """Know who a writer is, and what it had counted by the snapshot before some time."""
        found = self._connection.execute(
            "SELECT host, pid FROM writers WHERE id = ?", (writer,)
        ).fetchone()
        self._writers[writer] = found or ("", 0)
        before = self._connection.execute(
            "SELECT layout, data FROM snapshots WHERE time < ? AND writer = ? "
            "ORDER BY time DESC LIMIT 1",
            (time, writer),
        ).fetchone()
        if before is not None:
            self._learn(before[0])
            for series, value in self._unpacked(*before):
                if isinstance(value, tuple):
                    self._counts[writer, series.metric, *series.labels.items()] = value[1]

    def _unpacked(self, layout: int, data: bytes) -> list[tuple[Series, Value]]:
        try:
            return list(zip(self._layouts[layout], values_of(data), strict=True))
        except ValueError as error:  # msgspec.DecodeError is one
            raise Damaged(f"a snapshot does not fit its layout: {error}") from error

    def rows(self, time: int, writer: int, layout: int, data: bytes) -> Iterator[Row]:
        """Yield the rows of one snapshot."""
        host, pid = self._writers[writer]
        for series, value in self._unpacked(layout, data):
            if not self._choice.has(series):
                continue
            labels = dict(series.labels)
            cache = labels.pop("cache", "")
            for statistic, number in self._statistics(writer, series, value):
                yield Row(
                    time,
                    cache,
                    host,
                    pid,
                    series.metric,
                    series.kind,
                    series.unit,
                    labels,
                    statistic,
                    number,
                )

    def _statistics(
        self, writer: int, series: Series, value: Value
    ) -> Iterator[tuple[str, float | int]]:
        if not isinstance(value, tuple):
            yield "value", value
            return
        total, counts = value
        yield "count", sum(counts)
        yield "sum", total
        key = (writer, series.metric, *series.labels.items())
        before = self._counts.get(key, ())
        self._counts[key] = counts
        if len(before) != len(counts):
            before = (0,) * len(counts)
        new = [max(0, now - then) for now, then in zip(counts, before, strict=True)]
        for name, share in QUANTILES.items():
            found = quantile(series.bounds, new, share)
            if found is not None:
                yield name, found


def quantile(bounds: Sequence[float], counts: Sequence[int], share: float) -> float | None:
    """Return the value that a share of all observations does not pass; None without observations.

    Inside a bucket observations are taken as spread evenly; those above the last bound as at it.
    """
    wanted = share * sum(counts)
    below, low = 0, 0.0
    for high, count in zip((*bounds, math.inf), counts, strict=True):
        if count and below + count >= wanted:
            return low if high == math.inf else low + (high - low) * (wanted - below) / count
        below, low = below + count, high
    return None


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return not patterns or any(fnmatchcase(name, pattern) for pattern in patterns)
