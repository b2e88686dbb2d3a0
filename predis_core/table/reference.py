"""The plain-Python definition of a table: this file is the specification.

Every other backend must agree with it bit for bit (keys, metadata, states, ghosts, values,
counters) for calls that do not overlap, at an equal layout, policy and seed. It is written to be
read, not to be fast. Python's unbounded integers stand for int64; a policy that leaves int64 raises
here.

What holds between calls:

1. A key is in the set that its hash names, in at most one way; no set exceeds its ways.
2. A lookup writes only the metadata of what it hits. The lookup of a guess (prefetched, not yet
   used) replays `on_insert` for it after all the batch's hits, with no tag, a total of 0 and the
   set's state unchanged, so that nothing depends on the order of a batch.
3. An insert takes the distinct keys of a batch in the order of their last positions.
4. A new key gets the first of: the way in which it expired; a free way; an expired way; the
   lowest-ranked guess (which leaves without a trace: no `on_pass`, no `on_evict`, no ghost); the
   policy's victim.
5. A guess that comes in may not displace a guess unless guesses hold their share of the set; then
   it replaces the lowest-ranked of them, even if ways are free.
6. The sketch is read as it was at the beginning of a batch and updated at its end.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from predis_core.errors import PolicyError
from predis_core.policies.contract import MAX_FREQUENCY, TAG_BITS, Policy
from predis_core.table.interface import (
    Bools,
    Bytes,
    Counter,
    Dump,
    Entries,
    Inserted,
    Int64s,
    Keys,
    Status,
)
from predis_core.table.keys import mix
from predis_core.table.layout import FINGERPRINT_BITS, GUESS_SHARE, WAYS, Home, Layout, Region
from predis_core.table.sketch import ReferenceSketch


@dataclass
class Entry:
    """What a live way holds."""

    word: int
    ref: Any
    meta: int
    guess: bool
    deadline: int


@dataclass
class Set:
    """One set: its ways, the policy's state, ghosts (newest first), conflicts."""

    ways: list[Entry | None]
    state: int = 0
    ghosts: list[tuple[int, int]] = field(default_factory=list)
    conflicts: int = 0

    def live(self) -> list[tuple[int, Entry]]:
        """Return the live ways with their numbers."""
        return [(way, entry) for way, entry in enumerate(self.ways) if entry is not None]


class ReferenceTable:
    """A table in plain Python. See `interface.Table` for what the verbs promise."""

    def __init__(self, layout: Layout, policy: Policy, seed: int, values: Any = None) -> None:
        self.layout = layout
        self.policy = policy
        self._seed = seed
        self._values = values
        self._parameters = policy.parameters
        self._sets = [
            Set([None] * region.ways(index))
            for region in layout.regions
            for index in range(region.sets)
        ]
        self._sketch = ReferenceSketch(layout.slots) if policy.sketch else None
        self._counters = [dict.fromkeys(Counter, 0) for _ in layout.regions]
        self._tick = 0

    # ------------------------------------------------------------------ the verbs

    def lookup(
        self, keys: Keys, now: int, *, out: Any = None, count: bool = True, region: int = 0
    ) -> Int64s:
        slots = self._use(keys, now, region)
        if out is not None:
            hit = slots >= 0
            out[hit] = self._values[slots[hit]]
        if count:
            hits = int((slots >= 0).sum())
            self._counters[region][Counter.HITS] += hits
            self._counters[region][Counter.MISSES] += len(slots) - hits
        return slots

    def touch(self, keys: Keys, now: int, *, region: int = 0) -> Bools:
        touched: Bools = self._use(keys, now, region) >= 0
        return touched

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
        absent_only: bool = False,
        guess: bool = False,
        veto: Bytes | None = None,
        return_displaced: bool = False,
        region: int = 0,
    ) -> Inserted:
        n = len(keys.words)
        first_tick = self._advance(n)
        was_full = self._counters[region][Counter.SIZE] >= self.layout.regions[region].capacity
        last = {_identity(keys, i): i for i in range(n)}
        status = np.zeros(n, np.uint8)
        slots = np.full(n, -1, np.int64)
        evicted = np.zeros(n, bool)
        gone = Keys(np.zeros(n, np.int64), None if keys.refs is None else np.empty(n, object))
        displaced: Any = None if values is None else np.zeros_like(values)
        for i in sorted(last.values()):
            if veto is not None and veto[i]:
                status[i] = Status.VETOED
                continue
            placing = _Placing(self, region, keys, i, first_tick + i, now, was_full)
            status[i] = placing.insert(
                int(deadlines[i]) if deadlines is not None else 0, absent_only or guess, guess
            )
            slots[i] = placing.slot
            if placing.victim is not None:
                evicted[i] = True
                gone.words[i] = placing.victim.word
                if gone.refs is not None:
                    gone.refs[i] = placing.victim.ref
            if values is not None and status[i] in (Status.INSERTED, Status.UPDATED):
                if evicted[i] or status[i] == Status.UPDATED:
                    displaced[i] = self._values[slots[i]]
                self._values[slots[i]] = values[i]
        for i in range(n):
            status[i], slots[i] = status[last[_identity(keys, i)]], slots[last[_identity(keys, i)]]
        stored = [i for i in last.values() if status[i] in (Status.INSERTED, Status.UPDATED)]
        self._count_in_sketch(keys, stored)
        return Inserted(status, slots, evicted, gone, displaced if return_displaced else None)

    def delete(self, keys: Keys, now: int, *, out: Any = None, region: int = 0) -> Bools:
        deleted = np.zeros(len(keys.words), bool)
        for i in _all(keys):
            home, way, entry = self._find(keys, i, None, region)
            if entry is None:
                continue
            deleted[i] = not _expired(entry, now)
            if deleted[i] and out is not None:
                out[i] = self._values[self.layout.regions[region].slot(home.number, way)]
            self._free(
                region, home.number, way, Counter.DELETIONS if deleted[i] else Counter.EXPIRATIONS
            )
        return deleted

    def clear(self, *, region: int = 0) -> None:
        here = self.layout.regions[region]
        for index in range(here.sets):
            target = self._set(here, index)
            for way, _ in target.live():
                self._free(region, index, way, Counter.DELETIONS)
            target.state = 0
            target.ghosts.clear()

    def export(self, now: int, *, region: int = 0) -> Entries:
        here = self.layout.regions[region]
        found = [
            (here.slot(index, way), entry)
            for index in range(here.sets)
            for way, entry in self._set(here, index).live()
            if not _expired(entry, now)
        ]
        slots = np.array([slot for slot, _ in found], np.int64)
        refs = _objects([entry.ref for _, entry in found])
        return Entries(
            Keys(np.array([entry.word for _, entry in found], np.int64), refs),
            slots,
            np.array([entry.meta for _, entry in found], np.int64),
            np.array([entry.guess for _, entry in found], bool),
            np.array([entry.deadline for _, entry in found], np.int64),
            None if self._values is None else self._values[slots],
        )

    def counters(self, *, region: int = 0) -> dict[Counter, int]:
        return dict(self._counters[region])

    def conflicts(self, *, region: int = 0) -> Int64s:
        here = self.layout.regions[region]
        return np.array([self._set(here, i).conflicts for i in range(here.sets)], np.int64)

    def set_parameters(self, parameters: tuple[int, ...]) -> None:
        self._parameters = tuple(parameters)

    def dump(self) -> Dump:
        slots = self.layout.slots
        live, guesses = np.zeros(slots, bool), np.zeros(slots, bool)
        words, metas, deadlines = (np.zeros(slots, np.int64) for _ in range(3))
        refs = np.empty(slots, object)
        ghosts = np.zeros((len(self._sets), WAYS), np.uint16)
        for region in self.layout.regions:
            for index in range(region.sets):
                target = self._set(region, index)
                for way, entry in target.live():
                    slot = region.slot(index, way)
                    live[slot], guesses[slot] = True, entry.guess
                    words[slot], metas[slot] = entry.word, entry.meta
                    deadlines[slot], refs[slot] = entry.deadline, entry.ref
                for place, (tag, fingerprint) in enumerate(target.ghosts):
                    ghosts[region.base + index, place] = tag << FINGERPRINT_BITS | fingerprint
        return Dump(
            live,
            words,
            metas,
            guesses,
            deadlines,
            refs,
            None if self._values is None else self._values.copy(),
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
                absent = now is not None and _expired(entry, now)
                return home, way, None if absent else entry
        return home, -1, None

    def _use(self, keys: Keys, now: int, region: int) -> Int64s:
        """Find the keys and apply `on_hit`, or replay `on_insert`, to what is found."""
        tick = self._advance(len(keys.words))
        slots = np.full(len(keys.words), -1, np.int64)
        guesses: dict[int, tuple[Entry, int]] = {}
        hits = []
        for i in _all(keys):
            home, way, entry = self._find(keys, i, now, region)
            if entry is None:
                continue
            here = self.layout.regions[region]
            slots[i] = here.slot(home.number, way)
            hits.append(i)
            state = self._set(here, home.number).state
            if entry.guess:
                guesses[int(slots[i])] = (entry, state)
            else:
                self._hit(entry, tick, state)
        for entry, state in guesses.values():
            self._replay(entry, tick, state)
        self._count_in_sketch(keys, hits)
        return slots

    def _hit(self, entry: Entry, tick: int, state: int) -> None:
        visible = (1 << self.policy.visible_bits) - 1
        new = _int64(self.policy.on_hit(entry.meta & visible, tick, state, self._parameters))
        entry.meta = entry.meta & ~visible | new & visible

    def _replay(self, entry: Entry, tick: int, state: int) -> None:
        frequency = self._frequency(entry.word)
        entry.meta = self._admit_meta(tick, frequency, 0, state, 0)[0]
        entry.guess = False

    def _admit_meta(
        self, tick: int, frequency: int, tag: int, state: int, total: int
    ) -> tuple[int, int]:
        meta, new_state = self.policy.on_insert(
            tick, frequency, tag, state, total, self._parameters
        )
        return (
            _int64(meta) & ((1 << self.policy.slot_bits) - 1),
            _int64(new_state) & ((1 << self.policy.set_bits) - 1),
        )

    def _frequency(self, word: int) -> int:
        if self._sketch is None:
            return 0
        return min(MAX_FREQUENCY, self._sketch.estimate(mix(word, self._seed)))

    def _count_in_sketch(self, keys: Keys, positions: list[int]) -> None:
        if self._sketch is not None:
            self._sketch.add([mix(int(keys.words[i]), self._seed) for i in positions])

    def _free(self, region: int, index: int, way: int, counter: Counter) -> None:
        here = self.layout.regions[region]
        self._set(here, index).ways[way] = None
        self._counters[region][Counter.SIZE] -= 1
        self._counters[region][counter] += 1
        if self._values is not None and self._values.dtype == object:
            self._values[here.slot(index, way)] = None


class _Placing:
    """One position of an insert finding its way."""

    def __init__(
        self,
        table: ReferenceTable,
        region: int,
        keys: Keys,
        i: int,
        tick: int,
        now: int,
        was_full: bool,
    ) -> None:
        self.table, self.policy = table, table.policy
        self.region, self.here = region, table.layout.regions[region]
        self.counters = table._counters[region]
        self.keys, self.i, self.tick, self.now, self.was_full = keys, i, tick, now, was_full
        self.home, self.way, self.entry = table._find(keys, i, None, region)
        self.target = table._set(self.here, self.home.number)
        self.victim: Entry | None = None
        self.slot = -1

    def insert(self, deadline: int, absent_only: bool, guess: bool) -> Status:
        """Update, insert or refuse; count it; return the status."""
        if self.entry is not None and _expired(self.entry, self.now):
            self.table._free(self.region, self.home.number, self.way, Counter.EXPIRATIONS)
            self.entry = None
        if self.entry is not None:
            self.slot = self.here.slot(self.home.number, self.way)
            if absent_only:
                return Status.PRESENT
            return self._update(self.entry, deadline)
        if guess and len(self.target.ways) < GUESS_SHARE:
            self.counters[Counter.REFUSALS] += 1
            return Status.REFUSED
        return self._place(deadline, guess)

    def _update(self, entry: Entry, deadline: int) -> Status:
        if entry.guess:
            self.table._replay(entry, self.tick, self.target.state)
        else:
            self.table._hit(entry, self.tick, self.target.state)
        entry.deadline = deadline
        self.counters[Counter.UPDATES] += 1
        return Status.UPDATED

    def _place(self, deadline: int, guess: bool) -> Status:
        word = int(self.keys.words[self.i])
        tag = self._take_ghost()
        total = _int64(
            sum(_int64(self.policy.tally(entry.meta)) for _, entry in self.target.live())
        )
        frequency = self.table._frequency(word)
        meta, self.target.state = self.table._admit_meta(
            self.tick, frequency, tag, self.target.state, total
        )
        way = self._make_room(guess, total)
        ref = None if self.keys.refs is None else self.keys.refs[self.i]
        self.target.ways[way] = Entry(word, ref, meta, guess, deadline)
        self.slot = self.here.slot(self.home.number, way)
        self.counters[Counter.SIZE] += 1
        self.counters[Counter.INSERTIONS] += 1
        return Status.INSERTED

    def _take_ghost(self) -> int:
        for place, (tag, fingerprint) in enumerate(self.target.ghosts):
            if fingerprint == self.home.fingerprint:
                del self.target.ghosts[place]
                return tag | place << TAG_BITS
        return 0

    def _make_room(self, guess: bool, total: int) -> int:
        guesses = [way for way, entry in self.target.live() if entry.guess]
        if guess and len(guesses) >= len(self.target.ways) // GUESS_SHARE:
            return self._evict_guess(guesses, total)
        if self.way >= 0:
            return self.way
        order = self.here.line_order(self.home.number, self.home.line)
        for way in order:
            if self.target.ways[way] is None:
                return way
        for way in order:
            entry = self.target.ways[way]
            if entry is not None and _expired(entry, self.now):
                self.table._free(self.region, self.home.number, way, Counter.EXPIRATIONS)
                return way
        if guesses and not guess:
            return self._evict_guess(guesses, total)
        return self._evict(self._choose(total), total)

    def _rank(self, way: int, total: int) -> tuple[int, int]:
        entry = self.target.ways[way]
        assert entry is not None
        rank = self.policy.rank(
            entry.meta, self.tick, self.target.state, total, self.table._parameters
        )
        return _int64(rank), way

    def _choose(self, total: int) -> int:
        """The policy's victim among the ways that are not guesses."""
        ranked = [way for way, entry in self.target.live() if not entry.guess]
        if not self.policy.has_segments:
            return min(ranked, key=lambda way: self._rank(way, total))
        segments: list[list[int]] = [[], []]
        for way, entry in self.target.live():
            if not entry.guess:
                segments[_int64(self.policy.segment(entry.meta)) & 1].append(way)
        nominees = [min(ways, key=lambda way: self._rank(way, total)) for ways in segments if ways]
        if len(nominees) == 1:
            return nominees[0]
        words = [self._word(way) for way in nominees]
        leaves = self.policy.admit(*(self.table._frequency(word) for word in words))
        return nominees[_int64(leaves) & 1]

    def _word(self, way: int) -> int:
        entry = self.target.ways[way]
        assert entry is not None
        return entry.word

    def _evict_guess(self, guesses: list[int], total: int) -> int:
        way = min(guesses, key=lambda way: self._rank(way, total))
        self._leave(way)
        return way

    def _evict(self, way: int, total: int) -> int:
        victim = self.target.ways[way]
        assert victim is not None
        slot_mask = (1 << self.policy.slot_bits) - 1
        for other, entry in self.target.live():
            if other != way:
                entry.meta = slot_mask & _int64(
                    self.policy.on_pass(
                        entry.meta,
                        victim.meta,
                        self.tick,
                        self.target.state,
                        total,
                        self.table._parameters,
                    )
                )
        state, tag = self.policy.on_evict(victim.meta, self.tick, self.target.state)
        self.target.state = _int64(state) & ((1 << self.policy.set_bits) - 1)
        tag = _int64(tag) & ((1 << TAG_BITS) - 1)
        if self.policy.ghosts and tag:
            fingerprint = self.table._home(victim.word, self.region).fingerprint
            self.target.ghosts = [(tag, fingerprint), *self.target.ghosts][:WAYS]
        self._leave(way)
        return way

    def _leave(self, way: int) -> None:
        self.victim = self.target.ways[way]
        self.target.ways[way] = None
        self.counters[Counter.SIZE] -= 1
        self.counters[Counter.EVICTIONS] += 1
        if not self.was_full:
            self.counters[Counter.CONFLICTS] += 1
            self.target.conflicts += 1


def _all(keys: Keys) -> range:
    return range(len(keys.words))


def _identity(keys: Keys, i: int) -> Any:
    """What makes the key at a position equal to another, for a dict."""
    return int(keys.words[i]) if keys.refs is None else keys.refs[i]


def _same_ref(keys: Keys, i: int, entry: Entry) -> bool:
    return keys.refs is None or keys.refs[i] is entry.ref or bool(keys.refs[i] == entry.ref)


def _expired(entry: Entry, now: int) -> bool:
    return 0 < entry.deadline <= now


def _objects(items: list[Any]) -> Any:
    return np.fromiter(items, object, len(items))


def _int64(value: int) -> int:
    """Refuse what int64 cannot hold: a compiled policy would silently wrap."""
    if not isinstance(value, int | np.integer) or not -(2**63) <= value < 2**63:
        raise PolicyError(f"policy: a function returned {value!r}, which is no int64")
    return int(value)
