"""Looking into a table on a GPU: what it holds, comes to the host; all of it, or a few sets."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from predis_core.policies.contract import Policy
from predis_core.table import ranking
from predis_core.table.cuda.device import Arguments, Device, Kernels
from predis_core.table.cuda.source import BATCH, LANES_PER_KEY, TABLE, WARP, place_of, words_of
from predis_core.table.interface import (
    Bools,
    Bytes,
    Counter,
    Dump,
    Entries,
    Int64s,
    Keys,
)
from predis_core.table.layout import WAYS, Layout, Record
from predis_core.table.sketch import ROWS

_AT = place_of(TABLE)
_NO_BATCH = words_of(BATCH)


class Held(NamedTuple):
    """What some sets hold, by slot.

    Attributes:
        first: number of the first slot; the others follow.
        live, words, metas, guesses, deadlines: arrays of slots, as of a `Dump`; those of free ones
            are 0.
    """

    first: int
    live: Bools
    words: Int64s
    metas: Int64s
    guesses: Bools
    deadlines: Int64s

    def entries(self, now: int) -> Int64s:
        """Return which of the slots (int64[m]) hold what has not expired."""
        is_late = (self.deadlines > 0) & (self.deadlines <= now)
        return np.flatnonzero(self.live & ~is_late)


class Inspection:
    """The part of a table on a GPU that changes nothing. All of it waits for the device."""

    layout: Layout
    policy: Policy
    seed: int
    _before: Int64s
    _columns: dict[str, Any]
    _device: Device
    _kernels: Kernels
    _parameters: tuple[int, ...]
    _record: Record
    _row: np.dtype[Any] | None
    _row_bytes: int
    _tick: int
    _words: list[Int64s]

    def export(self, now: int, *, sets: range | None = None, region: int = 0) -> Entries:
        """See `interface.Table`; with `sets` (numbered in the region, step 1), only those."""
        held = self._held(region, sets)
        at = held.entries(now)
        return Entries(
            Keys(held.words[at]),
            held.first + at,
            held.metas[at],
            held.guesses[at],
            held.deadlines[at],
            self._rows_of(self._columns["values"], held.first + at),
        )

    def levels(self, entries: Entries, *, region: int = 0) -> Int64s:
        """Return for each exported entry how many of its set would leave after it (int64[m])."""
        here = self.layout.regions[region]
        sets = ranking.sets_of_slots(here, entries.slots)
        states = np.zeros_like(sets)
        if self._record.state >= 0 and len(sets):
            numbers = range(here.base + int(sets[0]), here.base + int(sets[-1]) + 1)
            column = self._of_records(self._record.state, 1, np.int64, numbers)[:, 0]
            states = column[sets - sets[0]]
        parameters = list(self._parameters)
        return ranking.levels(self.policy, parameters, entries, sets, states, self._tick)

    def homes(self, keys: Keys, *, region: int = 0) -> Int64s:
        """Return the set of each key (int64[n], numbered in the region)."""
        return ranking.sets_of_words(self.layout.regions[region], keys.words, self.seed)

    def room(self, *, region: int = 0) -> Bytes:
        """Return how many ways an entry may take in each set (uint8[sets]).

        Those hold nothing, not even an expired entry, and nobody has what they held pinned.
        """
        sets, device = self.layout.regions[region].sets, self._device
        room = device.empty(sets, np.uint8)
        batch = words_of(BATCH, found=device.address(room))
        self._launch(region, "count_room", sets * WARP, batch)
        return device.give(room)

    def _launch(self, region: int, kernel: str, threads: int, batch: Int64s = _NO_BATCH) -> None:
        """Have threads run a kernel over a region; `batch` has the words of what else it needs."""
        self._kernels.launch(kernel, threads, Arguments(self._words[region], batch))

    def counters(self, *, region: int = 0) -> dict[Counter, int]:
        """See `interface.Table`."""
        found = self._device.give(self._columns["counters"]).reshape(-1, len(Counter))
        counted = found[region] + self._before
        return dict(zip(Counter, counted.tolist(), strict=True))

    def conflicts(self, *, region: int = 0) -> Int64s:
        """See `interface.Table`."""
        here = self.layout.regions[region]
        sets = range(here.base, here.base + here.sets)
        return self._of_records(self._record.conflicts, 1, np.uint32, sets)[:, 0].astype(np.int64)

    def dump(self) -> Dump:
        """See `interface.Table`."""
        held = [self._held(region) for region in range(len(self.layout.regions))]
        _, *slots = zip(*held, strict=True)
        live, words, metas, guesses, deadlines = map(np.concatenate, slots)
        sets, cells = self.layout.sets, self._columns.get("sketch")
        every = range(sets)
        states, ghosts = np.zeros(sets, np.int64), np.zeros((sets, WAYS), np.uint16)
        if self._record.state >= 0:
            states = self._of_records(self._record.state, 1, np.int64, every)[:, 0]
        if self.policy.ghosts:
            ghosts = self._of_records(self._record.ghosts, WAYS, np.uint16, every)
        conflicts = self._of_records(self._record.conflicts, 1, np.uint32, every)[:, 0]
        return Dump(
            live,
            words,
            metas,
            guesses,
            deadlines,
            None,
            self._rows_of(self._columns["values"], np.arange(self.layout.slots)),
            states,
            conflicts.astype(np.int64),
            ghosts,
            None if cells is None else self._device.give(cells).reshape(ROWS, -1),
            self._tick,
            self._device.give(self._columns["counters"]).reshape(-1, len(Counter)),
        )

    # ------------------------------------------------------------------ what comes to the host

    def _window(self, region: int, sets: range | None) -> Int64s:
        """Return the words of a region that is only some sets of another."""
        words = self._words[region].copy()
        if sets is not None:
            here = self.layout.regions[region]
            quotient, remainder = divmod(here.capacity, here.sets)
            words[_AT["base"]] += sets.start
            words[_AT["sets"]] = len(sets)
            words[_AT["remainder"]] = min(max(remainder - sets.start, 0), len(sets))
            words[_AT["first_slot"]] = here.slot(sets.start, 0)
            words[_AT["capacity"]] = len(sets) * quotient + words[_AT["remainder"]]
        return words

    def _held(self, region: int, sets: range | None = None) -> Held:
        """Return what a region holds, or some sets of it."""
        window, device = self._window(region, sets), self._device
        slots = int(window[_AT["capacity"]])
        kinds = {
            "live": np.uint8,
            "held": np.int64,
            "metas": np.int64,
            "guesses": np.uint8,
            "until": np.int64,
        }
        columns = {name: device.zeros(slots, dtype) for name, dtype in kinds.items()}
        batch = words_of(BATCH, **{name: device.address(each) for name, each in columns.items()})
        threads = int(window[_AT["sets"]]) * WARP
        self._kernels.launch("unpack", threads, Arguments(window, batch))
        live, words, metas, guesses, until = map(device.give, columns.values())
        first = int(window[_AT["first_slot"]])
        return Held(first, live.view(bool), words, metas, guesses.view(bool), until)

    def _of_records(self, offset: int, count: int, dtype: Any, sets: range) -> npt.NDArray[Any]:
        """Return `count` numbers of each record of some sets, numbered in the table."""
        stride, width = self._record.stride, count * np.dtype(dtype).itemsize
        column = self._columns["records"][sets.start * stride : sets.stop * stride]
        records = self._device.give(column).reshape(-1, stride)
        return records[:, offset : offset + width].copy().view(dtype)

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
            self._kernels.launch("gather", n * LANES_PER_KEY, Arguments(table, batch))
        return self._as_rows(device.give(rows))

    def _as_rows(self, given: Bytes) -> npt.NDArray[Any]:
        assert self._row is not None
        base, shape = self._row.subdtype or (self._row, ())
        rows: npt.NDArray[Any] = given.view(base).reshape(-1, *shape)
        return rows
