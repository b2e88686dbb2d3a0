"""Metrics by OTLP, to receivers that work and to ones that do not."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import predis_core as predis
from predis_core import host, telemetry
from predis_core.plugin import Health
from tests.support.shelf import Shelf

Open = Callable[..., predis.Cache[Any, Any]]
Eventually = Callable[[Callable[[], Any]], Any]

BOTH = pytest.mark.parametrize("protocol", ["grpc", "http"])
QUICK = {"interval": "50ms", "timeout": "300ms"}


def traffic(cache: predis.Cache[Any, Any], seed: int = 1) -> None:
    """Do something of everything that is counted."""
    generator = np.random.default_rng(seed)
    for _ in range(10):
        keys = generator.integers(0, 5_000, 200)
        cache.get_or_load_many(keys, lambda ids: ids * 2)
        cache.set_many(keys[:50], keys[:50])
        cache.get_many(generator.integers(0, 5_000, 300))
        cache.delete_many(keys[:5])


def wanted_of(stats: Any) -> dict[str, int]:
    fields = (*telemetry.COUNTERS.items(), *telemetry.GAUGES.items())
    return {metric.name: getattr(stats, field) for field, metric in fields}


def state() -> tuple[str, str]:
    status = host.status()
    assert status is not None
    (plugin,) = (each for each in status.plugins if each.name == "otel")
    return plugin.state, plugin.reason


def total_of(receiver: Any, name: str) -> int:
    """Return what a counter has come to, by all that was told of it, totals or growth.

    Of what has the same beginning only the last counts: the rest had not been acknowledged.
    """
    points = receiver.points(name)
    return sum({each.start_time_unix_nano: receiver.value(each) for each in points}.values())


# ---- what arrives --------------------------------------------------------------------------------


@BOTH
def test_a_closing_cache_sends_its_last_values_to_the_unit(
    receiver: Any, opened: Open, protocol: str
) -> None:
    cache = opened(endpoint=receiver.url, protocol=protocol)
    traffic(cache)
    stats = cache.stats()
    cache.close()
    assert stats.evictions > 0
    assert len(receiver.metrics) == 1
    for name, value in wanted_of(stats).items():
        (point,) = receiver.points(name)
        assert receiver.value(point) == value, name
        assert receiver.attributes(point) == {"predis.cache.name": "main"}


@BOTH
def test_histograms_are_whole(receiver: Any, opened: Open, protocol: str) -> None:
    cache = opened(endpoint=receiver.url, protocol=protocol)
    for _ in range(7):
        cache.get_many(np.arange(10))
    cache.close()
    found = {
        receiver.attributes(point)["predis.operation"]: point
        for point in receiver.points("predis.cache.batch.duration")
    }
    assert set(found) == set(telemetry.OPERATIONS)
    point = found["get"]
    assert (point.count, sum(point.bucket_counts)) == (7, 7)
    assert tuple(point.explicit_bounds) == telemetry.BOUNDS
    assert 0 < point.sum < 60
    assert 0 < point.start_time_unix_nano < point.time_unix_nano


@BOTH
@pytest.mark.parametrize("temporality", ["cumulative", "delta"])
def test_values_are_right_after_any_number_of_exports(
    receiver: Any, opened: Open, eventually: Eventually, protocol: str, temporality: str
) -> None:
    section = {"endpoint": receiver.url, "protocol": protocol, "temporality": temporality}
    cache = opened(interval="50ms", **section)
    for seed in range(3):
        traffic(cache, seed)
        before = len(receiver.metrics)
        eventually(lambda before=before: len(receiver.metrics) > before)
    stats = cache.stats()
    cache.close()
    for field, metric in telemetry.COUNTERS.items():
        assert total_of(receiver, metric.name) == getattr(stats, field), field
    begun = {point.start_time_unix_nano for point in receiver.points("predis.cache.hits")}
    assert (len(begun) > 1) == (temporality == "delta")


@BOTH
def test_requests_carry_headers_and_are_compressed(
    receiver: Any, opened: Open, protocol: str
) -> None:
    section = {"endpoint": receiver.url, "protocol": protocol, "headers": {"Api-Key": "hunter2"}}
    opened(compression="gzip", **section).close()
    assert receiver.headers["api-key"] == "hunter2"
    assert len(receiver.metrics) == 1
    if protocol == "http":
        assert receiver.headers["content-encoding"] == "gzip"


def test_the_resource_is_that_of_the_environment_and_the_section(
    receiving: Any, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    receiver = receiving("http")
    monkeypatch.setenv("OTEL_SERVICE_NAME", "shop")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "region=north,team=a")
    resource = {"team": "b", "shard": 7, "canary": True}
    opened(endpoint=receiver.url, protocol="http", resource=resource).close()
    (request,) = receiver.metrics
    found = receiver.attributes(request.resource_metrics[0].resource)
    wanted = {"service.name": "shop", "region": "north", "team": "b", "shard": 7, "canary": True}
    assert wanted.items() <= found.items()
    (scope,) = request.resource_metrics[0].scope_metrics
    assert scope.scope.name == "predis-otel"


def test_metrics_of_other_plugins_flow_through(receiving: Any, opened: Open, shelf: Shelf) -> None:
    shelf.put(
        "tenants",
        """
        USED = Metric("tenants.used", "gauge", "bytes", "Used.", ("tenant",))

        class Source:
            metrics = (USED,)

            def collect(self):
                return [Sample(USED, ("acme",), 17)]

        class Plugin:
            def __init__(self, options): ...

            @hookimpl
            def predis_metric_sources(self):
                return [Source()]
        """,
    )
    receiver = receiving("http")
    opened(others={"tenants": {}}, endpoint=receiver.url, protocol="http").close()
    ((metric, _),) = receiver.told("tenants.used")
    (point,) = receiver.points("tenants.used")
    assert (metric.unit, receiver.value(point)) == ("By", 17)
    assert receiver.attributes(point) == {"predis.cache.name": "main", "tenant": "acme"}


@BOTH
def test_several_caches_and_namespaces_are_told_apart(
    receiver: Any, opened: Open, protocol: str
) -> None:
    section = {"endpoint": receiver.url, "protocol": protocol}
    one, two = opened("one", **section), opened("two", **section)
    one.get_many([1])
    one.namespace("acme", capacity=50).get_many([1, 2])
    two.get_many([1, 2, 3])
    one.close()
    two.close()
    found = {
        receiver.attributes(point)["predis.cache.name"]: receiver.value(point)
        for point in receiver.points("predis.cache.misses")
    }
    assert found == {"one": 1, "one/acme": 2, "two": 3}


@BOTH
def test_tls_with_certificates_on_both_sides(
    receiving: Any, opened: Open, certificates: Any, protocol: str
) -> None:
    receiver = receiving(protocol, tls=certificates)
    tls = {"ca": certificates.cert, "cert": certificates.cert, "key": certificates.key}
    section = {"endpoint": receiver.url, "protocol": protocol}
    opened(tls={name: str(path) for name, path in tls.items()}, **section).close()
    assert len(receiver.metrics) == 1
    opened(timeout="300ms", tls={"ca": str(certificates.cert)}, **section).close()
    assert len(receiver.metrics) == 1


# ---- what does not -------------------------------------------------------------------------------


REASONS = {
    ("refused key", "grpc"): "StatusCode.UNAUTHENTICATED, error details: refused key of ***",
    ("refused key", "http"): "HTTP 401 Unauthorized",
    ("unavailable", "grpc"): "StatusCode.UNAVAILABLE, error details: unavailable of ***",
    ("unavailable", "http"): "HTTP 503 Service Unavailable",
    ("silent", "grpc"): "StatusCode.DEADLINE_EXCEEDED",
    ("silent", "http"): "Read timed out",
    ("reset", "grpc"): "StatusCode.INTERNAL, error details: reset of ***",
    ("reset", "http"): "Connection",
}


@BOTH
@pytest.mark.parametrize("temporality", ["cumulative", "delta"])
@pytest.mark.parametrize("fault", ["refused key", "unavailable", "silent", "reset"])
def test_an_outage_loses_nothing_and_ends_by_itself(
    receiver: Any,
    opened: Open,
    eventually: Eventually,
    caplog: pytest.LogCaptureFixture,
    protocol: str,
    fault: str,
    temporality: str,
) -> None:
    section = {"endpoint": receiver.url, "protocol": protocol, "temporality": temporality}
    cache = opened(headers={"api-key": "hunter2"}, **section, **QUICK)
    traffic(cache, 1)
    eventually(lambda: receiver.metrics)
    receiver.fault = fault
    traffic(cache, 2)
    eventually(lambda: state()[0] == "degraded")
    _, reason = state()
    assert reason.startswith("the last export of metrics failed: ")
    assert REASONS[fault, protocol] in reason
    assert "api-key" not in reason
    traffic(cache, 3)
    receiver.fault = ""
    arrived = len(receiver.metrics)
    eventually(lambda: len(receiver.metrics) > arrived)
    eventually(lambda: state() == ("healthy", ""))
    stats = cache.stats()
    cache.close()
    for field, metric in telemetry.COUNTERS.items():
        assert total_of(receiver, metric.name) == getattr(stats, field), field
    assert total_of(receiver, "predis.otel.failures") > 0
    warned = [r for r in caplog.records if r.name == "predis.otel"]
    assert len(warned) % 2 == 0, "once as it begins, once as it ends"
    assert "hunter2" not in caplog.text
    assert [r for r in caplog.records if r.name.startswith("opentelemetry")] == []


@BOTH
def test_a_receiver_that_comes_later_is_found(
    receiving: Any, opened: Open, eventually: Eventually, protocol: str, free_port: int
) -> None:
    section = {"endpoint": f"http://127.0.0.1:{free_port}", "protocol": protocol}
    cache = opened(**section, **QUICK)
    cache.get_many([1, 2, 3])
    eventually(lambda: state()[0] == "degraded")
    receiver = receiving(protocol, port=free_port)
    eventually(lambda: receiver.metrics)
    eventually(lambda: state() == ("healthy", ""))
    assert receiver.value(receiver.points("predis.cache.misses")[-1]) == 3


@BOTH
def test_a_black_hole_ends_at_the_timeout_and_the_cache_closes(
    opened: Open, eventually: Eventually, protocol: str
) -> None:
    """Nobody ever accepts: the kernel does, up to the backlog."""
    with socket.create_server(("127.0.0.1", 0), backlog=1) as hole:
        url = f"http://127.0.0.1:{hole.getsockname()[1]}"
        cache = opened(endpoint=url, protocol=protocol, traces=True, sample=1.0, **QUICK)
        for key in range(1_100):
            cache.get_or_load(key, lambda key: key)
        eventually(lambda: state()[0] == "degraded")
        cache.close()
    left = {thread.name for thread in threading.enumerate()}
    assert not {name for name in left if "otel" in name.lower()}


@BOTH
def test_exports_are_counted(
    receiver: Any, opened: Open, eventually: Eventually, protocol: str
) -> None:
    cache = opened(endpoint=receiver.url, protocol=protocol, interval="50ms")
    eventually(lambda: len(receiver.metrics) >= 3)
    cache.close()
    values = [receiver.value(point) for point in receiver.points("predis.otel.exports")]
    assert values == sorted(values)
    assert values[-1] >= 2
    assert total_of(receiver, "predis.otel.failures") == 0


def test_the_last_export_failing_is_told_and_the_cache_closes(
    opened: Open, free_port: int, caplog: pytest.LogCaptureFixture
) -> None:
    section = {"endpoint": f"http://127.0.0.1:{free_port}", "protocol": "http"}
    with caplog.at_level(logging.WARNING, "predis.otel"):
        opened(timeout="200ms", **section).close()
    (message,) = caplog.messages
    assert message.startswith("cache 'main': exports of metrics fail, tried every 60 s: ")
    assert "Connection refused" in message


def test_metrics_that_cannot_be_told_make_it_degraded(
    receiving: Any, opened: Open, shelf: Shelf, eventually: Eventually
) -> None:
    shelf.put(
        "wrong",
        """
        WRONG = Metric("wrong", "histogram", "1", "Wrong.", ("cache",))

        class Source:
            metrics = (WRONG,)

            def collect(self):
                return [Sample(WRONG, ("main",), 17)]

        class Plugin:
            def __init__(self, options): ...

            @hookimpl
            def predis_metric_sources(self):
                return [Source()]
        """,
    )
    receiver = receiving("http")
    section = {"endpoint": receiver.url, "protocol": "http", "interval": "50ms"}
    opened(others={"wrong": {}}, **section)
    told = ("degraded", "metrics left out: wrong (17 is no histogram)")
    eventually(lambda: state() == told)
    assert receiver.metrics


def test_health_is_healthy_before_the_first_export(opened: Open, free_port: int) -> None:
    opened(endpoint=f"http://127.0.0.1:{free_port}", timeout="100ms")
    assert state() == (Health().status, "")
