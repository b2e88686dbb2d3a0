"""A real receiver of OTLP, rotel, is told what the cache knows: by both protocols, to the unit."""

from __future__ import annotations

import contextlib
import re
import socket
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from opentelemetry.sdk.trace import TracerProvider

import predis_core as predis
from predis_core import telemetry
from predis_core.errors import LoaderError
from tests.support.counterparts import rotel_counterpart
from tests.support.ports import find_port

Open = Callable[..., predis.Cache[Any, Any]]
Eventually = Callable[[Callable[[], Any]], Any]

BOTH = pytest.mark.parametrize("protocol", ["grpc", "http"])


@dataclass
class Entry:
    """A data point or a span that rotel has written down.

    Attributes:
        name: of the metric or the span.
        fields: what is said of it, the metric's unit and temporality included.
        attributes: as they were sent.
        buckets: counts of a histogram.
    """

    name: str
    fields: dict[str, str]
    attributes: dict[str, str] = field(default_factory=dict)
    buckets: list[int] = field(default_factory=list)


class Rotel:
    """A running rotel that writes all that it receives into a file.

    Attributes:
        ports: where it listens, by protocol.
    """

    def __init__(self, ports: dict[str, int], log: Path) -> None:
        self.ports = ports
        self._log = log

    def url(self, protocol: str) -> str:
        return f"http://127.0.0.1:{self.ports[protocol]}"

    @property
    def is_ready(self) -> bool:
        for port in self.ports.values():
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
            except OSError:
                return False
        return True

    def points(self, name: str) -> list[Entry]:
        """Return the data points of a metric, the latest last."""
        found = [e for e in self._entries() if e.name == name and "Unit" in e.fields]
        return sorted(found, key=lambda entry: int(entry.fields.get("Timestamp", 0)))

    def spans(self, name: str) -> list[Entry]:
        """Return the spans of a name."""
        return [entry for entry in self._entries() if entry.name == name and "ID" in entry.fields]

    def _entries(self) -> list[Entry]:
        found: list[Entry] = []
        metric: dict[str, str] = {}
        attributes: dict[str, str] = {}
        # A line that is being written is not read yet.
        for line in self._log.read_text("utf-8").split("\n")[:-1]:
            if match := re.fullmatch(r"     -> ([\w.]+): \w+\((.*)\)", line):
                attributes[match[1]] = match[2]
            elif match := re.fullmatch(r"     -> (\w+): (.*)", line):
                metric[match[1]] = match[2]
            elif line.startswith("Metric #"):
                metric = {}
            elif re.match(r"(Number|Histogram)DataPoints #", line):
                attributes = {}
                found.append(Entry(metric["Name"], dict(metric), attributes))
            elif re.match(r"Span #", line):
                attributes = {}
                found.append(Entry("", {}, attributes))
            elif match := re.fullmatch(r"Buckets #\d+, Count: (\d+)", line):
                found[-1].buckets.append(int(match[1]))
            elif found and (match := re.fullmatch(r" *([\w ]*\w) *: *(.*)", line)):
                found[-1].fields[match[1]] = match[2]
                if match[1] == "Name":
                    found[-1].name = match[2]
        return found


@pytest.fixture
def rotel(tmp_path: Path, eventually: Eventually) -> Iterator[Rotel]:
    program = rotel_counterpart()
    with contextlib.ExitStack() as stack:
        running = eventually(lambda: _started(program, tmp_path, stack))
        eventually(lambda: running.is_ready)
        yield running


def _started(program: str, folder: Path, stack: contextlib.ExitStack) -> Rotel | None:
    """Start rotel at free ports; None if somebody else was quicker to take one."""
    ports = {"grpc": find_port(), "http": find_port()}
    log = folder / "received"
    command = [
        *(program, "start", "--exporter", "blackhole", "--pid-file", str(folder / "pid")),
        *("--debug-log", "metrics", "--debug-log", "traces", "--debug-log-verbosity", "detailed"),
        *("--otlp-grpc-endpoint", f"127.0.0.1:{ports['grpc']}"),
        *("--otlp-http-endpoint", f"127.0.0.1:{ports['http']}"),
    ]
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, cwd=folder)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(0.5)
        return None

    def end() -> None:
        process.kill()
        process.wait()

    stack.callback(end)
    return Rotel(ports, log)


def traffic(cache: predis.Cache[Any, Any], seed: int) -> None:
    generator = np.random.default_rng(seed)
    for _ in range(10):
        keys = generator.integers(0, 5_000, 200)
        cache.get_or_load_many(keys, lambda ids: ids * 2)
        cache.set_many(keys[:50], keys[:50])
        cache.get_many(generator.integers(0, 5_000, 300))
        cache.delete_many(keys[:5])


def total_of(points: list[Entry], cache: str) -> int:
    """Return what a counter has come to, by totals or by growth.

    Of what has the same beginning only the last counts: the rest had not been acknowledged.
    """
    told = {
        point.fields["StartTimestamp"]: int(point.fields["Value"])
        for point in points
        if point.attributes["predis.cache.name"] == cache
    }
    return sum(told.values())


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
