"""Every metric is exposed once, under a name that Prometheus' conventions ask for."""

from __future__ import annotations

import logging
import subprocess
from collections.abc import Iterable
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as parse_openmetrics,
)
from prometheus_client.parser import text_string_to_metric_families

from predis_core.plugin import Distribution, Metric, Sample, Snapshot
from predis_core.telemetry import CATALOGUE
from predis_prometheus.families import Family, families_of
from predis_prometheus.names import Names, spelling_of
from tests.support.counterparts import counterpart

SPELLED = {
    "predis.cache.hits": "predis_cache_hits_total",
    "predis.cache.misses": "predis_cache_misses_total",
    "predis.cache.insertions": "predis_cache_insertions_total",
    "predis.cache.tier.capacity": "predis_cache_tier_capacity",
    "predis.cache.tier.evictions": "predis_cache_tier_evictions_total",
    "predis.cache.tier.hits": "predis_cache_tier_hits_total",
    "predis.cache.tier.memory": "predis_cache_tier_memory_bytes",
    "predis.cache.tier.size": "predis_cache_tier_size",
    "predis.cache.updates": "predis_cache_updates_total",
    "predis.cache.evictions": "predis_cache_evictions_total",
    "predis.cache.conflicts": "predis_cache_conflicts_total",
    "predis.cache.expirations": "predis_cache_expirations_total",
    "predis.cache.deletions": "predis_cache_deletions_total",
    "predis.cache.refusals": "predis_cache_refusals_total",
    "predis.cache.hit_bytes": "predis_cache_hit_bytes_total",
    "predis.cache.inserted_bytes": "predis_cache_inserted_bytes_total",
    "predis.cache.bytes": "predis_cache_bytes",
    "predis.cache.loads": "predis_cache_loads_total",
    "predis.cache.load_failures": "predis_cache_load_failures_total",
    "predis.cache.loads_saved": "predis_cache_loads_saved_total",
    "predis.cache.size": "predis_cache_size",
    "predis.cache.capacity": "predis_cache_capacity",
    "predis.cache.memory": "predis_cache_memory_bytes",
    "predis.cache.info": "predis_cache_info",
    "predis.cache.batch.duration": "predis_cache_batch_duration_seconds",
    "predis.plugin.failures": "predis_plugin_failures_total",
    "predis.plugin.up": "predis_plugin_up",
    "predis.plugin.observer.duration": "predis_plugin_observer_duration_seconds",
    "predis.sampler.events": "predis_sampler_events_total",
    "predis.sampler.dropped": "predis_sampler_dropped_total",
    "predis.host.events_dropped": "predis_host_events_dropped_total",
    "predis.prefetch.loads": "predis_prefetch_loads_total",
    "predis.prefetch.used": "predis_prefetch_used_total",
    "predis.prefetch.late": "predis_prefetch_late_total",
    "predis.prefetch.unused": "predis_prefetch_unused_total",
    "predis.prefetch.harmful": "predis_prefetch_harmful_total",
    "predis.prefetch.credit": "predis_prefetch_credit",
    "predis.prefetch.failures": "predis_prefetch_failures_total",
    "predis.prefetch.dropped": "predis_prefetch_dropped_total",
}
DURATIONS = Distribution((0.1, 0.5), (3, 2, 1), 1.25)


class Fixed:
    """A collector of given families."""

    def __init__(self, families: Iterable[Family]) -> None:
        self._families = list(families)

    def collect(self) -> list[Family]:
        return self._families


def snapshot(*samples: Sample, cache: str = "main") -> Snapshot:
    return Snapshot(cache, 0, samples)


def of_everything(cache: str) -> Snapshot:
    """Return a snapshot with a sample of every metric of the catalogue."""
    samples = []
    for number, metric in enumerate(CATALOGUE):
        labels = tuple(cache if label == "cache" else label for label in metric.labels)
        value = DURATIONS if metric.kind == "histogram" else number
        samples.append(Sample(metric, labels, value))
    return snapshot(*samples, cache=cache)


def text_of(*snapshots: Snapshot, names: Names | None = None) -> str:
    registry = CollectorRegistry()
    registry.register(Fixed(families_of(snapshots, names or Names())))
    return generate_latest(registry).decode()


def test_the_catalogue_is_spelled_by_the_conventions() -> None:
    exposed = {}
    for metric in CATALOGUE:
        suffix = "_total" if metric.kind == "counter" else ""
        exposed[metric.name] = spelling_of(metric).name + suffix
    assert exposed == SPELLED


def test_every_metric_is_one_family_however_many_caches_there_are() -> None:
    text = text_of(of_everything("main"), of_everything("other"))
    declared = [line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")]
    assert sorted(declared) == sorted(SPELLED.values())
    families = {family.name: family for family in text_string_to_metric_families(text)}
    for number, metric in enumerate(CATALOGUE):
        family = families[spelling_of(metric).name]
        assert family.type == metric.kind
        assert family.documentation == metric.help
        assert {sample.labels["cache"] for sample in family.samples} == {"main", "other"}
        for sample in family.samples:
            assert set(sample.labels) - {"le"} == set(metric.labels)
            if metric.kind != "histogram":
                assert sample.value == number


def test_a_histogram_has_cumulative_buckets_a_sum_and_a_count() -> None:
    (metric,) = [metric for metric in CATALOGUE if metric.kind == "histogram"]
    text = text_of(snapshot(Sample(metric, ("main", "get"), DURATIONS)))
    (family,) = text_string_to_metric_families(text)
    found = {
        (sample.name.removeprefix(family.name), sample.labels.get("le")): sample.value
        for sample in family.samples
    }
    assert found == {
        ("_bucket", "0.1"): 3.0,
        ("_bucket", "0.5"): 5.0,
        ("_bucket", "+Inf"): 6.0,
        ("_count", None): 6.0,
        ("_sum", None): 1.25,
    }


def test_promtool_has_nothing_to_say_about_the_catalogue() -> None:
    text = text_of(of_everything("main"), of_everything("other"))
    command = [counterpart("promtool"), "check", "metrics"]
    told = subprocess.run(
        command, input=text, capture_output=True, text=True, timeout=60, check=False
    )
    assert (told.returncode, told.stdout, told.stderr) == (0, "", "")


def test_openmetrics_is_well_formed() -> None:
    registry = CollectorRegistry()
    registry.register(Fixed(families_of([of_everything("main")], Names())))
    text = generate_openmetrics(registry).decode()
    units = {family.name: family.unit for family in parse_openmetrics(text)}
    assert len(units) == len(CATALOGUE)
    assert units["predis_cache_memory_bytes"] == "bytes"
    assert units["predis_cache_hits"] == ""


# ---- what other plugins measure ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "kind", "unit", "spelled"),
    [
        ("tenants.used", "gauge", "bytes", "tenants_used_bytes"),
        ("tenants.used_bytes", "gauge", "bytes", "tenants_used_bytes"),
        ("tenants.sent", "counter", "bytes", "tenants_sent_bytes"),
        ("tenants.turned_away_total", "counter", "1", "tenants_turned_away"),
        ("tenants.ümlaut-rate", "gauge", "km/h", "tenants__mlaut_rate_km_h"),
        ("2nd.try", "gauge", "", "_2nd_try"),
        ("drift.score", "gauge", "ratio", "drift_score_ratio"),
    ],
)
def test_names_and_units_are_spelled_for_prometheus(
    name: str, kind: Any, unit: str, spelled: str
) -> None:
    assert spelling_of(Metric(name, kind, unit, "Help.")).name == spelled


@pytest.mark.parametrize(
    ("labels", "kind", "spelled"),
    [
        (("cache", "tenant"), "gauge", ("cache", "tenant")),
        (("tenant",), "gauge", ("cache", "tenant")),
        ((), "counter", ("cache",)),
        (("cache", "a-b", "a.b"), "gauge", ("cache", "a_b", "a_b_")),
        (("cache", "le"), "histogram", ("cache", "le_")),
        (("cache", "le"), "gauge", ("cache", "le")),
        (("cache", "__name__"), "gauge", ("cache", "label__name__")),
    ],
)
def test_labels_are_spelled_for_prometheus(
    labels: tuple[str, ...], kind: Any, spelled: tuple[str, ...]
) -> None:
    assert spelling_of(Metric("m", kind, "1", "Help.", labels)).labels == spelled


def test_a_metric_without_the_label_cache_is_told_apart_by_cache() -> None:
    metric = Metric("tenants.known", "gauge", "1", "Help.", ())
    text = text_of(
        snapshot(Sample(metric, (), 3), cache="one"), snapshot(Sample(metric, (), 4), cache="two")
    )
    assert 'tenants_known{cache="one"} 3.0' in text
    assert 'tenants_known{cache="two"} 4.0' in text


def test_label_values_may_be_any_text() -> None:
    metric = Metric("m", "gauge", "1", "Help.", ("cache", "path"))
    text = text_of(snapshot(Sample(metric, ("main", 'a"b\\c\nd\udcff'), 1)))
    (family,) = text_string_to_metric_families(text)
    assert family.samples[0].labels["path"] == 'a"b\\c\nd?'


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (Metric("a.b", "gauge", "1", "Help."), Metric("a_b", "gauge", "1", "Help.")),
        (Metric("a", "counter", "1", "Help."), Metric("a.total", "gauge", "1", "Help.")),
        (Metric("a.count", "gauge", "1", "Help."), Metric("a", "histogram", "1", "Help.")),
        (Metric("a", "gauge", "1", "Help."), Metric("a", "gauge", "1", "Help.", ("tenant",))),
    ],
    ids=["same name", "counter's total", "histogram's count", "other labels"],
)
def test_of_metrics_that_come_out_alike_the_first_is_exposed(
    first: Metric, second: Metric, caplog: pytest.LogCaptureFixture
) -> None:
    names = Names()
    both = snapshot(*(Sample(metric, ("x",), _value(metric)) for metric in (first, second)))
    with caplog.at_level(logging.WARNING, "predis.prometheus"):
        for _ in range(3):
            families = families_of([both], names)
            assert [family.name for family in families] == [spelling_of(first).name]
    assert list(names.left_out) == [second.name]
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert caplog.messages[0].startswith(f"metric {second.name!r} is left out: ")
    assert f"is a series of {first.name!r} already" in caplog.messages[0]


def test_the_core_keeps_its_names_even_if_its_metric_comes_later() -> None:
    intruder = Metric("predis.cache.hits_total", "gauge", "1", "Help.")
    names = Names(CATALOGUE)
    assert families_of([snapshot(Sample(intruder, ("x",), 1))], names) == []
    assert names.left_out == {
        intruder.name: "predis_cache_hits_total is a series of 'predis.cache.hits' already"
    }


def test_of_samples_with_equal_labels_the_first_is_exposed() -> None:
    metric = Metric("m", "gauge", "1", "Help.")
    text = text_of(snapshot(Sample(metric, ("x",), 1), Sample(metric, ("x",), 2)))
    assert [line for line in text.splitlines() if line[0] != "#"] == ['m{cache="x"} 1.0']


@pytest.mark.parametrize(
    ("kind", "value"), [("gauge", DURATIONS), ("histogram", 1), ("counter", "many")]
)
def test_a_value_that_is_not_of_its_metrics_kind_is_left_out(kind: Any, value: Any) -> None:
    names = Names()
    wrong = Sample(Metric("wrong", kind, "1", "Help."), ("x",), value)
    right = Sample(Metric("right", "gauge", "1", "Help."), ("x",), 1)
    assert [f.name for f in families_of([snapshot(wrong, right)], names)] == ["right"]
    assert names.left_out == {"wrong": f"{value!r} is no {kind}"}


def _value(metric: Metric) -> Any:
    return DURATIONS if metric.kind == "histogram" else 1
