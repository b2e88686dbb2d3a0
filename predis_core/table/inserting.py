"""One insert into a CPU table, from its first chunk to its last."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from predis_core.arrays import address
from predis_core.table import cpython
from predis_core.table.equality import Resolver, chunks
from predis_core.table.interface import Bools, Inserted, Int64s, Keys, Removed, Status
from predis_core.table.removals import NO_LOG, Log, joined

if TYPE_CHECKING:
    from predis_core.table.cpu import CpuTable

_NO_INT64: Int64s = np.empty(0, np.int64)
_STALE, _LOG_FULL, _SEALED, _OTHER_POLICY = (len(Status) + number for number in range(4))
"""Why a kernel stopped; see `kernels.inserts`."""


class Inserting:
    """A batch on its way into a table.

    Args:
        table: the table.
        keys: the batch.
        region: where it goes.
        arguments: now, deadlines, costs, sizes, veto, mode and values, as kernels take them.
        log: where to note what leaves; None if that is nowhere.

    Attributes:
        status, slots: as `interface.Inserted` has them.
        stored: how many positions the table took, from the first on; less than all if it is sealed.
    """

    def __init__(
        self,
        table: CpuTable,
        keys: Keys,
        region: int,
        arguments: tuple[Any, ...],
        log: Log | None,
    ) -> None:
        self._table, self._keys, self._region = table, keys, region
        self._arguments, self._log = arguments, log
        n = len(keys.words)
        self.status = np.zeros(n, np.uint8)
        self.slots = np.empty(n, np.int64)
        self.stored = n
        self._last = np.empty(n, np.int64)
        self._tick = -1
        self._full = False

    def run(self) -> None:
        """Insert all of the batch."""
        table, n = self._table, len(self._last)
        if not table._holds_gil:
            self._insert_part(slice(0, n))
            return
        self._full = table.is_full(region=self._region)
        self._tick = table._advance(n)
        resolver: Resolver | None = None
        if self._keys.refs is not None:
            self._mark_duplicates()
            about = (table._kernels, table._header, self._region, self._keys)
            resolver = Resolver(*about, signed=True)
        for part in chunks(0, n):
            if self.stored == n:
                self._insert_part(part, resolver)
        if resolver is not None and self.stored == n:
            self._spread()

    def counted(self) -> Bools:
        """Return which positions were stored and are the last one of their key (bool[n])."""
        last: Bools = self._last == np.arange(len(self._last))
        return last & Inserted(self.status, self.slots, None).stored

    def join(self, rest: Inserted, removed: Removed | None) -> Removed | None:
        """Take over what became of the positions that another table stored; return what left."""
        self.status[self.stored :], self.slots[self.stored :] = rest.status, rest.slots
        self._spread()
        if rest.removed is None:
            return removed
        at = rest.removed.at + self.stored
        return joined(removed, rest.removed._replace(at=at))

    def _spread(self) -> None:
        """Give every position what became of the last one of its key."""
        self.status[:] = self.status[self._last]
        self.slots[:] = self.slots[self._last]

    def _mark_duplicates(self) -> None:
        assert self._keys.refs is not None
        if cpython.is_known() and self._are_same_words_same_keys():
            return
        listed = self._keys.refs.tolist()
        last = {key: i for i, key in enumerate(listed)}
        if len(last) == len(listed):
            self._last[:] = np.arange(len(listed))
        else:
            self._last[:] = [last[key] for key in listed]

    def _are_same_words_same_keys(self) -> bool:
        """Mark duplicates by their words; return whether keys with one word are surely equal."""
        kernels, words, last = self._table._kernels, self._keys.words, self._last
        if not kernels.mark_same_words(words, last):
            return True
        return all(
            kernels.are_same_keys(id(self._keys.refs), last, part.start, part.stop)
            for part in chunks(0, len(words))
        )

    def _insert_part(self, part: slice, resolver: Resolver | None = None) -> None:
        """Insert, and again from wherever the kernel stopped, once that is dealt with."""
        start, keys, signatures, why = part.start, self._keys, _NO_INT64, _STALE
        while True:
            if resolver is not None and why == _STALE:
                # Keys came or went since they were compared.
                resolver.resolve(start, part.stop)
                keys, signatures = Keys(keys.words, resolver.refs), resolver.signatures
            start, why = self._insert(keys, signatures, start, part.stop)
            if why == _LOG_FULL and self._log is not None:
                self._log.extend()
            elif why == _SEALED:
                self.stored = start
                return
            elif start == part.stop:
                return

    def _insert(self, keys: Keys, signatures: Int64s, start: int, stop: int) -> tuple[int, int]:
        now, deadlines, costs, sizes, veto, mode, values = self._arguments
        self._tick, self._full, reached, why = self._table._kernels.insert(
            self._table._header,
            self._table._parameters,
            self._region,
            keys.words,
            0 if keys.refs is None else address(keys.refs),
            0 if self._keys.refs is None else address(self._keys.refs),
            signatures,
            start,
            stop,
            self._last,
            now,
            self._tick,
            self._full,
            deadlines,
            costs,
            sizes,
            veto,
            mode,
            values,
            NO_LOG if self._log is None else self._log.words,
            self.status,
            self.slots,
        )
        return int(reached), int(why)
