"""The lookups of a cache that works, brought to those who learn from them.

They are drained in the background, and once more when somebody wants to know.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from predis_core.adapt.estimate import NOTHING, Truth
from predis_core.adapt.sampled import Consumer, FollowedTable, SampledLookups
from predis_core.policies import Policy
from predis_core.table.interface import Counter

INTERVAL = 0.05
"""Seconds between two drains in the background."""

_WRITTEN = 0.001
"""Seconds after which a lookup that was counted has been written."""

_FEWEST_WAITING, _MOST_WAITING = 1 << 14, 1 << 20
_LOOKUPS_BETWEEN = 1 << 21
"""Lookups, of all keys, that there may be between two drains."""

_STEADY = 256
"""Sampled entries of a full cache below which the rate stays, however fast lookups come."""


class Drain:
    """Has consumers follow the lookups of a cache.

    Args:
        lookups: of the cache.
        table: the cache's, whose lookups are noted from now on.
        consumers: who take them; the highest of their rates is noted. It is halved whenever
            lookups come faster than they are drained.
        room: lookups that may wait to be drained at least.

    Attributes:
        lost: lookups of sampled keys that were overwritten before they were read.
    """

    def __init__(
        self,
        lookups: SampledLookups,
        table: FollowedTable,
        consumers: Sequence[Consumer],
        room: int = 0,
    ) -> None:
        self.lost = 0
        self._lookups = lookups
        self._consumers = tuple(consumers)
        self._rate = max(consumer.rate for consumer in consumers)
        self._room = max(room, _room_for(self._rate))
        self._shape = _shape(table)
        self._since = self._settled = 0
        self._counted = self._taken = NOTHING
        self._unseen = 0.0
        # A finaliser that wants to know may come in while its own thread drains.
        self._lock = threading.RLock()
        lookups.want(table, "core", self._rate, self._room)

    def drain(self, present: Callable[[], FollowedTable]) -> None:
        """Have the consumers take what was noted when this was called before.

        What was noted since may not be written yet: a kernel counts a lookup first.

        Args:
            present: returns the cache's table; asked when it is this call's turn, as a table that
                was replaced meanwhile has not counted what its successor noted.
        """
        with self._lock:
            table = present()
            until, self._settled = self._settled, self._lookups.noted(table)
            counted, self._counted = self._counted, _counted(table)
            noted = self._lookups.read(table, self._since, self._rate, until)
            self._since = noted.since
            self.lost += noted.lost
            self._unseen += noted.lost / self._rate
            truth = self._stretch(counted)
            for consumer in self._consumers:
                consumer.feed(noted.words, noted.hits, truth)
            if noted.lost:
                self._slow_down(table)
            if self._shape != _shape(table):
                self._shape = _shape(table)
                for consumer in self._consumers:
                    consumer.aim(*self._shape)

    @contextlib.contextmanager
    def drained(self, present: Callable[[], FollowedTable]) -> Iterator[None]:
        """Have the consumers take all that was noted, and nothing more meanwhile."""
        with self._lock:
            self.drain(present)
            time.sleep(_WRITTEN)
            self.drain(present)
            yield

    def _stretch(self, counted: Truth) -> Truth:
        """Return what is known of the lookups until `counted`, without those that are unseen."""
        requests, misses = np.subtract(counted, self._taken).tolist()
        self._taken = counted
        seen = max(0.0, requests - self._unseen)
        self._unseen -= requests - seen
        return Truth(seen, misses * seen / requests) if requests else NOTHING

    def _slow_down(self, table: FollowedTable) -> None:
        """Have half as many keys noted, as long as these are enough."""
        if self._rate * self._shape[1] < _STEADY:
            return
        self._rate /= 2
        self._lookups.want(table, "core", self._rate, self._room)
        for consumer in self._consumers:
            consumer.lower(self._rate)


def _room_for(rate: float) -> int:
    """Return how many lookups may wait at a rate."""
    return max(_FEWEST_WAITING, min(_MOST_WAITING, round(rate * _LOOKUPS_BETWEEN)))


def _shape(table: FollowedTable) -> tuple[Policy, int]:
    """Return a table's policy and capacity, as they are or are about to be."""
    return table.newest.policy, table.newest.layout.slots


def _counted(table: FollowedTable) -> Truth:
    """Return what a table counted so far."""
    counters = table.counters()
    return Truth(counters[Counter.HITS] + counters[Counter.MISSES], counters[Counter.MISSES])
