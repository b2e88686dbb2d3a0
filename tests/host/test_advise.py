"""Proposals of plugins: asked for window by window, and applied as a whole or refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import predis_core as predis
from predis_core.adapt import Choosing
from predis_core.host import advising
from predis_core.host.advising import Advising
from predis_core.plugin import Event, Window
from tests.support.crew import PATIENCE, wait_until
from tests.support.shelf import Shelf

ADVISING = """
EVENTS = []
WINDOWS = []
RATES = []
THREADS = set()

class Taker:
    stream = {stream!r}
    rate = 1 / 4
    interval = 0.01

    def on_sample(self, sample):
        RATES.append(getattr(sample, "rate", None))

class Plugin:
    def __init__(self, options): ...

    @hookimpl
    def predis_samplers(self):
        return [Taker()]

    @hookimpl
    def predis_advise(self, cache, window):
        WINDOWS.append(window)
        THREADS.add(threading.current_thread().name)
        {body}

    @hookimpl
    def predis_event(self, event):
        EVENTS.append(event)
"""


@pytest.fixture(autouse=True)
def short_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(advising, "WINDOW", 0.02)


def adviser(shelf: Shelf, body: str, name: str = "adviser", stream: str = "keys") -> Any:
    return shelf.module(shelf.put(name, ADVISING.format(body=body, stream=stream)))


def opened(*plugins: str, policy: str = "fifo", name: str = "default") -> predis.Cache[Any, Any]:
    return predis.open(
        {
            "host": {"deadline": PATIENCE},
            "cache": {
                "name": name,
                "capacity": 100,
                "keys": "int64",
                "policy": policy,
                "value": {"kind": "rows", "dtype": "int64"},
            },
            "plugins": {name: {} for name in plugins},
        }
    )


def told(module: Any, kind: str) -> Event:
    """Return the first event of a kind, once it is there."""
    wait_until(lambda: any(event.kind == kind for event in module.EVENTS))
    return next(event for event in module.EVENTS if event.kind == kind)


def propose(parameters: str) -> str:
    return f"return Proposal({parameters}, 'the keys are others')"


def test_predis_advise_changes_the_rate_of_the_plugins_own_samplers(shelf: Shelf) -> None:
    body = "return Proposal({'sampling.rate': 0.5}, 'more') if len(WINDOWS) == 3 else None"
    module = adviser(shelf, body)
    with opened("adviser") as cache:
        event = told(module, "advice.applied")
        module.RATES.clear()

        def is_sampled_anew() -> bool:
            cache.get_many(np.arange(1_000))
            return 0.5 in module.RATES

        wait_until(is_sampled_anew)
    assert event.message == "proposal of plugin 'adviser' is applied: more"
    assert (event.source, event.severity) == ("core", "info")
    assert event.data == {
        "plugin": "adviser",
        "parameters": {"sampling.rate": 0.5},
        "reason": "more",
    }
    assert {"predis-adviser"} == module.THREADS


def test_windows_follow_each_other(shelf: Shelf) -> None:
    module = adviser(shelf, "pass")
    with opened("adviser") as cache:
        cache.set_many([1], [10])
        for _ in range(50):
            cache.get_many([1, 2])
        wait_until(lambda: sum(window.requests for window in module.WINDOWS) == 100)
        wait_until(lambda: len(module.WINDOWS) >= 3)
    windows = module.WINDOWS
    assert all(isinstance(window, Window) for window in windows)
    assert sum(window.hits for window in windows) == 50
    begins = [window.begin for window in windows]
    assert begins == sorted(begins)
    assert all(window.seconds >= 0 for window in windows)


def test_the_first_proposal_wins(shelf: Shelf) -> None:
    silent = adviser(shelf, "return None", "silent")
    broken = adviser(shelf, "1 / 0", "broken")
    first = adviser(shelf, propose("{'sampling.rate': 0.5}"), "first")
    second = adviser(shelf, propose("{'sampling.rate': 0.25}"), "second")
    with opened("silent", "broken", "first", "second"):
        told(silent, "advice.applied")
        wait_until(lambda: len(first.WINDOWS) >= 3)
    assert len(silent.WINDOWS) >= len(first.WINDOWS)
    assert broken.WINDOWS
    assert second.WINDOWS == []
    applied = [event for event in silent.EVENTS if event.kind == "advice.applied"]
    assert {event.data["plugin"] for event in applied} == {"first"}


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("return 7", "expected a Proposal, got 7"),
        (propose("{}"), "it has no parameters"),
        (propose("None"), "parameters: expected a dict, got None"),
        (propose("{'auto.rest': True}"), "no parameter 'auto.rest' among auto.reset, sampling.ra"),
        (propose("{'auto.rest': True}"), "did you mean 'auto.reset'?"),
        (propose("{'auto.reset': 1}"), "auto.reset: expected True, got 1"),
        (propose("{'auto.reset': True}"), "auto.reset: the cache has policy 'fifo'; only"),
        (propose("{'sampling.rate': 0}"), "sampling.rate: expected a share above 0, at most 1"),
        (propose("{'sampling.rate': True}"), "sampling.rate: expected a share above 0, at most 1"),
        (propose("{'sampling.rate': float('nan')}"), "sampling.rate: expected a share above 0"),
        # As a whole, or not at all:
        (propose("{'sampling.rate': 0.5, 'auto.reset': True}"), "auto.reset: the cache has policy"),
    ],
)
def test_what_does_not_fit_is_refused(shelf: Shelf, body: str, why: str) -> None:
    module = adviser(shelf, body)
    with opened("adviser") as cache:
        event = told(module, "advice.refused")
        wait_until(lambda: (cache.get_many(np.arange(1_000)), len(module.RATES) > 2)[1])
        assert set(module.RATES) == {0.25}
    assert why in event.message
    assert why in event.data["refusal"]
    assert (event.severity, event.data["plugin"]) == ("warning", "adviser")


def test_a_plugin_without_samplers_of_keys_has_no_rate(shelf: Shelf) -> None:
    module = adviser(shelf, propose("{'sampling.rate': 0.5}"), stream="batches")
    with opened("adviser"):
        event = told(module, "advice.refused")
    assert "the plugin has no sampler of the stream" in event.message


def test_auto_forgets_what_it_learned(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    forgotten: list[Choosing] = []
    forget = Choosing.forget

    def noted(choosing: Choosing) -> None:
        forgotten.append(choosing)
        forget(choosing)

    monkeypatch.setattr(Choosing, "forget", noted)
    body = propose("{'auto.reset': True}").replace("return", "if len(WINDOWS) == 1: return")
    module = adviser(shelf, body)
    with opened("adviser", policy="auto"):
        event = told(module, "advice.applied")
    assert event.data["parameters"] == {"auto.reset": True}
    assert len(forgotten) == 1


def test_a_cache_that_closed_has_no_windows(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    turns: list[Advising] = []
    turn = Advising.turn

    def noted(advising: Advising) -> None:
        turns.append(advising)
        turn(advising)

    monkeypatch.setattr(Advising, "turn", noted)
    adviser(shelf, "pass")
    with opened("adviser", name="other"):
        with opened("adviser"):
            wait_until(lambda: len(set(turns)) == 2)
        before = len(turns)
        wait_until(lambda: len(turns) >= before + 10)
        assert len(set(turns[before + 1 :])) == 1  # one turn may have been under way


def test_auto_that_gave_up_choosing_is_not_reset(shelf: Shelf) -> None:
    module = adviser(shelf, propose("{'auto.reset': True}"))
    with opened("adviser", policy="auto") as cache:
        cache._choosing = None
        event = told(module, "advice.refused")
    assert event.data["refusal"] == "auto.reset: the cache does not choose its policy any more"
