"""Buckets of latencies link to traces, as far as a real Prometheus keeps them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import use_span

import predis_core as predis
from predis_core.plugin import BatchStats
from predis_prometheus.config import PrometheusConfig
from predis_prometheus.exemplars import Exemplars

PROVIDER = TracerProvider(shutdown_on_exit=False)
"""Not the program's own: no test sees another's."""


def batch(cache: str = "c", operation: str = "get", nanoseconds: int = 3_000) -> BatchStats:
    return BatchStats(cache, operation, 1, 1, nanoseconds)


def test_each_bucket_keeps_its_latest_trace() -> None:
    exemplars = Exemplars()
    spans = [PROVIDER.get_tracer("t").start_span("s") for _ in range(3)]
    for span, nanoseconds in zip(spans, (3_000, 3_500, 10**11), strict=True):
        with use_span(span):
            exemplars.on_batch(batch(nanoseconds=nanoseconds))
    found = exemplars.of("c", "get")
    assert [exemplar.value for exemplar in found.values()] == [3.5e-6, 100.0]
    first, last = found
    assert (first, last) == (2, 24)  # up to 4.096 µs; above the last bound
    context = spans[1].get_span_context()
    assert found[2].labels == {
        "trace_id": f"{context.trace_id:032x}",
        "span_id": f"{context.span_id:016x}",
    }
    assert exemplars.of("c", "set") == {}


def test_a_batch_outside_of_recorded_traces_leaves_none(monkeypatch: pytest.MonkeyPatch) -> None:
    exemplars = Exemplars()
    exemplars.on_batch(batch())
    dark = TracerProvider(sampler=ALWAYS_OFF, shutdown_on_exit=False)
    with use_span(dark.get_tracer("t").start_span("s")):
        exemplars.on_batch(batch())
    with use_span(PROVIDER.get_tracer("t").start_span("s")):
        monkeypatch.delitem(sys.modules, "opentelemetry.trace")
        exemplars.on_batch(batch())
    assert exemplars.of("c", "get") == {}


def test_what_closes_is_forgotten_with_its_namespaces() -> None:
    exemplars = Exemplars()
    with use_span(PROVIDER.get_tracer("t").start_span("s")):
        for cache in ("c", "c/n", "cc"):
            exemplars.on_batch(batch(cache))
    exemplars.forget("c")
    assert [bool(exemplars.of(cache, "get")) for cache in ("c", "c/n", "cc")] == [
        False,
        False,
        True,
    ]


def test_exemplars_and_multiprocess_exclude_each_other(tmp_path: Any) -> None:
    with pytest.raises(ValueError, match="exemplars, multiprocess: "):
        PrometheusConfig(exemplars=True, multiprocess=tmp_path)


def test_prometheus_has_the_trace_of_a_batch(
    scraping: Callable[..., Any],
    free_port: int,
    eventually: Callable[[Callable[[], Any]], Any],
) -> None:
    section = {"name": "shop", "capacity": 1_000, "policy": "fifo", "keys": "int64"}
    plugin = {"port": free_port, "exemplars": True}
    with predis.open(
        {
            "cache": {**section, "value": {"kind": "rows", "dtype": "int64"}},
            "plugins": {"prometheus": plugin},
        }
    ) as cache:
        server = scraping(free_port)
        span = PROVIDER.get_tracer("t").start_span("request")
        with use_span(span):
            cache.get_many(list(range(10)))
        selector = 'predis_cache_batch_duration_seconds_bucket{operation="get"}'
        (exemplar, *_) = eventually(lambda: server.exemplars(selector))
        assert exemplar["labels"]["trace_id"] == f"{span.get_span_context().trace_id:032x}"
        assert float(exemplar["value"]) > 0
