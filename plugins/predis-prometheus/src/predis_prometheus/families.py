"""Snapshots of caches as Prometheus' metric families."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, TypeAlias

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.utils import floatToGoString

from predis_core.plugin import Distribution, Metric, Sample, Snapshot
from predis_core.telemetry import BATCH_SECONDS
from predis_prometheus.exemplars import Exemplars
from predis_prometheus.names import Names, Spelling

Family: TypeAlias = CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily

_KINDS: dict[str, type[Family]] = {
    "counter": CounterMetricFamily,
    "gauge": GaugeMetricFamily,
    "histogram": HistogramMetricFamily,
}


def families_of(
    snapshots: Iterable[Snapshot], names: Names, exemplars: Exemplars | None = None
) -> list[Family]:
    """Return each metric of some snapshots as one family, in order of first appearance."""
    found: dict[str, Family] = {}
    for snapshot in snapshots:
        for sample, spelling, labels in spelled(snapshot, names):
            if spelling.name not in found:
                found[spelling.name] = family_of(sample.metric, spelling)
            family = found[spelling.name]
            if isinstance(sample.value, Distribution):
                assert isinstance(family, HistogramMetricFamily)
                buckets: list[Any] = list(_cumulative(sample.value))
                if exemplars is not None and sample.metric == BATCH_SECONDS:
                    for place, exemplar in exemplars.of(*sample.labels).items():
                        buckets[place] = (*buckets[place], exemplar)
                family.add_metric(labels, buckets, sample.value.sum)
            else:
                assert not isinstance(family, HistogramMetricFamily)
                family.add_metric(labels, sample.value)
    return list(found.values())


def family_of(metric: Metric, spelling: Spelling) -> Family:
    """Return a metric's family, which holds nothing yet."""
    kind = _KINDS[metric.kind]
    return kind(spelling.name, metric.help, labels=spelling.labels, unit=spelling.unit)


def spelled(snapshot: Snapshot, names: Names) -> Iterator[tuple[Sample, Spelling, tuple[str, ...]]]:
    """Yield (sample, how its metric is spelled, values of its labels) of what can be exposed.

    Of samples with equal labels only the first one can be: Prometheus refuses the others.
    """
    seen = set()
    for sample in snapshot.samples:
        spelling = names.spelling(sample.metric)
        if spelling is None:
            continue
        if not _fits(sample):
            names.leave_out(sample.metric, f"{sample.value!r} is no {sample.metric.kind}")
            continue
        labels = spelling.values(snapshot.cache, sample.labels)
        if (spelling.name, labels) not in seen:
            seen.add((spelling.name, labels))
            yield sample, spelling, labels


def bounds_of(distribution: Distribution) -> list[str]:
    """Return the upper bounds of a histogram's buckets as values of the label `le`."""
    return [*map(floatToGoString, distribution.bounds), "+Inf"]


def _cumulative(distribution: Distribution) -> Iterator[tuple[str, float]]:
    """Yield (`le`, observations up to it) of each bucket."""
    total = 0
    for bound, count in zip(bounds_of(distribution), distribution.counts, strict=True):
        total += count
        yield bound, total


def _fits(sample: Sample) -> bool:
    """Return whether a value is of its metric's kind; other plugins may be wrong about it."""
    if isinstance(sample.value, Distribution):
        return sample.metric.kind == "histogram"
    try:
        float(sample.value)
    except (TypeError, ValueError):
        return False
    return sample.metric.kind != "histogram"
