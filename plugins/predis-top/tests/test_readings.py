"""What is said of a cache between two looks."""

from __future__ import annotations

from typing import Any

import pytest

from predis_core.plugin import Distribution, Metric, Sample, Snapshot
from predis_core.telemetry import (
    BATCH_SECONDS,
    BOUNDS,
    COUNTERS,
    GAUGES,
    INFO,
    MEMORY,
    PLUGIN_UP,
)
from predis_top.readings import Reading, Readings

SECOND = 1_000_000_000


def distribution(*places: int) -> Distribution:
    """Batches in the buckets of these numbers."""
    counts = [0] * (len(BOUNDS) + 1)
    for place in places:
        counts[place] += 1
    return Distribution(BOUNDS, tuple(counts), 0.0)


def snapshot(
    seconds: float, batches: Distribution | None = None, name: str = "c", **counts: int
) -> Snapshot:
    fields = COUNTERS | GAUGES
    samples = [Sample(metric, (name,), counts.get(field, 0)) for field, metric in fields.items()]
    samples.append(Sample(MEMORY, (name,), 4_096))
    samples.append(Sample(INFO, (name, "lru", "any", "Objects()", "0.1"), 1))
    if batches is not None:
        samples.append(Sample(BATCH_SECONDS, (name, "get"), batches))
    return Snapshot(name, round(seconds * SECOND), tuple(samples))


def only(readings: list[Reading]) -> Reading:
    (reading,) = readings
    return reading


def test_the_first_look_is_of_all_the_time_and_has_no_rates() -> None:
    given = snapshot(10, distribution(3), hits=30, misses=10, size=50, capacity=200)
    reading = only(Readings().of({7: [given]}))
    assert (reading.pid, reading.now.cache, reading.now.policy) == (7, "c", "lru")
    assert reading.now.memory == 4_096
    assert reading.hit_ratio == 0.75
    assert reading.fill == 0.25
    assert reading.rate("hits") is None
    assert reading.quantile(0.5) == BOUNDS[3]


def test_later_looks_are_of_the_time_between() -> None:
    readings = Readings()
    readings.of({7: [snapshot(10, distribution(3, 3), hits=100, misses=100)]})
    after = snapshot(14, distribution(3, 3, 5, 9), hits=100, misses=140, evictions=20)
    reading = only(readings.of({7: [after]}))
    assert reading.seconds == 4.0
    assert reading.hit_ratio == 0.0
    assert reading.rate("hits", "misses") == 10.0
    assert reading.rate("evictions") == 5.0
    assert reading.quantile(0.5) == BOUNDS[5]
    assert reading.quantile(0.99) == BOUNDS[9]
    assert reading.now.counts["hits"] == 100
    idle = only(
        readings.of(
            {7: [snapshot(15, distribution(3, 3, 5, 9), hits=100, misses=140, evictions=20)]}
        )
    )
    assert idle.hit_ratio is None
    assert idle.quantile(0.5) is None
    assert idle.rate("hits") == 0.0


def test_a_cache_that_was_opened_anew_begins_anew() -> None:
    readings = Readings()
    readings.of({7: [snapshot(10, hits=100)]})
    reading = only(readings.of({7: [snapshot(12, hits=1, misses=1)]}))
    assert reading.seconds is None
    assert reading.hit_ratio == 0.5


def test_equal_names_in_two_processes_are_two_caches() -> None:
    readings = Readings()
    readings.of({7: [snapshot(10, hits=5)], 8: [snapshot(10, hits=50)]})
    found = readings.of({7: [snapshot(11, hits=6)], 8: [snapshot(11, hits=70)]})
    assert [(each.pid, each.rate("hits")) for each in found] == [(7, 1.0), (8, 20.0)]
    assert only(readings.of({8: [snapshot(12, hits=71)]})).rate("hits") == 1.0
    assert readings.of({7: [snapshot(13, hits=9)]})[0].seconds is None  # it was gone meanwhile


def test_namespaces_are_told_apart_and_what_only_plugins_measure_is_none() -> None:
    root, inner = snapshot(10, hits=1), snapshot(10, name="c/n", hits=2)
    own = Metric("plugin.things", "gauge", "1", "Things.", ("cache", "thing"))
    more = (Sample(PLUGIN_UP, ("c", "bad"), 0), Sample(PLUGIN_UP, ("c", "good"), 1))
    stray = Sample(own, ("elsewhere", "x"), 1)
    whole = Snapshot("c", root.time, (*root.samples, *inner.samples, *more, stray))
    first, second = Readings().of({7: [whole]})
    assert (first.now.cache, second.now.cache) == ("c", "c/n")
    assert first.now.down == ["bad"]
    assert second.now.counts["hits"] == 2


def test_a_quantile_beyond_the_buckets_is_endless_and_null_in_json() -> None:
    reading = only(Readings().of({7: [snapshot(1, distribution(len(BOUNDS)))]}))
    assert reading.quantile(0.5) == float("inf")
    batches: Any = reading.as_dict()["batches"]
    assert batches == {"get": {"count": 1, "p50": None, "p99": None}}


@pytest.mark.parametrize("share", [0.01, 0.5, 1.0])
def test_a_quantile_is_the_upper_end_of_the_bucket(share: float) -> None:
    reading = only(Readings().of({7: [snapshot(1, distribution(*[2] * 10))]}))
    assert reading.quantile(share) == BOUNDS[2]
