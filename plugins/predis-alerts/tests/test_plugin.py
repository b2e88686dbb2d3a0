"""The plugin at work in caches that `open` made."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

import predis_core as predis
from predis_alerts.webhook import DROPPED
from predis_core import host
from predis_core.host.session import Session
from predis_core.plugin import Event

Wait = Callable[[Callable[[], Any]], Any]
MISSES = {"name": "misses", "metric": "predis.cache.misses", "condition": "> 9", "measure": "value"}


def opened(name: str = "shop", **section: Any) -> predis.Cache[Any, Any]:
    cache = {
        "name": name,
        "capacity": 1_000,
        "policy": "fifo",
        "value": {"kind": "rows", "dtype": "int64"},
    }
    section.setdefault("interval", "20ms")
    if "webhook" in section:
        section["webhook"] = {"timeout": "60s", **section["webhook"]}
    return predis.open({"cache": cache, "plugins": {"alerts": section}})


@pytest.fixture
def emitted(monkeypatch: pytest.MonkeyPatch) -> list[Event]:
    """The events that the plugin emits."""
    found: list[Event] = []
    real = Session.emit

    def emit(self: Any, event: Event, source: str = "core") -> None:
        if source == "alerts":
            found.append(event)
        real(self, event, source)

    monkeypatch.setattr(Session, "emit", emit)
    return found


def kinds(receiver: Any) -> list[str]:
    return [request.document["kind"] for request in receiver.requests]


def test_an_alert_goes_to_the_log_to_other_plugins_and_to_the_webhook(
    receiver: Any, eventually: Wait, emitted: list[Event], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "predis.alerts"):
        webhook = {"url": receiver.url, "flush": "60s"}
        with opened(rules=[MISSES], webhook=webhook) as cache:
            cache.get_many(range(10))
            eventually(lambda: kinds(receiver) == ["alert.firing"])
            assert cache.stats().misses == receiver.requests[0].document["data"]["value"] == 10
    assert kinds(receiver) == ["alert.firing", "alert.resolved"]
    assert [event.kind for event in emitted] == kinds(receiver)
    messages = [request.document["message"] for request in receiver.requests]
    assert messages == [event.message for event in emitted]
    written = [each for each in caplog.records if each.name == "predis.alerts"]
    assert [record.message for record in written] == messages
    assert [record.levelname for record in written] == ["WARNING", "INFO"]


def test_two_caches_have_alerts_of_their_own(receiver: Any, eventually: Wait) -> None:
    section: dict[str, Any] = {"rules": [MISSES], "webhook": {"url": receiver.url}}
    with opened("one", **section) as one, opened("two", **section) as two:
        one.get_many(range(3))
        two.get_many(range(30))
        eventually(lambda: receiver.requests)
        assert receiver.requests[0].document["cache"] == "two"
    assert {request.document["cache"] for request in receiver.requests} == {"two"}


def test_what_it_counts_is_in_the_snapshot(receiver: Any, eventually: Wait) -> None:
    with opened(rules=[MISSES], webhook={"url": receiver.url}) as cache:

        def counts() -> dict[tuple[str, ...], Any]:
            samples = cache._session.snapshot().samples  # type: ignore[attr-defined]
            return {
                (
                    sample.metric.name.removeprefix("predis.alerts."),
                    *sample.labels[1:],
                ): sample.value
                for sample in samples
                if sample.metric.name.startswith("predis.alerts.")
            }

        assert counts()["firing", "misses", "warning"] == 0
        cache.get_many(range(10))
        wanted = {
            ("firing", "misses", "warning"): 1,
            ("notifications",): 1,
            ("delivered",): 1,
            **{("dropped", reason): 0 for reason in ("held_back", *DROPPED)},
        }
        eventually(lambda: counts() == wanted)


@pytest.mark.parametrize("events", [True, False])
def test_events_of_others_go_to_the_webhook_if_wanted(
    receiver: Any, eventually: Wait, events: bool
) -> None:
    webhook = {"url": receiver.url, "events": events, "flush": "60s"}
    with opened(rules=[MISSES], webhook=webhook) as cache:
        event = Event(kind="plugin.disabled", message="off", severity="error", data={"plugin": "x"})
        cache._session.emit(event)  # type: ignore[attr-defined]
        cache.get_many(range(10))
        eventually(lambda: "alert.firing" in kinds(receiver))
    told = [r.document for r in receiver.requests if r.document["kind"] == "plugin.disabled"]
    assert [(each["source"], each["message"], each["data"]) for each in told] == (
        [("core", "off", {"plugin": "x"})] if events else []
    )


def test_a_webhook_that_is_down_is_told_by_its_health(receiver: Any, eventually: Wait) -> None:
    receiver.answers += [500] * 10_000

    def state() -> tuple[str, str]:
        status = host.status()
        assert status is not None
        (plugin,) = status.plugins
        return plugin.state, plugin.reason

    webhook = {"url": receiver.url, "backoff": "1ms", "flush": "10ms", "retries": 100}
    with opened(rules=[MISSES], webhook=webhook) as cache:
        assert state() == ("healthy", "")
        cache.get_many(range(10))
        eventually(lambda: state() == ("degraded", "webhook: the receiver answered 500"))
        receiver.answers.clear()
        eventually(lambda: state() == ("healthy", ""))


def test_a_rule_without_its_metric_is_told_by_its_health(eventually: Wait) -> None:
    with opened(rules=[MISSES | {"metric": "predis.cache.mises", "measure": "rate"}]):

        def reason() -> str:
            status = host.status()
            assert status is not None
            return status.plugins[0].reason

        assert "the nearest name is 'predis.cache.misses'" in eventually(reason)


def test_naming_the_plugin_imports_no_http() -> None:
    script = (
        "import sys, predis_core; before = set(sys.modules)\n"
        "import predis_alerts, predis_alerts.plugin\n"
        "new = set(sys.modules) - before\n"
        "print(sorted({'urllib.request', 'http.client', 'predis_alerts.webhook'} & new))"
    )
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    assert told.stdout.decode().strip() == "[]"
