"""A table on a GPU of str or bytes: kernels know the keys' hashes, the host has the keys.

Every verb first asks where the hashes of its keys are, and compares: what has the hash of another
key that is there, once in 2**64, is taken for absent, and is not stored. So the rest of a verb may
go by hashes alone. References are kept as the CPU's table keeps them: a slot has that of the key
that came into it, and a free one has none.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from predis_core.table.cuda.batch import Batch
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

_ODD = np.int64(-0x61C8864680B583EB)
"""A word times this is another one."""


class Located(NamedTuple):
    """Where the keys of a batch are.

    Attributes:
        keys: as the kernels take them; those that are not what has their hash have another word,
            which nothing has.
        slots: int64[n], expired or not; -1 for an absent one.
        is_late: bool[n], whether what is there has expired.
        is_other: bool[n], whether another key has the hash.
    """

    keys: Keys
    slots: Int64s
    is_late: Bools
    is_other: Bools


class ReferencedTable(GpuTable):
    """A `GpuTable` whose keys are objects with words; all of its verbs wait for the device."""

    def __init__(self, *given: Any, **options: Any) -> None:
        super().__init__(*given, **options)
        self._refs: Objects = np.empty(self.layout.slots, object)

    @property
    def nbytes(self) -> int:
        """Bytes of columns of the device, and of references in the host's memory."""
        return super().nbytes + self._refs.nbytes

    # ------------------------------------------------------------------ where keys are

    def locate(self, keys: Keys, now: int, region: int = 0) -> Located:
        """Return where the keys are, and which have the hash of another one."""
        slots, is_late = self._places(keys.words, now, region)
        held = np.flatnonzero(slots >= 0)
        is_other = np.zeros(len(slots), bool)
        assert keys.refs is not None
        is_other[held] = self._refs[slots[held]] != keys.refs[held]
        slots[is_other] = -1
        words = self._without(keys.words, is_other, now, region)
        return Located(Keys(words, keys.refs), slots, is_late & ~is_other, is_other)

    def _places(self, words: Int64s, now: int, region: int) -> tuple[Int64s, Bools]:
        """Return the slots of words (int64[n], -1 for none), and which have expired (bool[n])."""
        batch, give = self._batch(Keys(words), now, region), self._device.give
        slots, is_late = batch.room("slots", np.int64), batch.room("found", np.uint8)
        batch.launch("locate", LANES_PER_KEY)
        return give(slots), give(is_late).view(bool)

    def _without(self, words: Int64s, some: Bools, now: int, region: int) -> Int64s:
        """Return words of which some are others, each of which nothing and nobody else has."""
        if not some.any():
            return words
        is_resident = self._device.holds(words)
        changed = self._device.give(words) if is_resident else words.copy()
        left = np.flatnonzero(some)
        while len(left):
            with np.errstate(over="ignore"):
                changed[left] = (changed[left] + 1) * _ODD
            taken = self._places(changed[left], now, region)[0] >= 0
            _, first = np.unique(changed, return_index=True)
            left = left[taken | ~np.isin(left, first)]
        return self._device.take(changed, np.int64) if is_resident else changed

    # ------------------------------------------------------------------ verbs that move no entry

    def lookup(
        self, keys: Keys, now: int, *, out: Any = None, count: bool = True, region: int = 0
    ) -> Int64s:
        """See `interface.Table`."""
        own = self.locate(keys, now, region).keys
        return super().lookup(own, now, out=out, count=count, region=region)

    def fetch(
        self, keys: Keys, now: int, out: Any, *, zero: bool, count: bool = True, region: int = 0
    ) -> Bools:
        """See `interface.CacheTable`."""
        own = self.locate(keys, now, region).keys
        return super().fetch(own, now, out, zero=zero, count=count, region=region)

    def touch(self, keys: Keys, now: int, *, region: int = 0) -> Bools:
        """See `interface.Table`."""
        return super().touch(self.locate(keys, now, region).keys, now, region=region)

    def contains(self, keys: Keys, now: int, *, region: int = 0) -> Bools:
        """See `interface.Table`."""
        return super().contains(self.locate(keys, now, region).keys, now, region=region)

    def deadlines(self, keys: Keys, now: int, *, region: int = 0) -> Int64s:
        """See `interface.Table`."""
        return super().deadlines(self.locate(keys, now, region).keys, now, region=region)

    def pin(self, keys: Keys, now: int, *, slots: Int64s | None = None, region: int = 0) -> Int64s:
        """See `interface.CacheTable`."""
        own = self.locate(keys, now, region).keys
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
        """See `interface.Table`; a key with the hash of another one is vetoed."""
        located = self.locate(keys, now, region)
        is_other = located.is_other | self._overtaken(located.keys)
        if is_other.any():
            words = self._without(keys.words, is_other, now, region)
            located = located._replace(keys=Keys(words, keys.refs))
            veto = (is_other if veto is None else is_other | (veto != 0)).astype(np.uint8)
        return super().insert(located.keys, values, now, veto=veto, region=region, **options)

    def _overtaken(self, keys: Keys) -> Bools:
        """Return which keys (bool[n]) come before another one of the batch with the same hash."""
        words = self._device.give(keys.words) if self._device.holds(keys.words) else keys.words
        assert keys.refs is not None
        last = dict(zip(words.tolist(), keys.refs, strict=True))
        if len(last) == len(words):
            return np.zeros(len(words), bool)
        pairs = zip(words.tolist(), keys.refs, strict=True)
        return np.fromiter((last[word] != key for word, key in pairs), bool, len(words))

    def _store(self, batch: Batch) -> None:
        before, is_late = self._places(batch.array("words"), batch.now, batch.region)
        super()._store(batch)
        give = self._device.give
        slots, status = give(batch.array("slots")), give(batch.array("status"))
        is_last = give(batch.array("last")) == np.arange(batch.n)
        came = np.flatnonzero(is_last & (status == Status.INSERTED))
        if batch.is_logged:
            batch.left = self._left(batch, before, slots, came)
        # What had expired has left, wherever its key is now.
        gone = is_last & is_late & (status != Status.VETOED)
        self._refs[before[gone]] = None
        assert batch.refs is not None
        self._refs[slots[came]] = batch.refs[came]

    def _left(self, batch: Batch, before: Int64s, slots: Int64s, came: Int64s) -> Objects:
        """Return keys of what left, by their places in the log.

        Args:
            before, slots: where the keys of the batch were, and where they are.
            came: positions that were inserted, ascending.
        """
        give, found = self._device.give, np.empty(2 * batch.n, object)
        reasons, words = give(batch.array("reasons")), give(batch.array("words"))
        places = np.flatnonzero(reasons)
        at = places >> 1
        is_own = give(batch.array("held"))[places] == words[at]
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
        done = super().delete(located.keys, now, want_removed=want_removed, region=region)
        removed = done.removed
        if removed is not None:
            refs = self._refs[located.slots[removed.at]]
            removed = removed._replace(keys=Keys(removed.keys.words, refs))
        self._refs[located.slots[located.slots >= 0]] = None
        return Deleted(done.deleted, removed)

    def clear(self, now: int, *, want_removed: bool = False, region: int = 0) -> Removed | None:
        """See `interface.Table`."""
        removed = super().clear(now, want_removed=want_removed, region=region)
        here = self.layout.regions[region]
        refs = self._refs[here.first_slot : here.first_slot + here.capacity]
        if removed is not None:
            is_live = np.fromiter((ref is not None for ref in refs), bool, len(refs))
            removed = removed._replace(keys=Keys(removed.keys.words, refs[is_live]))
        refs[:] = None
        return removed

    # ------------------------------------------------------------------ looking into it

    def export(self, now: int, *, sets: range | None = None, region: int = 0) -> Entries:
        """See `interface.Table`."""
        entries = super().export(now, sets=sets, region=region)
        return entries._replace(keys=Keys(entries.keys.words, self._refs[entries.slots]))

    def dump(self) -> Dump:
        """See `interface.Table`."""
        return super().dump()._replace(refs=self._refs.copy())
