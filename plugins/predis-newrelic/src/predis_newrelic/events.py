"""Events that wait to be sent."""

from __future__ import annotations

from collections import deque
from typing import Any

from predis_core.plugin import Event

WAITING_AT_MOST = 100
"""Events; of more, the oldest are dropped."""

_MILLISECONDS = 1_000_000
_OWN = ("kind", "message", "severity", "source", "cache")


def body_of(event: Event) -> dict[str, Any]:
    """Return an event as New Relic takes it: flat, with numbers and texts."""
    data = {
        f"data.{name}": value if isinstance(value, int | float) else str(value)
        for name, value in event.data.items()
    }
    own = {name: getattr(event, name) for name in _OWN}
    return {"eventType": "PredisEvent", "timestamp": event.time // _MILLISECONDS} | data | own


class Events:
    """A bounded queue.

    Attributes:
        dropped: how many had to make room.
    """

    def __init__(self) -> None:
        self.dropped = 0
        self._waiting: deque[dict[str, Any]] = deque()

    def add(self, event: Event) -> None:
        """Queue an event."""
        if len(self._waiting) >= WAITING_AT_MOST:
            self._waiting.popleft()
            self.dropped += 1
        self._waiting.append(body_of(event))

    @property
    def waiting(self) -> list[dict[str, Any]]:
        """What waits, the oldest first."""
        return list(self._waiting)

    def done(self, count: int) -> None:
        """Forget the oldest ones."""
        for _ in range(count):
            self._waiting.popleft()
