"""The plugin at real caches, with a detector that does as it is told."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import predis_core as predis
from predis_core import host
from predis_core.host import advising
from predis_drift import plugin as drift_plugin
from predis_drift.gathering import Events
from predis_drift.interface import Alarm, Pattern, Reading
from predis_drift.watch import Watch
from tests.support.crew import PATIENCE, wait_until
from tests.support.shelf import shelf_in

HEARING = """
EVENTS = []
VIEWS = []

class Plugin:
    def __init__(self, options): ...

    @hookimpl
    def predis_cache_opened(self, cache):
        VIEWS.append(cache)

    @hookimpl
    def predis_event(self, event):
        EVENTS.append(event)
"""


class Misses:
    """A detector: windows of 100 events; an alarm in one of which less than half are hits."""

    def __init__(self) -> None:
        self.windows, self._hits = 0, np.zeros(0, bool)
        self.strengths: dict[Any, float] = {}

    def feed(self, events: Events, wall: float = 0.0, scored: Any = ()) -> list[Alarm]:
        self._hits = np.append(self._hits, events.hits)
        found = []
        while len(self._hits) >= 100:
            window, self._hits = self._hits[:100], self._hits[100:]
            self.windows += 1
            if window.mean() < 0.5:
                misses = 1 - float(window.mean())
                found.append(
                    Alarm(feature="hit_ratio", statistic="share", value=misses, threshold=0.5)
                )
        return found

    def emerged(self) -> list[Pattern]:
        return []

    def readings(self) -> list[Reading]:
        return [Reading("hit_ratio", "share", 0.25, 0.5)] if self.windows else []

    def state(self) -> bytes:
        return str(self.windows).encode()

    def restore(self, data: bytes) -> None:
        self.windows = int(data)


@pytest.fixture
def hearing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The plugin, and another one that hears events."""
    monkeypatch.setattr(drift_plugin, "detector_for", lambda config: Misses())
    monkeypatch.setattr(Watch, "interval", 0.01)
    monkeypatch.setattr(advising, "WINDOW", 0.02)
    with shelf_in(tmp_path) as shelf:
        shelf.put("drift", entry="predis_drift:PLUGIN")
        yield shelf.module(shelf.put("hearing", HEARING))


def opened(**section: Any) -> predis.Cache[Any, Any]:
    return predis.open(
        {
            "host": {"deadline": PATIENCE},
            "cache": {
                "name": "shop",
                "capacity": 1_000,
                "policy": "fifo",
                "value": {"kind": "rows", "dtype": "int64"},
            },
            "plugins": {"drift": {"rate": 1.0, **section}, "hearing": {}},
        }
    )


def kinds(hearing: Any) -> list[str]:
    return [event.kind for event in hearing.EVENTS]


def test_a_change_is_told_kept_and_shown(
    hearing: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    keys, path = np.arange(500), tmp_path / "shop.predis"
    with caplog.at_level(logging.WARNING, "predis.drift"), opened() as cache:
        cache.set_many(keys, keys)

        def served(these: Any) -> None:
            cache.get_many(these)

        wait_until(lambda: (served(keys), "hit_ratio" in _readings(hearing))[1])
        assert kinds(hearing) == []
        wait_until(lambda: (served(keys + 5_000), kinds(hearing) == ["drift.alarm"])[1])
        (event,) = hearing.EVENTS
        assert event.source == "drift"
        assert event.message in caplog.messages
        (page,) = hearing.VIEWS[0].report_pages()
        assert page.title == "Drift of the workload"
        status = host.status()
        assert status is not None
        assert [plugin.state for plugin in status.plugins] == ["healthy", "healthy"]
        windows = _values(hearing)["predis.drift.windows"]
        cache.snapshot(path)
    with opened() as cache:
        hearing.VIEWS.pop(0)
        assert _values(hearing)["predis.drift.windows"] == 0
        cache.restore(path)
        assert _values(hearing)["predis.drift.windows"] >= windows


def test_reactions_are_opt_in_and_once_per_alarm(hearing: Any) -> None:
    misses = np.arange(5_000, 5_500)
    with opened(rate=0.25, reactions=("sample-more",)) as cache:
        wait_until(lambda: (cache.get_many(misses), "advice.applied" in kinds(hearing))[1])
        wait_until(lambda: _values(hearing)["predis.drift.held"] >= 5 or not cache.get_many(misses))
        assert kinds(hearing).count("advice.applied") == 1
    (applied,) = [event for event in hearing.EVENTS if event.kind == "advice.applied"]
    assert applied.data["parameters"] == {"sampling.rate": 1.0}
    hearing.EVENTS.clear()
    with opened() as cache:
        hearing.VIEWS.pop(0)
        wait_until(lambda: (cache.get_many(misses), "drift.alarm" in kinds(hearing))[1])
        wait_until(lambda: _values(hearing)["predis.drift.held"] >= 5 or not cache.get_many(misses))
    assert set(kinds(hearing)) == {"drift.alarm"}


def _values(hearing: Any) -> dict[str, Any]:
    return {each.metric.name: each.value for each in hearing.VIEWS[0].snapshot().samples}


def _readings(hearing: Any) -> set[str]:
    samples = hearing.VIEWS[0].snapshot().samples
    return {each.labels[1] for each in samples if each.metric.name == "predis.drift.statistic"}
