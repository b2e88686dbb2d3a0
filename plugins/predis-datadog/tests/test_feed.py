"""What an export is beside its points: the check, the events, and that there are never many."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from predis_core import telemetry
from predis_core.clock import ManualClock
from predis_core.plugin import Event, Health, Sample, Snapshot
from predis_datadog import DatadogConfig
from predis_datadog.events import COOLING, SORTS_AT_MOST, WAITING_AT_MOST, Events
from predis_datadog.feed import EVENTS, EVENTS_DROPPED, POINTS_DROPPED, Feed
from predis_datadog.points import Mapper, Point
from predis_datadog.transport import Fate, Outcome, key_of, text_of, title_of

HITS = Sample(telemetry.COUNTERS["hits"], ("main",), 5)
SIZE = Sample(telemetry.GAUGES["size"], ("main",), 3)


class Wire:
    """A transport that does as it is told."""

    target = "the wire"

    def __init__(self) -> None:
        self.reason = ""
        self.fate: Fate = "arrived"
        self.points: list[Point] = []
        self.checks: list[tuple[Any, ...]] = []
        self.events: list[Event] = []

    def begin(self) -> None:
        pass

    def send(self, points: Sequence[Point], second: int) -> Outcome:
        if self.reason:
            return Outcome((), reason=self.reason)
        self.points += points
        return Outcome(points)

    def send_event(self, event: Event, tags: Sequence[str]) -> Fate:
        self.events.append(event)
        return self.fate

    def send_check(self, *arguments: Any) -> Fate:
        self.checks.append(arguments)
        return self.fate


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(1_000.0)


@pytest.fixture
def wire() -> Wire:
    return Wire()


@pytest.fixture
def feed(wire: Wire, clock: ManualClock) -> Feed:
    return Feed("main", DatadogConfig(), Mapper(), wire, Events(clock))


def export(feed: Feed, *samples: Sample) -> Health:
    feed.export(Snapshot("main", 1_000_000_000, samples or (HITS, SIZE)))
    return feed.health()


def event(kind: str = "alarm.fired", message: str = "It burns", source: str = "a") -> Event:
    return Event(kind=kind, message=message, source=source, cache="main", time=7_000_000_000)


def counted(feed: Feed) -> dict[tuple[str, ...], Any]:
    return {(each.metric.name, *each.labels[1:]): each.value for each in feed.collect()}


def test_the_check_is_ok_while_plugins_work(feed: Feed, wire: Wire) -> None:
    working = Sample(telemetry.PLUGIN_UP, ("main", "datadog"), 1)
    export(feed, working)
    assert wire.checks == [("predis.cache.up", 0, ["cache:main"], "")]
    export(feed, working, Sample(telemetry.PLUGIN_UP, ("main", "drift"), 0))
    message = "plugins that do not work: drift"
    assert wire.checks[1:] == [("predis.cache.up", 1, ["cache:main"], message)]


def test_health_is_degraded_then_failing_then_healthy(feed: Feed, wire: Wire) -> None:
    wire.reason = "no way"
    found = [export(feed) for _ in range(3)]
    assert [health.status for health in found] == ["degraded", "degraded", "failing"]
    assert found[2].message == "cannot export to the wire: no way (3 in a row; counts are kept)"
    assert wire.checks == []
    wire.reason = ""
    assert export(feed) == Health()
    assert [point.value for point in wire.points] == [5, 3]
    assert counted(feed)[POINTS_DROPPED.name,] == 3  # gauges


def test_events_of_a_sort_are_cooled(feed: Feed, wire: Wire, clock: ManualClock) -> None:
    for _ in range(100):
        feed.events.add(event())
    feed.events.add(event(kind="other"))
    feed.events.add(event(source="b"))
    export(feed)
    assert [(each.source, each.kind) for each in wire.events] == [
        ("a", "alarm.fired"), ("a", "other"), ("b", "alarm.fired"),
    ]  # fmt: skip
    assert counted(feed)[EVENTS.name,] == 3
    assert counted(feed)[EVENTS_DROPPED.name, "cooling"] == 99
    clock.advance(COOLING)
    feed.events.add(event())
    export(feed)
    assert len(wire.events) == 4


def test_events_that_wait_are_bounded(feed: Feed, wire: Wire) -> None:
    wire.reason = "no way"
    for number in range(2 * SORTS_AT_MOST):
        feed.events.add(event(kind=f"alarm.{number}"))
        export(feed)
    assert len(feed.events._taken) == SORTS_AT_MOST
    assert counted(feed)[EVENTS_DROPPED.name, "full"] == 2 * SORTS_AT_MOST - WAITING_AT_MOST
    wire.reason = ""
    export(feed)
    assert len(wire.events) == WAITING_AT_MOST
    assert wire.events[-1].kind == f"alarm.{2 * SORTS_AT_MOST - 1}"


@pytest.mark.parametrize("fate", ["failed", "unknown"])
def test_events_that_did_not_arrive_wait(feed: Feed, wire: Wire, fate: Fate) -> None:
    feed.events.add(event("one"))
    feed.events.add(event("two"))
    wire.fate = fate
    export(feed)
    assert [each.kind for each in wire.events] == ["one"]
    wire.fate = "arrived"
    export(feed)
    assert [each.kind for each in wire.events] == ["one", "one", "two"]


def test_what_an_event_says_is_bounded_and_can_be_sent() -> None:
    odd = event(kind="k" * 300, message="\ud800" + "m" * 9_000, source="s|,")
    for text, longest in ((title_of(odd), 100), (text_of(odd), 4_000), (key_of(odd), 100)):
        assert 0 < len(text) <= longest
        assert text.encode()
    assert key_of(event(source="s|,")) == "predis:main:s__:alarm.fired"


def test_closing_tells_of_what_is_missing(
    feed: Feed, wire: Wire, caplog: pytest.LogCaptureFixture
) -> None:
    export(feed)
    feed.close()
    assert caplog.messages == []
    wire.reason = "no way"
    export(feed)
    feed.close()
    told = "cache 'main' closes, and the wire has not got what it measured last: no way"
    assert caplog.messages[-1] == told
