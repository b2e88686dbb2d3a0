"""What is sent of one cache: its exporter, and the metrics about that."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from predis_core import telemetry
from predis_core.clock import NANOSECONDS
from predis_core.plugin import Health, Metric, Sample, Snapshot
from predis_datadog.config import DatadogConfig
from predis_datadog.events import Events
from predis_datadog.points import Ledger, Mapper, Point, tag_of
from predis_datadog.transport import Outcome, Transport

logger = logging.getLogger("predis.datadog")

OLDEST = 50 * 60
"""Seconds after which points are not sent again: Datadog takes those of the last hour."""

SET_BACK = 300
"""Seconds by which the clock has to go back until that is believed."""

FAILING_AFTER = 3
"""Exports in a row that have to fail until the plugin is more than degraded."""

CHECK = "predis.cache.up"
OK, WARNING = 0, 1

EXPORTS = Metric(
    "predis.datadog.exports",
    "counter",
    "1",
    "Exports to Datadog; one that failed keeps its counts for the next.",
    ("cache", "result"),
)
POINTS = Metric("predis.datadog.points", "counter", "1", "Values that were sent to Datadog.")
POINTS_DROPPED = Metric(
    "predis.datadog.points_dropped",
    "counter",
    "1",
    "Values that Datadog will not get: gauges of failed exports, counts given up after an hour.",
)
EVENTS = Metric("predis.datadog.events", "counter", "1", "Events that were sent to Datadog.")
EVENTS_DROPPED = Metric(
    "predis.datadog.events_dropped",
    "counter",
    "1",
    "Events that were not: too many of a sort or in all, or refused.",
    ("cache", "reason"),
)


class _Unsettled(NamedTuple):
    """Points that were sent, to which there was no answer."""

    points: Sequence[Point]
    second: int


class Feed:
    """Exports snapshots of a cache, with counts of which none is lost and none is sent twice.

    It is the plugin's exporter of that cache and its source of metrics; all runs in the plugin's
    own thread. What it holds is bounded by the number of series.

    Args:
        cache: the cache's name.
        config: the section.
        mapper: names and tags.
        transport: the way.
        events: what waits to be sent.
    """

    metrics = (EXPORTS, POINTS, POINTS_DROPPED, EVENTS, EVENTS_DROPPED)

    def __init__(
        self,
        cache: str,
        config: DatadogConfig,
        mapper: Mapper,
        transport: Transport,
        events: Events | None = None,
    ) -> None:
        self.interval = float(config.interval)
        self.events = events or Events()
        self._cache = cache
        self._mapper = mapper
        self._transport = transport
        self._checks = config.service_check
        self._ledger = Ledger()
        self._unsettled: _Unsettled | None = None
        self._second = 0
        self._failures = 0
        self._reason = ""
        self._counted = dict.fromkeys(("delivered", "failed", "points", "dropped", "events"), 0)

    def export(self, snapshot: Snapshot) -> None:
        """Send what waits for an answer, then what a snapshot has, the check and the events."""
        self._transport.begin()
        second = self._second_of(snapshot)
        reason = self._settle(second)
        points = self._mapper.points(snapshot, self._ledger)
        outcome = Outcome((), reason=reason)
        if not reason:
            outcome = self._transport.send(points, second)
            self._took(outcome, second)
        sent = set(map(id, (*outcome.arrived, *outcome.unknown)))
        lost = (point for point in points if id(point) not in sent and point.kind == "gauge")
        self._counted["dropped"] += sum(1 for _ in lost)
        self._concluded(outcome.reason)
        if not outcome.reason:
            self._send_check(snapshot)
            self._send_events()

    def _second_of(self, snapshot: Snapshot) -> int:
        """Return the second of an export: a new one each, as the later would replace the earlier.

        The last export of a cache may follow the one before at once.
        """
        now = snapshot.time // NANOSECONDS
        was_set_back = now + SET_BACK < self._second
        self._second = now if was_set_back else max(now, self._second + 1)
        return self._second

    def _settle(self, now: int) -> str:
        """Send points without an answer once more, as they were; return why not, or "".

        Datadog keeps one value per series and second, so they cannot be counted twice.
        """
        if self._unsettled is None:
            return ""
        points, second = self._unsettled
        if now - second > OLDEST:
            self._unsettled = None
            self._ledger.settle(points)
            self._counted["dropped"] += len(points)
            return ""
        outcome = self._transport.send(points, second)
        if not outcome.reason:
            self._unsettled = None
            self._took(outcome, second)
        return outcome.reason

    def _took(self, outcome: Outcome, second: int) -> None:
        self._ledger.settle(outcome.arrived)
        self._counted["points"] += len(outcome.arrived)
        if outcome.unknown:
            self._unsettled = _Unsettled(outcome.unknown, second)

    def _concluded(self, reason: str) -> None:
        """Count an export, and log where a series of failures begins or ends."""
        self._counted["failed" if reason else "delivered"] += 1
        target = self._transport.target
        if reason and not self._failures:
            logger.warning("cache %r: cannot export to %s: %s", self._cache, target, reason)
        elif self._failures and not reason:
            logger.info("cache %r: exports to %s again", self._cache, target)
        self._failures = self._failures + 1 if reason else 0
        self._reason = reason

    def _send_check(self, snapshot: Snapshot) -> None:
        if not self._checks:
            return
        down = [
            sample.labels[1]
            for sample in snapshot.samples
            if sample.metric == telemetry.PLUGIN_UP and not sample.value
        ]
        message = f"plugins that do not work: {', '.join(down)}" if down else ""
        tags = [tag_of("cache", self._cache)]
        self._transport.send_check(CHECK, WARNING if down else OK, tags, message)

    def _send_events(self) -> None:
        while (event := self.events.next) is not None:
            tags = [
                tag_of("cache", event.cache),
                tag_of("source", event.source),
                tag_of("kind", event.kind),
            ]
            fate = self._transport.send_event(event, tags)
            if fate in ("failed", "unknown"):  # an event that comes twice has the same key
                return
            self.events.done(refused=fate == "refused")
            self._counted["events"] += fate == "arrived"

    def close(self) -> None:
        """Log what could not be sent in the end."""
        if self._failures:
            logger.warning(
                "cache %r closes, and %s has not got what it measured last: %s",
                self._cache,
                self._transport.target,
                self._reason,
            )

    def collect(self) -> Iterator[Sample]:
        """Yield the values of the metrics about exporting."""
        counted = self._counted
        for result in ("delivered", "failed"):
            yield Sample(EXPORTS, (self._cache, result), counted[result])
        yield Sample(POINTS, (self._cache,), counted["points"])
        yield Sample(POINTS_DROPPED, (self._cache,), counted["dropped"])
        yield Sample(EVENTS, (self._cache,), counted["events"])
        for reason in ("cooling", "full", "refused"):
            yield Sample(EVENTS_DROPPED, (self._cache, reason), self.events.dropped[reason])

    def health(self) -> Health:
        """Degraded as soon as an export fails, failing when some in a row have."""
        if not self._failures:
            return Health()
        message = (
            f"cannot export to {self._transport.target}: {self._reason} "
            f"({self._failures} in a row; counts are kept)"
        )
        is_failing = self._failures >= FAILING_AFTER
        return Health("failing" if is_failing else "degraded", message)
