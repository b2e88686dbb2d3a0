"""What carries points: what the ways to Datadog have in common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple, Protocol

from predis_core.plugin import Event
from predis_datadog.points import Point, tag_of

Fate = Literal["arrived", "failed", "refused", "unknown"]
"""What became of something: "refused" will be so again, "unknown" may have arrived."""


class Outcome(NamedTuple):
    """What became of some points.

    Attributes:
        arrived: points that did, or whose way cannot be watched.
        unknown: points that were sent, and to which there was no answer: they may be sent once more
            with the same time, and be none too many.
        reason: why not all arrived; "" if they did.
    """

    arrived: Sequence[Point]
    unknown: Sequence[Point] = ()
    reason: str = ""


class Transport(Protocol):
    """A way to Datadog. Only the plugin's own thread uses it; it never raises."""

    @property
    def target(self) -> str:
        """Where it leads, for people."""

    def begin(self) -> None:
        """An export begins: all that follows has the section's `timeout` together."""

    def send(self, points: Sequence[Point], second: int) -> Outcome:
        """Send points, and stop at the first failure.

        Args:
            points: what to send.
            second: of the points, since the Unix epoch; no two exports of a cache have the same.
        """

    def send_event(self, event: Event, tags: Sequence[str]) -> Fate:
        """Send an event."""

    def send_check(self, name: str, status: int, tags: Sequence[str], message: str) -> Fate:
        """Send the status of a service: 0 is OK, 1 WARNING, 2 CRITICAL."""


LONGEST_TITLE = 100
LONGEST_TEXT = 4_000
"""Characters; a datagram has 8 KiB."""


def title_of(event: Event) -> str:
    """Return an event's title."""
    return _encodable(f"Predis: {event.kind} ({event.cache})"[:LONGEST_TITLE])


def text_of(event: Event) -> str:
    """Return an event's text."""
    return _encodable(event.message[:LONGEST_TEXT])


def key_of(event: Event) -> str:
    """Return what Datadog puts events of the same sort together by."""
    return tag_of("predis", f"{event.cache}:{event.source}:{event.kind}")[:LONGEST_TITLE]


def _encodable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()
