"""Which keys of a table on a GPU equal a batch's, where comparing them may run code of users.

The device finds ways by words. What they hold is compared here, with no lock held if code of users
may run, which may use the cache. What is found out stays true, because every key that was compared
is kept alive until the batch is done: so if the table has changed meanwhile, only newcomers are
compared. This is what `table.equality` does for a table on the CPU.
"""

from __future__ import annotations

from operator import is_
from typing import Any, NamedTuple

import numpy as np

from predis_core.table.cuda.batch import ABSENT, Known
from predis_core.table.interface import Bools, Int64s, Objects

_PLAIN = {str, bytes, int, float, bool, type(None)}
"""Types whose comparison is none of a user's code."""
_MOST_COMPARISONS = 512


class Undecided(Exception):
    """Some keys have to be compared first, while no lock is held: see `Asked.compare`."""


class _Looked(NamedTuple):
    """What a look at the table found for some positions, each of which has a way.

    Attributes:
        at: positions, int64[m].
        slots, is_late, idents, held: of those ways.
    """

    at: Int64s
    slots: Int64s
    is_late: Bools
    idents: Int64s
    held: Objects

    def part(self, where: Bools) -> _Looked:
        some: Any = (each[where] for each in self)
        return _Looked(*some)


class Asked(Known):
    """A batch of keys on its way to what a table holds for them.

    Args:
        words, refs: as of `Keys`; the words may lie on the device.
        hashes: the words, on the host.

    Attributes:
        first: int64[n], the first position with an equal key; None until `unite`.
        left: positions at which the table is to be looked at next, int64[m].
        skips: int64[n], how many ways with a position's word are known not to have its key.
        stamp: of the table as it was looked at.
    """

    hashes: Int64s
    first: Int64s | None
    left: Int64s
    skips: Int64s
    stamp: object
    _open: list[_Looked]
    _kept: list[list[_Looked]]
    # By position, then by id: keys that were compared, and whether they are equal.
    _compared: dict[int, dict[int, tuple[Any, bool]]]

    def __new__(cls, words: Any, refs: Objects, hashes: Int64s) -> Asked:
        self = super().__new__(cls, words, refs)
        self.hashes, self.first, self.stamp = hashes, None, None
        self._open, self._kept, self._compared = [], [], {}
        return self

    def unite(self) -> None:
        """Find the equal keys of the batch; no lock is held."""
        assert self.refs is not None
        n = len(self.hashes)
        self.first = np.arange(n)
        order = np.argsort(self.hashes, kind="stable")
        ordered = self.hashes[order]
        is_same = ordered[1:] == ordered[:-1]
        again = np.zeros(n, bool)
        again[order[1:][is_same]] = again[order[:-1][is_same]] = True
        positions = np.flatnonzero(again)
        seen: dict[Any, int] = {}
        for at, key in zip(positions.tolist(), self.refs[positions].tolist(), strict=True):
            self.first[at] = seen.setdefault(key, at)

    def begin(self, stamp: object) -> None:
        """Look at a table from the beginning, for it is another one or has changed."""
        n = len(self.hashes)
        self.stamp = stamp
        self.slots, self.is_late = np.full(n, -1), np.zeros(n, bool)
        self.idents = np.full(n, ABSENT)
        self.left, self.skips = np.arange(n), np.zeros(n, np.int64)
        # Nothing is let go while the table's lock is held.
        self._kept.append(self._open)
        self._open = []

    @property
    def is_open(self) -> bool:
        """Whether keys wait to be compared."""
        return bool(self._open)

    def found(self, slots: Int64s, is_late: Bools, idents: Int64s, held: Objects) -> None:
        """Take over what the ways have at which the positions that are `left` were looked up.

        Args: of each of these positions; a slot is -1 where there is no further way.
        """
        looked = _Looked(self.left, slots, is_late, idents, held).part(slots >= 0)
        assert self.refs is not None
        asked = self.refs[looked.at]
        # An interrupted insert leaves what the host does not know, and so nobody has it.
        is_known = looked.idents > 0
        equal = is_known & np.fromiter(map(is_, looked.held, asked), bool, len(asked))
        unknown = np.zeros(len(asked), bool)
        rest = np.flatnonzero(is_known & ~equal)
        if {*map(type, asked[rest]), *map(type, looked.held[rest])} <= _PLAIN:
            equal[rest] = looked.held[rest] == asked[rest]
        else:
            for place in rest.tolist():
                compared = self._compared.get(int(looked.at[place]), {})
                verdict = compared.get(id(looked.held[place]))
                unknown[place] = verdict is None
                equal[place] = verdict is not None and verdict[1]
        if unknown.any():
            self._open.append(looked.part(unknown))
        self.left = self._settle(looked.part(~unknown), equal[~unknown])

    def compare(self) -> None:
        """Compare what waits to be, while no lock is held.

        Raises:
            RuntimeError: if comparing a key goes on bringing new ones to compare it with.
            Exception: what comparing keys raises.
        """
        assert self.refs is not None
        left = [self.left]
        for looked in self._open:
            equal = np.zeros(len(looked.at), bool)
            for place, at in enumerate(looked.at.tolist()):
                equal[place] = self._is_equal(at, looked.held[place], self.refs[at])
            left.append(self._settle(looked, equal))
        self.left = np.concatenate(left)
        self._kept.append(self._open)
        self._open = []

    def _is_equal(self, at: int, held: Any, asked: Any) -> bool:
        is_equal = bool(held == asked)
        compared = self._compared.setdefault(at, {})
        compared[id(held)] = held, is_equal
        if len(compared) > _MOST_COMPARISONS:
            raise RuntimeError(
                f"keys: comparing {type(asked).__name__} keys changes the cache each time; "
                "__eq__ must not write to the cache"
            )
        return is_equal

    def _settle(self, looked: _Looked, equal: Bools) -> Int64s:
        """Note where keys are; return the positions whose keys may be in a further way."""
        assert self.slots is not None
        mine = looked.part(equal)
        self.slots[mine.at], self.is_late[mine.at] = mine.slots, mine.is_late
        self.idents[mine.at] = mine.idents
        others = looked.at[~equal]
        self.skips[others] += 1
        return others
