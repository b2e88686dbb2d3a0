"""Snapshots of a cache as OpenTelemetry's data: what a backend is told, and what it was told."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable
from numbers import Integral, Real
from typing import Any

from opentelemetry.sdk.metrics import export as sdk

from predis_core.plugin import Distribution, Metric, Sample, Snapshot
from predis_otel.names import attributes_of, unit_of

logger = logging.getLogger("predis.otel")

Value = int | float | Distribution
Key = tuple[str, tuple[tuple[str, str], ...]]
"""Of a series: its metric's name and its attributes."""

_LARGEST = 1 << 63


class _Series:
    """A counter or a histogram that grows.

    Attributes:
        since: nanoseconds since the Unix epoch, from which `last` counts.
        last: the value that was seen last.
        pending: what came on top since the last delivery; None: nothing yet.
    """

    def __init__(self, since: int) -> None:
        self.since = since
        self.last: Value | None = None
        self.pending: Value | None = None

    def see(self, value: Value) -> bool:
        """Take a new value; return whether it counts anew, as it is below the last one."""
        growth = value if self.last is None else _growth(self.last, value)
        is_anew = growth is None
        added = value if growth is None else growth
        self.last = value
        self.pending = added if self.pending is None else _total(self.pending, added)
        return is_anew


class CacheSeries:
    """All series of a cache, from its opening on.

    Args:
        opened: nanoseconds since the Unix epoch at which the cache was opened.
        delta: whether growth is told, of everything since the last delivery, or totals.

    Attributes:
        left_out: metrics that cannot be told, with the reason.
    """

    def __init__(self, opened: int, delta: bool) -> None:
        self.left_out: dict[str, str] = {}
        self._delta = delta
        self._series: dict[Key, _Series] = {}
        self._seen_at = opened
        self._delivered_at = opened
        self._temporality = (
            sdk.AggregationTemporality.DELTA if delta else sdk.AggregationTemporality.CUMULATIVE
        )

    def metrics_of(self, snapshot: Snapshot) -> list[sdk.Metric]:
        """Return a snapshot as OpenTelemetry's metrics."""
        grouped: dict[str, tuple[Metric, dict[Key, Value]]] = {}
        for sample in snapshot.samples:
            value = self._value_of(sample)
            if value is not None:
                metric = sample.metric
                attributes = attributes_of(metric, sample.labels, snapshot.cache)
                key = (metric.name, tuple(attributes.items()))
                # Of samples with equal labels the first one is told.
                grouped.setdefault(metric.name, (metric, {}))[1].setdefault(key, value)
        found = [
            self._metric_of(metric, values, snapshot.time) for metric, values in grouped.values()
        ]
        self._forget_others(grouped)
        self._seen_at = snapshot.time
        return found

    def delivered(self) -> None:
        """What was returned last has arrived."""
        self._delivered_at = self._seen_at
        for series in self._series.values():
            series.pending = None

    def _value_of(self, sample: Sample) -> Value | None:
        """Return a value that fits its metric, None for one that does not."""
        kind, value = sample.metric.kind, sample.value
        if isinstance(value, Distribution):
            fits = kind == "histogram" and len(value.counts) == len(value.bounds) + 1
            found: Value | None = value if fits else None
        else:
            found = None if kind == "histogram" else _number(value)
            if kind == "counter" and isinstance(found, float) and not math.isfinite(found):
                found = None
        if found is None and sample.metric.name not in self.left_out:
            reason = f"{value!r} is no {kind}"
            logger.warning("metric %r is left out: %s", sample.metric.name, reason)
            self.left_out[sample.metric.name] = reason
        return found

    def _metric_of(self, metric: Metric, values: dict[Key, Value], now: int) -> sdk.Metric:
        points: list[Any] = []
        for key, value in values.items():
            attributes = dict(key[1])
            if metric.kind == "gauge":
                assert not isinstance(value, Distribution)
                points.append(sdk.NumberDataPoint(attributes, 0, now, value))
                continue
            series = self._series.get(key)
            if series is None:
                series = self._series[key] = _Series(self._seen_at)
            is_anew = series.see(value)
            if self._delta:
                assert series.pending is not None
                value, since = series.pending, max(series.since, self._delivered_at)
            else:
                since = series.since = self._seen_at if is_anew else series.since
            points.append(_point(attributes, since, now, value))
        data: sdk.Sum | sdk.Gauge | sdk.Histogram
        if metric.kind == "counter":
            data = sdk.Sum(points, self._temporality, is_monotonic=True)
        elif metric.kind == "gauge":
            data = sdk.Gauge(points)
        else:
            data = sdk.Histogram(points, self._temporality)
        return sdk.Metric(metric.name, metric.help, unit_of(metric), data)

    def _forget_others(self, grouped: dict[str, tuple[Metric, dict[Key, Value]]]) -> None:
        """Forget the series that are gone for good, as those of a namespace that was dropped.

        A metric that is missing altogether will be back: its plugin was busy.
        """
        for key in list(self._series):
            if key[0] in grouped and key not in grouped[key[0]][1]:
                del self._series[key]


def _number(value: Any) -> int | float | None:
    """Return a plain number; other plugins may give NumPy's, or none at all."""
    if isinstance(value, Integral) and abs(int(value)) < _LARGEST:
        return int(value)
    return float(value) if isinstance(value, Real) else None


def _growth(last: Value, now: Value) -> Value | None:
    """Return what came on top; None if it began anew."""
    if isinstance(last, Distribution):
        assert isinstance(now, Distribution)
        if last.bounds != now.bounds:
            return None
        counts = tuple(b - a for a, b in zip(last.counts, now.counts, strict=True))
        return None if min(counts) < 0 else Distribution(now.bounds, counts, now.sum - last.sum)
    assert not isinstance(now, Distribution)
    return None if now < last else now - last


def _total(one: Value, other: Value) -> Value:
    """Return the sum; of histograms with other bounds, the later one."""
    if isinstance(one, Distribution):
        assert isinstance(other, Distribution)
        if one.bounds != other.bounds:
            return other
        counts: Iterable[int] = (a + b for a, b in zip(one.counts, other.counts, strict=True))
        return Distribution(one.bounds, tuple(counts), one.sum + other.sum)
    assert not isinstance(other, Distribution)
    return one + other


def _point(
    attributes: dict[str, str], since: int, now: int, value: Value
) -> sdk.NumberDataPoint | sdk.HistogramDataPoint:
    if not isinstance(value, Distribution):
        return sdk.NumberDataPoint(attributes, since, now, value)
    # Smallest and largest are not known: the encoder leaves out None, whatever its type says.
    unknown: Any = None
    return sdk.HistogramDataPoint(
        attributes,
        since,
        now,
        value.count,
        value.sum,
        value.counts,
        value.bounds,
        unknown,
        unknown,
    )
