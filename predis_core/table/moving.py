"""From a table to a successor of another size, while everybody goes on.

The old table is *sealed*: it stores nothing more, entries only leave it. An entry goes over in one
step of a kernel, under the locks of both tables or with the GIL held, so that at any moment a key
is in the old table, or in the successor, or in neither. And whoever stores a key in the successor
has carried it over first. From this follows what each verb does while a move is under way:

- A lookup asks the old table, then the successor for what it missed. An entry goes this way only,
  so one that is there all the time is found, and found as it is: no key is in both.
- An insert that meets the seal carries its own keys over and goes on in the successor, which knows
  what they were: updates, deadlines, `absent_only`, vetoes and what is displaced are as ever.
- A delete, like a lookup, goes through the old table first; so does `clear`. What was carried past
  it in between is met in the successor, and nothing goes back.
- What carries never compares keys: that a key is in the old table means that no equal one is in the
  successor. So no code of users runs, nothing has to be tried again, and one pass is enough.
- Loads need not know: they look up and insert as everybody does.

Calls that still hold the old table when the move is over forward in the same way for ever.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np

from predis_core.arrays import address
from predis_core.packed import Packed
from predis_core.table import header
from predis_core.table.batches import part_of
from predis_core.table.interface import Bools, Counter, Entries, Inserted, Int64s, Keys, Removed
from predis_core.table.layout import WAYS, Layout
from predis_core.table.removals import NO_LOG

if TYPE_CHECKING:
    from predis_core.table.cpu import CpuTable

_KEYS = 1024
"""Keys that are carried at a time: where kernels hold the GIL, well under half a millisecond."""

_BYTES = 4 << 20
"""Bytes of values that are carried, or looked at, at a time."""

_ENTRY_BYTES = 64  # what looking at an entry takes besides its value
_SETS_WITH_GIL = 64
_NEVER = 0  # a time at which nothing has expired


def windows(layout: Layout, row_bytes: int, most: int | None = None) -> Iterator[range]:
    """Return the sets of a table of one region that are carried over in one go.

    Args:
        layout: of the table.
        row_bytes: of a value.
        most: how many sets at most; None: as many as their entries' bytes allow.
    """
    (region,) = layout.regions
    step = max(1, _BYTES // (WAYS * (row_bytes + _ENTRY_BYTES)))
    step = step if most is None else min(step, most)
    for start in range(0, region.sets, step):
        yield range(start, min(start + step, region.sets))


def keys_at_once(row_bytes: int) -> int:
    """Return how many keys are carried at a time at most, for the bytes of their values."""
    return max(1, _BYTES // max(1, row_bytes))


class Past:
    """What the tables before one counted: each as long as a call may still count there."""

    def __init__(self, older: CpuTable) -> None:
        self._sums = np.zeros(len(Counter), np.int64)
        self._headers: list[tuple[weakref.ref[CpuTable], Int64s]] = []
        if older._past is not None:
            self._sums += older._past._sums
            for table, words in older._past._headers:
                if table() is None:
                    self._sums += _counters(words)
                else:
                    self._headers.append((table, words))
        self._headers.append((weakref.ref(older), older._header))

    def sum_with(self, newest: Int64s, kernels: SimpleNamespace) -> Int64s:
        """Return what these tables counted, and the one after them (int64, by `Counter`).

        Args: the header and the kernels of that one.
        """
        sums = self._sums.copy()
        *before, (_, older) = self._headers
        for _, words in before:
            sums += _counters(words)
        kernels.sum_counters(older, newest, sums)
        return sums


class Move:
    """The entries of a table on their way to its successor.

    Args:
        old: the table; from `begin` on, its verbs ask here for what it does not have.
        successor: an empty table of the same policy, seed, keys and values.
        tell: gets what leaves for others, or because its time is over; None if nobody asks.
    """

    def __init__(
        self,
        old: CpuTable,
        successor: CpuTable,
        tell: Callable[[Removed], None] | None = None,
    ) -> None:
        self.successor = successor
        self._tell = tell
        self._carried: list[Int64s] = []  # to append is one step, to add is not
        # Weak, so that the memory of the old table goes as soon as nobody uses it.
        self._older = weakref.ref(old)
        successor._past = Past(old)
        successor._take_parameters(old._parameters)
        successor._header[header.TICK] = old._header[header.TICK]
        sketch = successor._sketch
        if sketch is not None and old._sketch is not None and len(sketch) == len(old._sketch):
            sketch[:] = old._sketch
            successor._header[header.ADDITIONS] = old._header[header.ADDITIONS]
        if header.SAMPLES in old._columns:
            successor._columns[header.SAMPLES] = old._columns[header.SAMPLES]
            for word in (header.SAMPLES, header.SAMPLES_MASK, header.SAMPLE_BELOW, header.SAMPLED):
                successor._header[word] = old._header[word]

    @property
    def _old(self) -> CpuTable:
        """The table, which whoever calls this has in use."""
        old = self._older()
        assert old is not None
        return old

    def totals(self) -> tuple[int, int]:
        """Return how many entries came over, and how many left as they or others did not fit."""
        moved, evicted = np.array([(0, 0), *self._carried]).sum(axis=0).tolist()
        return moved, evicted

    def begin(self) -> bool:
        """Seal the old table: from now on, what is stored is stored in the successor.

        Returns False if it cannot be, for something is pinned there; then nothing has changed.
        """
        old = self._old
        old._move = self
        if not old._kernels.seal(old._header, True):
            old._move = None
            return False
        return True

    def pulled(self, keys: Keys, now: int) -> CpuTable:
        """Carry over what the old table holds of these keys; return the successor."""
        self._carry(self._old._resolved(keys, 0), now)
        return self.successor

    def steps(self, now: Callable[[], int]) -> Iterator[None]:
        """Carry everything over, some sets at a time; others may do anything between the steps.

        A move that was given up halfway is taken up again by another call.

        Args:
            now: returns nanoseconds of the monotonic clock.
        """
        old = self._old
        most = _SETS_WITH_GIL if old._holds_gil else None
        for sets in windows(old.layout, old._row_bytes, most):
            entries = old.export(_NEVER, sets=sets)
            # What would leave first comes over first, as if it had been there for longest.
            order = np.argsort(-old.levels(entries), kind="stable")
            self._carry(part_of(entries.keys, order), now())
            yield

    def _carry(self, keys: Keys, now: int) -> None:
        """Carry over those keys that the old table holds, by its own references, in this order."""
        old, new = self._old, self.successor
        for word in (header.DEADLINES, header.COSTS):
            if old._header[word]:
                new._keep(word, np.int64)
        size = min(_KEYS, keys_at_once(old._row_bytes))
        for first in range(0, len(keys.words), size):
            self._carry_few(part_of(keys, slice(first, first + size)), now)

    def _carry_few(self, keys: Keys, now: int) -> None:
        old, new = self._old, self.successor
        n, tell = len(keys.words), self._tell
        values = old._blank(n)
        old_refs = None if keys.refs is None else np.empty(n, object)
        sizes, carried = np.zeros(n + 1, np.int64), np.zeros(2, np.int64)
        log = old._log(2 * n, tell is not None)
        start = 0
        while True:
            start = old._kernels.carry(
                old._header,
                new._header,
                new._parameters,
                keys.words,
                _address(keys.refs),
                start,
                now,
                old._value_bytes(values),
                sizes,
                _address(old_refs),
                NO_LOG if log is None else log.words,
                carried,
            )
            if start == n:
                break
            if not old._value_refs and sizes[0] > len(values):
                values = np.empty(2 * int(sizes[0]), np.uint8)
            elif log is not None:
                log.extend()
        self._carried.append(carried)
        if tell is not None and log is not None:
            tell(log.removed(keys))

    # ------------------------------------------------------------------ for the old table's verbs

    def look_up(
        self,
        keys: Keys,
        now: int,
        out: Any,
        count: bool,
        counted: bool,
        slots: Int64s,
        found: Bools,
    ) -> None:
        """Look up what the old table missed.

        Args:
            keys, now, out: of the lookup.
            count: whether the lookup counts.
            counted: whether the old table has counted it already, the misses as misses.
            slots, found: what the old table found; what is found here is added.
        """
        missed, before = np.flatnonzero(~found), int(np.count_nonzero(found))
        if len(missed):
            rows = None if out is None else self._old._blank_out(len(missed))
            some = part_of(keys, missed)
            slots[missed], found[missed] = self.successor._lookup(some, now, rows, False, False, 0)
            self._fill(out, missed, rows, found[missed])
        if count:
            hits = int(np.count_nonzero(found))
            added = (hits - before, before - hits) if counted else (hits, len(found) - hits)
            self._old._kernels.count_lookups(self._old._header, *added)

    def look_up_deadlines(self, keys: Keys, now: int, deadlines: Int64s) -> None:
        """Put the deadlines of what the old table does not hold where it has -1."""
        missed = np.flatnonzero(deadlines < 0)
        if len(missed):
            deadlines[missed] = self.successor.deadlines(part_of(keys, missed), now)

    def insert(self, keys: Keys, values: Any, start: int, now: int, **options: Any) -> Inserted:
        """Store the rest of a batch, from the position on at which the old table stopped.

        Args:
            keys, values: of the whole batch.
            start: the position.
            now, options: as for `CpuTable.insert`; arrays are those of the whole batch.

        Returns:
            What became of the rest.
        """
        old, rest = self._old, slice(start, len(keys.words))
        some = part_of(keys, rest)
        if old._header[header.REGIONS + header.COUNTERS]:  # its size, which can only shrink
            self._carry(old._resolved(some, 0), now)
        if isinstance(values, Packed) or old._value_refs:
            values = values[rest]
        elif values is not None:
            values = old._value_bytes(values, rest)
        for name in ("deadlines", "costs", "sizes", "veto"):
            if options[name] is not None:
                options[name] = options[name][rest]
        return self.successor.insert(some, values, now, **options)

    def delete(self, keys: Keys, now: int, deleted: Bools, wanted: bool) -> Removed | None:
        """Remove what the old table did not hold; add to what was deleted; return what left."""
        missed = np.flatnonzero(~deleted)
        gone = self.successor.delete(part_of(keys, missed), now, want_removed=wanted)
        deleted[missed] = gone.deleted
        if gone.removed is None:
            return None
        return gone.removed._replace(at=missed[gone.removed.at])

    def export(self, entries: Entries, now: int) -> Entries:
        """Return what the old table held, and what the successor holds now, each key once."""
        more = self.successor.export(now)
        fresh = np.flatnonzero(~self._among(more.keys, entries.keys))

        def joined(first: Any, second: Any) -> Any:
            if isinstance(first, Packed):
                return Packed.of([*first, *(second[at] for at in fresh.tolist())])
            return None if first is None else np.concatenate([first, second[fresh]])

        keys = Keys(*map(joined, entries.keys, more.keys))
        return Entries(keys, *map(joined, entries[1:], more[1:]))

    def _among(self, keys: Keys, others: Keys) -> Bools:
        """Return which keys (bool[n]) are among others, moved after those were looked at, say."""
        same: Bools = np.isin(keys.words, others.words)
        if keys.refs is not None and others.refs is not None:
            places = np.flatnonzero(same)
            known = set(others.refs[np.isin(others.words, keys.words[places])].tolist())
            same[places] = [key in known for key in keys.refs[places].tolist()]
        return same

    def _fill(self, out: Any, places: Int64s, rows: Any, where: Bools) -> None:
        """Put values that the successor had to their places in `out`."""
        old = self._old
        if out is None or not where.any():
            return
        if isinstance(out, Packed):
            both = list(out)
            for place, item in zip(places[where].tolist(), rows[where].tolist(), strict=True):
                both[place] = memoryview(item)
            filled = Packed.of(both)
            out.fill(filled.data, filled.offsets)
        elif out.dtype == object:
            out[places[where]] = rows[where]
        elif old._row_bytes:
            flat = old._value_bytes(out).reshape(-1, old._row_bytes)
            flat[places[where]] = rows.reshape(-1, old._row_bytes)[where]


def _counters(words: Int64s) -> Int64s:
    start = header.REGIONS + header.COUNTERS
    return words[start : start + len(Counter)]


def _address(array: Any) -> int:
    return 0 if array is None else address(array)
