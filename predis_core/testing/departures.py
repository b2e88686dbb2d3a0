"""What a cache owes to whoever asked to be told of entries that leave.

Each life of an entry, from the moment it is stored, ends once: it is told of with the value that it
had and the reason for which it left, or it is still there. `Departures` knows what was stored, and
compares: nothing may be missing that was not told, nothing told that was not there.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Collection
from typing import Any, NamedTuple, NoReturn

from predis_core.clock import Clock
from predis_core.types import Removals


class Held(NamedTuple):
    """An entry: its value, and its deadline in nanoseconds (0 for none)."""

    value: Any
    deadline: int


class Departures:
    """Who is there, and who left, of a cache that is empty when this begins.

    Args:
        clock: the cache's.
        same: decides whether two values are alike.

    Attributes:
        there: what is there, expired entries that were not reclaimed yet included.
        told: how many were told of, by reason.
    """

    def __init__(self, clock: Clock, same: Callable[[Any, Any], bool]) -> None:
        self._clock, self._same = clock, same
        self.there: dict[Any, Held] = {}
        self.told: Counter[str] = Counter()
        self._forget()

    def _forget(self) -> None:
        self._heard: dict[Any, list[tuple[Any, str]]] = {}
        self._stored: dict[Any, deque[Held]] = {}
        self._deleted: Counter[Any] = Counter()
        self._making_room = self._clearing = False

    # ------------------------------------------------------------------ what happens

    def hear(self, removals: Removals) -> None:
        """Take what a listener is told."""
        keys = removals.keys.tolist() if hasattr(removals.keys, "tolist") else removals.keys
        entries = list(zip(keys, removals.values, removals.reasons, removals.costs, strict=True))
        if not entries:
            fail("told: of nothing")
        for key, value, reason, cost in entries:
            if cost < 0:
                fail(f"told: {key!r} took {cost} seconds to load")
            self._heard.setdefault(key, []).append((value, reason))
            self.told[reason] += 1

    def heard(self, key: Any) -> list[Any]:
        """Return the values of a key that were told of since `settle`."""
        return [value for value, _ in self._heard.get(key, ())]

    def note_stored(self, key: Any, held: Held) -> None:
        """Take note of an entry that was stored."""
        self._stored.setdefault(key, deque()).append(held)
        self._making_room = True

    def note_refused(self) -> None:
        """Take note that an entry was refused: others may have left for it."""
        self._making_room = True

    def note_deleted(self, key: Any) -> None:
        """Take note that a key was deleted."""
        self._deleted[key] += 1

    def note_cleared(self) -> None:
        """Take note that everything was deleted."""
        self._clearing = True

    # ------------------------------------------------------------------ what must have been told

    def settle(self) -> None:
        """Check that all that left since the last time was told, each once, and why."""
        now = self._clock.monotonic()
        for key in [*self._heard, *(key for key in self._stored if key not in self._heard)]:
            self._walk(key, now)
        if untold := [key for key, count in self._deleted.items() if count]:
            fail(f"told: nobody was told that {untold[0]!r} was deleted")
        self._forget()

    def expect_there(self, size: int, keys: Collection[Any]) -> None:
        """Check that what is there is just what nobody was told of.

        Args:
            size: `len(cache)`.
            keys: those that it iterates over.
        """
        now = self._clock.monotonic()
        alive = {key for key, held in self.there.items() if not 0 < held.deadline <= now}
        if untold := [key for key in alive if key not in set(keys)]:
            fail(f"told: nobody was told that {untold[0]!r} left")
        if len(alive) < len(keys):
            fail(f"told: {set(keys) - alive!r} are there, but were told to have left")
        if size != len(self.there):
            expired = len(self.there) - len(alive)
            fail(f"told: {size} entries are there, but {len(alive)} and {expired} expired ones")

    def _walk(self, key: Any, now: int) -> None:
        """Follow the lives of a key, one after the other."""
        held, comes = self.there.pop(key, None), self._stored.pop(key, deque())
        for value, reason in self._heard.get(key, ()):
            if held is None:
                if not comes:
                    fail(f"told: {key!r} was {reason} with {value!r}, but was not there")
                held = comes.popleft()
            if not self._same(held.value, value):
                fail(f"told: {key!r} was {reason} with {value!r}, but had {held.value!r}")
            self._check_reason(key, held, reason, bool(comes), now)
            held = comes.popleft() if reason == "replaced" else None
        if held is None and comes:
            held = comes.popleft()
        if held is not None and comes:
            fail(f"told: nobody was told that {held.value!r} of {key!r} left")
        if held is not None:
            self.there[key] = held

    def _check_reason(self, key: Any, held: Held, reason: str, is_followed: bool, now: int) -> None:
        right = {
            "replaced": is_followed,
            "evicted": self._making_room,
            "deleted": self._deleted[key] > 0,
            "cleared": self._clearing,
        }
        expired = 0 < held.deadline <= now
        if expired != (reason == "expired") or not right.get(reason, expired):
            fail(f"told: {key!r} was {reason}, which cannot be why it left")
        if reason == "deleted":
            self._deleted[key] -= 1


def fail(text: str) -> NoReturn:
    """Say what is wrong."""
    raise AssertionError(text)
