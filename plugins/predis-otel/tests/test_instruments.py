"""Metrics in the program's own MeterProvider."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from opentelemetry import metrics as api
from opentelemetry.metrics import _internal as internal
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.util._once import Once

import predis_core as predis
from predis_core import host, telemetry
from predis_otel import instruments
from tests.support.shelf import Shelf

Open = Callable[..., predis.Cache[Any, Any]]


@pytest.fixture
def unset(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process in which nobody has set a MeterProvider yet."""
    monkeypatch.setattr(internal, "_METER_PROVIDER", None)
    monkeypatch.setattr(internal, "_METER_PROVIDER_SET_ONCE", Once())
    monkeypatch.setattr(internal, "_PROXY_METER_PROVIDER", internal._ProxyMeterProvider())
    monkeypatch.setattr(instruments, "_made", None)


@pytest.fixture
def provided(unset: None) -> Iterator[Callable[[], InMemoryMetricReader]]:
    """Sets a provider, and returns what reads from it."""
    made = []

    def put() -> InMemoryMetricReader:
        reader = InMemoryMetricReader()
        provider = MeterProvider([reader], shutdown_on_exit=False)
        made.append(provider)
        api.set_meter_provider(provider)
        return reader

    yield put
    for provider in made:
        provider.shutdown()


@pytest.fixture
def reader(provided: Callable[[], InMemoryMetricReader]) -> InMemoryMetricReader:
    return provided()


def read(reader: InMemoryMetricReader) -> dict[tuple[str, str], Any]:
    """Return the values by metric and cache, of points without further attributes."""
    data = reader.get_metrics_data()
    return {
        (metric.name, point.attributes["predis.cache.name"]): point.value
        for resource in (data.resource_metrics if data is not None else ())
        for scope in resource.scope_metrics
        for metric in scope.metrics
        for point in metric.data.data_points
        if set(point.attributes) <= {"predis.cache.name", "tenant"}
    }


def assert_exact(reader: InMemoryMetricReader, *caches: Any) -> None:
    found = read(reader)
    for cache in caches:
        stats = cache.stats()
        for field, metric in (*telemetry.COUNTERS.items(), *telemetry.GAUGES.items()):
            assert found[metric.name, cache.name] == getattr(stats, field), field


def test_every_read_has_the_values_of_its_moment(reader: Any, opened: Open) -> None:
    one, two = opened("one", provider="global"), opened("two", provider="global")
    for seed in range(3):
        keys = np.random.default_rng(seed).integers(0, 3_000, 500)
        one.get_or_load_many(keys, lambda ids: ids)
        two.set_many(keys, keys)
        two.get_many(keys[:100])
        assert_exact(reader, one, two)
    assert one.stats().evictions > 0


def test_kinds_units_and_descriptions(reader: Any, opened: Open) -> None:
    opened(provider="global").get_many([1, 2])
    (resource,) = reader.get_metrics_data().resource_metrics
    (scope,) = resource.scope_metrics
    found = {metric.name: metric for metric in scope.metrics}
    assert (scope.scope.name, scope.scope.version) == ("predis-otel", "0.1.0")
    hits, size = found["predis.cache.hits"], found["predis.cache.size"]
    assert (hits.unit, hits.description) == ("{key}", "Looked-up keys that were found.")
    assert hits.data.is_monotonic
    assert (size.unit, type(size.data).__name__) == ("{entry}", "Gauge")
    count, total = (found[f"predis.cache.batch.duration.{of}"] for of in ("count", "sum"))
    values = {point.attributes["predis.operation"]: point.value for point in count.data.data_points}
    assert (values["get"], values["set"], count.unit, total.unit) == (1, 0, "1", "s")


def test_a_closed_cache_is_silent_and_can_be_opened_again(
    reader: Any, opened: Open, caplog: pytest.LogCaptureFixture
) -> None:
    for number in (1, 2):
        cache = opened(provider="global")
        cache.get_many(range(number))
        assert read(reader)["predis.cache.misses", "main"] == number
        cache.close()
        assert read(reader) == {}
    assert [r for r in caplog.records if r.name.startswith("opentelemetry")] == []


def test_a_provider_that_is_set_later_has_the_metrics(
    provided: Callable[[], Any], opened: Open, caplog: pytest.LogCaptureFixture
) -> None:
    cache = opened(provider="global")
    status = host.status()
    assert status is not None
    assert (status.plugins[0].state, status.plugins[0].reason) == (
        "degraded",
        "the program has set no MeterProvider, so nobody reads the metrics",
    )
    cache.get_many([1, 2])
    reader = provided()
    assert read(reader)["predis.cache.misses", "main"] == 2
    status = host.status()
    assert status is not None
    assert status.plugins[0].state == "healthy"
    other = opened("other", provider="global")
    other.get_many([1])
    found = read(reader)
    assert (found["predis.cache.misses", "main"], found["predis.cache.misses", "other"]) == (2, 1)
    assert [r for r in caplog.records if r.name.startswith("opentelemetry")] == []


def test_metrics_of_other_plugins_are_there(reader: Any, opened: Open, shelf: Shelf) -> None:
    module = shelf.put(
        "tenants",
        """
        USED = Metric("tenants.used", "gauge", "bytes", "Used.", ("tenant",))
        LATE = Metric("tenants.late", "counter", "1", "Late.", ("tenant",))
        SHOWN = [USED]

        class Source:
            metrics = (USED, LATE)

            def collect(self):
                return [Sample(metric, ("acme",), 17) for metric in SHOWN]

        class Plugin:
            def __init__(self, options): ...

            @hookimpl
            def predis_metric_sources(self):
                return [Source()]
        """,
    )
    cache = opened(others={"tenants": {}}, provider="global")
    found = read(reader)
    assert found["tenants.used", "main"] == 17
    loaded = shelf.module(module)
    loaded.SHOWN.append(loaded.LATE)
    assert ("tenants.late", "main") not in read(reader)
    (learner,) = (
        exporter
        for attachment in cache._session.attachments
        for exporter, _ in attachment._exporters
    )
    learner(cache._session.snapshot())
    assert read(reader)["tenants.late", "main"] == 17


def test_two_readers_do_not_see_each_others_snapshots(unset: None, opened: Open) -> None:
    readers = [InMemoryMetricReader(), InMemoryMetricReader()]
    provider = MeterProvider(readers, shutdown_on_exit=False)
    api.set_meter_provider(provider)
    try:
        cache = opened(provider="global")
        for number in range(4):
            cache.get_many([number])
            for reader in readers:
                assert read(reader)["predis.cache.misses", "main"] == number + 1
    finally:
        provider.shutdown()


def test_without_own_metrics_nothing_is_sent(reader: Any, opened: Open, receiving: Any) -> None:
    receiver = receiving("http")
    section = {"endpoint": receiver.url, "protocol": "http", "traces": True, "sample": 1.0}
    cache = opened(provider="global", **section)
    cache.get_or_load(1, lambda key: key)
    cache.close()
    assert receiver.metrics == []
    assert len(receiver.spans("predis.loader")) == 1
