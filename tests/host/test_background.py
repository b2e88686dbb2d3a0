"""The thread in which a plugin's background work runs."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from predis_core.clock import Clock
from predis_core.host.background import LATE, WAITING_AT_MOST, Worker
from tests.support.crew import wait_until


@pytest.fixture
def worker() -> Iterator[Worker]:
    made = Worker("test", 0.2, Clock())
    yield made
    made.stop(5.0)


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """Something to hang on, opened at the latest when the test ends."""
    opened = threading.Event()
    yield opened
    opened.set()


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
    worker: Worker, gate: threading.Event
) -> None:
    worker.submit(gate.wait)
    assert not worker.hangs
    wait_until(lambda: worker.hangs)
    assert worker.ask(lambda: 1) is LATE
    assert not worker.submit(lambda: None)
    gate.set()
    wait_until(lambda: not worker.hangs)
    assert worker.ask(lambda: 1) == 1


def test_a_late_answer_is_late(worker: Worker, gate: threading.Event) -> None:
    assert worker.ask(gate.wait) is LATE


def test_periodic_jobs_run_again_and_again_until_they_are_ended(worker: Worker) -> None:
    runs: list[float] = []
    number = worker.every(0.01, lambda: runs.append(time.monotonic()))
    wait_until(lambda: len(runs) >= 3)
    worker.no_longer(number)
    worker.ask(lambda: None)
    count = len(runs)
    time.sleep(0.05)
    assert len(runs) == count


def test_what_was_missed_is_not_made_up_for(worker: Worker, gate: threading.Event) -> None:
    runs: list[int] = []
    worker.every(0.02, lambda: runs.append(1))
    worker.submit(gate.wait)
    time.sleep(0.3)
    before = len(runs)
    gate.set()
    time.sleep(0.03)
    assert len(runs) - before <= 4


def test_more_than_so_many_jobs_are_not_taken(worker: Worker, gate: threading.Event) -> None:
    began = threading.Event()

    def wait() -> None:
        began.set()
        gate.wait(0.15)

    worker.submit(wait)
    assert began.wait(5)
    taken = sum(worker.submit(lambda: None) for _ in range(2 * WAITING_AT_MOST))
    assert taken == WAITING_AT_MOST


def test_a_job_that_raises_ends_nothing_and_is_remembered(worker: Worker) -> None:
    worker.submit(lambda: 1 // 0)
    assert worker.ask(lambda: 5) == 5
    assert isinstance(worker.failure, ZeroDivisionError)


def test_stop_ends_the_thread_and_leaves_one_behind_that_hangs(gate: threading.Event) -> None:
    quick = Worker("quick", 0.2, Clock())
    assert quick.stop()
    assert quick.stop()
    stuck = Worker("stuck", 0.1, Clock())
    stuck.submit(gate.wait)
    wait_until(lambda: stuck.hangs)
    assert not stuck.stop()
    gate.set()
    wait_until(stuck.stop)
