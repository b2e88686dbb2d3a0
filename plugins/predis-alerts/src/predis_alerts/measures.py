"""What a rule compares: values of now, or what came since some time, of each series that it means.

A series is one set of labels of a metric. What is read of it is a tuple of numbers: of counters and
histograms, which only grow, the difference of two readings is what came between them.
"""

from __future__ import annotations

import itertools
import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from typing import NamedTuple

from predis_alerts.config import Rule
from predis_core.clock import NANOSECONDS
from predis_core.plugin import Distribution, Metric, Sample, Snapshot

Labels = tuple[tuple[str, str], ...]
"""Names and values of a series' labels."""

Numbers = tuple[float, ...]

SERIES_AT_MOST = 256
"""Series that one rule follows; further ones are left out."""

_HISTORIES_AT_MOST = 4 * SERIES_AT_MOST
"""Series whose past is kept, those that are gone included."""

_POINTS = 128
"""Readings that are kept of a series, about."""


class _Ratio(NamedTuple):
    """Parts of a whole, each a sum of metrics, as the derived metrics are."""

    part: tuple[str, ...]
    whole: tuple[str, ...]
    grows: bool


DERIVED = {
    "hit_ratio": _Ratio(("predis.cache.hits",), ("predis.cache.hits", "predis.cache.misses"), True),
    "miss_ratio": _Ratio(
        ("predis.cache.misses",), ("predis.cache.hits", "predis.cache.misses"), True
    ),
    "byte_hit_ratio": _Ratio(
        ("predis.cache.hit_bytes",),
        ("predis.cache.hit_bytes", "predis.cache.inserted_bytes"),
        True,
    ),
    "load_failure_ratio": _Ratio(("predis.cache.load_failures",), ("predis.cache.loads",), True),
    "fill": _Ratio(("predis.cache.size",), ("predis.cache.capacity",), False),
}
"""Metrics that no snapshot holds; those that grow are over the rule's time."""

_MEASURES = {
    "counter": ("rate", "increase", "value"),
    "gauge": ("value",),
    "histogram": ("p99", "mean", "rate", "increase"),
}
"""By kind, what can be measured, the default first; a histogram has every quantile."""


class Unfit(ValueError):
    """A rule asks for something that its metric does not have; the message names the field."""


def index_of(snapshot: Snapshot) -> dict[str, list[Sample]]:
    """Return the samples of a snapshot by the name of their metric."""
    found: dict[str, list[Sample]] = {}
    for sample in snapshot.samples:
        found.setdefault(sample.metric.name, []).append(sample)
    return found


def measure_of(rule: Rule, metric: Metric) -> str:
    """Return what a rule measures of a metric, as "rate" or "p99".

    Raises:
        Unfit: if the metric has no such measure, or no such label.
    """
    fit = _MEASURES[metric.kind]
    chosen = rule.measure or fit[0]
    if chosen not in fit and not (metric.kind == "histogram" and chosen[0] == "p"):
        more = " or a quantile such as 'p99'" if metric.kind == "histogram" else ""
        known = ", ".join(map(repr, fit))
        raise Unfit(f"measure: {metric.name!r} is a {metric.kind}, which has {known}{more}")
    _check_labels(rule, metric.labels)
    return chosen


def check_derived(rule: Rule) -> None:
    """Refuse what a derived metric does not have.

    Raises:
        Unfit: if there is such a field.
    """
    if rule.measure is not None:
        raise Unfit(f"measure: {rule.metric!r} is a value as it is; leave out `measure`")
    _check_labels(rule, ("cache",))


def _check_labels(rule: Rule, known: Iterable[str]) -> None:
    for label in rule.labels:
        if label not in (*known, "cache"):
            listed = ", ".join(known) or "none"
            raise Unfit(f"labels: {rule.metric!r} has no label {label!r} (it has: {listed})")


class Measure:
    """Follows what one rule is about, from snapshot to snapshot.

    Args:
        rule: the rule.
        began: nanoseconds at which the cache was opened: its counters were 0 then.
    """

    def __init__(self, rule: Rule, began: int) -> None:
        self._rule = rule
        self._over = round(rule.over * NANOSECONDS)
        self._latest = began
        self._histories: dict[Labels, _History] = {}

    def values(
        self, samples: Mapping[str, list[Sample]], cache: str, now: int
    ) -> dict[Labels, float | None]:
        """Return the value of each series now; None where there is none, as a ratio of nothing.

        Args:
            samples: those of a snapshot, by metric.
            cache: the cache that it is of.
            now: nanoseconds, not before those of the call before.

        Raises:
            KeyError: if there is no such metric.
            Unfit: if it cannot be measured so.
        """
        before, self._latest = self._latest, now
        read = self._derived if self._rule.metric in DERIVED else self._plain
        found: dict[Labels, float | None] = {}
        for labels, numbers, judge in itertools.islice(read(samples, cache), SERIES_AT_MOST):
            if judge is _of_now:
                found[labels] = numbers[0]
                continue
            history = self._histories.get(labels)
            if history is None:
                if len(self._histories) >= _HISTORIES_AT_MOST:
                    continue
                # What only grows, and is new, was 0 when it was looked at before.
                history = self._histories[labels] = _History(self._over, before, len(numbers))
            difference, seconds = history.add(now, numbers)
            found[labels] = judge(difference, seconds) if seconds > 0 else None
        for labels in [each for each in self._histories if each not in found]:
            if now - self._histories[labels].latest > self._over:
                del self._histories[labels]
        return found

    def _plain(
        self, samples: Mapping[str, list[Sample]], cache: str
    ) -> Iterator[tuple[Labels, Numbers, _Judge]]:
        for sample in samples[self._rule.metric]:
            judge = _judge_of(measure_of(self._rule, sample.metric), sample)
            labels = self._meant(sample, cache)
            if labels is not None:
                yield labels, _numbers_of(sample.value), judge

    def _derived(
        self, samples: Mapping[str, list[Sample]], cache: str
    ) -> Iterator[tuple[Labels, Numbers, _Judge]]:
        ratio = DERIVED[self._rule.metric]
        sums: dict[Labels, list[float]] = {}
        for place, names in enumerate((ratio.part, ratio.whole)):
            for sample in itertools.chain.from_iterable(samples[name] for name in names):
                labels = self._meant(sample, cache)
                if labels is not None and not isinstance(sample.value, Distribution):
                    sums.setdefault(labels, [0.0, 0.0])[place] += sample.value
        for labels, (part, whole) in sums.items():
            if ratio.grows:
                yield labels, (part, whole), _share
            elif whole:
                yield labels, (part / whole,), _of_now

    def _meant(self, sample: Sample, cache: str) -> Labels | None:
        """Return the labels of a series, `cache` among them; None if the rule is not about it."""
        labels = {"cache": cache, **dict(zip(sample.metric.labels, sample.labels, strict=True))}
        if "cache" not in self._rule.labels and labels["cache"] != cache:
            return None
        for name, pattern in self._rule.labels.items():
            if not fnmatchcase(labels.get(name, ""), pattern):
                return None
        return tuple(labels.items())


class _History:
    """What was read of a series, as far back as its rule looks.

    Args:
        over: nanoseconds that the rule looks back.
        began: nanoseconds at which everything was 0.
        length: how many numbers are read.
    """

    def __init__(self, over: int, began: int, length: int) -> None:
        self._over = over
        self._points: deque[tuple[int, Numbers]] = deque([(began, (0.0,) * length)])
        self._last = self._points[0]

    @property
    def latest(self) -> int:
        """Nanoseconds of the last reading."""
        return self._last[0]

    def add(self, now: int, numbers: Numbers) -> tuple[Numbers, float]:
        """Take a reading; return by how much it grew, and in how many seconds."""
        before = self._last[1]
        if len(before) != len(numbers) or any(map(float.__lt__, numbers, before)):
            # It began anew, so that everything in it came since.
            self._points = deque([(self._last[0], (0.0,) * len(numbers))])
        self._last = (now, numbers)
        while len(self._points) > 1 and self._points[1][0] <= now - self._over:
            self._points.popleft()
        begin, base = self._points[0]
        if now - self._points[-1][0] >= self._over // _POINTS:
            self._points.append(self._last)
        difference = tuple(map(float.__sub__, numbers, base))
        return difference, (now - begin) / NANOSECONDS


_Judge = Callable[[Numbers, float], float | None]
"""Takes by how much the numbers grew, and in how many seconds."""


def _numbers_of(value: float | Distribution) -> Numbers:
    """Return a number, or the counts of a histogram's buckets and its sum."""
    if isinstance(value, Distribution):
        return (*map(float, value.counts), float(value.sum))
    return (float(value),)


def _judge_of(measure: str, sample: Sample) -> _Judge:
    is_histogram = isinstance(sample.value, Distribution)
    if measure == "value":
        return _of_now
    if measure == "rate":
        return _rate_of_counts if is_histogram else _rate
    if measure == "increase":
        return _increase_of_counts if is_histogram else _increase
    if measure == "mean":
        return _mean
    assert isinstance(sample.value, Distribution)
    bounds, share = sample.value.bounds, float(measure[1:]) / 100

    def judge(numbers: Numbers, seconds: float) -> float | None:
        return quantile(bounds, numbers[:-1], share)

    return judge


def _of_now(numbers: Numbers, seconds: float) -> float | None:
    """Stand for values that are taken as they are."""
    return numbers[0]


def _increase(numbers: Numbers, seconds: float) -> float | None:
    return numbers[0]


def _rate(numbers: Numbers, seconds: float) -> float | None:
    return numbers[0] / seconds


def _increase_of_counts(numbers: Numbers, seconds: float) -> float | None:
    return sum(numbers[:-1])


def _rate_of_counts(numbers: Numbers, seconds: float) -> float | None:
    return sum(numbers[:-1]) / seconds


def _mean(numbers: Numbers, seconds: float) -> float | None:
    count = sum(numbers[:-1])
    return numbers[-1] / count if count else None


def _share(numbers: Numbers, seconds: float) -> float | None:
    part, whole = numbers
    return part / whole if whole else None


def quantile(bounds: tuple[float, ...], counts: Numbers, share: float) -> float | None:
    """Return the value that a share of all observations does not pass; None without observations.

    Inside a bucket observations are taken as spread evenly; those above the last bound as at it.
    """
    wanted = share * sum(counts)
    if not any(counts):
        return None
    below, low = 0.0, 0.0
    for high, count in zip((*bounds, math.inf), counts, strict=True):
        if count and below + count >= wanted:
            return low if high == math.inf else low + (high - low) * (wanted - below) / count
        below, low = below + count, high
    return bounds[-1] if bounds else None
