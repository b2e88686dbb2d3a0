"""Exemplars: of each bucket of latencies, the trace of a batch that fell into it."""

from __future__ import annotations

import sys
import time
from bisect import bisect_left
from collections.abc import Mapping

from prometheus_client.samples import Exemplar

from predis_core.plugin import BatchStats
from predis_core.telemetry import BOUNDS

_API = "opentelemetry.trace"
_NANOSECONDS = 1e9


class Exemplars:
    """An observer that keeps the latest sampled trace of each bucket.

    Traces are those of OpenTelemetry's API. Where the program has not imported that, there are
    none; it is not imported for this.
    """

    def __init__(self) -> None:
        # A key's value is replaced whole, so threads need no lock.
        self._latest: dict[tuple[str, str], dict[int, Exemplar]] = {}

    def on_batch(self, stats: BatchStats) -> None:
        """Take note of a batch within a trace that is recorded."""
        api = sys.modules.get(_API)
        if api is None:
            return
        context = api.get_current_span().get_span_context()
        if not (context.is_valid and context.trace_flags.sampled):
            return
        seconds = stats.nanoseconds / _NANOSECONDS
        labels = {"trace_id": f"{context.trace_id:032x}", "span_id": f"{context.span_id:016x}"}
        of_operation = self._latest.setdefault((stats.cache, stats.operation), {})
        of_operation[bisect_left(BOUNDS, seconds)] = Exemplar(labels, seconds, time.time())

    def of(self, cache: str, operation: str) -> Mapping[int, Exemplar]:
        """Return the exemplars of a cache's operation by the index of their bucket."""
        return dict(self._latest.get((cache, operation), {}))

    def forget(self, cache: str) -> None:
        """Leave out a cache that closes, and its namespaces."""
        for key in list(self._latest):
            if key[0] == cache or key[0].startswith(f"{cache}/"):
                self._latest.pop(key, None)
