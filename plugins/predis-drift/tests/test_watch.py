"""A cache under watch, with a detector that does as it is told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from click.testing import CliRunner

from predis_core.clock import ManualClock
from predis_core.pages import Grid, Plot, Text
from predis_core.plugin import Event, KeySample, Snapshot
from predis_drift import command, keeping
from predis_drift.config import DriftConfig
from predis_drift.gathering import Events
from predis_drift.interface import Alarm, Reading
from predis_drift.page import page_of
from predis_drift.watch import ALARMS, EVENTS, HELD, STATISTIC, THRESHOLD, WINDOWS, Watch

ALARM = Alarm(
    feature="reuse_distance",
    statistic="ks",
    value=0.5,
    threshold=0.125,
    labels=("near", "far"),
    before=(0.75, 0.25),
    after=(0.25, 0.75),
)


class Told:
    """A detector: windows of 10 events, and an alarm in each with a key below 0."""

    def __init__(self) -> None:
        self.events = self.windows = 0

    def feed(self, events: Events) -> list[Alarm]:
        self.events += len(events.words)
        self.windows = self.events // 10
        return [ALARM] if (events.words < 0).any() else []

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
    watch, _, _ = watching()
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
        "9: silent",
    ]
    told = run.invoke(command.drift, ["status", "--state-dir", str(tmp_path), "--json"])
    document = json.loads(told.output)
    (cache,) = document["caches"]
    assert (cache["pid"], cache["cache"], cache["alarms"]) == (7, "shop", 1)
    assert cache["readings"][0]["threshold"] == 0.125
    assert run.invoke(command.drift, ["status"]).exit_code == 2
