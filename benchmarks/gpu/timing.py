"""How things are timed: on the device by its events, calls by the host's clock."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

FEWEST = 3
"""Repetitions that are done even where time runs out."""

Prepare = Callable[[int], Callable[[], object]]
"""Given the number of a repetition, gets it ready and returns what is timed."""


@dataclass(frozen=True, slots=True)
class Timing:
    """Repetitions of one thing, in seconds."""

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    @property
    def spread(self) -> float:
        """How far the quartiles are apart, as a share of the median."""
        low, _, high = statistics.quantiles(self.seconds, n=4, method="inclusive")
        return (high - low) / self.median if self.median else 0.0


class Deadline:
    """The time that there is."""

    def __init__(self, seconds: float) -> None:
        self._began = time.perf_counter()
        self._seconds = seconds

    @property
    def spent(self) -> float:
        """Seconds that went by."""
        return time.perf_counter() - self._began

    @property
    def left(self) -> float:
        """Seconds that are left; below 0 where it is over."""
        return self._seconds - self.spent


class Stopwatch:
    """Times what the device does.

    Before a repetition a buffer several times as large as the L2 cache is written. So nothing is
    found there that an earlier repetition left; and as the device is at that while the host asks
    for the work, what is timed is the work, not the asking, unless asking takes longer.

    Args:
        cupy: the module.
        deadline: after which a timing ends as soon as it has `FEWEST` repetitions.
        repetitions: of each timing otherwise, after one that does not count.
        l2: bytes of the device's L2 cache.
        cleared: least bytes that are written.
    """

    def __init__(
        self, cupy: Any, deadline: Deadline, repetitions: int, l2: int, cleared: int
    ) -> None:
        self._cupy = cupy
        self._deadline = deadline
        self._repetitions = max(repetitions, FEWEST)
        self._buffer = cupy.empty(max(4 * l2, cleared) // 4, np.float32)

    def on_the_device(self, prepare: Prepare) -> Timing:
        """Time work by CUDA's events."""
        events = self._cupy.cuda.Event
        taken: list[float] = []
        for repetition in range(-1, self._repetitions):
            if len(taken) >= FEWEST and self._deadline.left <= 0:
                break
            work, begin, end = prepare(repetition + 1), events(), events()
            self._buffer.fill(repetition)
            begin.record()
            work()
            end.record()
            end.synchronize()
            if repetition >= 0:
                taken.append(self._cupy.cuda.get_elapsed_time(begin, end) / 1e3)
        return Timing(tuple(taken))

    def by_the_clock(self, prepare: Prepare, calls: int = 1, *, each_waits: bool = True) -> Timing:
        """Time calls as their caller does, in seconds per call.

        Args:
            prepare: as above.
            calls: per repetition.
            each_waits: whether each is waited for, and not only what is behind all of them.
        """
        wait = self._cupy.cuda.get_current_stream().synchronize
        taken: list[float] = []
        for repetition in range(-1, self._repetitions):
            if len(taken) >= FEWEST and self._deadline.left <= 0:
                break
            work = prepare(repetition + 1)
            wait()
            begin = time.perf_counter()
            for _ in range(calls):
                work()
                if each_waits:
                    wait()
            end = time.perf_counter()
            wait()
            if repetition >= 0:
                taken.append((end - begin) / calls)
        return Timing(tuple(taken))
