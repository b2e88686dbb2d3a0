"""The guard around a plugin's function."""

from __future__ import annotations

from typing import Any

import pytest

from predis_core.host.guard import FAILED, FAILURES_IN_A_ROW, Guard


def fails(*_: Any) -> None:
    raise ValueError("no")


def test_it_passes_arguments_and_results_through() -> None:
    guard = Guard("p", "what", lambda a, b=0: a + b)
    assert guard(1, b=2) == 3
    assert (guard.status().calls, guard.status().failures) == (1, 0)


def test_a_failure_is_counted_and_told_of_by_a_value_of_its_own() -> None:
    guard = Guard("p", "what", fails)
    assert guard() is FAILED
    assert guard.status().last_error == "ValueError: no"


def test_it_gives_up_after_failures_in_a_row_and_says_so_once() -> None:
    told: list[Guard] = []
    guard = Guard("p", "what", fails, on_disabled=told.append)
    for _ in range(5 * FAILURES_IN_A_ROW):
        assert guard() is FAILED
    assert told == [guard]
    assert guard.disabled
    assert guard.status().calls == FAILURES_IN_A_ROW


def test_strict_raises_and_counts_all_the_same() -> None:
    guard = Guard("p", "what", fails, strict=True)
    for _ in range(FAILURES_IN_A_ROW):
        with pytest.raises(ValueError, match="no"):
            guard()
    assert guard() is FAILED
    assert guard.failures == FAILURES_IN_A_ROW


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, SystemExit])
def test_what_is_no_failure_goes_its_way_uncounted(interrupt: type[BaseException]) -> None:
    def interrupted() -> None:
        raise interrupt

    guard = Guard("p", "what", interrupted)
    with pytest.raises(interrupt):
        guard()
    assert guard.failures == 0


def test_some_calls_are_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    readings = iter([5_000, 2_505_000])
    monkeypatch.setattr("predis_core.host.guard.stopwatch", lambda: next(readings))
    guard = Guard("p", "what", lambda: 7)
    assert guard.status().seconds == 0.0
    for _ in range(3):  # the first one is
        assert guard() == 7
    assert guard.status().seconds == 0.0025
