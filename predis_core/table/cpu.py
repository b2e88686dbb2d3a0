"""The table on the CPU: columns in memory, and the verbs as generated Numba kernels.

With int64 keys and rows, kernels run without the GIL under a lock of their own. With references
(Python objects as keys or values), they hold the GIL, in chunks, and no lock is ever held while
Python code runs: equality of keys is decided between two kernels, on references that are owned, and
the second one notices if the keys that share a hash have changed meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from predis_core.policies import contract
from predis_core.policies.contract import ARGUMENTS, Policy
from predis_core.table import codegen, header, ranking
from predis_core.table.equality import Resolver, chunks
from predis_core.table.interface import (
    Bools,
    Bytes,
    Counter,
    Dump,
    Entries,
    Inserted,
    Int64s,
    Keys,
    Objects,
)
from predis_core.table.layout import LINE_BYTES, LINES, WAYS, WAYS_PER_LINE, Layout, record_of
from predis_core.table.sketch import ROWS, halve_after, width_bits

_NO_INT64 = np.empty(0, np.int64)
_NO_BYTES = np.empty(0, np.uint8)
_MODULES = ("lookups", "inserts", "upkeep", "sketch")


def _address(array: npt.NDArray[Any]) -> int:
    address: int = array.__array_interface__["data"][0]
    return address


def _zeros(count: int, dtype: Any, alignment: int = LINE_BYTES) -> npt.NDArray[Any]:
    """Return zeros that begin at a multiple of `alignment` bytes, untouched until used."""
    size = count * np.dtype(dtype).itemsize
    raw = np.zeros(size + alignment, np.uint8)
    offset = -_address(raw) % alignment
    aligned: npt.NDArray[Any] = raw[offset : offset + size].view(dtype)
    return aligned


class CpuTable:
    """A table in host memory. See `interface.Table` for what the verbs promise.

    Args:
        layout: regions and their capacities.
        policy: the eviction policy.
        seed: int64, fixes where keys go.
        values: the column of values, [layout.slots, …] of any dtype; object for references; None
            for a table without values.
        key_refs: whether keys are Python objects beside their words.
    """

    def __init__(
        self,
        layout: Layout,
        policy: Policy,
        seed: int,
        values: npt.NDArray[Any] | None = None,
        *,
        key_refs: bool = False,
    ) -> None:
        self.layout = layout
        self.policy = policy
        self._record = record_of(policy)
        self._lines = _zeros(layout.sets * LINES * 8, np.int64)
        self._records = _zeros(layout.sets * self._record.stride, np.uint8)
        self._values = values
        self._refs: Objects | None = np.empty(layout.slots, object) if key_refs else None
        self._deadlines: Int64s | None = None
        self._sketch = self._make_sketch()
        self._parameters = np.array(policy.parameters, np.int64)
        self._value_refs = values is not None and values.dtype == object
        self._row_bytes = 0
        if values is not None and not self._value_refs:
            self._row_bytes = values.nbytes // max(1, len(values))
        self._holds_gil = key_refs or self._value_refs
        self._header = self._make_header(seed)
        functions = {name: getattr(policy, name) for name in ARGUMENTS}
        self._kernels = codegen.load(self._constants(), functions, *_MODULES)

    # ------------------------------------------------------------------ building

    def _make_sketch(self) -> npt.NDArray[np.uint8] | None:
        if not self.policy.sketch:
            return None
        return _zeros(ROWS << width_bits(self.layout.slots), np.uint8)

    def _make_header(self, seed: int) -> Int64s:
        words = _zeros(header.REGIONS + len(self.layout.regions) * header.REGION_WORDS, np.int64)
        words[header.LINES] = _address(self._lines)
        words[header.RECORDS] = _address(self._records)
        words[header.VALUES] = 0 if self._values is None else _address(self._values)
        words[header.REFS] = 0 if self._refs is None else _address(self._refs)
        if self._sketch is not None:
            words[header.SKETCH] = _address(self._sketch)
            words[header.SKETCH_BITS] = width_bits(self.layout.slots)
            words[header.SKETCH_LIMIT] = halve_after(self.layout.slots)
        words[header.SEED] = seed
        for number, region in enumerate(self.layout.regions):
            block = words[header.REGIONS + number * header.REGION_WORDS :]
            block[header.BASE], block[header.SETS] = region.base, region.sets
            block[header.QUOTIENT], block[header.REMAINDER] = divmod(region.capacity, region.sets)
            block[header.FIRST_SLOT], block[header.CAPACITY] = region.first_slot, region.capacity
        return words

    def _constants(self) -> dict[str, int | bool]:
        policy, record = self.policy, self._record
        return {
            "HOLDS_GIL": self._holds_gil,
            "KEY_REFS": self._refs is not None,
            "VALUE_REFS": self._value_refs,
            "ROW_BYTES": self._row_bytes,
            "VISIBLE_BITS": policy.visible_bits,
            "SLOT_MASK": (1 << policy.slot_bits) - 1,
            "SET_MASK": (1 << policy.set_bits) - 1,
            "HAS_ON_HIT": policy.on_hit is not contract.unchanged_on_hit,
            "HAS_TALLY": policy.tally is not contract.no_tally,
            "HAS_SEGMENT": policy.has_segments,
            "HAS_ON_PASS": policy.on_pass is not contract.unchanged_on_pass,
            "HAS_ON_EVICT": policy.on_evict is not contract.forget,
            "HAS_GHOSTS": policy.ghosts,
            "HAS_SKETCH": policy.sketch,
            "STATE": record.state,
            "CONFLICTS": record.conflicts,
            "COLUMN": record.column,
            "COLUMN_BYTES": record.column_bytes,
            "GHOSTS": record.ghosts,
            "STRIDE": record.stride,
        }

    # ------------------------------------------------------------------ reading verbs

    def lookup(
        self, keys: Keys, now: int, *, out: Any = None, count: bool = True, region: int = 0
    ) -> Int64s:
        """See `interface.Table`; rows of misses are left as they are in `out`."""
        return self._lookup(keys, now, out, False, count, region)[0]

    def fetch(
        self, keys: Keys, now: int, out: Any, *, zero: bool, count: bool = True, region: int = 0
    ) -> Bools:
        """Copy the values of hits to `out` and return the hit mask (bool[n]).

        `out` is n values in C order; with `zero`, rows of misses are cleared.
        """
        return self._lookup(keys, now, out, zero, count, region)[1]

    def _lookup(
        self, keys: Keys, now: int, out: Any, zero: bool, count: bool, region: int
    ) -> tuple[Int64s, Bools]:
        n = len(keys.words)
        slots, found = np.empty(n, np.int64), np.empty(n, np.bool_)
        parts: Iterable[tuple[Any, ...]]
        tick, guesses = -1, 0
        if self._holds_gil:
            keys = self._resolved(keys, region)
            tick = self._advance(n)
            parts = (
                (words, refs, self._value_bytes(out, part), slots[part], found[part])
                for part, words, refs in self._parts(keys)
            )
        else:
            parts = ((keys.words, 0, self._value_bytes(out), slots, found),)
        for words, refs, values, part_slots, part_found in parts:
            tick, unused = self._kernels.lookup(
                self._header,
                self._parameters,
                region,
                words,
                refs,
                now,
                tick,
                values,
                zero,
                count,
                part_slots,
                part_found,
            )
            guesses += unused
        if guesses:
            self._kernels.replay(self._header, self._parameters, region, keys.words, tick, slots)
        if self._sketch is not None:
            self._kernels.count_in_sketch(self._header, keys.words, found)
        return slots, found

    def touch(self, keys: Keys, now: int, *, region: int = 0) -> Bools:
        """See `interface.Table`."""
        return self._lookup(keys, now, None, False, False, region)[1]

    def contains(self, keys: Keys, now: int, *, region: int = 0) -> Bools:
        """See `interface.Table`."""
        resident: Bools = self.deadlines(keys, now, region=region) >= 0
        return resident

    def deadlines(self, keys: Keys, now: int, *, region: int = 0) -> Int64s:
        """See `interface.Table`."""
        found = np.empty(len(keys.words), np.int64)
        for part, words, refs in self._parts(self._resolved(keys, region)):
            self._kernels.peek(self._header, region, words, refs, now, found[part])
        return found

    # ------------------------------------------------------------------ writing verbs

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
        """See `interface.Table`.

        With references, `values` (object[n]) is taken over: afterwards it holds what was displaced.
        """
        if deadlines is not None and self._deadlines is None:
            self._keep_deadlines()
        n = len(keys.words)
        result = Inserted(
            np.zeros(n, np.uint8),
            np.empty(n, np.int64),
            np.empty(n, np.bool_),
            Keys(np.zeros(n, np.int64), None if keys.refs is None else np.empty(n, object)),
            self._displaced(values, return_displaced),
        )
        trash = np.empty(2 * n if guess and self._holds_gil else 0, object)
        rows = None if self._value_refs else result.displaced
        arguments = (
            now,
            _NO_INT64 if deadlines is None else deadlines,
            _NO_BYTES if veto is None else veto,
            (1 if absent_only or guess else 0) | (2 if guess else 0),
            self._value_bytes(values),
            self._value_bytes(rows),
        )
        _Inserting(self, keys, region, arguments, result, trash).run()
        if self._sketch is not None:
            counted = (result.status == 1) | (result.status == 2)
            self._kernels.count_in_sketch(
                self._header, keys.words, counted & self._last_positions(keys)
            )
        return result

    def _displaced(self, values: Any, wanted: bool) -> Any:
        if self._value_refs:
            return values
        return np.zeros_like(values) if wanted and values is not None else None

    def _last_positions(self, keys: Keys) -> Bools:
        n = len(keys.words)
        last = np.zeros(n, bool)
        identities = keys.words.tolist() if keys.refs is None else keys.refs
        last[list({key: i for i, key in enumerate(identities)}.values())] = True
        return last

    def delete(self, keys: Keys, now: int, *, out: Any = None, region: int = 0) -> Bools:
        """See `interface.Table`. With references, `out` is object[n] filled with None."""
        n = len(keys.words)
        deleted = np.empty(n, np.bool_)
        if self._value_refs and out is None:
            out = np.empty(n, object)
        gone = np.empty(n if self._refs is not None else 0, object)
        keys = self._resolved(keys, region)
        for part, words, refs in self._parts(keys):
            self._kernels.delete(
                self._header,
                region,
                words,
                refs,
                now,
                self._value_bytes(out, part),
                _address(gone[part]),
                deleted[part],
            )
        return deleted

    def clear(self, *, region: int = 0) -> None:
        """See `interface.Table`."""
        capacity = self.layout.regions[region].capacity
        gone_values = np.empty(capacity if self._value_refs else 0, object)
        gone_refs = np.empty(capacity if self._refs is not None else 0, object)
        self._kernels.clear(self._header, region, _address(gone_values), _address(gone_refs))

    def set_parameters(self, parameters: tuple[int, ...]) -> None:
        """See `interface.Table`."""
        self._parameters = np.array(parameters, np.int64)

    def replay(self, keys: Int64s, *, region: int = 0) -> Bools:
        """Send a trace through: get, then insert if absent, one request at a time.

        Only for a table of int64 keys without values. Args: keys, int64[n] in C order. Returns the
        hits, bool[n]. Does the same as `lookup` and `insert` with batches of one.
        """
        hits = np.empty(len(keys), np.bool_)
        self._kernels.replay_trace(self._header, self._parameters, region, keys, hits)
        return hits

    # ------------------------------------------------------------------ looking in

    def export(self, now: int, *, sets: range | None = None, region: int = 0) -> Entries:
        """See `interface.Table`; with `sets` (numbered in the region, step 1), only those."""
        here = self.layout.regions[region]
        capacity, number = here.capacity, region
        if sets is not None:
            window, number = header.window(self._header, region, sets)
            capacity = int(window[header.CAPACITY])
        words, slots, metas, deadlines = (np.empty(capacity, np.int64) for _ in range(4))
        guesses = np.empty(capacity, np.bool_)
        refs = np.empty(capacity if self._refs is not None else 0, object)
        values = None
        if self._values is not None:
            values = np.empty((capacity, *self._values.shape[1:]), self._values.dtype)
        n = self._kernels.export(
            self._header,
            number,
            now,
            words,
            _address(refs),
            slots,
            metas,
            guesses,
            deadlines,
            self._value_bytes(values),
        )
        keys = Keys(words[:n], refs[:n] if self._refs is not None else None)
        return Entries(
            keys,
            slots[:n],
            metas[:n],
            guesses[:n],
            deadlines[:n],
            None if values is None else values[:n],
        )

    def levels(self, entries: Entries, *, region: int = 0) -> Int64s:
        """Return for each exported entry how many of its set would leave after it (int64[m])."""
        here = self.layout.regions[region]
        sets = ranking.sets_of_slots(here, entries.slots)
        states = np.zeros_like(sets)
        if self._record.state >= 0:
            start = self._record.state
            column = self._records.reshape(-1, self._record.stride)[:, start : start + 8]
            states = column[here.base + sets].view(np.int64)[:, 0]
        tick = int(self._header[header.TICK])
        return ranking.levels(self.policy, self._parameters.tolist(), entries, sets, states, tick)

    def homes(self, keys: Keys, *, region: int = 0) -> Int64s:
        """Return the set of each key (int64[n], numbered in the region)."""
        seed = int(self._header[header.SEED])
        return ranking.sets_of_words(self.layout.regions[region], keys.words, seed)

    def room(self, *, region: int = 0) -> Bytes:
        """Return how many free ways each set has (uint8[sets]); expired entries are not free."""
        here = self.layout.regions[region]
        flags = self._lines.view(np.uint8).reshape(-1, LINES, LINE_BYTES)[:, :, LINE_BYTES - 8]
        free = ranking.ways_of(here)
        for line in flags[here.base : here.base + here.sets].T:
            free -= np.bitwise_count(line & ((1 << WAYS_PER_LINE) - 1))
        return free

    @property
    def memory(self) -> int:
        """Bytes of the table's arrays and columns."""
        columns = (self._lines, self._records, self._values, self._refs, self._deadlines)
        return sum(column.nbytes for column in (*columns, self._sketch) if column is not None)

    def counters(self, *, region: int = 0) -> dict[Counter, int]:
        """See `interface.Table`."""
        start = header.REGIONS + region * header.REGION_WORDS + header.COUNTERS
        found = self._header[start : start + len(Counter)].tolist()
        return dict(zip(Counter, found, strict=True))

    def size(self, *, region: int = 0) -> int:
        """Return how many entries a region holds, expired ones that were not reclaimed included."""
        return int(self._header[header.REGIONS + region * header.REGION_WORDS + header.COUNTERS])

    def is_full(self, *, region: int = 0) -> bool:
        """Return whether a region holds as many entries as it can."""
        return self.size(region=region) >= self.layout.regions[region].capacity

    def conflicts(self, *, region: int = 0) -> Int64s:
        """See `interface.Table`."""
        here = self.layout.regions[region]
        return self._record_column(self._record.conflicts, 4, 1, np.uint32)[
            here.base : here.base + here.sets, 0
        ].astype(np.int64)

    def dump(self) -> Dump:
        """See `interface.Table`; for tests, while nobody else uses the table."""
        groups = self._lines.reshape(-1, LINES, 8)
        flags = groups[:, :, 7].copy().view(np.uint8).reshape(-1, LINES, 8)
        ways = np.arange(WAYS // LINES)
        live = (flags[:, :, :1] >> ways) & 1 == 1
        hot = flags[:, :, 1:]
        metas = (hot & 0x7F).astype(np.int64).reshape(-1, WAYS)
        if width := self._record.column_bytes:
            column = self._record_column(self._record.column, width, WAYS, f"u{width}")
            metas |= column.astype(np.int64) << contract.HOT_BITS
        ghosts = np.zeros((self.layout.sets, WAYS), np.uint16)
        if self.policy.ghosts:
            ghosts = self._record_column(self._record.ghosts, 2, WAYS, np.uint16)
        states = np.zeros(self.layout.sets, np.int64)
        if self._record.state >= 0:
            states = self._record_column(self._record.state, 8, 1, np.int64)[:, 0]
        rows, columns = self._slot_places()
        alive = live.reshape(-1, WAYS)[rows, columns]

        def of_live(per_way: npt.NDArray[Any]) -> npt.NDArray[Any]:
            found: npt.NDArray[Any] = per_way.reshape(-1, WAYS)[rows, columns]
            return np.where(alive, found, 0)

        deadlines = self._deadlines if self._deadlines is not None else np.zeros_like(rows)
        counters = self._header[header.REGIONS :].reshape(-1, header.REGION_WORDS)
        return Dump(
            alive,
            of_live(groups[:, :, :7]),
            of_live(metas),
            of_live(hot >> 7) == 1,
            np.where(alive, deadlines, 0),
            None if self._refs is None else self._refs.copy(),
            None if self._values is None else self._values.copy(),
            states,
            self._record_column(self._record.conflicts, 4, 1, np.uint32)[:, 0].astype(np.int64),
            ghosts,
            None if self._sketch is None else self._sketch.reshape(ROWS, -1).copy(),
            int(self._header[header.TICK]),
            counters[:, header.COUNTERS : header.COUNTERS + len(Counter)].copy(),
        )

    def _slot_places(self) -> tuple[Int64s, Int64s]:
        """The set and the way of every slot."""
        sets = [
            (region.base + index, way)
            for region in self.layout.regions
            for index in range(region.sets)
            for way in range(region.ways(index))
        ]
        places = np.array(sets, np.int64)
        return places[:, 0], places[:, 1]

    def _record_column(self, offset: int, width: int, count: int, dtype: Any) -> npt.NDArray[Any]:
        records = self._records.reshape(-1, self._record.stride)
        return records[:, offset : offset + width * count].copy().view(dtype)

    # ------------------------------------------------------------------ what the verbs share

    def _advance(self, n: int) -> int:
        tick: int = self._kernels.advance(self._header, n)
        return tick

    def _parts(self, keys: Keys) -> Iterator[tuple[slice, Int64s, int]]:
        """Yield the parts of a batch that kernels take: where, words, address of references."""
        n = len(keys.words)
        for part in chunks(0, n) if self._holds_gil else (slice(0, n),):
            refs = 0 if keys.refs is None else _address(keys.refs[part])
            yield part, keys.words[part], refs

    def _value_bytes(self, values: Any, part: slice | None = None) -> Any:
        """Values, or those of a part of the batch, as kernels take them: see `kernels.values`.

        Rows may come as such or, without their shape and dtype, as uint8[m].
        """
        if values is None:
            return 0 if self._value_refs else _NO_BYTES
        if self._value_refs:
            return _address(values if part is None else values[part])
        flat = values
        if values.dtype != np.uint8 or values.ndim != 1:
            flat = values.reshape(-1).view(np.uint8)
        if part is None:
            return flat
        return flat[self._row_bytes * part.start : self._row_bytes * part.stop]

    def _keep_deadlines(self) -> None:
        deadlines = _zeros(self.layout.slots, np.int64)
        if self._kernels.publish(self._header, header.DEADLINES, _address(deadlines)):
            self._deadlines = deadlines

    def _resolved(self, keys: Keys, region: int) -> Keys:
        """Replace each key that is a reference by the equal one that the table holds, if any."""
        if keys.refs is None:
            return keys
        resolver = Resolver(self._kernels, self._header, region, keys)
        resolver.resolve(0, len(keys.words))
        return Keys(keys.words, resolver.refs)


class _Inserting:
    """One insert, from its first chunk to its last."""

    def __init__(
        self,
        table: CpuTable,
        keys: Keys,
        region: int,
        arguments: tuple[Any, ...],
        result: Inserted,
        trash: Objects,
    ) -> None:
        self.table, self.keys, self.region = table, keys, region
        self.arguments, self.result, self.trash = arguments, result, trash
        n = len(keys.words)
        self.last = np.empty(n, np.int64)
        self.tick = -1
        self.full = False
        self.resolver: Resolver | None = None

    def run(self) -> None:
        """Insert all of the batch."""
        table, n = self.table, len(self.last)
        if not table._holds_gil:
            self._insert(self.keys, _NO_INT64, 0, n)
            return
        self.full = table.is_full(region=self.region)
        self.tick = table._advance(n)
        if self.keys.refs is None:
            for part in chunks(0, n):
                self._insert(self.keys, _NO_INT64, part.start, part.stop)
            return
        self._mark_duplicates()
        self.resolver = Resolver(table._kernels, table._header, self.region, self.keys)
        for part in chunks(0, n):
            self._insert_references(part.start, part.stop)
        self.result.status[:] = self.result.status[self.last]
        self.result.slots[:] = self.result.slots[self.last]

    def _mark_duplicates(self) -> None:
        assert self.keys.refs is not None
        listed = self.keys.refs.tolist()
        last = {key: i for i, key in enumerate(listed)}
        if len(last) == len(listed):
            self.last[:] = np.arange(len(listed))
        else:
            self.last[:] = [last[key] for key in listed]

    def _insert_references(self, start: int, stop: int) -> None:
        """Resolve and insert, and again from wherever keys came or went in between."""
        resolver = self.resolver
        assert resolver is not None
        while start < stop:
            resolver.resolve(start, stop)
            resolved = Keys(self.keys.words, resolver.refs)
            start = self._insert(resolved, resolver.signatures, start, stop)

    def _insert(self, keys: Keys, signatures: Int64s, start: int, stop: int) -> int:
        table, result = self.table, self.result
        gone = result.evicted_keys
        now, deadlines, veto, mode, values, displaced = self.arguments
        self.tick, reached = table._kernels.insert(
            table._header,
            table._parameters,
            self.region,
            keys.words,
            0 if keys.refs is None else _address(keys.refs),
            0 if self.keys.refs is None else _address(self.keys.refs),
            signatures,
            start,
            stop,
            self.last,
            now,
            self.tick,
            self.full,
            deadlines,
            veto,
            mode,
            values,
            displaced,
            result.status,
            result.slots,
            result.evicted,
            gone.words,
            0 if gone.refs is None else _address(gone.refs),
            _address(self.trash),
        )
        return int(reached)
