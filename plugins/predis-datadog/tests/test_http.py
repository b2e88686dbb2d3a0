"""Caches and the HTTP API: what arrives, and what failures come to."""

from __future__ import annotations

import itertools
import logging
import socket
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from predis_core import Cache, Rows, telemetry
from predis_core.clock import ManualClock
from predis_core.plugin import Duration, Event, Health, Metric, Sample, Secret, Snapshot
from predis_datadog import DatadogConfig
from predis_datadog.feed import POINTS_DROPPED, Feed
from predis_datadog.http_api import HttpTransport
from predis_datadog.points import Mapper
from tests.support.datadog import (
    Intake,
    counts_of,
    gauges_of,
    opened,
    traffic,
)

Eventually = Callable[[Callable[[], Any]], Any]
KEY = "hunter2hunter2"


def section(intake: Intake, **more: Any) -> dict[str, Any]:
    given = {"transport": "http", "endpoint": intake.url, "api_key": KEY, "host": "web-1"}
    return given | {"interval": "1s", "timeout": "30s"} | more


def assert_exact(intake: Intake, stats: Any) -> None:
    """Whatever was counted is there, to the unit."""
    sums, gauges = intake.sums(), intake.gauges()
    assert {name: sums[name] for name in counts_of(stats)} == counts_of(stats)
    assert {name: gauges[name] for name in gauges_of(stats)} == gauges_of(stats)


# ---- what arrives --------------------------------------------------------------------------------


def test_every_count_arrives_to_the_unit(intake: Intake, eventually: Eventually) -> None:
    with opened(**section(intake, tags=["team:search"])) as cache:
        for seed in range(3):
            asked = len(intake.asked)
            traffic(cache, seed)
            eventually(lambda asked=asked: len(intake.asked) > asked)
        stats = cache.stats()
        assert min(stats.hits, stats.misses, stats.evictions, stats.loads, stats.deletions) > 0
    assert_exact(intake, stats)
    assert intake.sums()["predis.cache.batch.duration.count"] == 4 * 60
    assert {series["type"] for series in intake.series()} == {"count", "gauge"}
    for series in intake.series():
        assert series["host"] == "web-1"
        assert series["tags"][0] == "cache:main"
        assert series["tags"][-1] == "team:search"
        assert (series["type"] == "count") == (series.get("interval") == 1)
    path, headers, _ = intake.asked[0]
    assert path == "/api/v1/series"
    assert headers["DD-API-KEY"] == KEY
    assert headers["Content-Encoding"] == "deflate"


def test_events_and_the_check_arrive(intake: Intake, eventually: Eventually) -> None:
    with opened(**section(intake, tags=["team:search"])) as cache:
        session = cache._session  # type: ignore[attr-defined]
        event = Event(kind="alarm.fired", message="It burns", severity="warning")
        session.emit(event, source="alarms")
        (document,) = eventually(
            lambda: [document for path, document in intake.taken if path == "/api/v1/events"]
        )
    assert document.pop("date_happened") > 1_700_000_000
    assert document == {
        "title": "Predis: alarm.fired (main)",
        "text": "It burns",
        "alert_type": "warning",
        "aggregation_key": "predis:main:alarms:alarm.fired",
        "host": "web-1",
        "tags": ["cache:main", "source:alarms", "kind:alarm.fired", "team:search"],
    }
    checks = [document for path, document in intake.taken if path == "/api/v1/check_run"]
    assert checks[0] == {
        "check": "predis.cache.up",
        "host_name": "web-1",
        "status": 0,
        "tags": ["cache:main", "team:search"],
        "message": "",
    }


# ---- failures ------------------------------------------------------------------------------------


class Exports:
    """A cache, and exports of it by hand, ten seconds from each other by a clock of their own."""

    def __init__(self, url: str, **more: Any) -> None:
        given = {"transport": "http", "endpoint": url, "api_key": Secret(KEY), "host": "web-1"}
        config = DatadogConfig(**given, timeout=Duration(30), **more)
        self.clock = ManualClock(1_000_000.0)
        self.cache: Cache[Any, Any] = Cache(1_000, policy="s3fifo", value=Rows("int64", ()))
        self.feed = Feed("main", config, Mapper(), HttpTransport(config, self.clock))

    def traffic(self, seed: int) -> None:
        traffic(self.cache, seed, rounds=5)

    def export(self) -> Health:
        self.clock.advance(10)
        samples = (*telemetry.samples_of("main", self.cache.stats()), *self.feed.collect())
        self.feed.export(Snapshot("main", self.clock.wall(), samples))
        return self.feed.health()


@pytest.mark.parametrize(
    ("mode", "told"),
    [
        (403, "HTTP 403 Forbidden: the API key is refused; look at api_key and site"),
        (404, "HTTP 404 Not Found: there is no such API; look at endpoint"),
        (429, "HTTP 429 Too Many Requests"),
        (500, "HTTP 500 Internal Server Error"),
        (503, "HTTP 503 Service Unavailable"),
        (302, "HTTP 302 Found"),
        (400, "HTTP 400 Bad Request"),
        ("reset", "the connection was broken off"),
        ("lost", "the connection was broken off"),
    ],
)
def test_over_an_outage_nothing_is_lost_and_nothing_counted_twice(
    intake: Intake, caplog: pytest.LogCaptureFixture, mode: int | str, told: str
) -> None:
    caplog.set_level(logging.INFO, "predis.datadog")
    intake.headers = {"Location": f"{intake.url}/elsewhere", "Retry-After": "1"}
    exports = Exports(intake.url)
    exports.traffic(0)
    assert exports.export() == Health()
    intake.mode = mode
    for number in (1, 2, 3, 4):
        exports.traffic(number)
        health = exports.export()
        assert health.status == ("degraded" if number < 3 else "failing")
        assert health.message == (
            f"cannot export to {intake.url}: {told} ({number} in a row; counts are kept)"
        )
    intake.mode = 202
    exports.traffic(5)
    assert exports.export() == Health()
    assert_exact(intake, exports.cache.stats())
    assert "/elsewhere" not in [path for path, _, _ in intake.asked]
    counted = {
        (sample.metric.name, *sample.labels[1:]): sample.value for sample in exports.feed.collect()
    }
    assert counted["predis.datadog.exports", "delivered"] == 2
    assert counted["predis.datadog.exports", "failed"] == 4
    assert counted["predis.datadog.points_dropped",] >= 3 * len(telemetry.GAUGES)
    cannot = f"cache 'main': cannot export to {intake.url}: {told}"
    assert caplog.messages == [cannot, f"cache 'main': exports to {intake.url} again"]
    assert KEY not in caplog.text


def test_what_may_have_arrived_is_sent_again_as_it_was(intake: Intake) -> None:
    exports = Exports(intake.url, service_check=False)
    exports.traffic(0)
    intake.mode = "lost"
    exports.export()
    exports.traffic(1)
    exports.export()
    intake.mode = 202
    exports.export()
    first, second, third, fourth = [document for _, document in intake.taken]
    assert first == second == third != fourth
    assert_exact(intake, exports.cache.stats())


def test_no_two_exports_have_the_same_second(intake: Intake) -> None:
    exports = Exports(intake.url, service_check=False)
    for _ in range(3):
        exports.clock._now -= 10 * 1_000_000_000 - 1  # it is advanced by ten seconds each
        exports.traffic(0)
        exports.export()
    seconds = [document["series"][0]["points"][0][0] for _, document in intake.taken]
    assert seconds == [1_000_000, 1_000_001, 1_000_002]
    assert_exact(intake, exports.cache.stats())
    exports.clock._now -= 3_600 * 1_000_000_000
    exports.export()
    assert intake.taken[-1][1]["series"][0]["points"][0][0] == 1_000_000 - 3_600 + 10


def test_a_pause_that_is_asked_for_is_kept(intake: Intake) -> None:
    exports = Exports(intake.url)
    intake.mode = 429
    intake.headers = {"Retry-After": "25"}
    told = ["HTTP 429 Too Many Requests", *(f"HTTP 429 Too Many Requests; paused for {s} s"
                                            for s in (15, 5))]  # fmt: skip
    assert [exports.export().message.partition(f"{intake.url}: ")[2].partition(" (")[0]
            for _ in range(3)] == told  # fmt: skip
    assert len(intake.asked) == 1
    intake.mode = 202
    assert exports.export() == Health()
    intake.mode = 503
    intake.headers = {"Retry-After": "1000000"}
    exports.export()
    assert "paused for 290 s" in exports.export().message


def test_an_endpoint_that_is_down_or_has_no_name() -> None:
    with socket.socket() as taken:  # bound, and nobody listens
        taken.bind(("127.0.0.1", 0))
        exports = Exports(f"http://127.0.0.1:{taken.getsockname()[1]}")
        message = exports.export().message
        assert "no connection: " in message
        assert "Connection refused" in message
        assert "no connection: " in exports.export().message
    for url in ("http://no-such-host.invalid", f"http://{'a' * 70}.invalid", "http://[::"):
        assert Exports(url).export().status == "degraded"


def test_tls_that_is_none_is_a_failure_like_others(intake: Intake) -> None:
    exports = Exports(intake.url.replace("http", "https"))
    assert "TLS: the connection cannot be used" in exports.export().message


def test_no_connection_is_told_from_no_answer() -> None:
    with socket.socket() as full:  # its queue is full: what comes more is not answered
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        address = full.getsockname()
        waiting = [socket.socket() for _ in range(4)]
        for each in waiting:
            each.setblocking(False)
            each.connect_ex(address)
        exports = Exports(f"http://127.0.0.1:{address[1]}")
        exports.feed._transport._timeout = 0.2  # type: ignore[attr-defined]
        assert "no connection in time" in exports.export().message
        assert exports.feed._unsettled is None
        for each in waiting:
            each.close()


def test_a_silent_endpoint_may_have_taken_it(intake: Intake) -> None:
    exports = Exports(intake.url)
    exports.traffic(0)
    intake.mode = "silent"
    exports.feed._transport._timeout = 0.2  # type: ignore[attr-defined]
    while "no answer in time" not in (message := exports.export().message):
        assert "no connection in time" in message  # this machine is slow just now
    intake.mode = 202
    intake.release.set()
    exports.feed._transport._timeout = 30.0  # type: ignore[attr-defined]
    assert exports.export() == Health()
    assert_exact(intake, exports.cache.stats())


def test_an_export_ends_when_its_time_is_up(intake: Intake) -> None:
    exports = Exports(intake.url)
    answer = intake.answer

    def slow(request: Any) -> None:
        exports.clock.advance(31)
        answer(request)

    intake.answer = slow  # type: ignore[method-assign]
    sort = (f"alarm.{number}" for number in itertools.count())
    exports.feed.events.add(Event(kind=next(sort), message="It burns", source="alarms"))
    assert exports.export() == Health()
    assert [path for path, _, _ in intake.asked] == ["/api/v1/series"]
    intake.answer = answer  # type: ignore[method-assign]
    exports.export()
    paths = [path.rpartition("/")[2] for path, _, _ in intake.asked]
    assert paths == ["series", "series", "check_run", "events"]


def test_many_series_are_more_than_one_request(intake: Intake) -> None:
    exports = Exports(intake.url, service_check=False)
    odd = Metric("other.things", "counter", "1", "Things.", ("cache", "thing"))
    samples = tuple(Sample(odd, ("main", str(n)), n) for n in range(2_500))
    exports.feed.export(Snapshot("main", exports.clock.wall(), samples))
    assert [len(document["series"]) for _, document in intake.taken] == [1_000, 1_000, 500]
    assert intake.sums()["other.things"] == sum(range(2_500))


def test_what_is_too_old_to_be_sent_again_is_given_up_and_counted(intake: Intake) -> None:
    exports = Exports(intake.url, service_check=False)
    exports.traffic(0)
    intake.mode = "reset"
    exports.export()
    exports.clock.advance(3_600)
    exports.traffic(1)
    before = exports.cache.stats()
    intake.mode = 202
    assert exports.export() == Health()
    assert 0 < intake.sums()["predis.cache.hits"] < before.hits
    dropped = next(s for s in exports.feed.collect() if s.metric == POINTS_DROPPED)
    assert dropped.value > 20


def test_what_is_held_is_bounded(intake: Intake) -> None:
    exports = Exports(intake.url)
    intake.mode = 500
    exports.export()
    held = len(exports.feed._ledger._arrived), len(exports.feed._unsettled.points)
    for number in range(30):
        exports.traffic(number)
        event = Event(kind=f"alarm.{number % 10}", message="It burns", source="alarms")
        exports.feed.events.add(event)
        exports.export()
    after = len(exports.feed._ledger._arrived), len(exports.feed._unsettled.points)
    assert after == held


def test_batches_go_on_while_an_endpoint_is_silent(intake: Intake, eventually: Eventually) -> None:
    with opened(**section(intake, timeout="5m")) as cache:
        cache.get_many(np.arange(1_000))  # which may be compiled first
        eventually(lambda: len(intake.asked) > 1)
        intake.mode = "silent"
        eventually(lambda: intake.is_silent)
        asked = len(intake.asked)
        for _ in range(200):
            cache.get_many(np.arange(1_000))
        assert len(intake.asked) == asked  # the last one still has no answer
        assert not intake.release.is_set()
        assert cache.stats().misses == 201_000
        intake.mode = 202
        intake.release.set()


def test_a_cache_closes_without_its_endpoint_and_says_what_is_missing(
    intake: Intake, eventually: Eventually, caplog: pytest.LogCaptureFixture
) -> None:
    intake.mode = "silent"
    with opened(**section(intake, timeout="200ms")) as cache:
        traffic(cache)
        eventually(lambda: intake.asked)
    told = [message for message in caplog.messages if "closes" in message]
    assert told == [
        f"cache 'main' closes, and {intake.url} has not got what it measured last: "
        + told[0].rpartition("last: ")[2]
    ]
    assert not [message for message in caplog.messages if "hangs" in message]


def test_events_that_are_refused_are_dropped_and_counted(intake: Intake) -> None:
    exports = Exports(intake.url)
    answer = intake.answer

    def refusing(request: Any) -> None:
        intake.mode = 400 if request.path == "/api/v1/events" else 202
        answer(request)

    intake.answer = refusing  # type: ignore[method-assign]
    exports.feed.events.add(Event(kind="alarm.fired", message="It burns", source="alarms"))
    assert exports.export() == Health()
    assert exports.feed.events.dropped == {"refused": 1}
    assert exports.feed.events.next is None
