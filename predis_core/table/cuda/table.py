"""The table on a GPU: columns in the device's memory, and the verbs as launches of kernels.

Nothing here knows whose memory it is: `device.Device` allocates, copies and launches. Keys, values
and all that belongs to a batch may be arrays of the host or of the device. Results lie where the
keys are: with keys of the device, lookup, contains, touch, deadlines, pin, insert and delete wait
for nothing, unless `want_removed` or an `out` of the host asks them to; with keys of the host they
wait for their results. What left a table, and what looks into it as a whole, comes to the host.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from predis_core.policies.choice import candidates_of
from predis_core.policies.contract import HOT_BITS, Policy
from predis_core.table.cuda.batch import Batch
from predis_core.table.cuda.device import Device, Kernels
from predis_core.table.cuda.source import (
    LANES_PER_KEY,
    MODES,
    PIECE,
    STATE_WORDS,
    TABLE,
    WARP,
    place_of,
    words_of,
)
from predis_core.table.cuda.switching import Switching
from predis_core.table.cuda.translate import translated
from predis_core.table.interface import (
    Bools,
    Bytes,
    Counter,
    Deleted,
    Inserted,
    Int64s,
    Keys,
    Reason,
    Removed,
    Sealed,
)
from predis_core.table.layout import LINES, Layout, record_of
from predis_core.table.sketch import ROWS, halve_after, width_bits

_AT = place_of(TABLE)
_COUNTED, _ABSENT_ONLY, _GUESSED, _FIRST, _ZEROED = MODES.values()
_CLAIMS = 1 << 32


class GpuTable(Switching):
    """A table in a device's memory. See `interface.Table` for what the verbs promise.

    Args:
        device: whose memory.
        layout: regions and their capacities.
        policy: the eviction policy, or a choice among several; see `switch`.
        seed: int64, fixes where keys go.
        row: dtype of a value, with its shape; None for a table without values.
        live: of a policy that is a choice, which one to begin with; the first by default.

    Attributes:
        is_sealed: whether inserts store nothing any more, and nothing may be pinned.

    Raises:
        PolicyError: if the policy, or a candidate, cannot be translated.
    """

    def __init__(
        self,
        device: Device,
        layout: Layout,
        policy: Policy,
        seed: int,
        row: np.dtype[Any] | None = None,
        live: Policy | None = None,
    ) -> None:
        self.layout = layout
        self.given = policy
        self.candidates = candidates_of(policy)
        self.policy = live or self.candidates[0]
        self.seed = seed
        self._device = device
        self._row = row
        self._row_bytes = 0 if row is None else row.itemsize
        self._record = record_of(policy)
        self._tick = 0
        self._batches = 0
        self.is_sealed = False
        self._before = np.zeros(len(Counter), np.int64)
        for candidate in self.candidates:
            translated(candidate)  # so that what cannot be is refused now
        self._programs: dict[str, Kernels] = {}
        self._kernels = self._program(self.policy)
        self._columns: dict[str, Any] = {
            "lines": device.zeros(layout.sets * LINES * 8, np.int64),
            "records": device.zeros(layout.sets * self._record.stride, np.uint8),
            "values": device.empty(layout.slots * self._row_bytes, np.uint8),
            "state": device.zeros(len(STATE_WORDS), np.int64),
            "counters": device.zeros(len(layout.regions) * len(Counter), np.int64),
        }
        if any(each.visible_bits > HOT_BITS for each in self.candidates):
            # What a hit changes is then more than a byte: one thread of a batch may do it.
            self._columns["claims"] = device.zeros(layout.slots, np.uint32)
        self._words = [self._words_of(number) for number in range(len(layout.regions))]
        self._open_sketch()
        self.set_parameters(self.policy.parameters)

    @property
    def nbytes(self) -> int:
        """Bytes of all columns."""
        return sum(int(column.nbytes) for column in list(self._columns.values()))

    def like(self, layout: Layout) -> GpuTable:
        """Return an empty table, in other respects the same."""
        live = self.policy
        return type(self)(self._device, layout, self.given, self.seed, self._row, live)

    def follow(self, older: GpuTable) -> None:
        """Go on in another table's stead: its time, parameters, sampled lookups, and frequencies if
        as many fit.
        """
        self._tick = older._tick
        self.set_parameters(older._parameters)
        self._sample_on(older)
        mine, others = self._columns.get("sketch"), older._columns.get("sketch")
        if mine is not None and others is not None and len(mine) == len(others):
            for name in ("sketch", "state"):
                self._put(name, older._columns[name])

    def _words_of(self, number: int) -> Int64s:
        region = self.layout.regions[number]
        quotient, remainder = divmod(region.capacity, region.sets)
        words = words_of(
            TABLE,
            seed=self.seed,
            sketch_bits=width_bits(self.layout.slots),
            sketch_limit=halve_after(self.layout.slots),
            base=region.base,
            sets=region.sets,
            quotient=quotient,
            remainder=remainder,
            first_slot=region.first_slot,
            capacity=region.capacity,
        )
        for name, column in self._columns.items():
            words[_AT[name]] = self._device.address(column)
        words[_AT["counters"]] += 8 * len(Counter) * number
        return words

    def _keep(self, name: str, dtype: Any) -> None:
        """Have a column per slot from now on."""
        if name not in self._columns:
            self._put(name, self._device.zeros(self.layout.slots, dtype))

    # ------------------------------------------------------------------ verbs that move no entry

    def lookup(
        self, keys: Keys, now: int, *, out: Any = None, count: bool = True, region: int = 0
    ) -> Int64s:
        """See `interface.Table`; rows of misses are left as they are in `out`.

        Raises:
            ValueShapeError: if `out` is an array of the device that rows cannot be copied to.
        """
        batch = self._batch(keys, now, region)
        slots = batch.room("slots", np.int64)
        self._look_up(batch, out, False, count)
        return batch.answer(slots)

    def fetch(
        self, keys: Keys, now: int, out: Any, *, zero: bool, count: bool = True, region: int = 0
    ) -> Bools:
        """See `interface.CacheTable`."""
        rows = out if self._device.holds(out) else self._as_rows(out)
        batch = self._batch(keys, now, region)
        return batch.answer(self._look_up(batch, rows, zero, count)).view(bool)

    def _look_up(self, batch: Batch, out: Any, zero: bool, count: bool) -> Bytes:
        found: Bytes = batch.room("found", np.uint8)
        has_rows = out is not None and self._row is not None
        rows = batch.rows_for(out) if has_rows else None
        self._use(batch, (_COUNTED if count else 0) | (_ZEROED if zero and has_rows else 0))
        if count:
            self._sample(batch, batch.region)
        if rows is not None:
            filled = ... if zero else self._device.give(found).view(bool)
            out[filled] = self._as_rows(self._device.give(rows))[filled]
        return found

    def misses(self, found: Any) -> tuple[Any, Any]:
        """Return where a hit mask of the device has misses, compacted there; waits for nothing.

        Args:
            found: bool[n] of the device, as `fetch` returns it.

        Returns:
            (int64[n], int64[1]) of the device: positions in order, and how many of them count.
        """
        batch = self._batch(Keys(self._device.empty(len(found), np.int64)), 0, 0)
        batch.take("found", found, np.uint8)
        batch.room("sums", np.int64, batch.n // PIECE + 1)
        missed, positions = batch.zeros("missed", np.int64, 1), batch.room("slots", np.int64)
        batch.launch("count_misses")
        batch.launch("list_misses")
        return positions, missed

    def touch(self, keys: Keys, now: int, *, region: int = 0) -> Bools:
        """See `interface.Table`."""
        batch = self._batch(keys, now, region)
        found = batch.room("found", np.uint8)
        self._use(batch, 0)
        return batch.answer(found).view(bool)

    def _use(self, batch: Batch, mode: int) -> None:
        self._batches += 1
        claim = self._batches % _CLAIMS
        batch.set(tick=self._advance(batch.n), claim=claim, mode=mode)
        batch.launch("lookup", LANES_PER_KEY)
        self._count_in_sketch(batch)

    def _count_in_sketch(self, batch: Batch) -> None:
        if self.policy.sketch:
            batch.launch("count_in_sketch")
            self._launch(0, "age_sketch", ROWS << width_bits(self.layout.slots) >> 2)
            self._launch(0, "settle_sketch", 1)

    def contains(self, keys: Keys, now: int, *, region: int = 0) -> Bools:
        """See `interface.Table`."""
        batch = self._batch(keys, now, region)
        found = batch.room("found", np.uint8)
        batch.launch("peek", LANES_PER_KEY)
        return batch.answer(found).view(bool)

    def deadlines(self, keys: Keys, now: int, *, region: int = 0) -> Int64s:
        """See `interface.Table`."""
        batch = self._batch(keys, now, region)
        deadlines = batch.room("slots", np.int64)
        batch.launch("peek", LANES_PER_KEY)
        return batch.answer(deadlines)

    def pin(self, keys: Keys, now: int, *, slots: Int64s | None = None, region: int = 0) -> Int64s:
        """See `interface.CacheTable`."""
        if self.is_sealed:
            raise Sealed
        self._keep("pins", np.int32)
        batch = self._batch(keys, now, region)
        batch.room("slots", np.int64)
        batch.launch("pin", LANES_PER_KEY)
        found = batch.answer(batch.array("slots"))
        if slots is None:
            return found
        slots[:] = found
        return slots

    def is_pinned(self) -> bool:
        """Return whether anything is pinned; waits for the device."""
        pins = self._columns.get("pins")
        return pins is not None and bool(self._device.give(pins).any())

    def unpin(self, keys: Keys, slots: Int64s, *, region: int = 0) -> None:
        """See `interface.Table`; waits for nothing."""
        batch = self._batch(keys, 0, region)
        batch.take("slots", slots, np.int64)
        batch.launch("unpin")

    # ------------------------------------------------------------------ verbs that move entries

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
        """See `interface.Table`; `sizes` mean nothing here, because rows weigh nothing."""
        if self.is_sealed:
            veto = np.ones(len(keys.words), np.uint8)
        for name, given, dtype in (
            ("deadlines", deadlines is not None, np.int64),
            ("costs", costs is not None, np.int64),
            ("claims", guess, np.uint32),  # the first use of a guess is noted once
        ):
            if given:
                self._keep(name, dtype)
        batch = self._batch(keys, now, region)
        batch.set(
            tick=self._advance(batch.n),
            mode=(_ABSENT_ONLY if absent_only or guess else 0) | (_GUESSED if guess else 0),
        )
        batch.take("deadlines", deadlines, np.int64)
        batch.take("costs", costs, np.int64)
        batch.take("veto", veto, np.uint8)
        batch.take("values", None if self._row is None else values, np.uint8)
        if want_removed:
            batch.make_log()
        self._store(batch)
        self._count_in_sketch(batch)
        removed = self._removed(batch) if want_removed else None
        status, slots = (batch.answer(batch.array(name)) for name in ("status", "slots"))
        return Inserted(status, slots, removed)

    def _store(self, batch: Batch) -> None:
        """Have a batch's keys stored; what becomes of them goes to its status and slots."""
        batch.room("status", np.uint8)
        batch.room("slots", np.int64)
        batch.unite()
        batch.room("last", np.uint32)
        order = batch.room("order", np.uint64)
        batch.launch("order")
        if batch.n > 1:
            self._device.sort(order)
        batch.launch("insert", WARP)
        batch.launch("spread")

    def delete(
        self, keys: Keys, now: int, *, want_removed: bool = False, region: int = 0
    ) -> Deleted:
        """See `interface.Table`."""
        batch = self._batch(keys, now, region)
        found = batch.room("found", np.uint8)
        if want_removed:
            batch.make_log()
        batch.set(mode=_FIRST)
        batch.unite()
        batch.launch("remove", LANES_PER_KEY)
        removed = self._removed(batch) if want_removed else None
        return Deleted(batch.answer(found).view(bool), removed)

    def clear(self, now: int, *, want_removed: bool = False, region: int = 0) -> Removed | None:
        """See `interface.Table`."""
        removed = None
        if want_removed:
            held = self._held(region)
            at = np.flatnonzero(held.live)
            slots, ends = held.first + at, held.deadlines[at]
            late = (ends > 0) & (ends <= now)
            costs = np.zeros(len(slots), np.int64)
            if "costs" in self._columns:
                costs = self._device.give(self._columns["costs"])[slots]
            removed = Removed(
                np.where(late, Reason.EXPIRED, Reason.CLEARED).astype(np.int64),
                np.zeros(len(slots), np.int64),
                Keys(held.words[at]),
                self._rows_of(self._columns["values"], slots),
                costs,
            )
        self._launch(region, "clear", self.layout.regions[region].sets * WARP)
        return removed

    # ------------------------------------------------------------------ what the verbs share

    def _advance(self, n: int) -> int:
        tick = self._tick
        self._tick += max(n, 1)
        return tick

    def _batch(self, keys: Keys, now: int, region: int) -> Batch:
        words = self._words[region]
        return Batch(self._device, self._kernels, words, self._row_bytes, keys, now, region)

    def _removed(self, batch: Batch) -> Removed:
        """Return what left for a batch that has a log, in the order of the positions."""
        give = self._device.give
        reasons = give(batch.array("reasons"))
        places = np.flatnonzero(reasons)
        return Removed(
            reasons[places].astype(np.int64) - 1,
            places >> 1,
            Keys(give(batch.array("held"))[places]),
            self._rows_of(batch.array("rows"), places),
            give(batch.array("spent"))[places],
        )
