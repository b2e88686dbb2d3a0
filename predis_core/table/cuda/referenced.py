"""A table on a GPU whose keys are Python objects: kernels know their hashes, the host has the keys.

Keys that share a hash are told apart by *idents*: a key gets a number of its own when it comes, by
which the device has it beside its word, and the host beside its reference. Every verb first asks
where the words of its keys are, and has the keys compared there; the rest of it goes by words and
idents. So it never does anything to another key, whatever happens in between.

References are kept as the CPU's table keeps them: a slot has that of the key that came into it, and
a free one has none. What is let go of is kept until the caller holds no lock, see `dropped`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from predis_core.table.cuda.batch import ABSENT, Batch, Known
from predis_core.table.cuda.comparing import Asked, Undecided
from predis_core.table.cuda.source import LANES_PER_KEY
from predis_core.table.cuda.table import GpuTable
from predis_core.table.interface import (
    Bools,
    Bytes,
    Deleted,
    Dump,
    Entries,
    Inserted,
    Int64s,
    Keys,
    Objects,
    Reason,
    Removed,
    Status,
)


class ReferencedTable(GpuTable):
    """A `GpuTable` whose keys are objects with words; all of its verbs wait for the device.

    They take `Keys`, and compare them as they go; or, from whoever has a lock that no code of users
    may run under, what `asked` returned, and then raise `Undecided` where keys have to be compared.
    """

    has_idents = True

    def __init__(self, *given: Any, **options: Any) -> None:
        super().__init__(*given, **options)
        self._refs: Objects = np.empty(self.layout.slots, object)
        self._idents = np.zeros(self.layout.slots, np.int64)  # of free slots 0
        self._newest = 0
        self._stamp = object()  # another one whenever keys come or go
        self._is_storing = False
        self._dropped: list[Objects] = []
        self._keep("idents", np.int64)

    @property
    def nbytes(self) -> int:
        """Bytes of columns of the device, and of what the host has of keys, but for themselves."""
        return super().nbytes + self._refs.nbytes + self._idents.nbytes

    def follow(self, older: GpuTable) -> None:
        """See `GpuTable.follow`; keys that come get other idents than those that come over."""
        super().follow(older)
        assert isinstance(older, ReferencedTable)
        self._newest = older._newest

    def dropped(self) -> list[Objects]:
        """Return what was let go of, for the caller to forget where it holds no lock.

        To forget the last reference to a key may run code of users.
        """
        dropped, self._dropped = self._dropped, []
        return dropped

    def _drop(self, slots: Int64s | slice) -> None:
        """Let go of the keys of some slots."""
        left = self._refs[slots].copy()
        if len(left):
            self._dropped.append(left)
            self._refs[slots], self._idents[slots] = None, 0
            self._stamp = object()

    # ------------------------------------------------------------------ where keys are

    def asked(self, keys: Keys, *, unite: bool = False) -> Asked:
        """Return keys as verbs take them where a lock is held; no lock is held here.

        Args: unite, whether they are to be stored.
        """
        words = keys.words
        assert keys.refs is not None
        hashes = self._device.give(words) if self._device.holds(words) else words
        asked = Asked(words, keys.refs, hashes)
        if unite:
            asked.unite()
        return asked

    def locate(self, keys: Keys, now: int, region: int = 0, *, unite: bool = False) -> Known:
        """Return where the keys are.

        Args:
            keys: a batch, as verbs take it; or some of which it is known what they are.
            now, region: of the verb.
            unite: whether they are to be stored.

        Raises:
            Undecided: if keys of `asked` have to be compared first.
        """
        if isinstance(keys, Asked):
            if not self._decide(keys, now, region):
                raise Undecided
            return keys
        if isinstance(keys, Known):
            if keys.slots is not None:
                return keys
            slots, is_late = self._places(keys, now, region)
            return Known.of(keys.words, keys.refs, keys.idents, slots, is_late)
        asked = self.asked(keys, unite=unite)
        while not self._decide(asked, now, region):
            asked.compare()
        return asked

    def _decide(self, asked: Asked, now: int, region: int) -> bool:
        """Find out where keys are, as far as that is known; return whether it is for all."""
        if asked.stamp is not self._stamp:
            asked.begin(self._stamp)
        while len(asked.left):
            left = asked.left
            slots, is_late = self._places(Keys(asked.hashes[left]), now, region, asked.skips[left])
            asked.found(slots, is_late, self._idents[slots], self._refs[slots])
        return not asked.is_open

    def _places(
        self, keys: Keys, now: int, region: int, skips: Int64s | None = None
    ) -> tuple[Int64s, Bools]:
        """Return the slots of words (int64[n], -1 for none), and which have expired (bool[n]).

        Args:
            keys: with idents, if they are `Known`.
            now, region: of a verb.
            skips: int64[n], how many ways that have a word are passed over.
        """
        batch, give = self._batch(keys, now, region), self._device.give
        batch.take("skips", skips, np.int64)
        slots, is_late = batch.room("slots", np.int64), batch.room("found", np.uint8)
        batch.launch("locate", LANES_PER_KEY)
        return give(slots), give(is_late).view(bool)

    # ------------------------------------------------------------------ verbs that move no entry

    def lookup(
        self, keys: Keys, now: int, *, out: Any = None, count: bool = True, region: int = 0
    ) -> Int64s:
        """See `interface.Table`."""
        own = self.locate(keys, now, region)
        return super().lookup(own, now, out=out, count=count, region=region)

    def fetch(
        self, keys: Keys, now: int, out: Any, *, zero: bool, count: bool = True, region: int = 0
    ) -> Bools:
        """See `interface.CacheTable`."""
        own = self.locate(keys, now, region)
        return super().fetch(own, now, out, zero=zero, count=count, region=region)

    def touch(self, keys: Keys, now: int, *, region: int = 0) -> Bools:
        """See `interface.Table`."""
        return super().touch(self.locate(keys, now, region), now, region=region)

    def contains(self, keys: Keys, now: int, *, region: int = 0) -> Bools:
        """See `interface.Table`."""
        return super().contains(self.locate(keys, now, region), now, region=region)

    def deadlines(self, keys: Keys, now: int, *, region: int = 0) -> Int64s:
        """See `interface.Table`."""
        return super().deadlines(self.locate(keys, now, region), now, region=region)

    def pin(self, keys: Keys, now: int, *, slots: Int64s | None = None, region: int = 0) -> Int64s:
        """See `interface.CacheTable`."""
        own = self.locate(keys, now, region)
        return super().pin(own, now, slots=slots, region=region)

    # ------------------------------------------------------------------ verbs that move entries

    def insert(
        self,
        keys: Keys,
        values: Any,
        now: int,
        *,
        veto: Bytes | None = None,
        region: int = 0,
        **options: Any,
    ) -> Inserted:
        """See `interface.Table`.

        What a finaliser wants to store while its own thread is storing something is vetoed.
        """
        located = self.locate(keys, now, region, unite=True)
        before = self._is_storing
        if before:
            veto = np.ones(len(keys.words), np.uint8)
        self._is_storing = True
        try:
            named = self._named(located)
            return super().insert(named, values, now, veto=veto, region=region, **options)
        finally:
            self._is_storing = before

    def _named(self, located: Known) -> Known:
        """Return keys that are to be stored; those that are absent get idents."""
        assert isinstance(located, Asked)
        assert located.first is not None
        idents = located.idents.copy()
        absent = np.flatnonzero(idents == ABSENT)
        firsts, places = np.unique(located.first[absent], return_inverse=True)
        idents[absent] = self._newest + 1 + places
        self._newest += len(firsts)
        return Known.of(located.words, located.refs, idents, located.slots, located.is_late)

    def _store(self, batch: Batch) -> None:
        stamp, known = self._stamp, batch.known
        assert known is not None and batch.refs is not None
        nowhere = np.full(batch.n, ABSENT)
        before = nowhere if known.slots is None else known.slots
        super()._store(batch)
        give = self._device.give
        slots, status = give(batch.array("slots")), give(batch.array("status"))
        is_last = give(batch.array("last")) == np.arange(batch.n)
        came = np.flatnonzero(is_last & (status == Status.INSERTED))
        if self._stamp is not stamp:
            # A finaliser of this thread has let go of keys meanwhile, perhaps of these.
            came = came[self._places(known, batch.now, batch.region)[0][came] == slots[came]]
        if batch.is_logged:
            batch.left = self._left(batch, before, slots, came)
        # What had expired has left, wherever its key is now.
        self._drop(before[is_last & known.is_late & (status != Status.VETOED)])
        self._drop(slots[came])
        self._refs[slots[came]] = batch.refs[came]
        self._idents[slots[came]] = known.idents[came]

    def _left(self, batch: Batch, before: Int64s, slots: Int64s, came: Int64s) -> Objects:
        """Return keys of what left, by their places in the log.

        Args:
            before, slots: where the keys of the batch were, and where they are.
            came: positions that were inserted, ascending.
        """
        give, found = self._device.give, np.empty(2 * batch.n, object)
        assert batch.known is not None
        reasons = give(batch.array("reasons"))
        places = np.flatnonzero(reasons)
        at = places >> 1
        is_own = give(batch.array("whose"))[places] == batch.known.idents[at]
        where = np.where(is_own, before[at], slots[at])
        found[places] = self._refs[where]
        # But what came into that slot by an earlier position of this batch left for a later one.
        order = np.lexsort((came, slots[came]))
        ordered = slots[came][order] * (batch.n + 1) + came[order]
        latest = np.searchsorted(ordered, where * (batch.n + 1) + at) - 1
        is_fresh = latest >= 0
        is_fresh[is_fresh] = ordered[latest[is_fresh]] // (batch.n + 1) == where[is_fresh]
        assert batch.refs is not None
        found[places[is_fresh]] = batch.refs[came[order][latest[is_fresh]]]
        is_replaced = reasons[places] == Reason.REPLACED + 1
        found[places[is_replaced]] = batch.refs[at[is_replaced]]
        return found

    def _removed(self, batch: Batch) -> Removed:
        removed = super()._removed(batch)
        if batch.left is None:
            return removed
        places = np.flatnonzero(self._device.give(batch.array("reasons")))
        return removed._replace(keys=Keys(removed.keys.words, batch.left[places]))

    def delete(
        self, keys: Keys, now: int, *, want_removed: bool = False, region: int = 0
    ) -> Deleted:
        """See `interface.Table`."""
        located = self.locate(keys, now, region)
        slots = located.slots
        assert slots is not None
        done = super().delete(located, now, want_removed=want_removed, region=region)
        removed = done.removed
        if removed is not None:
            removed = removed._replace(keys=Keys(removed.keys.words, self._refs[slots[removed.at]]))
        self._drop(slots[slots >= 0])
        return Deleted(done.deleted, removed)

    def clear(self, now: int, *, want_removed: bool = False, region: int = 0) -> Removed | None:
        """See `interface.Table`."""
        removed = super().clear(now, want_removed=want_removed, region=region)
        here = self.layout.regions[region]
        slots = slice(here.first_slot, here.first_slot + here.capacity)
        refs = self._refs[slots]
        if removed is not None:
            is_live = self._idents[slots] > 0
            removed = removed._replace(keys=Keys(removed.keys.words, refs[is_live]))
        self._drop(slots)
        return removed

    # ------------------------------------------------------------------ looking into it

    def export(self, now: int, *, sets: range | None = None, region: int = 0) -> Entries:
        """See `interface.Table`."""
        entries = super().export(now, sets=sets, region=region)
        return entries._replace(keys=Keys(entries.keys.words, self._refs[entries.slots]))

    def dump(self) -> Dump:
        """See `interface.Table`."""
        return super().dump()._replace(refs=self._refs.copy())
