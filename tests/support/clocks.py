"""Clocks that watch how they are used."""

from __future__ import annotations

import predis_core as predis


class TickingClock(predis.Clock):
    """Counts how often it is read, and moves on by `step` seconds with each reading.

    Deadlines come from the monotonic clock: reading the other one is an error.
    """

    def __init__(self, step: float = 0.0) -> None:
        self.readings = 0
        self._step = step

    def monotonic(self) -> int:
        self.readings += 1
        return round((1_000 + self.readings * self._step) * 1e9)

    def wall(self) -> int:
        raise AssertionError("the wall clock was read")
