"""What every table can do, whichever backend it runs on."""

from __future__ import annotations

from enum import IntEnum
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from predis_core.table.layout import Layout

Int64s = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Bytes = npt.NDArray[np.uint8]
Objects = npt.NDArray[np.object_]


class Status(IntEnum):
    """What became of one position of an insert."""

    REFUSED = 0
    INSERTED = 1
    UPDATED = 2
    PRESENT = 3
    VETOED = 4


class Counter(IntEnum):
    """The counters of a region, in the order in which tables keep them."""

    SIZE = 0
    HITS = 1
    MISSES = 2
    INSERTIONS = 3
    UPDATES = 4
    EVICTIONS = 5
    CONFLICTS = 6
    EXPIRATIONS = 7
    DELETIONS = 8
    REFUSALS = 9


class Keys(NamedTuple):
    """A batch of keys as a table takes them.

    Attributes:
        words: int64[n]; the keys themselves, or a hash of each for kinds other than int64.
        refs: object[n], the keys, for kinds other than int64; else None.
    """

    words: Int64s
    refs: Objects | None = None


class Inserted(NamedTuple):
    """The outcome of an insert.

    Attributes:
        status: uint8[n] of `Status`; a position overwritten by a later one has the later's.
        slots: int64[n], where the key is now; -1 if it was not stored.
        evicted: bool[n], whether a live entry left for this position.
        evicted_keys: `Keys` of n entries, valid where `evicted`.
        displaced: values of n entries that the table held before: of the evicted entry, or of the
            key itself; valid where `evicted` or the status is UPDATED. None if not asked for.
    """

    status: Bytes
    slots: Int64s
    evicted: Bools
    evicted_keys: Keys
    displaced: Any


class Entries(NamedTuple):
    """Live entries that have not expired, in order of slot.

    Attributes:
        keys: `Keys` of m entries.
        slots: int64[m].
        metas: int64[m], the policy's metadata.
        guesses: bool[m], prefetched and not yet used.
        deadlines: int64[m], nanoseconds of the monotonic clock, 0 for none.
        values: m values as the store lays them out.
    """

    keys: Keys
    slots: Int64s
    metas: Int64s
    guesses: Bools
    deadlines: Int64s
    values: Any


class Dump(NamedTuple):
    """All that a table holds: what backends must agree on, bit for bit.

    Arrays of slots: live (bool), words, metas, guesses (bool), deadlines, refs (object, or None),
    values. Arrays of sets: states, conflicts, ghosts (uint16[sets, WAYS]). `sketch` is the
    count-min sketch's cells (uint8[4, width]), or None. `tick` and `counters` (int64[regions,
    len(Counter)]) are the table's.
    """

    live: Bools
    words: Int64s
    metas: Int64s
    guesses: Bools
    deadlines: Int64s
    refs: Objects | None
    values: Any
    states: Int64s
    conflicts: Int64s
    ghosts: npt.NDArray[np.uint16]
    sketch: npt.NDArray[np.uint8] | None
    tick: int
    counters: Int64s


class Table(Protocol):
    """A set-associative table. `reference.ReferenceTable` defines what each verb does.

    `now` is nanoseconds of the monotonic clock, `region` the number of a region of the layout.
    """

    layout: Layout

    def lookup(
        self, keys: Keys, now: int, *, out: Any = None, count: bool = True, region: int = 0
    ) -> Int64s:
        """Return the slots of the keys (int64[n], -1 for a miss), and note their use.

        Copies the values of hits to `out` if it is given; `count=False` leaves the counters of
        hits and misses alone.
        """
        ...

    def insert(
        self,
        keys: Keys,
        values: Any,
        now: int,
        *,
        deadlines: Int64s | None = None,
        absent_only: bool = False,
        guess: bool = False,
        veto: Bytes | None = None,
        return_displaced: bool = False,
        region: int = 0,
    ) -> Inserted:
        """Store the keys; the last of equal ones wins, at its position.

        `absent_only` leaves resident keys as they are; `guess` does too, and marks what it stores
        as prefetched. `veto` (uint8[n]) is read at the moment of each insertion: nonzero skips it.
        """
        ...

    def contains(self, keys: Keys, now: int, *, region: int = 0) -> Bools:
        """Return which keys are resident (bool[n]), noting nothing."""
        ...

    def touch(self, keys: Keys, now: int, *, region: int = 0) -> Bools:
        """Note the use of the keys as a lookup does; return which are resident (bool[n])."""
        ...

    def deadlines(self, keys: Keys, now: int, *, region: int = 0) -> Int64s:
        """Return the keys' deadlines (int64[n]; 0 for none, -1 for an absent key)."""
        ...

    def delete(self, keys: Keys, now: int, *, out: Any = None, region: int = 0) -> Bools:
        """Remove the keys; return which were resident (bool[n]). Their values move to `out`."""
        ...

    def clear(self, *, region: int = 0) -> None:
        """Remove every entry of a region."""
        ...

    def export(self, now: int, *, region: int = 0) -> Entries:
        """Return every live entry of a region that has not expired."""
        ...

    def counters(self, *, region: int = 0) -> dict[Counter, int]:
        """Return the counters of a region."""
        ...

    def conflicts(self, *, region: int = 0) -> Int64s:
        """Return each set's evictions that happened while the region was not full."""
        ...

    def set_parameters(self, parameters: tuple[int, ...]) -> None:
        """Replace the policy's parameter vector; the next batch sees the new one."""
        ...

    def dump(self) -> Dump:
        """Return a copy of everything that the table holds."""
        ...
