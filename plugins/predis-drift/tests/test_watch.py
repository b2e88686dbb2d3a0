"""A cache under watch, with a detector that does as it is told."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from click.testing import CliRunner

from predis_core.clock import ManualClock
from predis_core.errors import PluginError
from predis_core.pages import Grid, Plot, Text
from predis_core.plugin import Event, KeySample, Scores, Snapshot
from predis_drift import command, keeping
from predis_drift.config import FEATURES, DriftConfig
from predis_drift.gathering import Events
from predis_drift.interface import Alarm, Pattern, Reading
from predis_drift.page import page_of
from predis_drift.watch import (
    ALARMS,
    EVENTS,
    HELD,
    PATTERNS_TOLD,
    STATISTIC,
    STRENGTH,
    THRESHOLD,
    WINDOWS,
    Watch,
)

ALARM = Alarm(
    feature="reuse_distance",
    statistic="ks",
    value=0.5,
    threshold=0.125,
    labels=("near", "far"),
    before=(0.75, 0.25),
    after=(0.25, 0.75),
)

PATTERN = Pattern(
    pattern="period", keys=1_200, growth=12.5, level=0.5, usual=0.04, threshold=0.1, period=3_000
)


class Told:
    """A detector: windows of 10 events; an alarm for keys below 0, a pattern for those above 99."""

    def __init__(self) -> None:
        self.events = self.windows = 0
        self.patterns: list[Pattern] = []
        self.strengths = {"period": 0.5}

    def feed(self, events: Events, wall: float = 0.0, scored: Any = ()) -> list[Alarm]:
        self.scored = scored
        self.events += len(events.words)
        self.windows = self.events // 10
        self.patterns += [PATTERN] if (events.words > 99).any() else []
        return [ALARM] if (events.words < 0).any() else []

    def emerged(self) -> list[Pattern]:
        found, self.patterns = self.patterns, []
        return found

    def readings(self) -> list[Reading]:
        return [Reading("reuse_distance", "ks", 0.0625, 0.125)] if self.windows else []

    def state(self) -> bytes:
        return msgspec.json.encode(self.events)

    def restore(self, data: bytes) -> None:
        self.events = msgspec.json.decode(data, type=int)
        self.windows = self.events // 10


class View:
    name = "shop"

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.offered: list[Any] = []

    def models(self) -> list[Any]:
        return self.offered

    def emit(self, event: Event) -> None:
        self.events.append(event)

    def snapshot(self) -> Snapshot:
        return Snapshot(self.name, 1, ())


def sample(*words: int) -> KeySample:
    found = np.array(words, np.int64)
    return KeySample("shop", found, np.arange(len(words)), np.ones(len(words), bool), 0.5)


def watching(**section: Any) -> tuple[Watch, View, ManualClock]:
    view, clock = View(), ManualClock()
    config = DriftConfig(**section)
    return Watch(view, config, Told(), clock), view, clock  # type: ignore[arg-type]


def test_an_alarm_is_an_event_and_a_line_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    watch, view, _ = watching()
    watch.on_sample(sample(1, 2))
    assert view.events == []
    watch.on_sample(sample(1, -2))
    (event,) = view.events
    assert (event.kind, event.severity) == ("drift.alarm", "warning")
    assert event.message == (
        "cache 'shop': its workload changed: reuse_distance, by ks 0.5 (threshold 0.125)"
    )
    assert event.data["before"] == (0.75, 0.25)
    assert event.data["after"] == (0.25, 0.75)
    json.dumps(event.data)
    assert caplog.messages == [event.message]


def test_the_same_alarm_is_not_given_again_within_the_cooldown() -> None:
    watch, view, clock = watching()
    watch.on_sample(sample(-1))
    clock.advance(599)
    watch.on_sample(sample(-1))
    assert len(view.events) == 1
    clock.advance(1)
    watch.on_sample(sample(-1))
    assert len(view.events) == 2
    values = {(s.metric, s.labels[1:]): s.value for s in watch.collect()}
    assert values[ALARMS, ("reuse_distance",)] == 2
    assert values[ALARMS, ("hit_ratio",)] == 0
    assert values[HELD, ()] == 1


def test_a_pattern_is_an_event_a_line_and_a_row(caplog: pytest.LogCaptureFixture) -> None:
    watch, view, clock = watching(patterns=("period", "scan"))
    with caplog.at_level(logging.INFO, "predis.drift"):
        watch.on_sample(sample(1, 100))
        watch.on_sample(sample(1, 100))
    (event,) = view.events
    assert (event.kind, event.severity) == ("drift.pattern", "info")
    assert event.message == (
        "cache 'shop': period emerged: keys that come again after the same number of look-ups, "
        "every 3,000; 1,200 sampled keys, 12.5 times as before"
    )
    assert caplog.messages == [event.message]
    assert (event.data["keys"], event.data["growth"]) == (1_200, 12.5)
    json.dumps(event.data)
    values = {(s.metric, s.labels[1:]): s.value for s in watch.collect()}
    assert values[PATTERNS_TOLD, ("period",)] == 1
    assert values[PATTERNS_TOLD, ("scan",)] == 0
    assert values[STRENGTH, ("period",)] == 0.5
    assert values[HELD, ()] == 1
    (table,) = [block for block in page_of(watch).blocks if isinstance(block, Grid)]
    assert table.rows[0][0] == "period"
    assert table.rows[0][3:] == ("1,200", "12.5", "3,000")
    clock.advance(600)
    watch.on_sample(sample(1, 100))
    assert len(view.events) == 2


def test_every_statistic_is_a_metric() -> None:
    watch, _, _ = watching()
    watch.on_sample(sample(*range(25)))
    values = {(s.metric, s.labels): s.value for s in watch.collect()}
    assert values[STATISTIC, ("shop", "reuse_distance", "ks")] == 0.0625
    assert values[THRESHOLD, ("shop", "reuse_distance", "ks")] == 0.125
    assert values[EVENTS, ("shop",)] == 25
    assert values[WINDOWS, ("shop",)] == 2
    assert {metric for metric, _ in values} == set(watch.metrics)


def test_a_sample_without_look_ups_is_nothing() -> None:
    watch, view, _ = watching()
    watch.on_sample(sample())
    assert (view.events, list(watch.courses)) == ([], [])


# ---- what is kept --------------------------------------------------------------------------------


def test_each_window_is_kept_in_the_file(tmp_path: Path) -> None:
    state = tmp_path / "{cache}.state"
    first, _, _ = watching(state=state)
    first.on_sample(sample(*range(9)))
    assert list(tmp_path.iterdir()) == []
    first.on_sample(sample(9))
    assert [path.name for path in tmp_path.iterdir()] == ["shop.state"]
    second, _, _ = watching(state=state)
    assert second.save() == first.save() == b"10"


def test_a_file_that_is_damaged_is_learned_anew(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "drift.state"
    path.write_bytes(keeping.MAGIC + b"1234data")
    watch, _, _ = watching(state=path)
    assert watch.save() == b"0"
    assert "is damaged; remove it" in watch.trouble
    assert "is damaged; remove it" in caplog.text
    watch.on_sample(sample(*range(10)))
    assert (watch.trouble, keeping.read(path)) == ("", b"10")


def test_a_file_that_cannot_be_written_is_a_trouble_and_no_error(tmp_path: Path) -> None:
    watch, _, _ = watching(state=tmp_path / "absent" / "drift.state")
    watch.on_sample(sample(*range(10)))
    assert "No such file" in watch.trouble
    assert len(watch.courses) == 1


def test_what_a_snapshot_kept_is_restored() -> None:
    first, _, _ = watching()
    first.on_sample(sample(*range(30)))
    second, _, _ = watching()
    second.restore(first.save())
    second.on_sample(sample(*range(5)))
    assert list(second.courses) == []  # no window was complete since
    second.on_sample(sample(*range(5)))
    assert len(second.courses) == 1


# ---- what is shown -------------------------------------------------------------------------------


def test_the_page_shows_the_course_and_the_change() -> None:
    watch, _, clock = watching()
    quiet = page_of(watch)
    assert Text(("No alarm was given.",)) in quiet.blocks
    watch.on_sample(sample(*range(10)))
    clock.advance(60)
    watch.on_sample(sample(*range(-1, 9)))
    page = page_of(watch)
    (course, change) = [block for block in page.blocks if isinstance(block, Plot)]
    (line,) = course.series
    assert (line.name, line.x, line.values) == ("reuse distance", (0.0, 1.0), (0.5, 0.5))
    assert course.marks == ((1.0, "reuse distance"),)
    assert [each.values for each in change.series] == [(0.75, 0.25), (0.25, 0.75)]
    (table,) = [block for block in page.blocks if isinstance(block, Grid)]
    assert table.rows == (("reuse distance", "ks", "0.0625", "0.125"),)


def test_the_command_shows_what_processes_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch, _, _ = watching(patterns=("period",))
    watch.on_sample(sample(*range(-1, 24)))
    answers = {7: [Snapshot("shop", 1, tuple(watch.collect())), Snapshot("other", 1, ())]}
    monkeypatch.setattr(command.processes, "snapshots", lambda folder: (answers, ["9: silent"]))
    run = CliRunner()
    told = run.invoke(command.drift, ["status", "--state-dir", str(tmp_path)])
    assert told.exit_code == 0, told.output
    assert told.output.splitlines() == [
        "Cache shop of process 7: 1 alarms, 2 windows, 25 sampled events",
        "  FEATURE         STATISTIC  VALUE   THRESHOLD  NOW        ALARMS",
        "  reuse_distance  ks         0.0625  0.125      as before  1",
        "  PATTERN  STRENGTH  NOW  EMERGED",
        "  period   0.50      -    0",
        "9: silent",
    ]
    told = run.invoke(command.drift, ["status", "--state-dir", str(tmp_path), "--json"])
    document = json.loads(told.output)
    (cache,) = document["caches"]
    assert (cache["pid"], cache["cache"], cache["alarms"]) == (7, "shop", 1)
    assert cache["readings"][0]["threshold"] == 0.125
    assert cache["patterns"] == [{"pattern": "period", "times": 0, "strength": 0.5}]
    assert run.invoke(command.drift, ["status"]).exit_code == 2


def test_a_wall_clock_that_is_set_makes_no_other_hour() -> None:
    class Set(ManualClock):
        ahead = 0

        def wall(self) -> int:
            return super().wall() + self.ahead

    class Hours(Told):
        def feed(self, events: Events, wall: float = 0.0, scored: Any = ()) -> list[Alarm]:
            hours.append(wall)
            return super().feed(events, wall, scored)

    hours: list[float] = []
    clock = Set()
    watch = Watch(View(), DriftConfig(), Hours(), clock)  # type: ignore[arg-type]
    clock.advance(100)
    watch.on_sample(sample(1))
    clock.ahead = 86_400 * 10**9
    clock.advance(1)
    watch.on_sample(sample(2))
    assert hours[1] - hours[0] == pytest.approx(1)


def test_models_are_asked_for_their_latest_scores() -> None:
    class Model:
        plugin, name, version = "markov", "next", 3

        def __init__(self) -> None:
            self.given: list[float] = [0.5, 0.25]

        def scores(self, since: int = 0) -> Scores:
            return Scores(np.array(self.given[since:]), len(self.given))

    class Failing(Model):
        name = "broken"

        def scores(self, since: int = 0) -> Scores:
            raise PluginError("model 'broken': scores failed")

    for features, asked in ((FEATURES, 1), (("new_keys",), 0)):
        watch, view, _ = watching(features=features)
        told: Any = watch._detector
        model = Model()
        view.offered = [Failing(), model]
        watch.on_sample(sample(1))
        assert len(told.scored) == asked
        if asked:
            (scored,) = told.scored
            assert (scored.model, scored.version) == ("markov/next", "3")
            assert scored.values.tolist() == [0.5, 0.25]
            model.given.append(0.75)
            watch.on_sample(sample(1))
            assert told.scored[0].values.tolist() == [0.75]
