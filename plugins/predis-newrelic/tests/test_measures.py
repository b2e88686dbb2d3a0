"""Snapshots as New Relic's metrics."""

from __future__ import annotations

from typing import Any

from predis_core.plugin import Distribution, Metric, Sample, Snapshot
from predis_newrelic.measures import Ledger, Measure, quantile

SECOND = 1_000_000_000
COUNT = Metric("a.count", "counter", "keys", "Counts.")
GAUGE = Metric("a.gauge", "gauge", "1", "Is so.", ("cache", "kind"))
TIMES = Metric("a.times", "histogram", "seconds", "Takes.", ("operation",))


def snapshot(second: int, *samples: Sample) -> Snapshot:
    return Snapshot("c", second * SECOND, samples)


def bodies(measures: list[Measure]) -> list[dict[str, Any]]:
    return [measure.body for measure in measures]


def counted(value: float) -> Sample:
    return Sample(COUNT, ("c",), value)


def timed(*counts: int, total: float = 1.0) -> Sample:
    return Sample(TIMES, ("get",), Distribution((1.0, 2.0, 4.0), counts, total))


def test_a_count_is_the_growth_since_what_has_arrived() -> None:
    ledger = Ledger(10 * SECOND)
    first = ledger.measures_of(snapshot(12, counted(5)))
    assert bodies(first) == [
        {
            "name": "a.count", "type": "count", "value": 5, "interval.ms": 2_000,
            "timestamp": 10_000, "attributes": {"cache": "c"},
        }
    ]  # fmt: skip
    (again,) = bodies(ledger.measures_of(snapshot(13, counted(7))))  # the first did not arrive
    assert (again["value"], again["timestamp"], again["interval.ms"]) == (7, 10_000, 3_000)
    ledger.settle(first)
    (later,) = bodies(ledger.measures_of(snapshot(14, counted(7))))
    assert (later["value"], later["timestamp"], later["interval.ms"]) == (2, 12_000, 2_000)


def test_zeros_are_sent_once_and_a_counter_that_began_anew_counts_from_zero() -> None:
    ledger = Ledger(0)
    first = ledger.measures_of(snapshot(1, counted(0)))
    assert bodies(first)[0]["value"] == 0
    ledger.settle(first)
    assert ledger.measures_of(snapshot(2, counted(0))) == []
    ledger.settle(ledger.measures_of(snapshot(3, counted(9))))
    assert bodies(ledger.measures_of(snapshot(4, counted(4))))[0]["value"] == 4


def test_a_series_that_is_gone_is_forgotten() -> None:
    ledger = Ledger(0)
    ledger.settle(ledger.measures_of(snapshot(1, counted(9))))
    ledger.measures_of(snapshot(2))
    (back,) = bodies(ledger.measures_of(snapshot(3, counted(9))))
    assert back["value"] == 9


def test_a_gauge_is_what_it_is_and_the_cache_is_always_named() -> None:
    ledger = Ledger(0)
    (body,) = bodies(ledger.measures_of(snapshot(1, Sample(GAUGE, ("d", "k"), 2.5))))
    assert body == {
        "name": "a.gauge", "value": 2.5, "timestamp": 1_000,
        "attributes": {"cache": "d", "kind": "k"},
    }  # fmt: skip
    (_, *rest) = bodies(ledger.measures_of(snapshot(1, timed(1, 0, 0, 0))))
    assert all(each["attributes"] == {"operation": "get", "cache": "c"} for each in rest)


def test_a_histogram_is_a_summary_and_quantiles_of_what_is_new() -> None:
    ledger = Ledger(0)
    ledger.settle(ledger.measures_of(snapshot(1, timed(5, 0, 0, 1, total=20.0))))
    found = bodies(ledger.measures_of(snapshot(2, timed(5, 98, 2, 1, total=220.0))))
    values = {body["name"]: body["value"] for body in found}
    assert values == {
        "a.times": {"count": 100, "sum": 200.0, "min": 1.0, "max": 4.0},
        "a.times.p50": 2.0,
        "a.times.p95": 2.0,
        "a.times.p99": 4.0,
    }
    assert ledger.measures_of(snapshot(3, timed(5, 0, 0, 1, total=20.0))) == []


def test_beyond_the_last_bucket_there_is_only_its_bound() -> None:
    (summary, *_) = bodies(Ledger(0).measures_of(snapshot(1, timed(0, 0, 0, 3, total=99.0))))
    assert summary["value"] == {"count": 3, "sum": 99.0, "min": 4.0, "max": 4.0}
    assert quantile(Distribution((1.0,), (0, 1), 9.0), 0.5) == 1.0


def test_what_is_of_another_kind_is_left_out() -> None:
    wrong: Any = [
        Sample(COUNT, ("c",), Distribution((1.0,), (0, 1), 9.0)),
        Sample(TIMES, ("get",), 3),
        Sample(GAUGE, ("c", "k"), float("nan")),
        Sample(GAUGE, ("c", "l"), "text"),  # type: ignore[arg-type]
        counted(1),
    ]
    assert [b["name"] for b in bodies(Ledger(0).measures_of(snapshot(1, *wrong)))] == ["a.count"]
