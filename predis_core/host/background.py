"""The one thread in which a plugin's background work runs."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any

from predis_core.clock import NANOSECONDS, Clock

WAITING_AT_MOST = 1_000
"""Jobs that may wait for a plugin; more are dropped."""

LATE: Any = object()
"""What `Worker.ask` returns if there was no answer in time."""


class _Periodic:
    """Something that runs every so often."""

    def __init__(self, job: Callable[[], Any], interval: int, due: int) -> None:
        self.job = job
        self.interval = interval
        self.due = due


class _Question:
    """A job whose result somebody waits for."""

    def __init__(self, job: Callable[[], Any]) -> None:
        self._job = job
        self._answered = threading.Event()
        self.answer: Any = LATE
        self.error: BaseException | None = None

    def __call__(self) -> None:
        try:
            self.answer = self._job()
        except Exception as error:
            self.error = error
        finally:
            self._answered.set()

    def wait(self, seconds: float) -> Any:
        """Return the answer, or LATE."""
        self._answered.wait(seconds)
        if self.error is not None:
            raise self.error
        return self.answer


class Worker:
    """A daemon thread that runs a plugin's jobs one after the other.

    A job that passes the deadline makes the worker hang: nothing of the plugin is called until the
    job returns, and what comes up meanwhile is dropped. Submitting never blocks and takes no lock
    that a job could hold.

    Args:
        plugin: the plugin's name.
        deadline: seconds that a job may take.
        clock: where the time comes from.
    """

    def __init__(self, plugin: str, deadline: float, clock: Clock) -> None:
        self.plugin = plugin
        self.deadline = deadline
        self.failure: Exception | None = None
        self._clock = clock
        self._jobs: SimpleQueue[Callable[[], Any] | None] = SimpleQueue()
        self._periodic: dict[int, _Periodic] = {}
        self._numbers = itertools.count()
        self._busy_since = 0
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name=f"predis-{plugin}", daemon=True)
        self._thread.start()

    @property
    def hangs(self) -> bool:
        """Whether a job has passed the deadline and has not returned."""
        since = self._busy_since
        return since != 0 and self._clock.monotonic() - since > self.deadline * NANOSECONDS

    @property
    def is_current(self) -> bool:
        """Whether this is the thread that asks."""
        return threading.current_thread() is self._thread

    @property
    def is_busy(self) -> bool:
        """Whether a job is running."""
        return self._busy_since != 0

    def every(self, seconds: float, job: Callable[[], Any]) -> int:
        """Run a job every so many seconds, for the first time after as many; return its number."""
        interval = round(seconds * NANOSECONDS)
        number = next(self._numbers)
        task = _Periodic(job, interval, self._clock.monotonic() + interval)

        def begin() -> None:
            self._periodic[number] = task

        self._jobs.put(begin)
        return number

    def no_longer(self, number: int) -> None:
        """End a periodic job."""

        def end() -> None:
            self._periodic.pop(number, None)

        self._jobs.put(end)

    def submit(self, job: Callable[[], Any]) -> bool:
        """Run a job soon; return False if the plugin hangs or is too far behind, and drop it."""
        if self.hangs or self._jobs.qsize() >= WAITING_AT_MOST:
            return False
        self._jobs.put(job)
        return True

    def ask(self, job: Callable[[], Any], seconds: float | None = None) -> Any:
        """Run a job and return its result; LATE if there is none within the deadline.

        Args:
            job: what to run; in place, if the caller is this worker.
            seconds: how long to wait, in place of the deadline.

        Raises:
            Exception: what the job raised.
        """
        if self.is_current:
            return job()
        if self.hangs or not self._thread.is_alive():
            return LATE
        question = _Question(job)
        self._jobs.put(question)
        return question.wait(self.deadline if seconds is None else seconds)

    def stop(self, patience: float | None = None) -> bool:
        """End the thread; return False if it did not and had to be left behind.

        Args:
            patience: seconds to wait, in place of the deadline.
        """
        self._stopping = True
        self._jobs.put(None)
        if self.is_current:
            return True
        self._thread.join(0.0 if self.hangs else self.deadline if patience is None else patience)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while not self._stopping:
            try:
                job = self._jobs.get(timeout=self._until_due())
            except Empty:
                job = None
            if job is not None:
                self._do(job)
            now = self._clock.monotonic()
            for task in [task for task in self._periodic.values() if task.due <= now]:
                # What was missed while the plugin was slow is not made up for.
                task.due = max(task.due + task.interval, now)
                self._do(task.job)

    def _until_due(self) -> float | None:
        due = min((task.due for task in self._periodic.values()), default=None)
        return None if due is None else max(0, due - self._clock.monotonic()) / NANOSECONDS

    def _do(self, job: Callable[[], Any]) -> None:
        if self._stopping:
            return
        self._busy_since = self._clock.monotonic()
        try:
            job()
        except Exception as error:  # from a strict guard: kept for whoever closes the cache
            self.failure = self.failure or error
        finally:
            self._busy_since = 0
