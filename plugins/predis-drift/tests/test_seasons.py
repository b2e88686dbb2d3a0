"""Hours of days and weeks as what windows are compared with."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np
import pytest

from predis_drift.calibration import calibrate_visits
from predis_drift.config import FEATURES, DriftConfig
from predis_drift.detector import LEARNED, Detector
from predis_drift.features import BINS
from predis_drift.gathering import Events
from predis_drift.interface import Alarm
from predis_drift.seasons import RUN, RUNS, VISITS, Seasons

WINDOW = 500
BLOCK = WINDOW // 2
HOUR = 40 * BLOCK
"""Look-ups of an hour."""


def at(day: int, hour: int, minute: float = 0) -> float:
    """The time of a day, counted from a Monday, where this test runs."""
    return time.mktime((2026, 3, 2 + day, hour, 0, 0, 0, 0, -1)) + 60 * minute


def block(value: int) -> Any:
    return np.full((len(FEATURES), BINS), value)


# ---- what is remembered --------------------------------------------------------------------------


def test_hours_are_local_ones_of_a_day_or_of_a_week() -> None:
    day, week = Seasons("day"), Seasons("week")
    assert (day.hour, day.visits()) == (-1, [])
    day.enter(at(0, 9))
    assert day.enter(at(1, 9))
    for days in range(7):
        for hour in (0, 9, 23):
            assert day.enter(at(days, hour, 59.9))
            assert week.enter(at(days, hour, 59.9))
            assert not week.enter(at(days, hour))
            assert (day.hour, week.hour) == (hour, 24 * days + hour)


def test_an_hour_knows_earlier_ones_and_not_itself() -> None:
    seasons = Seasons("day")
    for days in range(VISITS + 2):
        seasons.enter(at(days, 9))
        assert [int(each[0, 0, 0]) for each in seasons.visits()] == list(
            range(max(0, days - VISITS), days)
        )
        seasons.add(block(days))
        seasons.enter(at(days, 10))
        assert seasons.visits() == []


def test_what_is_remembered_is_bounded_and_of_all_of_an_hour() -> None:
    seasons, random = Seasons("week"), np.random.default_rng(1)
    seasons.enter(at(0, 9))
    for minute in range(60):
        seasons.enter(at(0, 9, minute))
        for _ in range(50):
            seasons.add(block(minute))
    seasons.enter(at(7, 9))
    (visit,) = seasons.visits()
    assert visit[:, 0, 0].tolist() == [0] * RUN + [30] * RUN
    for hour in range(24 * 7 * (VISITS + 1)):
        seasons.enter(at(0, hour))
        for _ in range(30):
            seasons.add(random.multinomial(BLOCK, np.ones(BINS) / BINS, len(FEATURES)))
    assert 0 < seasons.size < 24 * 7 * VISITS * RUN * RUNS * len(FEATURES) * BINS * 2
    assert len(seasons.visits()) == VISITS


def test_what_was_kept_goes_on_in_the_middle_of_an_hour() -> None:
    first, second = Seasons("day"), Seasons("day")
    first.enter(at(0, 9))
    first.add(block(1))
    first.enter(at(0, 9, 20))
    second.restore(first.state())
    assert second.state() == first.state()
    assert not second.enter(at(0, 9, 25))
    second.add(block(2))  # there may have been enough of this half of the hour
    assert second.state() == first.state()
    second.enter(at(0, 9, 35))
    second.add(block(3))
    second.enter(at(1, 10))
    second.enter(at(1, 9))
    assert [each[:, 0, 0].tolist() for each in second.visits()] == [[1, 3]]


def test_what_was_not_kept_here_is_refused() -> None:
    seasons = Seasons("day")
    seasons.enter(at(0, 9))
    seasons.add(block(1))
    kept = seasons.state()
    with pytest.raises(ValueError, match="those of another `season`"):
        Seasons("week").restore(kept)
    for visit in (b"junk", kept.visit[:-2]):
        with pytest.raises(ValueError, match="hours of this state are damaged"):
            seasons.restore(msgspec.structs.replace(kept, visit=visit))
    wrong = Seasons("day")
    wrong.add(block(-1))
    with pytest.raises(ValueError, match="hours of this state are damaged"):
        seasons.restore(wrong.state())
    assert seasons.state() == kept


def test_days_that_differ_have_higher_limits() -> None:
    random, law = np.random.default_rng(2), 0.7 ** np.arange(BINS)
    alike = [random.multinomial(1_000, law / law.sum(), (20, len(FEATURES))) for _ in range(4)]
    differ = [np.roll(visit, 2 * (at % 2), axis=-1) for at, visit in enumerate(alike)]
    low, high = (calibrate_visits(each, 3, 5.0).limits for each in (alike, differ))
    assert (high > 2 * low).all()
    lacks = [visit.copy() for visit in alike]
    lacks[1][:, 0] = 0
    limits = calibrate_visits(lacks, 3, 5.0)
    assert np.isinf([limits.limits[0], limits.limits_of_psi[0]]).all()
    assert np.isfinite(limits.limits[1:]).all()


# ---- the detector --------------------------------------------------------------------------------


def look_ups(day: int, hour: int) -> Events:
    """An hour: at ten, other keys are asked for, and thrice as often."""
    random = np.random.default_rng([day, hour])
    law = np.cumsum(1 / np.arange(1, 1_001))
    words = np.searchsorted(law, random.random(HOUR) * law[-1])
    pauses = random.exponential(1 / (300 if hour == 10 else 100), HOUR)
    return Events(words + 10_000 * (hour == 10), np.cumsum(pauses), random.random(HOUR) < 0.7)


def fed(detector: Detector, day: int, hour: int, events: Events) -> Iterator[Alarm]:
    for start in range(0, HOUR, 500):
        columns = (None if each is None else each[start : start + 500] for each in events)
        yield from detector.feed(Events(*columns), at(day, hour, 60 * start / HOUR))


def days(detector: Detector, *which: int) -> list[Alarm]:
    return [
        alarm
        for day in which
        for hour in (9, 10, 11)
        for alarm in fed(detector, day, hour, look_ups(day, hour))
    ]


def test_what_recurs_at_its_hour_gives_no_alarm_and_at_another_one_it_does() -> None:
    rolling = Detector(DriftConfig(window=WINDOW))
    assert len(days(rolling, 0, 1, 2, 3)) >= 4
    assert days(rolling, 4) != []
    seasonal = Detector(DriftConfig(window=WINDOW, reference="seasonal"))
    days(seasonal, 0, 1, 2)
    assert days(seasonal, 3, 4) == []
    (alarm, *_) = fed(seasonal, 5, 9, look_ups(5, 10))
    assert alarm.feature == "popularity"
    # What is as it was at its hour is no reason for a second one.
    assert list(fed(seasonal, 5, 10, look_ups(5, 10))) == []


def test_hours_are_kept_and_restored() -> None:
    first = Detector(DriftConfig(window=WINDOW, reference="seasonal"))
    days(first, 0, 1, 2)
    second = Detector(DriftConfig(window=WINDOW, reference="seasonal"))
    second.restore(first.state())
    assert days(second, 3) == []
    assert list(fed(second, 4, 9, look_ups(4, 10))) != []
    rolling = Detector(DriftConfig(window=WINDOW))
    rolling.restore(first.state())
    assert rolling.windows == first.windows
    weekly = Detector(DriftConfig(window=WINDOW, reference="seasonal", season="week"))
    with pytest.raises(ValueError, match="another `season`"):
        weekly.restore(first.state())
    assert weekly.windows == 0


def test_until_an_hour_is_known_the_reference_rolls() -> None:
    detector = Detector(DriftConfig(window=WINDOW, reference="seasonal"))
    assert list(fed(detector, 0, 9, look_ups(0, 9))) == []
    assert list(fed(detector, 0, 11, look_ups(0, 11))) == []
    assert detector.readings() != ()
    assert LEARNED * BLOCK == HOUR
    assert list(fed(detector, 0, 12, look_ups(0, 10))) != []
