"""What arrives, to the unit, and what becomes of it where nothing does."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import predis_core as predis
from predis_core import host, telemetry
from predis_core.errors import ConfigurationError
from predis_core.plugin import Event
from tests.support.crew import wait_until
from tests.support.ports import find_port

Open = Callable[..., predis.Cache[Any, Any]]
Traffic = Callable[..., None]


def counts_of(cache: predis.Cache[Any, Any]) -> dict[str, int]:
    stats = cache.stats()
    return {metric.name: getattr(stats, name) for name, metric in telemetry.COUNTERS.items()}


def gauges_of(cache: predis.Cache[Any, Any]) -> dict[str, int]:
    stats = cache.stats()
    return {metric.name: getattr(stats, name) for name, metric in telemetry.GAUGES.items()}


def health() -> tuple[str, str]:
    state = host.status()
    assert state is not None
    (plugin,) = state.plugins
    return plugin.state, plugin.reason


def arrived(receiver: Any, cache: predis.Cache[Any, Any]) -> bool:
    """Whether what the receiver has of a cache is what the cache knows."""
    sums, wanted = receiver.sums(cache.name), counts_of(cache)
    return {name: sums.get(name) for name in wanted} == wanted


def test_every_counter_and_gauge_of_two_caches_arrives_to_the_unit(
    receiver: Any, opened: Open, traffic: Traffic
) -> None:
    one, two = opened("one"), opened("two")
    for seed in range(3):
        traffic(one, seed)
        traffic(two, seed + 10)
        wait_until(lambda: arrived(receiver, one) and arrived(receiver, two))
    assert one.stats().evictions > 0
    for cache in (one, two):
        wait_until(
            lambda cache=cache: gauges_of(cache).items() <= receiver.gauges(cache.name).items()
        )
    summaries = [metric for metric in receiver.metrics if metric.get("type") == "summary"]
    mine = [m for m in summaries if m["attributes"] == {"cache": "one", "operation": "get"}]
    assert sum(metric["value"]["count"] for metric in mine) == 3 * 20
    assert all(metric["name"] == "predis.cache.batch.duration" for metric in summaries)
    one.close()
    two.close()
    assert receiver.wrong == []


def test_a_closing_cache_sends_what_is_left(receiver: Any, opened: Open, traffic: Traffic) -> None:
    cache = opened(interval="1h")
    traffic(cache)
    wanted = counts_of(cache)
    cache.close()
    sums = receiver.sums("main")
    assert {name: sums.get(name) for name in wanted} == wanted
    assert receiver.wrong == []


def test_attributes_and_the_name_of_the_service_go_along(
    receiver: Any, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEW_RELIC_APP_NAME", "shop;all")
    opened(attributes={"team": "search", "shard": 3}).close()
    expected = {"service.name": "shop", "team": "search", "shard": 3}
    assert receiver.attributes
    assert all(each == expected for each in receiver.attributes)


def test_events_arrive_with_what_they_say(receiver: Any, opened: Open) -> None:
    cache = opened()
    event = Event(kind="x.y", message="Something.", severity="error", data={"n": 1, "why": ["a"]})
    cache._session.emit(event)  # type: ignore[attr-defined]
    wait_until(lambda: bool(receiver.events))
    (found,) = receiver.events
    assert found["kind"] == "x.y"
    assert found["message"] == "Something."
    assert found["severity"] == "error"
    assert found["cache"] == "main"
    assert (found["data.n"], found["data.why"]) == (1, "['a']")
    assert receiver.wrong == []


@pytest.mark.parametrize(
    ("mode", "reason"),
    [
        (403, "status 403: license_key: New Relic refuses it"),
        (500, "status 500"),
        ("reset", "broke off"),
        ("silent", "no answer in time"),
    ],
)
def test_over_an_outage_nothing_is_lost_and_nothing_is_counted_twice(
    receiver: Any, opened: Open, traffic: Traffic, mode: int | str, reason: str
) -> None:
    cache = opened(timeout="300ms" if mode == "silent" else "20s")
    traffic(cache, 1)
    wait_until(lambda: arrived(receiver, cache))
    receiver.mode = mode
    traffic(cache, 2)
    wait_until(lambda: health()[0] == "failing")
    assert reason in health()[1]
    assert "NRAL" not in health()[1]
    traffic(cache, 3)  # batches go on
    receiver.mode = 202
    receiver.release.set()
    wait_until(lambda: arrived(receiver, cache))
    wait_until(lambda: health() == ("healthy", ""))
    cache.close()
    assert receiver.wrong == []


def test_whoever_asks_to_wait_is_left_alone_for_that_long(
    receiver: Any, opened: Open, traffic: Traffic
) -> None:
    receiver.mode, receiver.headers = 429, {"Retry-After": "3600"}
    cache = opened()
    wait_until(lambda: receiver.asked > 0)
    wait_until(lambda: "asked to wait" in health()[1])
    asked = receiver.asked
    traffic(cache)
    failed = health()[1]
    wait_until(lambda: health()[1] != failed)  # further exports were due
    assert receiver.asked == asked


def test_what_is_too_large_is_sent_in_parts(receiver: Any, opened: Open, traffic: Traffic) -> None:
    receiver.largest = 3
    cache = opened()
    traffic(cache)
    wait_until(lambda: arrived(receiver, cache))


def test_too_many_events_are_sent_in_parts(receiver: Any, opened: Open) -> None:
    receiver.mode = 500
    cache = opened()
    for number in range(40):
        cache._session.emit(Event(kind="x", message=str(number)))  # type: ignore[attr-defined]
    wait_until(lambda: health()[0] == "failing")
    receiver.largest = 9
    receiver.mode = 202
    wait_until(lambda: len(receiver.events) >= 40)
    assert [event["message"] for event in receiver.events] == [str(n) for n in range(40)]


def test_what_is_refused_for_good_does_not_hold_up_what_follows(
    receiver: Any, opened: Open, traffic: Traffic
) -> None:
    receiver.mode = 400
    cache = opened()
    traffic(cache)
    wait_until(lambda: health()[0] == "failing")
    assert "status 400" in health()[1]
    receiver.mode = 202
    wait_until(lambda: health()[0] == "healthy")
    assert receiver.sums("main")["predis.cache.hits"] < cache.stats().hits  # they were given up
    assert receiver.gauges("main")["predis.cache.size"] == cache.stats().size


def test_nobody_there_is_no_error_for_the_cache(opened: Open, traffic: Traffic) -> None:
    cache = opened(host=f"localhost:{find_port()}")
    traffic(cache)
    wait_until(lambda: "nobody listens" in health()[1])


def test_a_certificate_that_is_not_trusted_is_a_failure(opened: Open, traffic: Traffic) -> None:
    cache = opened(ca=None)
    wait_until(lambda: "TLS" in health()[1] or "certificate" in health()[1].lower())
    cache.get_many([1])


def test_a_file_of_authorities_that_cannot_be_read_is_named(opened: Open, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="ca: cannot read "):
        opened(ca=str(tmp_path / "none.pem"))
    (tmp_path / "no.pem").write_text("no certificate")
    with pytest.raises(ConfigurationError, match="ca: cannot read "):
        opened(ca=str(tmp_path / "no.pem"))


def test_authorities_are_read_once_and_not_while_a_cache_is_opened(
    receiver: Any, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    load = ssl.SSLContext.load_default_certs

    def noted(context: ssl.SSLContext, *arguments: Any) -> None:
        read.append(threading.current_thread().name)
        load(context, *arguments)

    monkeypatch.setattr(ssl.SSLContext, "load_default_certs", noted)
    monkeypatch.setenv("SSL_CERT_FILE", str(receiver.ca))
    receiver.mode = "reset"
    cache = opened(ca=None)
    wait_until(lambda: health()[0] == "failing")  # each of these connected anew
    receiver.mode = 202
    wait_until(lambda: arrived(receiver, cache))
    assert len(read) == 1
    assert read[0] != threading.current_thread().name
