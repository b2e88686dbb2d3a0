"""Whether a table's policy matters: hardly, while next to nothing leaves."""

from __future__ import annotations

from predis_core.table.interface import CacheTable, Counter

_TURNS = 10
"""Turns that have to be calm in a row."""

_RARE = 10
"""Entries that leave are next to none, if they are at most one in 2**_RARE lookups, or entries."""


class Calm:
    """Says, turn by turn, whether lookups go on while next to nothing leaves a table."""

    def __init__(self) -> None:
        self._is_on = False
        self._turns = self._lookups = self._left = 0

    def turn(self, table: CacheTable) -> bool:
        """Return whether it is calm: that begins slowly, and ends at once."""
        counters, capacity = table.counters(), table.newest.layout.slots
        lookups = counters[Counter.HITS] + counters[Counter.MISSES] - self._lookups
        left = counters[Counter.EVICTIONS] - self._left
        self._turns += 1
        has_ended = left > max(lookups, capacity) >> _RARE
        if has_ended or (self._turns >= _TURNS and lookups >= capacity):
            self._is_on = not has_ended
            self._turns = 0
            self._lookups += lookups
            self._left += left
        return self._is_on
