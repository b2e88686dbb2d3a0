"""The table on a GPU: columns in the device's memory, and the verbs as launches of kernels.

Nothing here knows whose memory it is: `device.Device` allocates, copies and launches. Keys, values
and all that belongs to a batch may be arrays of the host or of the device. Results lie where the
keys are: with keys of the device, lookup, contains, touch, deadlines, pin, insert and delete wait
for nothing, unless `want_removed` or an `out` of the host asks them to; with keys of the host they
wait for their results. What left a table, and what looks into it as a whole, comes to the host.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from predis_core.errors import PolicyError
from predis_core.policies.choice import candidates_of
from predis_core.policies.contract import HOT_BITS, Policy
from predis_core.table.cuda.batch import Batch
from predis_core.table.cuda.device import Device
from predis_core.table.cuda.source import BATCH, MODES, STATE_WORDS, TABLE, place_of, words_of
from predis_core.table.interface import (
    Bools,
    Bytes,
    Counter,
    Deleted,
    Dump,
    Entries,
    Inserted,
    Int64s,
    Keys,
    Reason,
    Removed,
)
from predis_core.table.layout import LINES, WAYS, Layout, record_of
from predis_core.table.sketch import ROWS, halve_after, width_bits

_AT = place_of(TABLE)
_COUNTED, _ABSENT_ONLY, _GUESSED, _FIRST, _ZEROED = MODES.values()
_NO_BATCH = words_of(BATCH)
_LANES_PER_KEY = 8
_PIECE = 1024  # of `compacting.cuh`
_WARP = 32
_CLAIMS = 1 << 32


class GpuTable:
    """A table in a device's memory. See `interface.Table` for what the verbs promise.

    Args:
        device: whose memory.
        layout: regions and their capacities.
        policy: the eviction policy; no choice among several.
        seed: int64, fixes where keys go.
        row: dtype of a value, with its shape; None for a table without values.

    Raises:
        PolicyError: if the policy is a choice, or cannot be translated.
    """

    def __init__(
        self,
        device: Device,
        layout: Layout,
        policy: Policy,
        seed: int,
        row: np.dtype[Any] | None = None,
    ) -> None:
        if len(candidates_of(policy)) > 1:
            raise PolicyError(
                f"policy: {policy.name!r} chooses among several, and a table on a GPU has one; "
                f"name one of them ({', '.join(each.name for each in candidates_of(policy))})"
            )
        self.layout = layout
        self.policy = policy
        self.seed = seed
        self._device = device
        self._row = row
        self._row_bytes = 0 if row is None else row.itemsize
        self._record = record_of(policy)
        self._tick = 0
        self._batches = 0
        self._kernels = device.load(policy, self._row_bytes)
        self._columns: dict[str, Any] = {
            "lines": device.zeros(layout.sets * LINES * 8, np.int64),
            "records": device.zeros(layout.sets * self._record.stride, np.uint8),
            "values": device.empty(layout.slots * self._row_bytes, np.uint8),
            "state": device.zeros(len(STATE_WORDS), np.int64),
            "counters": device.zeros(len(layout.regions) * len(Counter), np.int64),
        }
        if policy.sketch:
            self._columns["sketch"] = device.zeros(ROWS << width_bits(layout.slots), np.uint8)
        if policy.visible_bits > HOT_BITS:
            # What a hit changes is then more than a byte: one thread of a batch may do it.
            self._columns["claims"] = device.zeros(layout.slots, np.uint32)
        self._words = [self._words_of(number) for number in range(len(layout.regions))]
        self.set_parameters(policy.parameters)

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

    def _put(self, name: str, column: Any) -> None:
        self._columns[name] = column
        for words in self._words:
            words[_AT[name]] = self._device.address(column)

    # ------------------------------------------------------------------ verbs that move no entry

    def lookup(
        self, keys: Keys, now: int, *, out: Any = None, count: bool = True, region: int = 0
    ) -> Int64s:
        """See `interface.Table`; rows of misses are left as they are in `out`.

        Raises:
            ValueShapeError: if `out` is an array of the device that rows cannot be copied to.
        """
        batch = self._look_up(keys, now, out, False, count, region)
        return batch.answer(batch.array("slots"))

    def fetch(
        self, keys: Keys, now: int, out: Any, *, zero: bool, count: bool = True, region: int = 0
    ) -> Bools:
        """Copy the rows of hits to `out` and return the hit mask (bool[n]), as `lookup` does.

        With `zero`, rows of misses are cleared.
        """
        batch = self._look_up(keys, now, out, zero, count, region)
        return batch.answer(batch.array("found")).view(bool)

    def _look_up(
        self, keys: Keys, now: int, out: Any, zero: bool, count: bool, region: int
    ) -> Batch:
        batch = self._batch(keys, now, region)
        batch.room("slots", np.int64)
        found = batch.room("found", np.uint8)
        has_rows = out is not None and self._row is not None
        rows = batch.rows_for(out) if has_rows else None
        self._use(batch, (_COUNTED if count else 0) | (_ZEROED if zero and has_rows else 0))
        if rows is not None:
            filled = ... if zero else self._device.give(found).view(bool)
            out[filled] = self._as_rows(self._device.give(rows))[filled]
        return batch

    def misses(self, found: Any) -> tuple[Any, Any]:
        """Return where a hit mask of the device has misses, compacted there; waits for nothing.

        Args:
            found: bool[n] of the device, as `fetch` returns it.

        Returns:
            (int64[n], int64[1]) of the device: positions in order, and how many of them count.
        """
        batch = self._batch(Keys(self._device.empty(len(found), np.int64)), 0, 0)
        batch.take("found", found, np.uint8)
        batch.room("sums", np.int64, batch.n // _PIECE + 1)
        missed, positions = batch.zeros("missed", np.int64, 1), batch.room("slots", np.int64)
        batch.launch("count_misses")
        batch.launch("list_misses")
        return positions, missed

    def touch(self, keys: Keys, now: int, *, region: int = 0) -> Bools:
        """See `interface.Table`."""
        batch = self._batch(keys, now, region)
        batch.room("slots", np.int64)
        found = batch.room("found", np.uint8)
        self._use(batch, 0)
        return batch.answer(found).view(bool)

    def _use(self, batch: Batch, mode: int) -> None:
        self._batches += 1
        claim = self._batches % _CLAIMS
        batch.set(tick=self._advance(batch.n), claim=claim, mode=mode)
        batch.launch("lookup", _LANES_PER_KEY)
        self._count_in_sketch(batch)

    def _count_in_sketch(self, batch: Batch) -> None:
        if self.policy.sketch:
            batch.launch("count_in_sketch")
            self._launch(0, "age_sketch", ROWS << width_bits(self.layout.slots) >> 2)
            self._launch(0, "settle_sketch", 1)

    def contains(self, keys: Keys, now: int, *, region: int = 0) -> Bools:
        """See `interface.Table`."""
        return self._peek(keys, now, region)[0].view(bool)

    def deadlines(self, keys: Keys, now: int, *, region: int = 0) -> Int64s:
        """See `interface.Table`."""
        return self._peek(keys, now, region)[1]

    def _peek(self, keys: Keys, now: int, region: int) -> tuple[Bytes, Int64s]:
        batch = self._batch(keys, now, region)
        found, deadlines = batch.room("found", np.uint8), batch.room("slots", np.int64)
        batch.launch("peek", _LANES_PER_KEY)
        return batch.answer(found), batch.answer(deadlines)

    def pin(self, keys: Keys, now: int, *, region: int = 0) -> Int64s:
        """See `interface.Table`."""
        self._keep("pins", np.int32)
        batch = self._batch(keys, now, region)
        slots = batch.room("slots", np.int64)
        batch.launch("pin", _LANES_PER_KEY)
        return batch.answer(slots)

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
        status, slots = batch.room("status", np.uint8), batch.room("slots", np.int64)
        if want_removed:
            batch.make_log()
        batch.unite()
        batch.room("last", np.uint32)
        order = batch.room("order", np.uint64)
        batch.launch("order")
        if batch.n > 1:
            self._device.sort(order)
        batch.launch("insert", _WARP)
        batch.launch("spread")
        self._count_in_sketch(batch)
        removed = self._removed(batch) if want_removed else None
        return Inserted(batch.answer(status), batch.answer(slots), removed)

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
        batch.launch("remove", _LANES_PER_KEY)
        removed = self._removed(batch) if want_removed else None
        return Deleted(batch.answer(found).view(bool), removed)

    def clear(self, now: int, *, want_removed: bool = False, region: int = 0) -> Removed | None:
        """See `interface.Table`."""
        removed = None
        if want_removed:
            held = self._unpack(region)
            slots = np.flatnonzero(held.live)
            ends = held.deadlines[slots]
            late = (ends > 0) & (ends <= now)
            costs = np.zeros(len(slots), np.int64)
            if "costs" in self._columns:
                costs = self._device.give(self._columns["costs"])[slots]
            removed = Removed(
                np.where(late, Reason.EXPIRED, Reason.CLEARED).astype(np.int64),
                np.zeros(len(slots), np.int64),
                Keys(held.words[slots]),
                self._rows_of(self._columns["values"], slots),
                costs,
            )
        self._launch(region, "clear", self.layout.regions[region].sets * _WARP)
        return removed

    # ------------------------------------------------------------------ looking into it

    def export(self, now: int, *, region: int = 0) -> Entries:
        """See `interface.Table`."""
        held = self._unpack(region)
        is_late = (held.deadlines > 0) & (held.deadlines <= now)
        slots = np.flatnonzero(held.live & ~is_late)
        return Entries(
            Keys(held.words[slots]),
            slots,
            held.metas[slots],
            held.guesses[slots],
            held.deadlines[slots],
            self._rows_of(self._columns["values"], slots),
        )

    def counters(self, *, region: int = 0) -> dict[Counter, int]:
        """See `interface.Table`."""
        found = self._device.give(self._columns["counters"]).reshape(-1, len(Counter))
        return dict(zip(Counter, found[region].tolist(), strict=True))

    def conflicts(self, *, region: int = 0) -> Int64s:
        """See `interface.Table`."""
        here = self.layout.regions[region]
        found = self._of_records(self._record.conflicts, 1, np.uint32)[:, 0].astype(np.int64)
        return found[here.base : here.base + here.sets]

    def set_parameters(self, parameters: tuple[int, ...]) -> None:
        """See `interface.Table`; waits for nothing."""
        vector = np.array(parameters or (0,), np.int64)
        self._put("parameters", self._device.take(vector, np.int64))

    def dump(self) -> Dump:
        """See `interface.Table`."""
        held = self._unpack(*range(len(self.layout.regions)))
        sets, cells = self.layout.sets, self._columns.get("sketch")
        states, ghosts = np.zeros(sets, np.int64), np.zeros((sets, WAYS), np.uint16)
        if self._record.state >= 0:
            states = self._of_records(self._record.state, 1, np.int64)[:, 0]
        if self._record.ghosts >= 0:
            ghosts = self._of_records(self._record.ghosts, WAYS, np.uint16)
        return held._replace(
            values=self._rows_of(self._columns["values"], np.arange(self.layout.slots)),
            states=states,
            conflicts=self._of_records(self._record.conflicts, 1, np.uint32)[:, 0].astype(np.int64),
            ghosts=ghosts,
            sketch=None if cells is None else self._device.give(cells).reshape(ROWS, -1),
            tick=self._tick,
            counters=self._device.give(self._columns["counters"]).reshape(-1, len(Counter)),
        )

    def _of_records(self, offset: int, count: int, dtype: Any) -> npt.NDArray[Any]:
        records = self._device.give(self._columns["records"]).reshape(-1, self._record.stride)
        width = count * np.dtype(dtype).itemsize
        return records[:, offset : offset + width].copy().view(dtype)

    def _unpack(self, *regions: int) -> Dump:
        """Return what the slots of some regions hold, and nothing else of a dump."""
        device, slots = self._device, self.layout.slots
        kinds = {
            "live": np.uint8,
            "held": np.int64,
            "metas": np.int64,
            "guesses": np.uint8,
            "until": np.int64,
        }
        columns = {name: device.zeros(slots, dtype) for name, dtype in kinds.items()}
        places = words_of(BATCH, **{name: device.address(each) for name, each in columns.items()})
        for region in regions:
            sets = self.layout.regions[region].sets
            self._launch(region, "unpack", sets * _WARP, places)
        live, words, metas, guesses, until = map(device.give, columns.values())
        nothing = np.empty(0, np.int64)
        ghosts = np.empty((0, WAYS), np.uint16)
        return Dump(
            live.view(bool), words, metas, guesses.view(bool), until, None, None, nothing, nothing,
            ghosts, None, 0, nothing,
        )  # fmt: skip

    # ------------------------------------------------------------------ what the verbs share

    def _advance(self, n: int) -> int:
        tick = self._tick
        self._tick += max(n, 1)
        return tick

    def _batch(self, keys: Keys, now: int, region: int) -> Batch:
        return Batch(self._device, partial(self._launch, region), self._row_bytes, keys, now)

    def _launch(self, region: int, kernel: str, threads: int, batch: Int64s = _NO_BATCH) -> None:
        self._kernels.launch(kernel, threads, self._words[region], batch)

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

    def _rows_of(self, column: Any, places: Int64s) -> Any:
        """Return rows of a column of the device, or None for a table without values."""
        if self._row is None:
            return None
        device, n = self._device, len(places)
        rows = device.empty(n * self._row_bytes, np.uint8)
        chosen = device.take(places, np.int64)
        if n:
            table = self._words[0].copy()
            table[_AT["values"]] = device.address(column)
            batch = words_of(BATCH, n=n, slots=device.address(chosen), values=device.address(rows))
            self._kernels.launch("gather", n * _LANES_PER_KEY, table, batch)
        return self._as_rows(device.give(rows))

    def _as_rows(self, given: Bytes) -> npt.NDArray[Any]:
        assert self._row is not None
        base, shape = self._row.subdtype or (self._row, ())
        rows: npt.NDArray[Any] = given.view(base).reshape(-1, *shape)
        return rows
