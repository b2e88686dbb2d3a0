"""Threads for what must not run on an event loop."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from queue import SimpleQueue

from predis_core import runtime

Job = Callable[[], None]


class Workers:
    """Daemon threads, made when idle ones are too few; the process ends without waiting for them.

    Args:
        name: what the threads are called.
        limit: how many there may be; jobs beyond wait for one.
    """

    def __init__(self, name: str, limit: int) -> None:
        self._name = name
        self._limit = limit
        self._forked()
        runtime.watch_fork(self)

    def submit(self, job: Job) -> None:
        """Run a job soon; it must not raise.

        Raises:
            RuntimeError: if the system has no thread left and there is none to wait for.
        """
        if not self._idle.acquire(blocking=False):
            self._grow()
        self._jobs.put(job)

    def _grow(self) -> None:
        with self._lock:
            if self._threads == self._limit:
                return
            name = f"predis-{self._name}-{self._threads}"
            work = (self._jobs, self._idle)
            try:
                threading.Thread(target=_work, args=work, name=name, daemon=True).start()
            except RuntimeError:
                if not self._threads:
                    raise
            else:
                self._threads += 1

    def _forked(self) -> None:
        """Begin anew: a child process has none of its parent's threads."""
        self._threads = 0
        self._lock = threading.Lock()
        self._idle = threading.Semaphore(0)
        self._jobs: SimpleQueue[Job] = SimpleQueue()


def _work(jobs: SimpleQueue[Job], idle: threading.Semaphore) -> None:
    while True:
        # Without a name: what a job holds must not live until the next one comes.
        jobs.get()()
        idle.release()


KERNELS = Workers("kernel", min(4, os.cpu_count() or 1))
"""For batches: milliseconds each."""

LOADERS = Workers("loader", 32)
"""For loaders that are plain functions: they take as long as they take."""
