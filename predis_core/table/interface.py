"""What every table can do, whichever backend it runs on."""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum
from typing import Any, NamedTuple, Protocol, Self

import numpy as np
import numpy.typing as npt

from predis_core.policies.contract import Policy
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


_INSERTED, _UPDATED = int(Status.INSERTED), int(Status.UPDATED)


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
    BYTES = 10
    HIT_BYTES = 11
    INSERTED_BYTES = 12


class Reason(IntEnum):
    """Why an entry left."""

    REPLACED = 0
    EXPIRED = 1
    EVICTED = 2
    DELETED = 3
    CLEARED = 4


class Keys(NamedTuple):
    """A batch of keys as a table takes them.

    Attributes:
        words: int64[n]; the keys themselves, or a hash of each for kinds other than int64.
        refs: object[n], the keys, for kinds other than int64; else None.
    """

    words: Int64s
    refs: Objects | None = None


class Removed(NamedTuple):
    """Entries that left, in the order in which they did.

    Attributes:
        reasons: int64[m] of `Reason`.
        at: int64[m], the position of the batch for which each left; 0 where there was no batch.
        keys: `Keys` of m entries; what was replaced goes by the key that replaced it.
        values: m values; None for a table without values.
        costs: int64[m], what each cost to load, in nanoseconds; 0 where that is not known.
    """

    reasons: Int64s
    at: Int64s
    keys: Keys
    values: Any
    costs: Int64s


class Inserted(NamedTuple):
    """The outcome of an insert.

    Attributes:
        status: uint8[n] of `Status`; a position overwritten by a later one has the later's.
        slots: int64[n], where the key is now; -1 if it was not stored.
        removed: what left; None if nobody asked.
    """

    status: Bytes
    slots: Int64s
    removed: Removed | None

    @property
    def stored(self) -> Bools:
        """bool[n], which positions the table has now: inserted or updated."""
        # Plain numbers: NumPy asks a member of an enum for a dozen attributes first.
        stored: Bools = (self.status == _INSERTED) | (self.status == _UPDATED)
        return stored


class Deleted(NamedTuple):
    """The outcome of a delete.

    Attributes:
        deleted: bool[n], which keys were resident.
        removed: what left; None if nobody asked.
    """

    deleted: Bools
    removed: Removed | None


class Sampled(NamedTuple):
    """Accesses of sampled keys, in the order of lookups.

    Attributes:
        words: int64[m].
        ticks: int64[m], of the batch that each was in.
        hits: bool[m].
    """

    words: Int64s
    ticks: Int64s
    hits: Bools


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
    values (blobs as object). Arrays of sets: states, conflicts, ghosts (uint16[sets, WAYS]).
    `sketch` is the count-min sketch's cells (uint8[4, width]), or None. `tick` and `counters`
    (int64[regions, len(Counter)]) are the table's.
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

        Copies the values of hits to `out` if it is given, n values or `Packed`; `count=False`
        leaves the counters of hits and misses alone.
        """
        ...

    def insert(
        self,
        keys: Keys,
        values: Any,
        now: int,
        *,
        deadlines: Int64s | None = None,
        costs: Int64s | None = None,
        sizes: Int64s | None = None,
        absent_only: bool = False,
        guess: bool = False,
        veto: Bytes | None = None,
        want_removed: bool = False,
        region: int = 0,
    ) -> Inserted:
        """Store the keys; the last of equal ones wins, at its position.

        `costs` (nanoseconds) are kept until the entries leave. `sizes` is what each value weighs,
        if they weigh anything; blobs come as `Packed`, and weigh their lengths. `absent_only`
        leaves resident keys as they are; `guess` does too, and marks what it stores as prefetched.
        `veto` (uint8[n]) is read at the moment of each insertion: nonzero skips it.
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

    def delete(
        self, keys: Keys, now: int, *, want_removed: bool = False, region: int = 0
    ) -> Deleted:
        """Remove the keys; an expired one leaves as well, but counts as absent."""
        ...

    def clear(self, now: int, *, want_removed: bool = False, region: int = 0) -> Removed | None:
        """Remove every entry of a region."""
        ...

    def pin(self, keys: Keys, now: int, *, region: int = 0) -> Int64s:
        """Pin the entries of the keys once more; return their slots (int64[n], -1 if absent).

        What is pinned does not leave to make room. If it leaves for another reason, its way and
        its memory wait for the last pin to go.
        """
        ...

    def unpin(self, keys: Keys, slots: Int64s, *, region: int = 0) -> None:
        """Take back what `pin` did for the same keys, which returned `slots`."""
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


class Sealed(Exception):
    """What was asked for has to be done in the table that entries are moving to."""


class CacheTable(Table, Protocol):
    """A table as a cache has one: also safe from any thread, and closed one day.

    Attributes:
        policy: the eviction policy that decides at present.
        candidates: the policies of which it is one.
    """

    policy: Policy
    candidates: tuple[Policy, ...]

    @property
    def newest(self) -> Self:
        """The table that the entries are being moved to, or this one."""
        ...

    @property
    def memory(self) -> int:
        """Bytes that the table's columns take."""
        ...

    @property
    def is_sealed(self) -> bool:
        """Whether inserts store nothing any more."""
        ...

    def fetch(
        self, keys: Keys, now: int, out: Any, *, zero: bool, count: bool = True, region: int = 0
    ) -> Bools:
        """Copy the values of hits to `out` and return the hit mask (bool[n]), as `lookup` does.

        `out` is n values in C order, or the bytes of as many rows; with `zero`, rows of misses are
        cleared.
        """
        ...

    def pin(self, keys: Keys, now: int, *, slots: Int64s | None = None, region: int = 0) -> Int64s:
        """See `Table.pin`; `slots`, int64[n] of -1, is written and returned if given.

        Raises:
            Sealed: if nothing may be pinned here; see `succeeding`.
        """
        ...

    def succeeding(self, keys: Keys, now: int) -> Self:
        """Return the table that entries are moving to, where these keys' are by now; or this."""
        ...

    def clearing(self, now: int) -> Iterator[Removed | None]:
        """Remove every entry, some at a time; yield what left."""
        ...

    def seal(self) -> None:
        """Have every insert from now on store nothing more."""
        ...

    def size(self, *, region: int = 0) -> int:
        """Return how many entries a region holds."""
        ...

    def broken(self) -> list[str]:
        """Return every promise about the table's inside that does not hold, as a sentence each."""
        ...
