"""From two tables as one to others of other sizes, while everybody goes on.

Each table's own move carries its entries over, the tier's first: some at a time, each time with the
lock that the verbs of both take. So what the tier's successor has no room for has no copy above by
the time that anybody looks.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from predis_core.table.interface import Removed

if TYPE_CHECKING:
    from predis_core.tiers.base import TierMove
    from predis_core.tiers.tiered import Sized, TieredTable

_NEVER = 0  # a time at which nothing has expired


class Move:
    """The entries of both tables on their way to successors, with which all verbs go on.

    Args:
        table: what has both.
        sized: the successors.
        tell: gets what leaves the tier for others, or because its time is over, when no lock is
            held; None if nobody asks.
    """

    def __init__(
        self, table: TieredTable, sized: Sized, tell: Callable[[Removed], None] | None
    ) -> None:
        self.successor = table
        self._sized, self._tell = sized, tell
        self._untold: list[Removed] = []
        self._of_tier: TierMove | None = None
        # With the table where each begins: one that came to an end may be asked for steps again.
        self._ways: list[tuple[str, Any, Any]] = []

    def begin(self) -> bool:
        """Have what is stored from now on stored in the successors.

        Returns False if it cannot be, for something is pinned; then nothing has changed.
        """
        return self.successor.alone(self._begun)

    def _begun(self) -> bool:
        table: Any = self.successor
        if self._sized.lower is not None:
            self._of_tier = table.lower.move_to(self._sized.lower, self._gone)
            if not self._of_tier.begin():
                return False
            self._ways.append(("lower", table.lower, self._of_tier))
            table.layout, table._move = self._sized.lower.layout, self
        if self._sized.upper is not None:
            way = table.upper.move_to(self._sized.upper, None)
            way.begin()  # there are no pins above
            self._ways.append(("upper", table.upper, way))
        table._move = self
        return True

    def steps(self, now: Callable[[], int]) -> Iterator[None]:
        """Carry everything over, some at a time; others may do anything between the steps.

        A move that was given up halfway is taken up again by another call.

        Args:
            now: returns nanoseconds of the monotonic clock.
        """
        while self._ways:
            rest = self._ways[0][-1].steps(now)
            while self.successor.alone(self._advance, rest):
                self.tell_of_gone()
                time.sleep(0)  # lookups that wait for the lock go first
                yield
        self.tell_of_gone()

    def _advance(self, rest: Iterator[None]) -> bool:
        """Take a step of the first way; return whether there may be another."""
        for _ in rest:
            return True
        table, (name, _, way) = self.successor, self._ways[0]
        setattr(table, name, way.successor)
        del self._ways[0]
        if not self._ways:
            table._move = None
        return False

    def _gone(self, removed: Removed) -> None:
        """Have no copies of what left the tier; to be told of once the lock is released."""
        if len(removed.reasons):
            self.successor.follow(removed, _NEVER)
            if self._tell is not None:
                self._untold.append(removed)

    def tell_of_gone(self) -> None:
        """Tell of what left the tier since the last time."""
        while self._untold:
            assert self._tell is not None
            self._tell(self._untold.pop(0))

    def totals(self) -> tuple[int, int]:
        """Return how many entries came over in the tier, and how many did not fit there."""
        return (0, 0) if self._of_tier is None else self._of_tier.totals()
