"""Snapshots as OpenTelemetry's data: names, units and attributes, totals and growth."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pytest
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.sdk.metrics import export as sdk
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from predis_core.plugin import Distribution, Metric, Sample, Snapshot
from predis_core.telemetry import CATALOGUE
from predis_otel.names import attributes_of, unit_of
from predis_otel.series import CacheSeries

HITS = Metric("hits", "counter", "keys", "Hits.")
SIZE = Metric("size", "gauge", "entries", "Size.")
TIMES = Metric("times", "histogram", "seconds", "Times.")


def snapshot(time: int, *values: tuple[Metric, Any], cache: str = "main") -> Snapshot:
    return Snapshot(cache, time, tuple(Sample(metric, (cache,), v) for metric, v in values))


def points(metrics: list[sdk.Metric], name: str = "hits") -> list[tuple[int, int, Any]]:
    """Return (start, time, value or counts) of a metric's points."""
    return [
        (p.start_time_unix_nano, p.time_unix_nano, getattr(p, "value", None) or p_counts(p))
        for metric in metrics
        if metric.name == name
        for p in metric.data.data_points
    ]


def p_counts(point: Any) -> Any:
    return getattr(point, "bucket_counts", 0)


# ---- names ---------------------------------------------------------------------------------------


def test_units_of_the_catalogue_are_ucum() -> None:
    assert {metric.unit: unit_of(metric) for metric in CATALOGUE} == {
        "keys": "{key}",
        "entries": "{entry}",
        "bytes": "By",
        "seconds": "s",
        "1": "1",
    }


@pytest.mark.parametrize(
    ("unit", "ucum"),
    [
        ("", "1"),
        ("ratio", "1"),
        ("milliseconds", "ms"),
        ("requests", "{request}"),
        ("By/s", "By/s"),
    ],
)
def test_other_units(unit: str, ucum: str) -> None:
    assert unit_of(Metric("m", "gauge", unit, "")) == ucum


def test_every_label_of_the_catalogue_has_an_attribute_in_predis_namespace() -> None:
    for metric in CATALOGUE:
        found = attributes_of(metric, metric.labels, "main")
        assert all(name.startswith("predis.") for name in found)
        assert len(found) == len(metric.labels)
        assert found["predis.cache.name"] == "cache"


def test_labels_of_others_keep_their_names_and_the_cache_is_always_there() -> None:
    metric = Metric("tenants.used", "gauge", "bytes", "", ("tenant",))
    assert attributes_of(metric, ("a\udcffb",), "main") == {
        "predis.cache.name": "main",
        "tenant": "a?b",
    }


# ---- kinds ---------------------------------------------------------------------------------------


def test_a_snapshot_becomes_sums_gauges_and_histograms() -> None:
    times = Distribution((0.1, 0.5), (3, 2, 1), 1.25)
    series = CacheSeries(100, delta=False)
    hits, size, histogram = series.metrics_of(
        snapshot(200, (HITS, 5), (SIZE, np.int64(7)), (TIMES, times))
    )
    assert (hits.name, hits.description, hits.unit) == ("hits", "Hits.", "{key}")
    assert isinstance(hits.data, sdk.Sum)
    assert hits.data.is_monotonic
    assert hits.data.aggregation_temporality == sdk.AggregationTemporality.CUMULATIVE
    assert points([hits]) == [(100, 200, 5)]
    assert isinstance(size.data, sdk.Gauge)
    assert points([size], "size") == [(0, 200, 7)]
    (point,) = histogram.data.data_points
    assert isinstance(point, sdk.HistogramDataPoint)
    assert (point.count, point.sum) == (6, 1.25)
    assert (point.bucket_counts, point.explicit_bounds) == ((3, 2, 1), (0.1, 0.5))
    assert (point.start_time_unix_nano, point.time_unix_nano) == (100, 200)


def test_everything_can_be_encoded() -> None:
    times = Distribution((0.1,), (3, 2), 1.25)
    wild = Metric("wild", "gauge", "1", "", ("cache", "path"))
    samples = (
        *snapshot(9, (HITS, 1 << 70), (SIZE, float("nan")), (TIMES, times)).samples,
        Sample(wild, ("main", "a\udcff"), np.float32(0.5)),
    )
    found = CacheSeries(1, delta=True).metrics_of(Snapshot("main", 9, samples))
    scope = sdk.ScopeMetrics(InstrumentationScope("s"), found, "")
    data = sdk.MetricsData([sdk.ResourceMetrics(Resource({}), [scope], "")])
    (encoded,) = encode_metrics(data).resource_metrics[0].scope_metrics
    assert [metric.name for metric in encoded.metrics] == ["hits", "size", "times", "wild"]
    assert not encoded.metrics[2].histogram.data_points[0].HasField("min")


@pytest.mark.parametrize(
    ("metric", "value"),
    [
        (SIZE, Distribution((1.0,), (1, 0), 1.0)),
        (TIMES, 1),
        (TIMES, Distribution((1.0,), (1,), 1.0)),
        (HITS, "many"),
        (HITS, float("inf")),
    ],
)
def test_a_value_that_does_not_fit_is_left_out_and_told_once(
    metric: Metric, value: Any, caplog: pytest.LogCaptureFixture
) -> None:
    series = CacheSeries(1, delta=False)
    right = Metric("right", "gauge", "1", "")
    with caplog.at_level(logging.WARNING, "predis.otel"):
        for time in (2, 3):
            found = series.metrics_of(snapshot(time, (metric, value), (right, 1)))
            assert [each.name for each in found] == ["right"]
    assert series.left_out == {metric.name: f"{value!r} is no {metric.kind}"}
    assert len(caplog.records) == 1


def test_of_samples_with_equal_labels_the_first_is_told() -> None:
    assert points(CacheSeries(1, delta=False).metrics_of(snapshot(2, (HITS, 1), (HITS, 2)))) == [
        (1, 2, 1)
    ]


# ---- totals and growth ---------------------------------------------------------------------------


def test_totals_count_from_the_opening_whatever_arrives() -> None:
    series = CacheSeries(100, delta=False)
    told = []
    for time, hits in ((200, 5), (300, 5), (400, 9)):
        told += points(series.metrics_of(snapshot(time, (HITS, hits))))
        if time == 200:
            series.delivered()
    assert told == [(100, 200, 5), (100, 300, 5), (100, 400, 9)]


def test_growth_counts_from_the_last_delivery() -> None:
    series = CacheSeries(100, delta=True)
    told = []
    for time, hits, arrives in ((200, 5, True), (300, 9, False), (400, 12, True), (500, 12, True)):
        told += points(series.metrics_of(snapshot(time, (HITS, hits))))
        if arrives:
            series.delivered()
    assert told == [(100, 200, 5), (200, 300, 4), (200, 400, 7), (400, 500, 0)]


def test_growth_of_a_histogram_is_by_bucket() -> None:
    series = CacheSeries(100, delta=True)
    sums = []
    found = []
    for time, counts, total, arrives in (
        (200, (1, 0), 0.5, True),
        (300, (3, 1), 2.0, False),
        (400, (4, 1), 2.25, True),
        (500, (4, 3), 9.25, True),
    ):
        metrics = series.metrics_of(snapshot(time, (TIMES, Distribution((1.0,), counts, total))))
        found += points(metrics, "times")
        sums += [point.sum for point in metrics[0].data.data_points]
        if arrives:
            series.delivered()
    assert found == [
        (100, 200, (1, 0)),
        (200, 300, (2, 1)),
        (200, 400, (3, 1)),
        (400, 500, (0, 2)),
    ]
    assert sums == [0.5, 1.5, 1.75, 7.0]


@pytest.mark.parametrize("delta", [False, True])
def test_what_began_anew_is_told_as_such_and_loses_nothing(delta: bool) -> None:
    series = CacheSeries(100, delta)
    told = []
    for time, hits in ((200, 50), (300, 70), (400, 3)):
        told += points(series.metrics_of(snapshot(time, (HITS, hits))))
        if time == 200:
            series.delivered()
    last = (200, 400, 23) if delta else (300, 400, 3)
    assert told[-1] == last


def test_a_series_that_comes_later_counts_from_the_snapshot_before() -> None:
    series = CacheSeries(100, delta=False)
    series.metrics_of(snapshot(200, (HITS, 5)))
    late = (Sample(HITS, ("main/late",), 4),)
    found = series.metrics_of(Snapshot("main", 300, snapshot(300, (HITS, 6)).samples + late))
    assert points(found) == [(100, 300, 6), (200, 300, 4)]


def test_a_dropped_namespace_is_forgotten_and_a_silent_source_is_not() -> None:
    series = CacheSeries(100, delta=False)
    other = Metric("other", "counter", "1", "")
    acme = (Sample(HITS, ("main/acme",), 4),)
    series.metrics_of(Snapshot("main", 200, snapshot(0, (HITS, 5), (other, 3)).samples + acme))
    series.metrics_of(snapshot(300, (HITS, 5)))
    again = series.metrics_of(
        Snapshot("main", 400, snapshot(0, (HITS, 5), (other, 3)).samples + acme)
    )
    assert points(again) == [(100, 400, 5), (300, 400, 4)]
    assert points(again, "other") == [(100, 400, 3)]
