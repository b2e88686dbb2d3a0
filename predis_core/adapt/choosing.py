"""The lookups of a cache that works, brought to a choice among policies.

Where every key is followed, as of small caches, to note each lookup would cost more than the better
policy gains. So lookups are noted for a while, which gives a stretch without gaps, and then not,
for the longer the more there were.
"""

from __future__ import annotations

from predis_core.adapt.calm import Calm
from predis_core.adapt.choice import Choice
from predis_core.adapt.sampled import FollowedTable, SampledLookups
from predis_core.policies import Policy
from predis_core.policies.choice import rest_of
from predis_core.table.interface import Counter

INTERVAL = 0.1
"""Seconds between two turns."""

_ROOM = 1 << 13
"""Lookups that are taken from a stretch at most, the last ones."""

_PER_SECOND = 30_000
"""Lookups that are taken in a second at most, on average."""

_WHO = "auto"


class Choosing:
    """Follows the lookups of a cache and says which policy suits them.

    Args:
        lookups: of the cache.
        table: the cache's.
        seed: int64, the table's.
    """

    def __init__(self, lookups: SampledLookups, table: FollowedTable, seed: int) -> None:
        self._lookups, self._seed = lookups, seed
        self._choice: Choice | None = None
        self._begin, self._rest, self._calm = table.policy, rest_of(table.given), Calm()
        self._evictions = _evictions(table)
        self._since = self._until = 0
        self._notes = self._waits = self._forgets = False
        self._idle = 0.0

    @property
    def nbytes(self) -> int:
        """Bytes of the small tables; what was noted waits in the cache's table."""
        return 0 if self._choice is None else self._choice.nbytes

    def forget(self) -> None:
        """Choose anew from the next turn on, beginning with the present choice; in any thread."""
        self._forgets = True

    def turn(self, table: FollowedTable) -> Policy:
        """Take what was noted, and return the policy that suits best.

        To be called every `INTERVAL`; while nothing has to leave the table, it follows nothing.

        Args:
            table: the cache's, at present.
        """
        is_resized = self._choice is not None and self._choice.capacity != table.newest.layout.slots
        if is_resized or self._forgets:
            self._forgets = False
            self._begin = self._begin if self._choice is None else self._choice.best
            self._choice = None
        if self._waits:
            # What was noted last may not have been written when noting ended: a turn ago.
            self._waits = False
            self._take(table)
        elif self._notes:
            self._lookups.want(table, _WHO, 0, _ROOM)
            self._notes, self._waits = False, True
            self._until = self._lookups.noted(table)
        elif self._idle > 0:
            self._idle -= INTERVAL
        elif (evictions := _evictions(table)) != self._evictions:
            self._evictions = evictions
            choice = self._followed(table)
            self._since = self._lookups.noted(table)
            self._lookups.want(table, _WHO, choice.rate, _ROOM)
            self._notes = True
        if self._rest is not None and self._calm.turn(table):
            return self._rest
        return self._begin if self._choice is None else self._choice.best

    def prepare(self, table: FollowedTable) -> None:
        """Have the kernels of all candidates compiled, or loaded."""
        self._followed(table)

    def _followed(self, table: FollowedTable) -> Choice:
        if self._choice is None:
            capacity = table.newest.layout.slots
            self._choice = Choice(table.candidates, self._begin, capacity, 1.0, self._seed)
            self._choice.prepare()
        return self._choice

    def _take(self, table: FollowedTable) -> None:
        choice = self._followed(table)
        since = max(self._since, self._until - _ROOM)
        noted = self._lookups.read(table, since, choice.rate, self._until)
        choice.feed(noted.words)
        self._idle = len(noted.words) / _PER_SECOND - 2 * INTERVAL


def _evictions(table: FollowedTable) -> int:
    return table.counters()[Counter.EVICTIONS]
