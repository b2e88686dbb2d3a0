"""Threads for a test: they start together, hand back what they return or raise, and end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

PATIENCE = 300.0
"""Seconds after which a thread counts as hung; what takes longest is to compile kernels."""


class Crew:
    """The threads of one test. They are daemons, so that a hung one cannot hold up the run."""

    def __init__(self) -> None:
        self._members: list[threading.Thread] = []

    def start(self, work: Callable[[], Any]) -> Future[Any]:
        """Run `work` in a thread of its own; the future holds what it returns or raises."""
        future: Future[Any] = Future()

        def run() -> None:
            try:
                future.set_result(work())
            except BaseException as error:
                future.set_exception(error)

        member = threading.Thread(target=run, daemon=True)
        self._members.append(member)
        member.start()
        return future

    def run(self, *works: Callable[[], Any], patience: float = PATIENCE) -> list[Any]:
        """Run each work in a thread of its own, let go at once; return what they return."""
        gate = threading.Barrier(len(works))

        def gated(work: Callable[[], Any]) -> Callable[[], Any]:
            return lambda: (gate.wait(PATIENCE), work())[1]

        futures = [self.start(gated(work)) for work in works]
        return [future.result(patience) for future in futures]

    def end(self) -> None:
        """Wait for all; one that still runs is the test's failure."""
        deadline = time.monotonic() + PATIENCE
        for member in self._members:
            member.join(max(0.0, deadline - time.monotonic()))
        self._members = [member for member in self._members if member.is_alive()]
        assert not self._members, f"still running: {self._members}"


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait for what other threads bring about."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.0005)
