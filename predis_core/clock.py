"""The only place that asks for the time."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from typing import SupportsFloat

from predis_core.errors import ConfigurationError

stopwatch = time.perf_counter_ns
"""Nanoseconds of the finest clock there is: for how long something took, never for deadlines."""

NANOSECONDS = 1_000_000_000
MAX_DURATION = 1 << 61
"""Nanoseconds, 73 years: longer ones are cut to this, so that deadlines fit int64."""


class Clock:
    """The machine's clocks, in integer nanoseconds."""

    def monotonic(self) -> int:
        """Return nanoseconds that never go backwards; deadlines are kept in these."""
        return time.monotonic_ns()

    def wall(self) -> int:
        """Return nanoseconds since the Unix epoch; only what leaves the process uses these."""
        return time.time_ns()


def ticking(clock: Clock) -> Callable[[], int]:
    """Return what tells monotonic time; the machine's clock without the method around it."""
    plain = type(clock).monotonic is Clock.monotonic and "monotonic" not in vars(clock)
    return time.monotonic_ns if plain else clock.monotonic


def is_stopwatch(clock: Clock) -> bool:
    """Return whether `stopwatch` reads what the clock's `monotonic` does, so that one will do."""
    finest, monotonic = (time.get_clock_info(name) for name in ("perf_counter", "monotonic"))
    same = finest.implementation == monotonic.implementation
    return same and ticking(clock) is time.monotonic_ns


class ManualClock(Clock):
    """A clock that stands still until it is moved: for tests and for replays.

    Args:
        start: seconds at which both clocks begin.
    """

    def __init__(self, start: float = 0.0) -> None:
        self._now = round(start * NANOSECONDS)

    def monotonic(self) -> int:
        """Return the nanoseconds that this clock was moved to."""
        return self._now

    def wall(self) -> int:
        """Return the same nanoseconds as `monotonic()`."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Move the clock forward.

        Raises:
            ConfigurationError: if `seconds` is negative.
        """
        if seconds < 0:
            raise ConfigurationError(f"seconds: a clock cannot go back by {-seconds}; pass >= 0")
        self._now += round(seconds * NANOSECONDS)


def nanoseconds(duration: float | timedelta, field: str = "ttl") -> int:
    """Return a duration in nanoseconds; 0 stands for one that never ends.

    Args:
        duration: seconds, or a timedelta; infinity never ends.
        field: what the message of an error calls it.

    Raises:
        ConfigurationError: if it is not a duration greater than zero.
    """
    seconds = duration.total_seconds() if isinstance(duration, timedelta) else duration
    if isinstance(seconds, bool) or not isinstance(seconds, SupportsFloat) or not seconds > 0:
        raise ConfigurationError(
            f"{field}: expected seconds > 0 or a timedelta, got {duration!r}; "
            "infinity or leaving it out is for entries that do not expire"
        )
    value = float(seconds)
    return 0 if value == float("inf") else min(max(1, round(value * NANOSECONDS)), MAX_DURATION)
