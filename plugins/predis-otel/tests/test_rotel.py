"""A real receiver of OTLP, rotel, is told what the cache knows: by both protocols, to the unit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from opentelemetry.sdk.trace import TracerProvider

import predis_core as predis
from predis_core import telemetry
from predis_core.errors import LoaderError
from tests.support.rotel import Entry, Rotel, running_rotel, total_of

Open = Callable[..., predis.Cache[Any, Any]]
Eventually = Callable[[Callable[[], Any]], Any]

BOTH = pytest.mark.parametrize("protocol", ["grpc", "http"])


@pytest.fixture
def rotel(tmp_path: Path) -> Iterator[Rotel]:
    with running_rotel(tmp_path) as running:
        yield running


def traffic(cache: predis.Cache[Any, Any], seed: int) -> None:
    generator = np.random.default_rng(seed)
    for _ in range(10):
        keys = generator.integers(0, 5_000, 200)
        cache.get_or_load_many(keys, lambda ids: ids * 2)
        cache.set_many(keys[:50], keys[:50])
        cache.get_many(generator.integers(0, 5_000, 300))
        cache.delete_many(keys[:5])


@BOTH
@pytest.mark.parametrize("temporality", ["cumulative", "delta"])
def test_rotel_has_every_metric_of_two_caches_to_the_unit(
    rotel: Rotel, opened: Open, eventually: Eventually, protocol: str, temporality: str
) -> None:
    section = {
        "endpoint": rotel.url(protocol),
        "protocol": protocol,
        "temporality": temporality,
        "interval": "200ms",
        "compression": "gzip",
    }
    one, two = opened("one", **section), opened("two", **section)
    for seed in range(3):
        seen = len(rotel.points("predis.cache.hits"))
        traffic(one, seed)
        traffic(two, seed + 10)
        eventually(lambda seen=seen: len(rotel.points("predis.cache.hits")) >= seen + 2)
    wanted = {cache.name: cache.stats() for cache in (one, two)}
    one.close()
    two.close()
    assert wanted["one"].evictions > 0

    def has_all() -> bool:
        hits = rotel.points("predis.cache.hits")
        return all(total_of(hits, name) == stats.hits for name, stats in wanted.items())

    eventually(has_all)
    for name, stats in wanted.items():
        for each, metric in telemetry.COUNTERS.items():
            points = rotel.points(metric.name)
            assert total_of(points, name) == getattr(stats, each), each
            told = {point.fields["AggregationTemporality"] for point in points}
            assert told == {f"AGGREGATION_TEMPORALITY_{temporality.upper()}"}
        for each, metric in telemetry.GAUGES.items():
            values = [
                int(point.fields["Value"])
                for point in rotel.points(metric.name)
                if point.attributes["predis.cache.name"] == name
            ]
            assert values[-1] == getattr(stats, each), each
        begun: dict[str, Entry] = {
            point.fields["StartTimestamp"]: point
            for point in rotel.points("predis.cache.batch.duration")
            if point.attributes == {"predis.cache.name": name, "predis.operation": "get"}
        }
        assert sum(int(point.fields["Count"]) for point in begun.values()) == 30
        assert sum(sum(point.buckets) for point in begun.values()) == 30
    assert {point.fields["Unit"] for point in rotel.points("predis.cache.memory")} == {"By"}


@BOTH
def test_rotel_has_every_span_of_a_request(
    rotel: Rotel, opened: Open, eventually: Eventually, protocol: str
) -> None:
    cache = opened(endpoint=rotel.url(protocol), protocol=protocol, traces=True, sample=0.0)
    tracer = TracerProvider(shutdown_on_exit=False).get_tracer("service")

    def failing(ids: Any) -> Any:
        raise ConnectionError("gone")

    with tracer.start_as_current_span("request") as request:
        for first in range(0, 100, 10):
            cache.get_or_load_many(range(first, first + 20), lambda ids: ids)
        with pytest.raises(LoaderError):
            cache.get_or_load_many([999], failing)
    stats = cache.stats()
    cache.close()
    eventually(lambda: len(rotel.spans("predis.loader")) == 11)
    eventually(lambda: len(rotel.spans("predis.get_or_load")) == 10)
    batches, loaders = rotel.spans("predis.get_or_load"), rotel.spans("predis.loader")
    around = request.get_span_context()
    for span in (*batches, *loaders):
        assert span.fields["Trace ID"] == format(around.trace_id, "032x")
        assert span.fields["Parent ID"] == format(around.span_id, "016x")
        assert span.attributes["predis.cache.name"] == "main"
    assert sum(int(span.attributes["predis.keys"]) for span in loaders) == stats.loads == 111
    assert sum(int(span.attributes["predis.found"]) for span in batches) == stats.hits == 90
    (failed,) = (span for span in loaders if span.fields["Status code"] == "STATUS_CODE_ERROR")
    assert failed.fields["Status message"] == "ConnectionError"
    assert failed.attributes["error.type"] == "ConnectionError"
