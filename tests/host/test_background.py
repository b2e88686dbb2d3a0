"""The thread in which a plugin's background work runs."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from predis_core.clock import ManualClock
from predis_core.host.background import LATE, WAITING_AT_MOST, Worker
from tests.support.crew import PATIENCE, wait_until


@pytest.fixture
def clock() -> ManualClock:
    """What deadlines and intervals go by. It stands still, so that a stall makes nobody late."""
    return ManualClock(1.0)


@pytest.fixture
def worker(clock: ManualClock) -> Iterator[Worker]:
    made = Worker("test", PATIENCE, clock)
    yield made
    made.stop(5.0)


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """Something to hang on, opened at the latest when the test ends."""
    opened = threading.Event()
    yield opened
    opened.set()


def hold(worker: Worker, gate: threading.Event) -> None:
    """Have a worker begin a job that does not return before the gate is opened."""
    began = threading.Event()

    def job() -> None:
        began.set()
        gate.wait()

    assert worker.submit(job)
    assert began.wait(PATIENCE)


def catch_up(worker: Worker) -> None:
    """Wait until a worker has done all that is due."""
    for _ in range(5):
        assert worker.ask(lambda: 1) == 1


def test_jobs_run_in_order_in_one_daemon_thread(worker: Worker) -> None:
    seen: list[tuple[int, str, bool]] = []
    for number in range(5):
        worker.submit(
            lambda number=number: seen.append(
                (number, threading.current_thread().name, threading.current_thread().daemon)
            )
        )
    wait_until(lambda: len(seen) == 5)
    assert seen == [(number, "predis-test", True) for number in range(5)]


def test_ask_returns_the_answer_or_raises_the_error(worker: Worker) -> None:
    assert worker.ask(lambda: 7) == 7
    with pytest.raises(ZeroDivisionError):
        worker.ask(lambda: 1 // 0)
    assert worker.ask(lambda: 8) == 8


def test_ask_from_within_runs_in_place(worker: Worker) -> None:
    assert worker.ask(lambda: worker.ask(lambda: 9)) == 9


def test_a_job_past_the_deadline_makes_the_worker_hang_until_it_returns(
    worker: Worker, clock: ManualClock, gate: threading.Event
) -> None:
    hold(worker, gate)
    clock.advance(PATIENCE)
    assert not worker.hangs
    clock.advance(0.001)
    assert worker.hangs
    assert worker.ask(lambda: 1) is LATE
    assert not worker.submit(lambda: None)
    gate.set()
    wait_until(lambda: not worker.hangs)
    assert worker.ask(lambda: 1) == 1


def test_a_late_answer_is_late(clock: ManualClock, gate: threading.Event) -> None:
    hasty = Worker("hasty", 0.05, clock)
    assert hasty.ask(gate.wait) is LATE
    gate.set()
    wait_until(hasty.stop)


def test_one_may_wait_for_less_than_the_deadline(worker: Worker, gate: threading.Event) -> None:
    assert worker.ask(gate.wait, 0.05) is LATE


def test_periodic_jobs_run_again_and_again_until_they_are_ended(
    worker: Worker, clock: ManualClock
) -> None:
    runs: list[int] = []
    number = worker.every(0.01, lambda: runs.append(1))
    catch_up(worker)
    assert runs == []
    for count in range(1, 4):
        clock.advance(0.01)
        wait_until(lambda count=count: len(runs) == count)  # nobody has to call it
        catch_up(worker)
        assert len(runs) == count
    worker.no_longer(number)
    catch_up(worker)
    clock.advance(1)
    catch_up(worker)
    assert len(runs) == 3


def test_what_was_missed_is_not_made_up_for(
    worker: Worker, clock: ManualClock, gate: threading.Event
) -> None:
    runs: list[int] = []
    worker.every(0.02, lambda: runs.append(1))
    hold(worker, gate)
    clock.advance(1)
    gate.set()
    catch_up(worker)
    assert 1 <= len(runs) <= 2


def test_more_than_so_many_jobs_are_not_taken(worker: Worker, gate: threading.Event) -> None:
    hold(worker, gate)
    taken = sum(worker.submit(lambda: None) for _ in range(2 * WAITING_AT_MOST))
    assert taken == WAITING_AT_MOST


def test_a_job_that_raises_ends_nothing_and_is_remembered(worker: Worker) -> None:
    worker.submit(lambda: 1 // 0)
    assert worker.ask(lambda: 5) == 5
    assert isinstance(worker.failure, ZeroDivisionError)


def test_stop_ends_the_thread_and_leaves_one_behind_that_hangs(
    clock: ManualClock, gate: threading.Event
) -> None:
    quick = Worker("quick", PATIENCE, clock)
    assert quick.stop()
    assert quick.stop()
    stuck = Worker("stuck", PATIENCE, clock)
    hold(stuck, gate)
    clock.advance(PATIENCE + 1)
    assert not stuck.stop()
    gate.set()
    wait_until(stuck.stop)
