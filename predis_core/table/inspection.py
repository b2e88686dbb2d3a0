"""Looking into a CPU table: what it holds, and how it is doing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from predis_core.arrays import address
from predis_core.packed import Packed
from predis_core.policies import contract
from predis_core.policies.contract import Policy
from predis_core.table import header, ranking
from predis_core.table.arena import Arena, Ledger
from predis_core.table.codegen import Kernels
from predis_core.table.interface import (
    Bools,
    Bytes,
    Counter,
    Dump,
    Entries,
    Int64s,
    Keys,
    Objects,
    Sampled,
)
from predis_core.table.layout import LINE_BYTES, LINES, WAYS, WAYS_PER_LINE, Layout, Record
from predis_core.table.sketch import ROWS
from predis_core.table.value_invariants import Pieces, Weights

if TYPE_CHECKING:
    from predis_core.table.moving import Move, Past


class Inspected:
    """The part of a CPU table that changes nothing."""

    layout: Layout
    policy: Policy
    _arena: Arena | None
    _columns: dict[int, npt.NDArray[Any]]
    _header: Int64s
    _kernels: Kernels
    _lines: Int64s
    _move: Move | None
    _parameters: Int64s
    _record: Record
    _records: Bytes
    _refs: Objects | None
    _sketch: Bytes | None
    _past: Past | None
    _values: npt.NDArray[Any] | None

    def export(self, now: int, *, sets: range | None = None, region: int = 0) -> Entries:
        """See `interface.Table`; with `sets` (numbered in the region, step 1), only those.

        Of a table whose entries are moving to another, the whole is what both hold.
        """
        here = self.layout.regions[region]
        capacity, number = here.capacity, region
        if sets is not None:
            window, number = header.window(self._header, region, sets)
            capacity = int(window[header.CAPACITY])
        words, slots, metas, deadlines = (np.empty(capacity, np.int64) for _ in range(4))
        guesses = np.empty(capacity, np.bool_)
        refs = np.empty(capacity if self._refs is not None else 0, object)
        arguments = (words, address(refs), slots, metas, guesses, deadlines)
        n, values = self._export_values(number, now, capacity, arguments)
        entries = Entries(
            Keys(words[:n], refs[:n] if self._refs is not None else None),
            slots[:n],
            metas[:n],
            guesses[:n],
            deadlines[:n],
            values,
        )
        if sets is None and self._move is not None:
            return self._move.export(entries, now)
        return entries

    def _export_values(
        self, number: int, now: int, capacity: int, arguments: tuple[Any, ...]
    ) -> tuple[int, Any]:
        """Call the kernel; return how many entries it found, and their values."""
        export = self._kernels.export
        if self._arena is not None:
            offsets = np.empty(capacity + 1, np.int64)
            data, n = np.empty(0, np.uint8), -1
            while n < 0:
                n = export(self._header, number, now, *arguments, data, offsets)
                if n < 0:
                    # Others may store more until the next try.
                    data = np.empty(2 * (-1 - n) if data.size else -1 - n, np.uint8)
            packed = Packed()
            packed.fill(data, offsets[: n + 1])
            return n, packed
        if self._values is None:
            n = export(self._header, number, now, *arguments, _NO_BYTES, _NO_INT64)
            return n, None
        values = np.empty((capacity, *self._values.shape[1:]), self._values.dtype)
        given: Any = values.reshape(-1).view(np.uint8) if values.dtype != object else 0
        if values.dtype == object:
            given = address(values)
        n = export(self._header, number, now, *arguments, given, _NO_INT64)
        return n, values[:n]

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
        """Return how many ways an entry may take in each set (uint8[sets]).

        Those hold nothing, not even an expired entry, and nobody has what they held pinned.
        """
        here = self.layout.regions[region]
        flags = self._lines.view(np.uint8).reshape(-1, LINES, LINE_BYTES)[:, :, LINE_BYTES - 8]
        free = ranking.ways_of(here)
        for line in flags[here.base : here.base + here.sets].T:
            free -= np.bitwise_count(line & ((1 << WAYS_PER_LINE) - 1))
        if self.pinned:
            ways = ranking.ways_of(here)
            ends = np.cumsum(ways, dtype=np.int64)
            pins = self._columns[header.PINS][here.first_slot : here.first_slot + here.capacity]
            places = np.flatnonzero(pins)
            index = np.searchsorted(ends, places, side="right")
            line, bit = np.divmod(places - ends[index] + ways[index], WAYS_PER_LINE)
            empty = flags[here.base + index, line] >> bit & 1 == 0
            np.subtract.at(free, index[empty], 1)
        return free

    def ledger(self) -> Ledger | None:
        """Return what is used of the arena, in a ledger of its own; None if there is none."""
        if self._arena is None:
            return None
        pages = self._columns[header.PAGES][::2]
        classes = self._columns[header.CLASSES].reshape(-1, 4)
        cut = np.bincount(pages[pages >= 0], minlength=len(classes)) * classes[:, 1]
        return Ledger(self._arena, (cut - classes[:, 2]).tolist())

    @property
    def weight_left(self) -> int | None:
        """What values may still weigh; None if that is not bounded."""
        if self._arena is not None or header.SIZES not in self._columns:
            return None
        return int(self._header[header.LIMIT]) - self._bytes_counted()

    @property
    def memory(self) -> int:
        """Bytes of arrays and columns, and of those of a table that the entries are moving to.

        Of blobs it is all that they may take.
        """
        columns = (self._lines, self._records, self._values, self._refs, self._sketch)
        found = sum(column.nbytes for column in columns if column is not None)
        found += sum(column.nbytes for column in list(self._columns.values()))
        return found if self._move is None else found + self._move.successor.memory

    def counters(self, *, region: int = 0) -> dict[Counter, int]:
        """See `interface.Table`; what a table before this one counted is in it."""
        start = header.REGIONS + region * header.REGION_WORDS + header.COUNTERS
        found = self._header[start : start + len(Counter)]
        if self._past is not None:
            found = self._past.sum_with(self._header, self._kernels)
        counted = dict(zip(Counter, found.tolist(), strict=True))
        # Asked last: what was read while entries were leaving would be too little.
        return counted if self._move is None else self._move.successor.counters()

    def size(self, *, region: int = 0) -> int:
        """Return how many entries a region holds, expired ones that were not reclaimed included."""
        start = header.REGIONS + region * header.REGION_WORDS + header.COUNTERS
        size = int(self._header[start + Counter.SIZE])
        return size if self._move is None else self._move.successor.counters()[Counter.SIZE]

    def is_full(self, *, region: int = 0) -> bool:
        """Return whether a region holds as many entries as it can."""
        return self.size(region=region) >= self.layout.regions[region].capacity

    @property
    def header(self) -> Int64s:
        """The words that tell kernels everything; see `header`."""
        return self._header

    @property
    def is_sealed(self) -> bool:
        """Whether the table stores nothing more."""
        return bool(self._header[header.SEALED])

    @property
    def pinned(self) -> int:
        """How many slots are pinned."""
        return int(self._header[header.PINNED])

    def conflicts(self, *, region: int = 0) -> Int64s:
        """See `interface.Table`."""
        here = self.layout.regions[region]
        return self._record_column(self._record.conflicts, 4, 1, np.uint32)[
            here.base : here.base + here.sets, 0
        ].astype(np.int64)

    def drain_sampled(self, since: int) -> tuple[Sampled, int, int]:
        """Return what was sampled since an earlier call, which it named, or 0.

        Returns:
            (accesses, what to pass the next time, how many were overwritten before they were read).
        """
        ring = self._columns.get(header.SAMPLES)
        if ring is None:
            return Sampled(_NO_INT64, _NO_INT64, np.empty(0, bool)), since, 0
        places = len(ring) // 2
        until = int(self._header[header.SAMPLED])
        first = max(since, until - places)
        taken = ring.reshape(-1, 2)[np.arange(first, until) & (places - 1)]
        # What was overwritten while it was read is not what it was.
        safe = max(first, int(self._header[header.SAMPLED]) - places)
        words, notes = taken[safe - first :].T
        return Sampled(words.copy(), notes >> 1, (notes & 1).astype(bool)), until, safe - since

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

        deadlines = self._columns.get(header.DEADLINES, np.zeros_like(rows))
        counters = self._header[header.REGIONS :].reshape(-1, header.REGION_WORDS)
        return Dump(
            alive,
            of_live(groups[:, :, :7]),
            of_live(metas),
            of_live(hot >> 7) == 1,
            np.where(alive, deadlines, 0),
            None if self._refs is None else self._refs.copy(),
            self._dumped_values(),
            states,
            self._record_column(self._record.conflicts, 4, 1, np.uint32)[:, 0].astype(np.int64),
            ghosts,
            None if self._sketch is None else self._sketch.reshape(ROWS, -1).copy(),
            int(self._header[header.TICK]),
            counters[:, header.COUNTERS : header.COUNTERS + len(Counter)].copy(),
        )

    def _dumped_values(self) -> npt.NDArray[Any] | None:
        if self._arena is None:
            return None if self._values is None else self._values.copy()
        values = np.empty(self.layout.slots, object)
        for number in range(len(self.layout.regions)):
            # By sets: the whole would be what a successor holds as well.
            sets = range(self.layout.regions[number].sets)
            entries = self.export(-1, sets=sets, region=number)
            values[entries.slots] = np.fromiter(map(bytes, entries.values), object)
        return values

    def dump_weights(self) -> Weights | None:
        """Return what values weigh; None if they weigh nothing. As `dump`, for one region."""
        if self._arena is not None or header.SIZES not in self._columns:
            return None
        return Weights(
            self._live(),
            self._columns[header.SIZES].copy(),
            int(self._header[header.LIMIT]),
            self._bytes_counted(),
        )

    def dump_pieces(self) -> Pieces | None:
        """Return what lies in the arena; None if there is none. As `dump`, for one region."""
        if self._arena is None:
            return None
        columns, live = self._columns, self._live()
        data, pins = columns[header.ARENA], columns.get(header.PINS)
        return Pieces(
            self._arena,
            address(data),
            data.copy(),
            columns[header.PAGES].reshape(-1, 2).copy(),
            columns[header.CLASSES].reshape(-1, 4).copy(),
            int(self._header[header.FREE_PAGE]),
            int(self._header[header.FREE_PAGES]),
            columns[header.SIZES].reshape(-1, 2).copy(),
            live,
            np.zeros_like(live) if pins is None else pins > 0,
            self._bytes_counted(),
        )

    def _bytes_counted(self) -> int:
        """Return what this table counts for its values, without one before or after it."""
        return int(self._header[header.REGIONS + header.COUNTERS + Counter.BYTES])

    def _live(self) -> Bools:
        """Return which slots hold an entry."""
        flags = self._lines.view(np.uint8).reshape(-1, LINES, LINE_BYTES)[:, :, LINE_BYTES - 8]
        live = (flags[:, :, None] >> np.arange(WAYS_PER_LINE)) & 1 == 1
        rows, columns = self._slot_places()
        found: Bools = live.reshape(-1, WAYS)[rows, columns]
        return found

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


_NO_INT64: Int64s = np.empty(0, np.int64)
_NO_BYTES: Bytes = np.empty(0, np.uint8)
