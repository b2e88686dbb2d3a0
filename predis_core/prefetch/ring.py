"""Where the batches of a cache wait for its engine: whole, a bounded number of them."""

from __future__ import annotations

import threading
from collections import deque
from math import inf
from typing import NamedTuple

from predis_core.table.interface import Bools, Int64s, Keys, Objects


class Entry(NamedTuple):
    """A batch of look-ups, copied."""

    number: int
    words: Int64s
    refs: Objects | None
    hits: Bools


class Ring:
    """Takes batches in any thread, and hands them over in the order in which it took them.

    Who puts one in never waits. A batch that comes while the ring is shut is passed by; one that
    finds no room is dropped, and counted, roughly if threads do so at the same moment.

    Args:
        room: accesses that may wait.
        wake: set when there is something.

    Attributes:
        now: grows with time; a batch has as its number what this was as it began.
        is_open: whether batches are taken.
        dropped: accesses that found no room.
    """

    __slots__ = (
        "_held",
        "_left",
        "_room",
        "_waiting",
        "_wake",
        "dropped",
        "is_open",
        "now",
    )

    def __init__(self, room: int, wake: threading.Event) -> None:
        self.now = 0
        self.is_open = True
        self.dropped = 0
        self._held = 0
        self._left: float = inf
        self._room = room
        self._wake = wake
        self._waiting: deque[Entry] = deque()

    def put(self, number: int, keys: Keys, hits: Bools) -> None:
        """Have a batch wait; it is copied, for it is the caller's."""
        if not self.is_open:
            return
        n = len(hits)
        if self._held + n > self._room:
            self.dropped += n
            return
        self._held += n
        refs = None if keys.refs is None else keys.refs.copy()
        self._waiting.append(Entry(number, keys.words.copy(), refs, hits.copy()))
        if not self._wake.is_set():
            self._wake.set()
        # It is who puts that shuts it: whoever takes may be far behind.
        self._left -= n
        if self._left <= 0:
            self.shut()

    def take(self) -> Entry | None:
        """Return the batch that has waited longest; None if none waits."""
        try:
            entry = self._waiting.popleft()
        except IndexError:
            return None
        self._held -= len(entry.hits)
        return entry

    def tick(self) -> int:
        """Return a number that is lower than that of no batch which begins from now on."""
        self.now += 1
        return self.now

    def shut(self) -> None:
        """Take no batches any longer."""
        self.is_open = False

    @property
    def is_limited(self) -> bool:
        """Whether it was last opened for a limited number of accesses."""
        return self._left < inf

    def open(self, most: float = inf) -> None:
        """Take batches again, until there were so many accesses."""
        self._left = most
        self.is_open = True
