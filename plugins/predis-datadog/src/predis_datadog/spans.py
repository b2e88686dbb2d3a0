"""Loads as spans of Datadog's APM, by the tracer of a program that has one."""

from __future__ import annotations

import sys
import time
from typing import Any

from predis_core.plugin import BatchStats


def tracer_of_program() -> Any:
    """Return the tracer of `ddtrace`, if the program has imported that; else None.

    It is never imported here: whoever wants traces has it imported first (`ddtrace-run` does).
    """
    for name in ("ddtrace.trace", "ddtrace"):
        tracer = getattr(sys.modules.get(name), "tracer", None)
        if tracer is not None:
            return tracer
    return None


class LoadSpans:
    """An observer that makes a span of each batch that had to load.

    The span is made when the batch is over, with the time at which it began. It is a child of the
    span that is current in the caller; without one there is none.

    Args:
        tracer: the program's.
    """

    def __init__(self, tracer: Any) -> None:
        self._tracer = tracer

    def on_batch(self, stats: BatchStats) -> None:
        """Make a span, if the batch is one of `load` that missed something."""
        if stats.operation != "load" or stats.found == stats.keys:
            return
        parent = self._tracer.current_span()
        if parent is None:
            return
        span = self._tracer.start_span(
            "predis.load", child_of=parent, resource=stats.cache, span_type="cache"
        )
        ended = time.time_ns()
        span.start_ns = ended - stats.nanoseconds
        span.set_tag("component", "predis")
        span.set_tag("predis.cache", stats.cache)
        span.set_metric("predis.keys", stats.keys)
        span.set_metric("predis.hits", stats.found)
        span.finish(ended / 1e9)
