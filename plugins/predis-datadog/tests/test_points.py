"""Names, tags and amounts: what a snapshot becomes."""

from __future__ import annotations

import json
import math
import random

import numpy as np
import pytest
from msgspec.structs import replace

from predis_core import telemetry
from predis_core.plugin import Distribution, Metric, Sample, Snapshot
from predis_datadog.dogstatsd import rate_of
from predis_datadog.histograms import quantile, representatives
from predis_datadog.points import Ledger, Mapper, Point, derived_names

HITS = telemetry.COUNTERS["hits"]
SIZE = telemetry.GAUGES["size"]


OTHER = Metric("other", "histogram", "seconds", "Another plugin's.")


def snapshot(*samples: Sample) -> Snapshot:
    return Snapshot("main", 0, samples)


def points(*samples: Sample, mapper: Mapper | None = None) -> list[Point]:
    return (mapper or Mapper()).points(snapshot(*samples), Ledger())


def test_names_stand_as_they_are_and_labels_become_tags() -> None:
    (hits, size) = points(Sample(HITS, ("main",), 7), Sample(SIZE, ("main",), 3))
    assert hits[:4] == ("count", "predis.cache.hits", ("cache:main",), 7)
    assert size[:4] == ("gauge", "predis.cache.size", ("cache:main",), 3)


def test_a_prefix_comes_before_every_name() -> None:
    for prefix in ("shop", "shop."):
        (hits,) = points(Sample(HITS, ("main",), 7), mapper=Mapper(prefix))
        assert hits.name == "shop.predis.cache.hits"


def test_other_plugins_metrics_flow_through() -> None:
    odd = Metric("9lives.of-cats", "gauge", "1", "Odd.", ("tier", "version", "what else"))
    (point,) = points(Sample(odd, ("l 2", "1.0", "a,b|c\nd#é"), 1.5))
    assert point.name == "x9lives.of_cats"
    assert point.tags == ("cache:main", "tier:l_2", "predis_version:1.0", "what_else:a_b_c_d_é")


def test_what_does_not_fit_its_kind_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    mapper = Mapper()
    wrong = [
        Sample(HITS, ("main",), Distribution((1.0,), (1, 0), 0.5)),
        Sample(telemetry.BATCH_SECONDS, ("main", "get"), 3),
        Sample(SIZE, ("main",), math.nan),
        Sample(telemetry.MEMORY, ("main",), "much"),  # type: ignore[arg-type]
        Sample(replace(OTHER, name="a"), ("main",), Distribution((1.0,), (1,), 0.5)),
        Sample(replace(OTHER, name="b"), ("main",), Distribution((), (1,), 0.5)),
        Sample(replace(OTHER, name="c"), ("main",), Distribution((1.0,), (1, 0), math.inf)),
    ]
    for _ in range(2):
        assert points(*wrong, mapper=mapper) == []
    assert list(mapper.left_out) == [sample.metric.name for sample in wrong]
    assert len(caplog.messages) == len(wrong)


def test_numpys_numbers_are_sent_as_pythons() -> None:
    counts = tuple(np.array([1, 2], np.int64))
    found = points(
        Sample(HITS, ("main",), np.int64(7)),  # type: ignore[arg-type]
        Sample(SIZE, ("main",), np.float32(0.5)),  # type: ignore[arg-type]
        Sample(OTHER, ("main",), Distribution((np.float64(1.0),), counts, np.float64(3.5))),
    )
    assert json.dumps([point.value for point in found]).startswith("[7.0, 0.5, 3, 3.5, 2.0")


def test_a_histogram_may_begin_anew_with_other_bounds() -> None:
    mapper, ledger = Mapper(), Ledger()
    for bounds in ((1.0,), (1.0, 2.0)):
        value = of_values([0.5], bounds)
        found = mapper.points(snapshot(Sample(OTHER, ("main",), value)), ledger)
        ledger.settle(found)
        assert found[-1].name == ("other" if len(bounds) == 1 else "other.max")


def test_of_equal_tags_only_the_first_counts() -> None:
    (hits,) = points(Sample(HITS, ("main",), 7), Sample(HITS, ("main",), 8))
    assert hits.value == 7


def test_counts_are_what_came_since_the_last_that_arrived() -> None:
    mapper, ledger = Mapper(), Ledger()
    sent = []
    for total, arrives in ((5, True), (9, False), (12, True), (12, True), (2, True), (3, True)):
        (point,) = mapper.points(snapshot(Sample(HITS, ("main",), total)), ledger)
        sent.append(point.value)
        if arrives:
            ledger.settle([point])
    # After 12 the counter began anew: the plugin that has it was opened again.
    assert sent == [5, 4, 7, 0, 2, 1]


# ---- histograms ----------------------------------------------------------------------------------

BOUNDS = (1.0, 2.0, 4.0)


def of_values(values: list[float], bounds: tuple[float, ...] = BOUNDS) -> Distribution:
    counts = [0] * (len(bounds) + 1)
    for value in values:
        counts[sum(value > bound for bound in bounds)] += 1
    return Distribution(bounds, tuple(counts), sum(values))


def batches(values: list[float]) -> Sample:
    return Sample(telemetry.BATCH_SECONDS, ("main", "get"), of_values(values))


def by_name(found: list[Point]) -> dict[str, float]:
    return {
        point.name.removeprefix("predis.cache.batch.duration"): point.value
        for point in found
        if point.kind != "distribution"
    }


def test_a_histogram_is_its_number_its_sum_and_quantiles() -> None:
    found = by_name(points(batches([0.5] * 94 + [1.5] * 5 + [3.0])))
    assert found == {".count": 100, ".sum": 57.5, ".p50": 1.0, ".p95": 2.0, ".p99": 2.0, ".max": 4}


def test_quantiles_are_of_what_came_since_they_last_arrived() -> None:
    mapper, ledger = Mapper(), Ledger()
    found = mapper.points(snapshot(batches([0.5])), ledger)
    ledger.settle(found)
    again = mapper.points(snapshot(batches([0.5])), ledger)
    assert by_name(again) == {".count": 0, ".sum": 0}
    more = mapper.points(snapshot(batches([0.5, 3.0])), ledger)
    assert by_name(more) == {".count": 1, ".sum": 3, ".p50": 4, ".p95": 4, ".p99": 4, ".max": 4}
    anew = mapper.points(snapshot(batches([1.5])), ledger)
    assert by_name(anew)[".max"] == 2


def test_without_observations_a_histogram_is_not_sent() -> None:
    assert points(batches([])) == []


def test_without_distributions_there_are_none() -> None:
    found = points(batches([0.5]), mapper=Mapper(distributions=False))
    assert {point.kind for point in found} == {"count", "gauge"}


@pytest.mark.parametrize("seed", range(20))
def test_a_distribution_has_the_observations_number_sum_and_buckets(seed: int) -> None:
    generator = random.Random(seed)
    values = [generator.uniform(0, 7 if seed % 2 else 4) for _ in range(generator.randint(1, 500))]
    found = [point for point in points(batches(values)) if point.kind == "distribution"]
    assert sum(point.weight for point in found) == len(values)
    total = sum(point.weight * point.value for point in found)
    assert total == pytest.approx(sum(values), rel=1e-9)
    spread = [point.value for point in found for _ in range(point.weight)]
    assert of_values(spread).counts == of_values(values).counts


def test_an_observation_far_above_the_bounds_keeps_the_sum() -> None:
    ((bucket, value),) = representatives(BOUNDS, (0, 0, 0, 1), 1_000.0)
    assert (bucket, value) == (3, 1_000.0)


def test_what_of_a_distribution_did_not_arrive_comes_later() -> None:
    mapper, ledger = Mapper(), Ledger()
    first = mapper.points(snapshot(batches([0.5, 1.5])), ledger)
    ledger.settle(point for point in first if point.series[-1] != 1)  # bucket 1 was lost
    second = mapper.points(snapshot(batches([0.5, 1.5, 1.5, 3.0])), ledger)
    weights = {p.series[-1]: p.weight for p in second if p.kind == "distribution"}
    assert weights == {1: 2, 2: 1}


def test_a_quantile_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="no observations"):
        quantile(BOUNDS, (0, 0, 0, 0), 0.5)


def test_an_agent_makes_the_weight_of_the_rate() -> None:
    weights = [*range(1, 5_000), *(10**power + 7 for power in range(4, 10))]
    assert [int(1 / float(str(rate_of(weight)))) for weight in weights] == weights


def test_derived_names_are_those_that_are_sent() -> None:
    found = points(batches([0.5]), Sample(HITS, ("main",), 1), Sample(SIZE, ("main",), 1))
    wanted: dict[str, str] = {}
    for metric in (telemetry.BATCH_SECONDS, HITS, SIZE):
        wanted |= derived_names(metric)
    assert {point.name: point.kind for point in found} == wanted
