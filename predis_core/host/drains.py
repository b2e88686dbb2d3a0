"""The thread in which the core drains what is sampled, of all caches of the process."""

from __future__ import annotations

import threading

from predis_core import runtime
from predis_core.clock import Clock
from predis_core.host.background import Worker


class Drains:
    """Has one thread for all who hold it; the last one to let go ends it."""

    def __init__(self) -> None:
        # A finaliser that lets go may come in while its own thread holds the lock.
        self._lock = threading.RLock()
        self._worker: Worker | None = None
        self._held = 0
        runtime.watch_fork(self)

    def hold(self) -> Worker:
        """Return the thread, which is there until `release`."""
        with self._lock:
            if self._worker is None:
                self._worker = Worker("drains", float("inf"), Clock())
            self._held += 1
            return self._worker

    def release(self, worker: Worker, patience: float = 0.0) -> None:
        """Let go of the thread; if it is to end, wait for so many seconds until it has."""
        with self._lock:
            if worker is not self._worker:  # of the process that this one was forked from
                return
            self._held -= 1
            if self._held:
                return
            self._worker = None
        worker.stop(patience)

    def _forked(self) -> None:
        # Threads did not come along, and the lock may be held by one of them.
        self._lock = threading.RLock()
        self._worker, self._held = None, 0


DRAINS = Drains()
