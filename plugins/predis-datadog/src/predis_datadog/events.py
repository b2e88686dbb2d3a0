"""Events on their way: few of a sort, few in all."""

from __future__ import annotations

from collections import Counter, deque

from predis_core.clock import NANOSECONDS, Clock
from predis_core.plugin import Event

COOLING = 60
"""Seconds after an event in which others of its sort are left out."""

WAITING_AT_MOST = 50
SORTS_AT_MOST = 500


class Events:
    """Events of one cache that wait to be sent.

    Attributes:
        dropped: how many were not taken: "cooling" (one of their sort had just been taken), "full"
            (the oldest ones, as too many waited) or "refused" (by who was to receive them).
    """

    def __init__(self, clock: Clock | None = None) -> None:
        self.dropped: Counter[str] = Counter()
        self._clock = clock or Clock()
        self._waiting: deque[Event] = deque()
        self._taken: dict[tuple[str, str], int] = {}

    def add(self, event: Event) -> None:
        """Take an event, unless there are too many of its sort."""
        now = self._clock.monotonic()
        sort = (event.source, event.kind)
        before = self._taken.get(sort)
        if before is not None and now - before < COOLING * NANOSECONDS:
            self.dropped["cooling"] += 1
            return
        self._taken.pop(sort, None)  # so that the first ones are those that were taken first
        self._taken[sort] = now
        if len(self._taken) > SORTS_AT_MOST:
            del self._taken[next(iter(self._taken))]
        self._waiting.append(event)
        if len(self._waiting) > WAITING_AT_MOST:
            self._waiting.popleft()
            self.dropped["full"] += 1

    @property
    def next(self) -> Event | None:
        """The event that waits longest."""
        return self._waiting[0] if self._waiting else None

    def done(self, *, refused: bool = False) -> None:
        """Let go of that one."""
        self._waiting.popleft()
        self.dropped["refused"] += refused
