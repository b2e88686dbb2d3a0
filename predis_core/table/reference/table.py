"""The table in plain Python."""

from __future__ import annotations

from typing import Any

import numpy as np

from predis_core.packed import Packed
from predis_core.policies.contract import MAX_FREQUENCY, Policy
from predis_core.table.arena import Arena, Ledger
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
    Objects,
    Reason,
    Removed,
    Status,
)
from predis_core.table.keys import mix
from predis_core.table.layout import FINGERPRINT_BITS, WAYS, Home, Layout, Region
from predis_core.table.reference.entries import Entry, Left, Set, checked_int64, is_expired
from predis_core.table.reference.placing import Placing
from predis_core.table.sketch import ReferenceSketch


class ReferenceTable:
    """A table in plain Python. See `interface.Table` for what the verbs promise.

    Args:
        layout, policy, seed: as for `cpu.CpuTable`.
        dtype: of rows, with their shape; object for references; None for other values or none.
        limit: what all values may weigh together; None if they weigh nothing.
        arena: where blobs would lie; None if values are none.
    """

    def __init__(
        self,
        layout: Layout,
        policy: Policy,
        seed: int,
        dtype: np.dtype[Any] | None = None,
        *,
        limit: int | None = None,
        arena: Arena | None = None,
    ) -> None:
        self.layout = layout
        self.policy = policy
        self._seed = seed
        self._dtype = dtype
        self._limit = limit
        self._ledger = None if arena is None else Ledger(arena)
        self._parameters = policy.parameters
        self._sets = [
            Set([None] * region.ways(index))
            for region in layout.regions
            for index in range(region.sets)
        ]
        self._sketch = ReferenceSketch(layout.slots) if policy.sketch else None
        self._counters = [dict.fromkeys(Counter, 0) for _ in layout.regions]
        self._pins: dict[int, int] = {}
        self._kept: dict[int, int] = {}
        self._hand = 0
        self._tick = 0

    # ------------------------------------------------------------------ the verbs

    def lookup(
        self, keys: Keys, now: int, *, out: Any = None, count: bool = True, region: int = 0
    ) -> Int64s:
        found = self._use(keys, now, region)
        if isinstance(out, Packed):
            taken = Packed.of(b"" if entry is None else entry.value for _, entry in found)
            out.fill(taken.data, taken.offsets)
        elif out is not None:
            for i, (_, entry) in enumerate(found):
                if entry is not None:
                    out[i] = entry.value
        if count:
            hits = [entry for _, entry in found if entry is not None]
            self._counters[region][Counter.HITS] += len(hits)
            self._counters[region][Counter.MISSES] += len(found) - len(hits)
            self._counters[region][Counter.HIT_BYTES] += sum(entry.size for entry in hits)
        return np.array([slot for slot, _ in found], np.int64)

    def touch(self, keys: Keys, now: int, *, region: int = 0) -> Bools:
        return np.array([slot >= 0 for slot, _ in self._use(keys, now, region)], bool)

    def contains(self, keys: Keys, now: int, *, region: int = 0) -> Bools:
        return np.array([self._find(keys, i, now, region)[2] is not None for i in _all(keys)], bool)

    def deadlines(self, keys: Keys, now: int, *, region: int = 0) -> Int64s:
        found = [self._find(keys, i, now, region)[2] for i in _all(keys)]
        return np.array([-1 if entry is None else entry.deadline for entry in found], np.int64)

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
        n = len(keys.words)
        first_tick = self._advance(n)
        was_full = self._counters[region][Counter.SIZE] >= self.layout.regions[region].capacity
        last = {_identity(keys, i): i for i in range(n)}
        status = np.zeros(n, np.uint8)
        slots = np.full(n, -1, np.int64)
        left: list[Left] = []
        for i in sorted(last.values()):
            if veto is not None and veto[i]:
                status[i] = Status.VETOED
                continue
            value = self._taken(values, i)
            new = Entry(
                int(keys.words[i]),
                None if keys.refs is None else keys.refs[i],
                0,
                guess,
                int(deadlines[i]) if deadlines is not None else 0,
                int(costs[i]) if costs is not None else 0,
                value,
                len(value) if self._ledger else 0 if sizes is None else int(sizes[i]),
            )
            placing = Placing(self, region, keys, i, first_tick + i, now, was_full, left)
            status[i] = placing.insert(new, absent_only or guess)
            slots[i] = placing.slot
        for i in range(n):
            status[i], slots[i] = status[last[_identity(keys, i)]], slots[last[_identity(keys, i)]]
        stored = [i for i in last.values() if status[i] in (Status.INSERTED, Status.UPDATED)]
        self._count_in_sketch(keys, stored)
        return Inserted(status, slots, self._removed(left, keys.refs) if want_removed else None)

    def delete(
        self, keys: Keys, now: int, *, want_removed: bool = False, region: int = 0
    ) -> Deleted:
        deleted = np.zeros(len(keys.words), bool)
        left: list[Left] = []
        for i in _all(keys):
            home, way, entry = self._find(keys, i, None, region)
            if entry is None:
                continue
            deleted[i] = not is_expired(entry, now)
            counter = Counter.DELETIONS if deleted[i] else Counter.EXPIRATIONS
            reason = Reason.DELETED if deleted[i] else Reason.EXPIRED
            self._remove(region, home.number, way, counter, reason, i, left)
        return Deleted(deleted, self._removed(left, keys.refs) if want_removed else None)

    def pin(self, keys: Keys, now: int, *, region: int = 0) -> Int64s:
        slots = np.full(len(keys.words), -1, np.int64)
        for i in _all(keys):
            home, way, entry = self._find(keys, i, now, region)
            if entry is not None:
                slots[i] = self.layout.regions[region].slot(home.number, way)
                self._pins[int(slots[i])] = self._pins.get(int(slots[i]), 0) + 1
        return slots

    def unpin(self, keys: Keys, slots: Int64s, *, region: int = 0) -> None:
        for slot in slots[slots >= 0].tolist():
            self._pins[slot] -= 1
            if self._pins[slot] == 0:
                del self._pins[slot]
                if self._ledger and slot in self._kept:
                    self._ledger.release(self._kept.pop(slot))

    def clear(self, now: int, *, want_removed: bool = False, region: int = 0) -> Removed | None:
        here = self.layout.regions[region]
        left: list[Left] = []
        for index in range(here.sets):
            target = self._set(here, index)
            for way, entry in target.live():
                reason = Reason.EXPIRED if is_expired(entry, now) else Reason.CLEARED
                self._remove(region, index, way, Counter.DELETIONS, reason, 0, left)
            target.state = 0
            target.ghosts.clear()
        return self._removed(left, _NO_REFS) if want_removed else None

    def export(self, now: int, *, region: int = 0) -> Entries:
        here = self.layout.regions[region]
        found = [
            (here.slot(index, way), entry)
            for index in range(here.sets)
            for way, entry in self._set(here, index).live()
            if not is_expired(entry, now)
        ]
        refs = _objects([entry.ref for _, entry in found])
        return Entries(
            Keys(np.array([entry.word for _, entry in found], np.int64), refs),
            np.array([slot for slot, _ in found], np.int64),
            np.array([entry.meta for _, entry in found], np.int64),
            np.array([entry.guess for _, entry in found], bool),
            np.array([entry.deadline for _, entry in found], np.int64),
            self._column([entry.value for _, entry in found]),
        )

    def counters(self, *, region: int = 0) -> dict[Counter, int]:
        return dict(self._counters[region])

    def conflicts(self, *, region: int = 0) -> Int64s:
        here = self.layout.regions[region]
        return np.array([self._set(here, i).conflicts for i in range(here.sets)], np.int64)

    def switch(self, policy: Policy) -> None:
        """Give the table another policy: each set's entries come in anew, in their old order."""
        old, parameters, tick = self.policy, self._parameters, self._tick
        self.policy, self._parameters = policy, policy.parameters
        if policy.sketch and self._sketch is None:
            self._sketch = ReferenceSketch(self.layout.slots)
        for target in self._sets:
            live = [entry for _, entry in target.live()]
            total = sum(old.tally(entry.meta) for entry in live)
            live.sort(
                key=lambda entry: (
                    not entry.guess,
                    old.rank(entry.meta, tick, target.state, total, parameters),
                )
            )
            target.state = total = 0
            target.ghosts.clear()
            first = self._advance(WAYS)
            for count, entry in enumerate(live):
                entry.meta, target.state = self._admit_meta(
                    first + count, self._frequency(entry.word), 0, target.state, total
                )
                self._tell_value(entry)
                total += policy.tally(entry.meta)

    def set_parameters(self, parameters: tuple[int, ...]) -> None:
        self._parameters = tuple(parameters)

    def dump(self) -> Dump:
        slots = self.layout.slots
        live, guesses = np.zeros(slots, bool), np.zeros(slots, bool)
        words, metas, deadlines = (np.zeros(slots, np.int64) for _ in range(3))
        refs = np.empty(slots, object)
        values = self._blank(slots)
        ghosts = np.zeros((len(self._sets), WAYS), np.uint16)
        for region in self.layout.regions:
            for index in range(region.sets):
                target = self._set(region, index)
                for way, entry in target.live():
                    slot = region.slot(index, way)
                    live[slot], guesses[slot] = True, entry.guess
                    words[slot], metas[slot] = entry.word, entry.meta
                    deadlines[slot], refs[slot] = entry.deadline, entry.ref
                    if values is not None:
                        values[slot] = entry.value
                for place, (tag, fingerprint) in enumerate(target.ghosts):
                    ghosts[region.base + index, place] = tag << FINGERPRINT_BITS | fingerprint
        return Dump(
            live,
            words,
            metas,
            guesses,
            deadlines,
            refs,
            values,
            np.array([target.state for target in self._sets], np.int64),
            np.array([target.conflicts for target in self._sets], np.int64),
            ghosts,
            None if self._sketch is None else self._sketch.cells(),
            self._tick,
            np.array([[region[c] for c in Counter] for region in self._counters], np.int64),
        )

    # ------------------------------------------------------------------ what they share

    def _advance(self, n: int) -> int:
        tick = self._tick
        self._tick += max(n, 1)
        return tick

    def _set(self, region: Region, index: int) -> Set:
        return self._sets[region.base + index]

    def _home(self, word: int, region: int) -> Home:
        return self.layout.regions[region].home(mix(word, self._seed))

    def _find(
        self, keys: Keys, i: int, now: int | None, region: int
    ) -> tuple[Home, int, Entry | None]:
        """Find a key; with `now` given, an expired entry is not found."""
        home = self._home(int(keys.words[i]), region)
        for way, entry in self._set(self.layout.regions[region], home.number).live():
            if entry.word == keys.words[i] and _same_ref(keys, i, entry):
                absent = now is not None and is_expired(entry, now)
                return home, way, None if absent else entry
        return home, -1, None

    def _use(self, keys: Keys, now: int, region: int) -> list[tuple[int, Entry | None]]:
        """Find the keys and apply `on_hit`, or replay `on_insert`, to what is found."""
        tick = self._advance(len(keys.words))
        found: list[tuple[int, Entry | None]] = []
        guesses: dict[int, tuple[Entry, int]] = {}
        hits = []
        for i in _all(keys):
            home, way, entry = self._find(keys, i, now, region)
            here = self.layout.regions[region]
            slot = -1 if entry is None else here.slot(home.number, way)
            found.append((slot, entry))
            if entry is None:
                continue
            hits.append(i)
            state = self._set(here, home.number).state
            if entry.guess:
                guesses[slot] = (entry, state)
            else:
                self._hit(entry, tick, state)
        for entry, state in guesses.values():
            self._replay(entry, tick, state)
            self._tell_value(entry)
        self._count_in_sketch(keys, hits)
        return found

    def _hit(self, entry: Entry, tick: int, state: int) -> None:
        visible = (1 << self.policy.visible_bits) - 1
        new = checked_int64(self.policy.on_hit(entry.meta & visible, tick, state, self._parameters))
        entry.meta = entry.meta & ~visible | new & visible

    def _replay(self, entry: Entry, tick: int, state: int) -> None:
        frequency = self._frequency(entry.word)
        entry.meta = self._admit_meta(tick, frequency, 0, state, 0)[0]
        entry.guess = False

    def _tell_value(self, entry: Entry) -> None:
        """Tell the policy what an entry's value takes and cost."""
        size = entry.size
        if self._dtype is not None and self._dtype.base.kind != "O":
            size = self._dtype.itemsize
        meta = self.policy.on_value(entry.meta, size, entry.cost, self._parameters)
        entry.meta = checked_int64(meta) & ((1 << self.policy.slot_bits) - 1)

    def _admit_meta(
        self, tick: int, frequency: int, tag: int, state: int, total: int
    ) -> tuple[int, int]:
        meta, new_state = self.policy.on_insert(
            tick, frequency, tag, state, total, self._parameters
        )
        return (
            checked_int64(meta) & ((1 << self.policy.slot_bits) - 1),
            checked_int64(new_state) & ((1 << self.policy.set_bits) - 1),
        )

    def _frequency(self, word: int) -> int:
        if self._sketch is None or not self.policy.sketch:
            return 0
        return min(MAX_FREQUENCY, self._sketch.estimate(mix(word, self._seed)))

    def _count_in_sketch(self, keys: Keys, positions: list[int]) -> None:
        if self._sketch is not None and self.policy.sketch:
            self._sketch.add([mix(int(keys.words[i]), self._seed) for i in positions])

    def _remove(
        self,
        region: int,
        index: int,
        way: int,
        counter: Counter,
        reason: Reason,
        i: int,
        left: list[Left],
    ) -> None:
        """Take an entry out of its way; what is pinned keeps its memory."""
        here = self.layout.regions[region]
        entry, slot = self._set(here, index).ways[way], here.slot(index, way)
        assert entry is not None
        self._set(here, index).ways[way] = None
        left.append(Left(reason, i, entry))
        self._counters[region][Counter.SIZE] -= 1
        self._counters[region][counter] += 1
        self._counters[region][Counter.BYTES] -= entry.size
        if self._ledger and slot in self._pins:
            self._kept[slot] = entry.size
        elif self._ledger:
            self._ledger.release(entry.size)

    def _fits(self, size: int, instead: int | None, region: int) -> bool:
        if self._ledger:
            return self._ledger.fits(size, instead)
        held = self._counters[region][Counter.BYTES] - (instead or 0)
        return self._limit is None or held + size <= self._limit

    def _can_ever_fit(self, size: int) -> bool:
        if self._ledger:
            return self._ledger.can_ever_fit(size)
        return self._limit is None or size <= self._limit

    def _removed(self, left: list[Left], refs: Objects | None) -> Removed:
        """Return what left; what was replaced goes by the batch's key."""
        gone = [
            refs[each.at] if refs is not None and each.reason == Reason.REPLACED else each.entry.ref
            for each in left
        ]
        return Removed(
            np.array([each.reason for each in left], np.int64),
            np.array([each.at for each in left], np.int64),
            Keys(
                np.array([each.entry.word for each in left], np.int64),
                None if refs is None else _objects(gone),
            ),
            self._column([each.entry.value for each in left]),
            np.array([each.entry.cost for each in left], np.int64),
        )

    def _taken(self, values: Any, i: int) -> Any:
        """Return the value at a position of a batch, independent of the batch's memory."""
        if values is None or (self._dtype is None and not self._ledger):
            return None
        if self._dtype is None:
            return bytes(values[i])
        return np.copy(values[i])[()] if self._dtype.kind != "O" else values[i]

    def _blank(self, n: int) -> Any:
        if self._dtype is None:
            return np.empty(n, object) if self._ledger else None
        base, shape = self._dtype.subdtype or (self._dtype, ())
        return np.empty(n, object) if base.kind == "O" else np.zeros((n, *shape), base)

    def _column(self, values: list[Any]) -> Any:
        if self._ledger:
            return Packed.of(values)
        column = self._blank(len(values))
        if column is not None:
            for i, value in enumerate(values):
                column[i] = value
        return column


_NO_REFS: Objects = np.empty(0, object)


def _all(keys: Keys) -> range:
    return range(len(keys.words))


def _identity(keys: Keys, i: int) -> Any:
    """What makes the key at a position equal to another, for a dict."""
    return int(keys.words[i]) if keys.refs is None else keys.refs[i]


def _same_ref(keys: Keys, i: int, entry: Entry) -> bool:
    return keys.refs is None or keys.refs[i] is entry.ref or bool(keys.refs[i] == entry.ref)


def _objects(items: list[Any]) -> Any:
    return np.fromiter(items, object, len(items))
