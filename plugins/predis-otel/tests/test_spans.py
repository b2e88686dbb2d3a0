"""Spans of loads: where they hang, what they say, which are made, and which are lost."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, Sampler
from opentelemetry.trace import StatusCode
from opentelemetry.util._once import Once

import predis_core as predis
from predis_core.errors import LoaderError
from predis_otel import spans as spans_module
from predis_otel.spans import BATCH, LOADER

Open = Callable[..., predis.Cache[Any, Any]]
BOTH = pytest.mark.parametrize("protocol", ["grpc", "http"])


class Program:
    """The user's program, with a tracer of its own."""

    def __init__(self) -> None:
        self.memory = InMemorySpanExporter()

    def provider(self, sampler: Sampler = ALWAYS_ON) -> TracerProvider:
        made = TracerProvider(sampler, shutdown_on_exit=False)
        made.add_span_processor(SimpleSpanProcessor(self.memory))
        return made

    def spans(self, name: str) -> list[Any]:
        return [span for span in self.memory.get_finished_spans() if span.name == name]


@pytest.fixture
def program() -> Program:
    return Program()


@pytest.fixture
def set_provider(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], None]:
    """Sets the global provider, as a program may do once, and takes it back."""

    def put(provider: Any) -> None:
        monkeypatch.setattr(trace, "_TRACER_PROVIDER", None)
        monkeypatch.setattr(trace, "_TRACER_PROVIDER_SET_ONCE", Once())
        trace.set_tracer_provider(provider)

    return put


def failing(ids: Any) -> Any:
    raise ConnectionError("the source of secret-key is gone")


# ---- in the program's provider -------------------------------------------------------------------


def test_loads_are_children_of_the_callers_span(
    program: Program, set_provider: Any, opened: Open
) -> None:
    provider = program.provider()
    set_provider(provider)
    cache = opened(provider="global", traces="global", sample=0.0)
    with provider.get_tracer("service").start_as_current_span("request") as request:
        cache.get_or_load_many([1, 2, 2, 3], lambda ids: ids)
        cache.get_or_load_many([1, 2], lambda ids: ids)
        cache.get_many([1, 2])
    first, second = program.spans(BATCH)
    (loader,) = program.spans(LOADER)
    for span in (first, second, loader):
        assert span.context.trace_id == request.get_span_context().trace_id
        assert span.parent.span_id == request.get_span_context().span_id
        assert span.status.status_code == StatusCode.UNSET
        assert span.instrumentation_scope.name == "predis-otel"
    assert dict(first.attributes) == {
        "predis.cache.name": "main",
        "predis.keys": 4,
        "predis.found": 0,
    }
    assert dict(second.attributes) == {
        "predis.cache.name": "main",
        "predis.keys": 2,
        "predis.found": 2,
    }
    assert dict(loader.attributes) == {"predis.cache.name": "main", "predis.keys": 3}
    (around,) = program.spans("request")
    for span in (first, second, loader):
        assert span.end_time - span.start_time > 0
        assert span.end_time <= around.end_time


def test_a_failing_loader_is_an_error_and_no_key_is_told(
    program: Program, set_provider: Any, opened: Open
) -> None:
    provider = program.provider()
    set_provider(provider)
    cache = opened(provider="global", traces="global")
    with provider.get_tracer("service").start_as_current_span("request"):
        with pytest.raises(LoaderError):
            cache.get_or_load_many([123456789, 987654321], failing)
        with pytest.raises(LoaderError):
            cache.get_or_load(123456789, failing)
    first, second = program.spans(LOADER)
    assert first.status.status_code == StatusCode.ERROR
    assert first.status.description == "ConnectionError"
    assert dict(first.attributes) == {
        "predis.cache.name": "main",
        "predis.keys": 2,
        "predis.failed": 2,
        "error.type": "ConnectionError",
    }
    assert second.attributes["predis.keys"] == 1
    everything = "".join(span.to_json() for span in program.memory.get_finished_spans())
    assert "123456789" not in everything
    assert "secret-key" not in everything
    assert program.spans(BATCH) == [], "calls that raise are not batches"


def test_awaited_loads_are_children_too(program: Program, set_provider: Any, opened: Open) -> None:
    provider = program.provider()
    set_provider(provider)
    cache = opened(provider="global", traces="global")
    tracer = provider.get_tracer("service")

    async def coroutine(ids: Any) -> Any:
        await asyncio.sleep(0)
        return ids

    async def request(name: str, keys: Any, loader: Any) -> None:
        with tracer.start_as_current_span(name):
            await cache.aget_or_load_many(keys, loader)

    async def both() -> None:
        await asyncio.gather(
            request("one", [1, 2], coroutine), request("two", [3], lambda ids: ids)
        )

    asyncio.run(both())
    (one,), (two,) = program.spans("one"), program.spans("two")
    for name in (BATCH, LOADER):
        found = {
            span.attributes["predis.keys"]: span.parent.span_id for span in program.spans(name)
        }
        assert found == {2: one.context.span_id, 1: two.context.span_id}


def test_the_callers_decision_goes(program: Program, set_provider: Any, opened: Open) -> None:
    provider = program.provider(ALWAYS_OFF)
    set_provider(provider)
    cache = opened(provider="global", traces="global", sample=1.0)
    with provider.get_tracer("service").start_as_current_span("request"):
        cache.get_or_load_many([1, 2], lambda ids: ids)
    assert program.memory.get_finished_spans() == ()


@pytest.mark.parametrize(("sample", "least", "most"), [(0.0, 0, 0), (1.0, 400, 400), (0.5, 1, 399)])
def test_without_a_span_around_them_a_share_is_sampled(
    program: Program, set_provider: Any, opened: Open, sample: float, least: int, most: int
) -> None:
    set_provider(program.provider())
    cache = opened(provider="global", traces="global", sample=sample)
    for key in range(200):
        cache.get_or_load(key, lambda key: key)
    found = program.memory.get_finished_spans()
    assert least <= len(found) <= most
    assert all(span.parent is None for span in found)


# ---- in the plugin's own -------------------------------------------------------------------------


@BOTH
def test_spans_of_its_own_arrive_with_the_callers_trace(
    receiver: Any, opened: Open, program: Program, protocol: str
) -> None:
    cache = opened(endpoint=receiver.url, protocol=protocol, traces=True, sample=0.0)
    tracer = program.provider().get_tracer("service")
    with tracer.start_as_current_span("request") as request:
        cache.get_or_load_many([1, 2, 2], lambda ids: ids)
        with pytest.raises(LoaderError):
            cache.get_or_load_many([7], failing)
    cache.get_or_load_many([8], lambda ids: ids)  # no span around it, and none sampled
    cache.close()
    (batch,) = receiver.spans(BATCH)
    loader, failed = receiver.spans(LOADER)
    around = request.get_span_context()
    for span in (batch, loader, failed):
        assert span.trace_id == around.trace_id.to_bytes(16, "big")
        assert span.parent_span_id == around.span_id.to_bytes(8, "big")
        assert span.start_time_unix_nano < span.end_time_unix_nano
    assert receiver.attributes(batch) == {
        "predis.cache.name": "main",
        "predis.keys": 3,
        "predis.found": 0,
    }
    assert (failed.status.code, failed.status.message) == (2, "ConnectionError")
    assert receiver.attributes(failed)["error.type"] == "ConnectionError"
    (resource,) = {str(request.resource_spans[0].resource) for request in receiver.traces}
    (other,) = {str(request.resource_metrics[0].resource) for request in receiver.metrics}
    assert resource == other


def test_arrived_and_lost_spans_are_counted_by_cache(
    receiving: Any,
    opened: Open,
    eventually: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(spans_module, "WAITING", 512)
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "20")
    receiver = receiving("http")
    section = {"endpoint": receiver.url, "protocol": "http", "timeout": "2s", "interval": "50ms"}
    cache = opened(traces=True, sample=1.0, **section)
    for key in range(10):
        cache.get_or_load(key, lambda key: key)
    cache.namespace("acme", capacity=100).get_or_load(1, lambda key: key)
    receiver.fault = "refused key"
    for key in range(1_000):
        cache.get_or_load(key, lambda key: key)
    stats = cache.stats()
    receiver.fault = ""

    def counted() -> dict[tuple[str, str], int]:
        return {
            (sample.metric.name, sample.labels[0]): sample.value
            for sample in cache._session.snapshot().samples
            if sample.metric.name.startswith("predis.otel.spans")
        }

    made = 10 + 1_000 + stats.loads
    arrived, lost = "predis.otel.spans", "predis.otel.spans_lost"
    eventually(lambda: counted()[arrived, "main"] + counted()[lost, "main"] == made)
    found = counted()
    assert found[lost, "main"] > 0
    assert found[arrived, "main/acme"] + found[lost, "main/acme"] == 2
    cache.close()
    assert len(receiver.spans(BATCH)) + len(receiver.spans(LOADER)) == (
        found[arrived, "main"] + found[arrived, "main/acme"]
    )


def test_spans_that_do_not_arrive_make_it_degraded(
    receiving: Any, opened: Open, eventually: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "20")
    receiver = receiving("http")
    receiver.fault = "refused key"
    cache = opened(endpoint=receiver.url, protocol="http", traces=True, sample=1.0)
    cache.get_or_load(1, lambda key: key)

    def state() -> tuple[str, str]:
        (plugin,) = predis.host.status().plugins
        return plugin.state, plugin.reason

    told = "the last export of spans failed: HTTP 401 Unauthorized"
    eventually(lambda: state() == ("degraded", told))
    receiver.fault = ""
    cache.get_or_load(2, lambda key: key)
    eventually(lambda: state() == ("healthy", ""))
    assert len(receiver.spans(LOADER)) == 1


def test_without_traces_nobody_watches(receiving: Any, opened: Open) -> None:
    receiver = receiving("http")
    cache = opened(endpoint=receiver.url, protocol="http")
    assert not any(cache._session.observers.values())
    assert cache._session.load_observers == ()
    assert cache.get_or_load_many(np.arange(3), lambda ids: ids).tolist() == [0, 1, 2]
    cache.close()
    assert receiver.traces == []
