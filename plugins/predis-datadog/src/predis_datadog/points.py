"""Snapshots as what is sent: Datadog's names and tags, and counts as what came since last time."""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Hashable, Iterable, Iterator
from typing import Any, Literal, NamedTuple

from predis_core.plugin import Distribution, Metric, Sample, Snapshot
from predis_datadog.histograms import QUANTILES, quantile, representatives

logger = logging.getLogger("predis.datadog")

LONGEST_NAME = 200
LONGEST_TAG = 200

_CACHE = "cache"

_RESERVED = ("env", "host", "service", "version")
"""Tags that say for all of Datadog where a value comes from; a label of that name is another."""


class Point(NamedTuple):
    """One value to send.

    Attributes:
        kind: "count" (what came since the last one), "gauge" or "distribution".
        name: of the metric.
        tags: as "cache:main".
        value: the number.
        weight: of a distribution, for how many observations the value stands.
        series: what the ledger knows it by; None for what needs no entry there.
        total: of that series, once this point has arrived.
    """

    kind: Literal["count", "gauge", "distribution"]
    name: str
    tags: tuple[str, ...]
    value: float
    weight: int = 1
    series: Hashable = None
    total: Any = 0


class Ledger:
    """How much of each growing series has arrived."""

    def __init__(self) -> None:
        self._arrived: dict[Hashable, Any] = {}

    def arrived(self, series: Hashable, default: Any) -> Any:
        """Return the total of a series that has arrived."""
        return self._arrived.get(series, default)

    def outstanding(self, series: Hashable, total: float) -> float:
        """Return what a series has grown by since then; if it began anew, all that it has."""
        arrived = self._arrived.get(series, 0)
        return total - arrived if total >= arrived else total

    def settle(self, points: Iterable[Point]) -> None:
        """Take note that points have arrived."""
        for point in points:
            if point.series is not None:
                self._arrived[point.series] = point.total


class Mapper:
    """Derives names and tags.

    Args:
        prefix: what comes before every name; "" for nothing.
        distributions: whether histograms are sent as distributions too.
    """

    def __init__(self, prefix: str = "", *, distributions: bool = True) -> None:
        self.left_out: dict[str, str] = {}
        self._prefix = f"{prefix.rstrip('.')}." if prefix else ""
        self._distributions = distributions

    def name_of(self, name: str) -> str:
        """Return how a metric is called."""
        return (self._prefix + _sanitised(name))[:LONGEST_NAME]

    def points(self, snapshot: Snapshot, ledger: Ledger) -> list[Point]:
        """Return what is to be sent of a snapshot; of samples with equal tags only the first."""
        found: list[Point] = []
        seen = set()
        for sample in snapshot.samples:
            if not _fits(sample):
                self._leave_out(sample)
                continue
            key = (self.name_of(sample.metric.name), tags_of(snapshot.cache, sample))
            if key not in seen:
                seen.add(key)
                found += self._of(sample, *key, ledger)
        return found

    def _of(
        self, sample: Sample, name: str, tags: tuple[str, ...], ledger: Ledger
    ) -> Iterator[Point]:
        value = sample.value
        if isinstance(value, Distribution):
            counts = tuple(map(int, value.counts))
            plain = Distribution(tuple(value.bounds), counts, float(value.sum))
            yield from self._of_histogram(plain, name, tags, ledger)
        elif sample.metric.kind == "counter":
            # Also if it is 0: what never happened is then known as such, and not as "no data".
            yield _count(name, tags, _plain(value), ledger)
        else:
            yield Point("gauge", name, tags, _plain(value))

    def _of_histogram(
        self, value: Distribution, name: str, tags: tuple[str, ...], ledger: Ledger
    ) -> Iterator[Point]:
        if not value.count:
            return
        yield _count(f"{name}.count", tags, value.count, ledger)
        total = _count(f"{name}.sum", tags, value.sum, ledger)
        yield total
        yield from _quantiles(value, name, tags, ledger)
        if self._distributions:
            yield from _distribution(value, total.value, name, tags, ledger)

    def _leave_out(self, sample: Sample) -> None:
        name = sample.metric.name
        if name not in self.left_out:
            self.left_out[name] = f"{sample.value!r} is no {sample.metric.kind}"
            logger.warning("metric %r is left out: %s", name, self.left_out[name])


def tags_of(cache: str, sample: Sample) -> tuple[str, ...]:
    """Return a sample's labels as tags; the cache's comes first if the metric has no such label."""
    labels = dict(zip(map(label_of, sample.metric.labels), sample.labels, strict=False))
    if _CACHE not in labels:
        labels = {_CACHE: cache, **labels}
    return tuple(tag_of(name, value) for name, value in labels.items())


def label_of(label: str) -> str:
    """Return the name of the tag that a label becomes."""
    return f"predis_{label}" if label in _RESERVED else label


def tag_of(name: str, value: object) -> str:
    """Return a tag, with what Datadog does not take in one replaced by "_"."""
    return re.sub(r"[^\w\-:./]", "_", f"{name}:{value}")[:LONGEST_TAG]


def derived_names(metric: Metric) -> dict[str, str]:
    """Return the names that a metric is sent as, without prefix, and how: "count", "gauge", …"""
    if metric.kind != "histogram":
        return {metric.name: "count" if metric.kind == "counter" else "gauge"}
    figures = dict.fromkeys((f"{metric.name}.{end}" for end in QUANTILES), "gauge")
    counts = {f"{metric.name}.count": "count", f"{metric.name}.sum": "count"}
    return {metric.name: "distribution", **counts, **figures}


def _quantiles(
    value: Distribution, name: str, tags: tuple[str, ...], ledger: Ledger
) -> Iterator[Point]:
    """Yield the quantiles of what was observed since quantiles last arrived."""
    series = (name, tags, "quantiles")
    before = ledger.arrived(series, (0,) * len(value.counts))
    fresh = [count - past for count, past in zip(value.counts, before, strict=False)]
    if len(before) != len(value.counts) or min(fresh) < 0:  # the histogram began anew
        fresh = list(value.counts)
    if not any(fresh):
        return
    for end, share in QUANTILES.items():
        shown = quantile(value.bounds, fresh, share)
        yield Point("gauge", f"{name}.{end}", tags, shown, 1, series, value.counts)


def _distribution(
    value: Distribution, total: float, name: str, tags: tuple[str, ...], ledger: Ledger
) -> Iterator[Point]:
    """Yield a value for each bucket that grew; each is known by itself, so none is lost alone."""
    series = [(name, tags, bucket) for bucket in range(len(value.counts))]
    fresh = [
        int(ledger.outstanding(key, count)) for key, count in zip(series, value.counts, strict=True)
    ]
    for bucket, shown in representatives(value.bounds, fresh, total):
        key, whole = series[bucket], value.counts[bucket]
        yield Point("distribution", name, tags, shown, fresh[bucket], key, whole)


def _count(name: str, tags: tuple[str, ...], total: float, ledger: Ledger) -> Point:
    series = (name, tags)
    return Point("count", name, tags, ledger.outstanding(series, total), 1, series, total)


def _sanitised(name: str) -> str:
    clean = re.sub(r"[^A-Za-z0-9_.]", "_", name)
    return clean if clean[:1].isalpha() else f"x{clean}"


def _fits(sample: Sample) -> bool:
    """Return whether a value is of its metric's kind; other plugins may be wrong about it."""
    value = sample.value
    is_histogram = sample.metric.kind == "histogram"
    try:
        if isinstance(value, Distribution):
            has_shape = 0 < len(value.bounds) == len(value.counts) - 1
            return is_histogram and has_shape and math.isfinite(value.sum)
        return not is_histogram and math.isfinite(value)
    except TypeError:
        return False


def _plain(value: float) -> float:
    """Return a number of Python's own: a plugin may have one of NumPy's."""
    return int(value) if isinstance(value, int) else float(value)
