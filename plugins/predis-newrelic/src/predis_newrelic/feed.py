"""What is sent of one cache: its exporter, and the metrics about that."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import Any

from predis_core.plugin import Health, Metric, Sample, Snapshot
from predis_newrelic.events import Events
from predis_newrelic.measures import Ledger, Measure
from predis_newrelic.sending import Way

logger = logging.getLogger("predis.newrelic")

METRICS_AT_MOST = 1_000
"""Metrics in one request."""

FAILING_AFTER = 3
"""Exports in a row that have to fail until the plugin is more than degraded."""

EXPORTS = Metric(
    "predis.newrelic.exports",
    "counter",
    "1",
    "Exports to New Relic; one that failed keeps its counts for the next.",
    ("cache", "result"),
)
METRICS = Metric("predis.newrelic.metrics", "counter", "1", "Metrics that New Relic took.")
METRICS_DROPPED = Metric(
    "predis.newrelic.metrics_dropped", "counter", "1", "Metrics that New Relic refused."
)
EVENTS = Metric("predis.newrelic.events", "counter", "1", "Events that New Relic took.")
EVENTS_DROPPED = Metric(
    "predis.newrelic.events_dropped",
    "counter",
    "1",
    "Events that New Relic will not get: too many waited, or it refused them.",
    ("cache", "reason"),
)


class Feed:
    """Exports snapshots of a cache; all runs in the plugin's own thread.

    Args:
        cache: the cache's name.
        interval: seconds between exports.
        began: nanoseconds since the Unix epoch at which the cache was opened.
        sender: the way.
    """

    metrics = (EXPORTS, METRICS, METRICS_DROPPED, EVENTS, EVENTS_DROPPED)

    def __init__(self, cache: str, interval: float, began: int, sender: Way) -> None:
        self.interval = interval
        self.events = Events()
        self._cache = cache
        self._sender = sender
        self._ledger = Ledger(began)
        self._failures = 0
        self._reason = ""
        names = ("delivered", "failed", "metrics", "refused", "events", "events_refused")
        self._counted = dict.fromkeys(names, 0)

    def export(self, snapshot: Snapshot) -> None:
        """Send what a snapshot has, and the events that wait."""
        self._sender.begin()
        measures = self._ledger.measures_of(snapshot)
        reason = ""
        for start in range(0, len(measures), METRICS_AT_MOST):
            reason = self._send(measures[start : start + METRICS_AT_MOST])
            if reason:
                break
        self._concluded(reason or self._send_events(self.events.waiting))

    def _send(self, measures: Sequence[Measure]) -> str:
        """Send metrics, in parts if they are too large; return why that failed, or ""."""
        outcome = self._sender.send_metrics([measure.body for measure in measures])
        if outcome.fate == "arrived":
            self._ledger.settle(measures)
            self._counted["metrics"] += len(measures)
            return ""
        if outcome.fate == "too_large" and len(measures) > 1:
            half = len(measures) // 2
            return self._send(measures[:half]) or self._send(measures[half:])
        if outcome.fate != "failed":
            # Again it would be refused again, and hold up what comes after it.
            self._ledger.settle(measures)
            self._counted["refused"] += len(measures)
        return outcome.reason

    def _send_events(self, events: Sequence[dict[str, Any]]) -> str:
        """Send the oldest events that wait, as `_send` does metrics."""
        if not events:
            return ""
        outcome = self._sender.send_events(events)
        if outcome.fate == "failed":
            return outcome.reason
        if outcome.fate == "too_large" and len(events) > 1:
            half = len(events) // 2
            return self._send_events(events[:half]) or self._send_events(events[half:])
        self.events.done(len(events))
        arrived = outcome.fate == "arrived"
        self._counted["events" if arrived else "events_refused"] += len(events)
        return outcome.reason

    def _concluded(self, reason: str) -> None:
        """Count an export, and log where a series of failures begins or ends."""
        self._counted["failed" if reason else "delivered"] += 1
        target = self._sender.target
        if reason and not self._failures:
            logger.warning("cache %r: cannot export to %s: %s", self._cache, target, reason)
        elif self._failures and not reason:
            logger.info("cache %r: exports to %s again", self._cache, target)
        self._failures = self._failures + 1 if reason else 0
        self._reason = reason

    def close(self) -> None:
        """Log what could not be sent in the end."""
        if self._failures:
            logger.warning(
                "cache %r closes, and %s has not got what it measured last: %s",
                self._cache,
                self._sender.target,
                self._reason,
            )

    def collect(self) -> Iterator[Sample]:
        """Yield the values of the metrics about exporting."""
        counted, cache = self._counted, self._cache
        for result in ("delivered", "failed"):
            yield Sample(EXPORTS, (cache, result), counted[result])
        yield Sample(METRICS, (cache,), counted["metrics"])
        yield Sample(METRICS_DROPPED, (cache,), counted["refused"])
        yield Sample(EVENTS, (cache,), counted["events"])
        yield Sample(EVENTS_DROPPED, (cache, "full"), self.events.dropped)
        yield Sample(EVENTS_DROPPED, (cache, "refused"), counted["events_refused"])

    def health(self) -> Health:
        """Degraded as soon as an export fails, failing when some in a row have."""
        if not self._failures:
            return Health()
        message = (
            f"cannot export to {self._sender.target}: {self._reason} "
            f"({self._failures} in a row; counts are kept)"
        )
        is_failing = self._failures >= FAILING_AFTER
        return Health("failing" if is_failing else "degraded", message)
