"""Caches and agents: what arrives, over UDP and Unix sockets, and what failures come to."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datadog
import pytest

from predis_core import telemetry
from predis_core.plugin import Event
from tests.support.datadog import Agent, counts_of, gauges_of, health, opened, traffic

Agents = Callable[..., Agent]
Eventually = Callable[[Callable[[], Any]], Any]
KINDS = {"unixgram": socket.SOCK_DGRAM, "unixstream": socket.SOCK_STREAM}


def assert_exact(agent: Agent, stats: Any) -> None:
    """Whatever was counted arrived, to the unit."""
    sums, gauges = agent.sums(), agent.gauges()
    assert {name: sums[name] for name in counts_of(stats)} == counts_of(stats)
    assert {name: gauges[name] for name in gauges_of(stats)} == gauges_of(stats)


# ---- what arrives --------------------------------------------------------------------------------


def test_udp_has_every_count_to_the_unit(agents: Agents, eventually: Eventually) -> None:
    agent = agents()
    with opened(port=agent.port, tags=["team:search"]) as cache:
        for seed in range(3):
            before = len(agent.packets)
            traffic(cache, seed)
            eventually(lambda before=before: len(agent.packets) > before)
        stats = cache.stats()
        assert min(stats.hits, stats.misses, stats.evictions, stats.loads, stats.deletions) > 0
    eventually(lambda: agent.sums().get("predis.cache.hits") == stats.hits)
    eventually(lambda: agent.sums().get("predis.cache.batch.duration.count") == 4 * 60)
    assert_exact(agent, stats)
    assert all(len(packet) <= 1432 for packet in agent.packets)
    metrics = [line for line in agent.lines if line.startswith("predis.")]
    assert all(line.endswith(",team:search") and "|#cache:main" in line for line in metrics)


@pytest.mark.parametrize("scheme", ["", "unixgram", "unixstream"])
def test_unix_sockets_do_too(
    agents: Agents, socket_path: Path, eventually: Eventually, scheme: str
) -> None:
    kind = KINDS.get(scheme, socket.SOCK_DGRAM)
    agent = agents(socket_path, kind)
    with opened(socket=f"{scheme}://{socket_path}" if scheme else str(socket_path)) as cache:
        traffic(cache)
        stats = cache.stats()
    eventually(lambda: agent.sums().get("predis.cache.batch.duration.count") == 80)
    eventually(lambda: agent.sums().get("predis.datadog.events_dropped") is not None)
    assert_exact(agent, stats)
    assert all(len(packet) <= 8192 for packet in agent.packets)
    assert max(map(len, agent.packets)) > 1432


def test_distributions_have_the_number_and_the_sum_of_batches(
    agents: Agents, eventually: Eventually
) -> None:
    agent = agents()
    with opened(port=agent.port) as cache:
        traffic(cache)
    name = "predis.cache.batch.duration"
    eventually(lambda: agent.sums("operation:get").get(f"{name}.count") == 20)
    parts = [line.split("|") for line in agent.lines if line.startswith(f"{name}:")]
    of_get = [part for part in parts if "operation:get" in part[-1]]
    weights = [int(1 / float(part[2][1:])) if part[2][0] == "@" else 1 for part in of_get]
    values = [float(part[0].partition(":")[2]) for part in of_get]
    assert sum(weights) == 20
    total = sum(weight * value for weight, value in zip(weights, values, strict=True))
    assert total == pytest.approx(agent.sums("operation:get")[f"{name}.sum"])


def test_two_caches_are_told_apart(agents: Agents, eventually: Eventually) -> None:
    agent = agents()
    with opened("one", port=agent.port) as one, opened("two", port=agent.port) as two:
        traffic(one, 1)
        traffic(two, 2, rounds=5)
        wanted = {"cache:one": one.stats().hits, "cache:two": two.stats().hits}
    for tag, hits in wanted.items():
        eventually(lambda tag=tag, hits=hits: agent.sums(tag).get("predis.cache.hits") == hits)


def test_the_environment_says_where_and_adds_tags(
    agents: Agents, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = agents()
    monkeypatch.setenv("DD_AGENT_HOST", "127.0.0.1")
    monkeypatch.setenv("DD_DOGSTATSD_PORT", str(agent.port))
    monkeypatch.setenv("DD_ENV", "prod")
    monkeypatch.setenv("DD_SERVICE", "shop")
    monkeypatch.setenv("DD_ENTITY_ID", "pod-7")
    with opened(tags=["env:test"]):
        pass
    line = eventually(lambda: [each for each in agent.lines if "cache.hits" in each])[0]
    tags = "cache:main,env:test,service:shop,dd.internal.entity_id:pod-7"
    assert line == f"predis.cache.hits:0|c|#{tags}"


def test_an_url_of_the_environment_may_be_a_socket(
    agents: Agents, socket_path: Path, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = agents(socket_path)
    monkeypatch.setenv("DD_DOGSTATSD_URL", f"unix://{socket_path}")
    with opened(prefix="shop"):
        pass
    eventually(lambda: "shop.predis.cache.hits" in agent.sums())


def test_events_and_the_check_arrive(agents: Agents, eventually: Eventually) -> None:
    agent = agents()
    with opened(port=agent.port) as cache:
        session = cache._session  # type: ignore[attr-defined]
        event = Event(kind="alarm.fired", message="It\nburns | a bit", severity="error")
        session.emit(event, source="alarms")
        eventually(lambda: any(line.startswith("_e{") for line in agent.lines))
    (line,) = [line for line in agent.lines if line.startswith("_e{")]
    assert line.startswith("_e{26,17}:Predis: alarm.fired (main)|It\\nburns | a bit|d:")
    assert line.endswith(
        "|k:predis:main:alarms:alarm.fired|t:error|#cache:main,source:alarms,kind:alarm.fired"
    )
    eventually(lambda: "_sc|predis.cache.up|0|#cache:main" in agent.lines)


def test_an_event_that_is_too_long_is_dropped_and_counted(
    agents: Agents, eventually: Eventually
) -> None:
    agent = agents()
    tags = [f"t{number}:{'x' * 190}" for number in range(50)]
    with opened(port=agent.port, tags=tags) as cache:
        session = cache._session  # type: ignore[attr-defined]
        session.emit(Event(kind="alarm.fired", message="It burns"), source="alarms")
        dropped = "predis.datadog.events_dropped"
        eventually(lambda: agent.sums("reason:refused").get(dropped) == 1)
        assert health() == ("healthy", "")
    assert not any(line.startswith("_e{") for line in agent.lines)


def test_events_and_the_check_may_be_off(agents: Agents, eventually: Eventually) -> None:
    agent = agents()
    with opened(port=agent.port, events=False, service_check=False) as cache:
        session = cache._session  # type: ignore[attr-defined]
        session.emit(Event(kind="alarm.fired", message="It burns"), source="alarms")
        traffic(cache)
    eventually(lambda: agent.sums().get("predis.datadog.exports") is not None)
    assert [line for line in agent.lines if line.startswith("_")] == []


# ---- what the package must not do ----------------------------------------------------------------


def test_neither_threads_nor_telemetry_nor_the_users_client(
    agents: Agents, eventually: Eventually
) -> None:
    agent = agents()
    users = dict(vars(datadog.statsd))
    before = {thread.name for thread in threading.enumerate()}
    with opened(port=agent.port, tags=["a:b"]) as cache:
        traffic(cache)
        eventually(lambda: len(agent.packets) > 3)
        threads = {thread.name for thread in threading.enumerate()} - before
        assert threads <= {"predis-host", "predis-datadog"}
    assert dict(vars(datadog.statsd)) == users
    assert not any(line.startswith("datadog.") for line in agent.lines)


# ---- failures ------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["unixgram", "unixstream"])
def test_over_an_outage_nothing_is_lost_and_nothing_counted_twice(
    agents: Agents,
    socket_path: Path,
    eventually: Eventually,
    scheme: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "predis.datadog")
    with opened(socket=f"{scheme}://{socket_path}") as cache:
        traffic(cache, 1)
        eventually(lambda: health()[0] == "failing")
        assert "No such file or directory (" in health()[1]
        first = agents(socket_path, KINDS[scheme])
        eventually(lambda: health()[0] == "healthy")
        traffic(cache, 2)
        eventually(lambda: first.sums().get("predis.cache.hits") == cache.stats().hits)
        first.close()  # the socket's file stays, and nobody listens
        traffic(cache, 3)
        eventually(lambda: "Connection refused (" in health()[1])
        socket_path.unlink()
        second = agents(socket_path, KINDS[scheme])
        eventually(lambda: health()[0] == "healthy")
        stats = cache.stats()
    eventually(
        lambda: (
            first.sums()["predis.cache.hits"] + second.sums().get("predis.cache.hits", 0)
            == stats.hits
        )
    )
    exports = "predis.datadog.exports"
    eventually(lambda: second.sums("result:failed").get(exports, 0) > 0)
    for name, value in counts_of(stats).items():
        assert first.sums()[name] + second.sums()[name] == value, name
    assert second.sums()["predis.datadog.points_dropped"] > 0
    told = [message for message in caplog.messages if "export" in message]
    assert [message.split(" to ")[0] for message in told] == [
        "cache 'main': cannot export",
        "cache 'main': exports",
    ] * 2
    assert not [record for record in caplog.records if record.name.startswith("datadog")]


@pytest.mark.parametrize("scheme", ["unixgram", "unixstream"])
def test_a_full_buffer_loses_nothing(
    socket_path: Path, eventually: Eventually, scheme: str
) -> None:
    with socket.socket(socket.AF_UNIX, KINDS[scheme]) as listener:
        listener.bind(str(socket_path))
        if scheme == "unixstream":
            listener.listen(1)
        with opened(socket=f"{scheme}://{socket_path}", timeout="50ms") as cache:
            traffic(cache)
            eventually(lambda: health()[0] == "failing")
            assert "its socket is full" in health()[1] or "unavailable" in health()[1]
            reader = Agent(listener)
            eventually(lambda: health()[0] == "healthy")
            traffic(cache)
            stats = cache.stats()
        try:
            eventually(lambda: reader.sums().get("predis.cache.hits") == stats.hits)
            eventually(lambda: reader.sums().get("predis.datadog.exports") is not None)
            assert_exact(reader, stats)
        finally:
            reader.close()


def test_udp_without_an_agent_breaks_nothing(
    agents: Agents, eventually: Eventually, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        # Who is connected to somebody else hears nobody, and keeps the port from others.
        taken.bind(("127.0.0.1", 0))
        taken.connect(("127.0.0.1", 9))
        with opened(port=taken.getsockname()[1]) as cache:
            eventually(lambda: "Connection refused" in health()[1])
            traffic(cache)
            assert cache.stats().hits > 0
    assert not [record for record in caplog.records if record.name.startswith("datadog")]
    closing = [message for message in caplog.messages if "closes" in message]
    assert closing == [] or "has not got what it measured last" in closing[0]


def test_a_name_that_is_none_is_a_failure_like_others(eventually: Eventually) -> None:
    with opened(address="no-such-host.invalid", port=8125) as cache:
        traffic(cache)
        eventually(lambda: health()[0] in ("degraded", "failing"))
        assert "cannot export to no-such-host.invalid:8125 (UDP): " in health()[1]
    with opened(address="a" * 70 + ".invalid", port=8125):
        eventually(lambda: health()[0] in ("degraded", "failing"))


def test_observers_cost_nothing_without_a_tracer(agents: Agents) -> None:
    with opened(port=agents().port) as cache:
        session = cache._session  # type: ignore[attr-defined]
        assert not any(session.observers.values())
        names = {sample.metric.name for sample in session.snapshot().samples}
        assert telemetry.OBSERVER_SECONDS.name not in names
