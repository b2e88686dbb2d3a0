"""Spans of loads: one per batch that may load, one per call of a loader."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterable, Sequence

from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.semconv.attributes.error_attributes import ERROR_TYPE
from opentelemetry.trace import Status, StatusCode, Tracer

from predis_core.clock import NANOSECONDS, Clock
from predis_core.plugin import BatchStats, Health, LoadStats, Metric, MetricSource, Sample
from predis_otel.names import CACHE
from predis_otel.sending import Sender

BATCH = "predis.get_or_load"
LOADER = "predis.loader"

WAITING = 2_048
"""Spans that may wait to be sent; more are lost, and counted."""

SPANS = Metric("predis.otel.spans", "counter", "1", "Spans that arrived.")
SPANS_LOST = Metric(
    "predis.otel.spans_lost",
    "counter",
    "1",
    "Spans that could not be sent, or found too many waiting.",
)


class LoadSpans:
    """An observer that makes spans of loads, in the context of whoever called.

    Each is made when it is over, so that what is not sampled costs next to nothing. Batches of
    other operations cost nothing at all.

    Args:
        tracer: makes them.
        sample: share of the loads without a span around them that get one.
    """

    operations = ("load",)

    def __init__(self, tracer: Tracer, sample: float) -> None:
        self._tracer = tracer
        self._sample = sample
        self._clock = Clock()

    def on_batch(self, stats: BatchStats) -> None:
        """Make a span of a batch that may have loaded something."""
        if self._is_sampled():
            attributes: dict[str, str | int] = {
                CACHE: stats.cache,
                "predis.keys": stats.keys,
                "predis.found": stats.found,
            }
            self._make(BATCH, stats.nanoseconds, attributes)

    def on_load(self, load: LoadStats) -> None:
        """Make a span of a call of a loader."""
        if self._is_sampled():
            attributes: dict[str, str | int] = {CACHE: load.cache, "predis.keys": load.keys}
            if load.error:
                attributes |= {"predis.failed": load.failed, ERROR_TYPE: load.error}
            self._make(LOADER, load.nanoseconds, attributes, load.error)

    def _is_sampled(self) -> bool:
        around = trace.get_current_span().get_span_context()
        return around.trace_flags.sampled if around.is_valid else random.random() < self._sample

    def _make(
        self, name: str, nanoseconds: int, attributes: dict[str, str | int], error: str = ""
    ) -> None:
        end = self._clock.wall()
        begin = end - nanoseconds
        span = self._tracer.start_span(name, attributes=attributes, start_time=begin)
        if error:
            span.set_status(Status(StatusCode.ERROR, error))
        span.end(end)


class OwnSpans:
    """A TracerProvider of the plugin's own, whose spans go out in batches.

    Args:
        sender: of traces.
        resource: which service they are of.
        patience: seconds in which to send what waits, when it is closed.
    """

    metrics = (SPANS, SPANS_LOST)

    def __init__(self, sender: Sender, resource: Resource, patience: float) -> None:
        self._exporter = _Exporter(sender)
        self._patience = patience
        # What is sampled is decided before a span is made.
        self.provider = TracerProvider(ALWAYS_ON, resource, shutdown_on_exit=False)
        self.provider.add_span_processor(_Processor(self._exporter))

    def source(self, cache: str) -> MetricSource:
        """Return what counts the spans of a cache."""
        return _Source(self._exporter, cache)

    def health(self) -> Health:
        """Degraded while exports fail."""
        reason = self._exporter.reason
        return (
            Health("degraded", f"the last export of spans failed: {reason}") if reason else Health()
        )

    def close(self) -> None:
        """Send what waits, and end the thread that does."""
        self._exporter.give_up_in(self._patience)
        self.provider.shutdown()


class _Exporter(SpanExporter):
    """Sends spans, and counts by cache what becomes of them."""

    def __init__(self, sender: Sender) -> None:
        self.reason = ""
        self._sender = sender
        self._counts: dict[str, dict[Metric, int]] = {}
        self._waiting = 0
        self._lock = threading.Lock()
        self._clock = Clock()
        self._end: int | None = None

    def admit(self, span: ReadableSpan) -> bool:
        """Return whether a span may wait; it is lost otherwise."""
        with self._lock:
            fits = self._waiting < WAITING
            if fits:
                self._waiting += 1
            else:
                self._count(SPANS_LOST, [span])
            return fits

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send spans that waited."""
        is_late = self._end is not None and self._clock.monotonic() > self._end
        reason = "there was no time left" if is_late else self._sender.send(spans)
        with self._lock:
            self._waiting -= len(spans)
            self._count(SPANS_LOST if reason else SPANS, spans)
        self.reason = reason
        return SpanExportResult.FAILURE if reason else SpanExportResult.SUCCESS

    def counts(self) -> dict[str, dict[Metric, int]]:
        """Return how many spans arrived and were lost, by cache or namespace."""
        with self._lock:
            return {cache: dict(counts) for cache, counts in self._counts.items()}

    def give_up_in(self, seconds: float) -> None:
        """Begin no export any more when so much time has passed."""
        self._end = self._clock.monotonic() + round(seconds * NANOSECONDS)

    def shutdown(self) -> None:
        """Give connections up."""
        self._sender.close()

    def _count(self, metric: Metric, spans: Iterable[ReadableSpan]) -> None:
        for span in spans:
            cache = str((span.attributes or {})[CACHE])
            counts = self._counts.setdefault(cache, {})
            counts[metric] = counts.get(metric, 0) + 1


class _Processor(BatchSpanProcessor):
    """One whose losses are counted."""

    def __init__(self, exporter: _Exporter) -> None:
        super().__init__(exporter, max_queue_size=WAITING)
        self._admit = exporter.admit

    def on_end(self, span: ReadableSpan) -> None:
        """Have a span sent soon."""
        if self._admit(span):
            super().on_end(span)


class _Source:
    """The metrics about spans of a cache and of its namespaces."""

    metrics = OwnSpans.metrics

    def __init__(self, exporter: _Exporter, cache: str) -> None:
        self._exporter = exporter
        self._cache = cache

    def collect(self) -> Iterable[Sample]:
        """Return the counts so far."""
        nothing: dict[str, dict[Metric, int]] = {self._cache: {}}
        for cache, counts in (nothing | self._exporter.counts()).items():
            if cache == self._cache or cache.startswith(f"{self._cache}/"):
                for metric in self.metrics:
                    yield Sample(metric, (cache,), counts.get(metric, 0))
