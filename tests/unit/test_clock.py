"""Clocks, durations, lifetimes and deadlines."""

from __future__ import annotations

import math
import time
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from predis_core.clock import (
    MAX_DURATION,
    Clock,
    ManualClock,
    is_stopwatch,
    nanoseconds,
    ticking,
)
from predis_core.errors import ConfigurationError
from predis_core.lifetimes import deadlines_of, lifetimes_of
from tests.support.depth import search

SECONDS = st.floats(1e-12, 1e12)


def test_a_clock_tells_the_machines_time() -> None:
    clock = Clock()
    before = time.monotonic_ns(), time.time_ns()
    told = clock.monotonic(), clock.wall()
    after = time.monotonic_ns(), time.time_ns()
    assert before[0] <= told[0] <= after[0]
    assert before[1] <= told[1] <= after[1]


def test_the_machines_clock_is_asked_without_a_method_around_it() -> None:
    assert ticking(Clock()) is time.monotonic_ns
    manual = ManualClock()
    assert ticking(manual) == manual.monotonic
    own = Clock()
    own.monotonic = lambda: 7  # type: ignore[method-assign]
    assert ticking(own)() == 7


def test_the_stopwatch_stands_for_the_machines_clock_only() -> None:
    assert not is_stopwatch(ManualClock())
    if is_stopwatch(Clock()):
        before = time.monotonic_ns()
        assert before <= time.perf_counter_ns() <= time.monotonic_ns()


def test_a_manual_clock_stands_still_until_it_is_moved() -> None:
    clock = ManualClock(start=1.5)
    assert clock.monotonic() == clock.wall() == 1_500_000_000
    clock.advance(0.25)
    clock.advance(0)
    assert clock.monotonic() == clock.wall() == 1_750_000_000


def test_a_manual_clock_does_not_go_back() -> None:
    with pytest.raises(ConfigurationError, match=r"seconds: .* cannot go back by 1; pass >= 0"):
        ManualClock().advance(-1)


@pytest.mark.parametrize(
    ("duration", "expected"),
    [
        (1, 1_000_000_000),
        (0.5, 500_000_000),
        (timedelta(minutes=1), 60_000_000_000),
        (np.float32(0.5), 500_000_000),
        (np.int64(2), 2_000_000_000),
        (1e-12, 1),
        (math.inf, 0),
        (1e30, MAX_DURATION),
    ],
)
def test_durations_in_nanoseconds(duration: Any, expected: int) -> None:
    assert nanoseconds(duration) == expected
    assert lifetimes_of(duration, 3) == expected


@pytest.mark.parametrize(
    "duration", [0, -1, math.nan, True, "5m", None, -math.inf, timedelta(0), 1j], ids=repr
)
def test_what_is_no_duration_names_the_field_and_the_fix(duration: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"grace: expected seconds > 0 .*leaving it out"):
        nanoseconds(duration, "grace")


@given(st.lists(SECONDS | st.just(math.inf), min_size=1, max_size=5))
@search(examples=200)
def test_lifetimes_in_an_array_are_those_given_one_by_one(seconds: list[float]) -> None:
    expected = [nanoseconds(one) for one in seconds]
    assert lifetimes_of(seconds, len(seconds)).tolist() == expected
    assert lifetimes_of(np.array(seconds), len(seconds)).tolist() == expected


@pytest.mark.parametrize(
    ("ttl", "message"),
    [
        ([1.0], r"ttl: expected 2 seconds, one per key, got shape \(1,\)"),
        ([[1.0, 2.0]], r"ttl: expected 2 seconds, one per key, got shape \(1, 2\)"),
        ([1.0, 0.0], r"ttl: expected seconds > 0, got 0.0 at position 1; infinity is"),
        ([-1.0, 0.0], r"ttl: expected seconds > 0, got -1.0 at position 0"),
        ([1.0, math.nan], r"ttl: expected seconds > 0, got nan at position 1"),
        (["5m", "6m"], r"ttl: expected seconds, got"),
        ([timedelta(1), timedelta(1)], r"ttl: expected seconds, got"),
        ([[1.0], [1.0, 2.0]], r"ttl: expected seconds, got"),
    ],
    ids=repr,
)
def test_lifetimes_that_do_not_fit_name_the_field_and_the_fix(ttl: Any, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        lifetimes_of(ttl, 2)


def test_numpys_durations_are_lifetimes_too() -> None:
    assert lifetimes_of(np.timedelta64(1500, "ms"), 2) == 1_500_000_000
    many = np.array([1500, 10], "m8[ms]")
    assert lifetimes_of(many, 2).tolist() == [1_500_000_000, 10_000_000]


def test_deadlines_begin_now() -> None:
    assert deadlines_of(0, 100, 3) is None
    assert deadlines_of(5, 100, 3).tolist() == [105, 105, 105]  # type: ignore[union-attr]
    mixed = deadlines_of(np.array([5, 0, 7], np.int64), 100, 3)
    assert mixed is not None
    assert mixed.tolist() == [105, 0, 107]
    assert mixed.dtype == np.int64


def test_the_longest_life_ends_within_int64() -> None:
    until = deadlines_of(nanoseconds(1e30), time.monotonic_ns(), 1)
    assert until is not None
    assert until[0] > MAX_DURATION
