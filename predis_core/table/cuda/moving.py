"""From a table on a GPU to a successor of another size, while everybody goes on.

Entries go over some at a time, each time with the lock that every verb takes, and what a verb is
about goes first: so it has to do with the successor only. What comes of it is what the CPU's
`table.moving` comes to, whose windows and order these are.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from predis_core.table.batches import part_of
from predis_core.table.cuda.batch import Batch, Known
from predis_core.table.cuda.device import Arguments
from predis_core.table.cuda.referenced import ReferencedTable
from predis_core.table.cuda.source import BATCH, LANES_PER_KEY, MODES, PIECE, WARP, words_of
from predis_core.table.cuda.table import GpuTable
from predis_core.table.interface import Counter, Int64s, Keys, Removed, Status
from predis_core.table.moving import keys_at_once, windows
from predis_core.table.removals import joined


class Transfer:
    """The entries of a table on their way to its successor; for one thread at a time.

    Args:
        old: the table, of one region.
        new: an empty table of the same policies, seed and rows.
        want_removed: whether somebody asks what leaves.
    """

    def __init__(self, old: GpuTable, new: GpuTable, want_removed: bool) -> None:
        self.old, self.new = old, new
        self._want_removed = want_removed
        self._calls = 0
        self._carried = new._device.zeros(2, np.int64)
        new.follow(old)

    def windows(self) -> Iterator[range]:
        """Return sets of the old table that are carried over in one go."""
        return windows(self.old.layout, self.old._row_bytes)

    def disturb(self) -> int:
        """Have nothing arrive that is on its way, if this is a finaliser of the same thread.

        It may be about what was just deleted or replaced. Returns a number for this call.
        """
        self._calls += 1
        return self._calls

    def carry_sets(self, sets: range, now: int) -> Removed | None:
        """Carry some sets over; what would leave first goes first, as if there for longest."""
        held = self.old._held(0, sets)
        levels = self._levels(sets, len(held.live))
        at = np.flatnonzero(held.live)
        order = np.argsort(-levels[at].astype(np.int64), kind="stable")
        at = at[order]
        keys = Keys(held.words[at])
        if isinstance(self.old, ReferencedTable):
            slots = held.first + at
            idents, ends = self.old._idents[slots], held.deadlines[at]
            is_late = (ends > 0) & (ends <= now)
            keys = Known.of(keys.words, self.old._refs[slots], idents, slots, is_late)
        return self.carry(keys, now)

    def _levels(self, sets: range, slots: int) -> Int64s:
        """Return how many of its set would leave after each entry, by slot of some sets."""
        old, device = self.old, self.old._device
        levels = device.zeros(slots, np.uint8)
        batch = words_of(BATCH, levels=device.address(levels), tick=old._tick)
        arguments = Arguments(old._window(0, sets), batch)
        old._kernels.launch("rank_ways", len(sets) * WARP, arguments)
        found: Int64s = device.give(levels)
        return found

    def carry(self, keys: Keys, now: int) -> Removed | None:
        """Carry over what the old table holds of some keys; return what left, if that is wanted.

        Waits for the device only if it is, or if keys are references.

        Raises:
            Undecided: see `ReferencedTable`.
        """
        removed = None
        if isinstance(self.old, ReferencedTable):
            keys = self._own(self.old.locate(keys, now))
        size = keys_at_once(self.old._row_bytes)
        mine = self.disturb()
        for first in range(0, len(keys.words), size):
            some = slice(first, first + size)
            part = keys.part(some) if isinstance(keys, Known) else part_of(keys, some)
            removed = joined(removed, self._carry(part, now))
        if self._calls != mine:
            keys = _there(keys)
            gone = self.new.delete(keys, now, want_removed=self._want_removed).removed
            removed = joined(removed, gone)
        return removed

    def _carry(self, keys: Keys, now: int) -> Removed | None:
        old, new = self.old, self.new
        batch = new._batch(_there(keys), now, 0)
        n = batch.n
        # All room first: if memory does not do, nothing has happened.
        batch.room("veto", np.uint8)
        batch.room("guesses", np.uint8)
        batch.room("values", np.uint8, n * old._row_bytes)
        for name in ("deadlines", "costs"):
            if name in old._columns:
                new._keep(name, np.int64)
                batch.room(name, np.int64)
        if "claims" in old._columns:
            new._keep("claims", np.uint32)
        batch.room("taken", np.uint8)
        batch.room("sums", np.int64, n // PIECE + 1)
        if self._want_removed:
            batch.make_log()
        batch.set(
            tick=new._advance(n),
            mode=MODES["ABSENT_ONLY"],
            carried=old._device.address(self._carried),
        )
        if n:
            old._launch(0, "lift", n * LANES_PER_KEY, batch.words)
            new._store(batch)
            old._launch(0, "leave", n * LANES_PER_KEY, batch.words)
        batch.launch("count_taken")
        batch.launch("count_conflicts")
        if isinstance(keys, Known):
            self._let_go(batch, keys)
        return new._removed(batch) if self._want_removed else None

    def _own(self, located: Known) -> Known:
        """Return keys by the older table's own references, where it holds them."""
        old, slots = self.old, located.slots
        assert isinstance(old, ReferencedTable)
        assert slots is not None and located.refs is not None
        refs = np.where(slots >= 0, old._refs[slots], located.refs)
        return Known.of(located.words, refs, located.idents, slots, located.is_late)

    def _let_go(self, batch: Batch, keys: Known) -> None:
        """Have no references in the old table to what it held of some keys."""
        assert isinstance(self.old, ReferencedTable) and keys.slots is not None
        own = np.flatnonzero(keys.slots >= 0)
        self.old._drop(keys.slots[own])
        if batch.left is not None and batch.refs is not None:
            # What did not arrive left by its own position, for which then nothing else did.
            status = self.new._device.give(batch.array("status"))
            own = own[status[own] != Status.INSERTED]
            batch.left[2 * own] = batch.refs[own]

    def totals(self) -> tuple[int, int]:
        """Return how many entries came over, and how many left as they or others did not fit."""
        moved, evicted = self.new._device.give(self._carried).tolist()
        return moved, evicted

    def counters(self) -> dict[Counter, int]:
        """Return what both have counted."""
        before, counted = self.old.counters(), self.new.counters()
        return {counter: counted[counter] + before[counter] for counter in Counter}

    def end(self) -> None:
        """Have the new table count on from what the old one has counted."""
        self.new._before = np.array(list(self.old.counters().values()), np.int64)


def _there(keys: Keys) -> Keys:
    """Return the keys of an older table as its successor takes them: by their idents."""
    if not isinstance(keys, Known):
        return keys
    return Known.of(keys.words, keys.refs, keys.idents)
