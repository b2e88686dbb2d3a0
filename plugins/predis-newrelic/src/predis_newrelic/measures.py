"""Snapshots as New Relic's dimensional metrics, with counts of which none is lost."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, TypeAlias

from newrelic_telemetry_sdk import CountMetric, GaugeMetric, SummaryMetric

from predis_core.plugin import Distribution, Sample, Snapshot

MILLISECONDS = 1_000_000
"""Nanoseconds."""

QUANTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}

Series: TypeAlias = tuple[str, tuple[str, ...]]
"""A metric's name and the values of its labels."""


class Told(NamedTuple):
    """What New Relic knows of a series.

    Attributes:
        value: the counter, or the histogram, as it was then.
        time: nanoseconds since the Unix epoch.
    """

    value: float | Distribution
    time: int


class Measure(NamedTuple):
    """A metric to be sent, and what is known of its series once it has arrived.

    Attributes:
        body: what is sent.
        series: whose; None for a gauge, of which nothing has to be remembered.
        told: what will be known.
    """

    body: dict[str, Any]
    series: Series | None = None
    told: Told | None = None


class Ledger:
    """What New Relic knows; the growth since then is sent, until it has arrived.

    Args:
        began: nanoseconds since the Unix epoch at which the cache was opened.
    """

    def __init__(self, began: int) -> None:
        self._began = began
        self._told: dict[Series, Told] = {}

    def settle(self, measures: Sequence[Measure]) -> None:
        """Take note of what has arrived."""
        for measure in measures:
            if measure.series is not None and measure.told is not None:
                self._told[measure.series] = measure.told

    def measures_of(self, snapshot: Snapshot) -> list[Measure]:
        """Return what is to be sent of a snapshot. Series that are gone are forgotten."""
        found: dict[Series, list[Measure]] = {}
        for sample in snapshot.samples:
            series = (sample.metric.name, sample.labels)
            if series not in found and _fits(sample):
                found[series] = list(self._measured(series, sample, snapshot))
        self._told = {series: told for series, told in self._told.items() if series in found}
        return [measure for measures in found.values() for measure in measures]

    def _measured(self, series: Series, sample: Sample, snapshot: Snapshot) -> Iterator[Measure]:
        attributes = dict(zip(sample.metric.labels, sample.labels, strict=False))
        attributes.setdefault("cache", snapshot.cache)
        name, end = sample.metric.name, snapshot.time // MILLISECONDS
        if sample.metric.kind == "gauge":
            yield Measure(GaugeMetric(name, sample.value, attributes, end_time_ms=end))
            return
        before = self._told.get(series)
        since = self._began if before is None else before.time
        told = Told(sample.value, snapshot.time)
        interval = max(1, (snapshot.time - since) // MILLISECONDS)
        if isinstance(sample.value, Distribution):
            lately = _less(sample.value, None if before is None else before.value)
            if lately.count:
                yield Measure(_summary(name, lately, interval, attributes, end), series, told)
                for suffix, share in QUANTILES.items():
                    value = quantile(lately, share)
                    body = GaugeMetric(f"{name}.{suffix}", value, attributes, end_time_ms=end)
                    yield Measure(body)
            return
        grown = sample.value
        if before is not None and not isinstance(before.value, Distribution):
            # A source that began anew has counted from 0.
            grown -= before.value if sample.value >= before.value else 0
            if not grown:
                return
        # The first time zeros are sent too, so that the metric is known.
        yield Measure(CountMetric(name, grown, interval, attributes, end), series, told)


def _fits(sample: Sample) -> bool:
    """Return whether a value is of its metric's kind; other plugins may be wrong about it."""
    if sample.metric.kind == "histogram" or isinstance(sample.value, Distribution):
        return sample.metric.kind == "histogram" and isinstance(sample.value, Distribution)
    return isinstance(sample.value, int | float) and math.isfinite(sample.value)


def _less(now: Distribution, before: object) -> Distribution:
    if not isinstance(before, Distribution) or before.bounds != now.bounds:
        return now
    counts = tuple(a - b for a, b in zip(now.counts, before.counts, strict=True))
    if min(counts) < 0:
        return now
    return Distribution(now.bounds, counts, now.sum - before.sum)


def _summary(
    name: str, values: Distribution, interval: int, attributes: dict[str, str], end: int
) -> dict[str, Any]:
    """A summary whose least and greatest are ends of buckets: values themselves are not kept."""
    full = [place for place, count in enumerate(values.counts) if count]
    ends = (0.0, *values.bounds, values.bounds[-1])
    least, most = ends[full[0]], ends[full[-1] + 1]
    body: dict[str, Any] = SummaryMetric(
        name, values.count, values.sum, least, most, interval, attributes, end
    )
    return body


def quantile(values: Distribution, share: float) -> float:
    """Return what this share of the values is at most: the upper end of a bucket.

    Of values beyond the last bucket it is that one's.
    """
    wanted, seen = share * values.count, 0
    for bound, count in zip(values.bounds, values.counts, strict=False):
        seen += count
        if seen >= wanted:
            return bound
    return values.bounds[-1]
