"""How a key finds its way, and who leaves for it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from predis_core.policies.contract import TAG_BITS
from predis_core.table.interface import Counter, Keys, Reason, Status
from predis_core.table.layout import GUESS_SHARE, WAYS
from predis_core.table.reference.entries import Entry, Left, checked_int64, is_expired

if TYPE_CHECKING:
    from predis_core.table.reference.table import ReferenceTable


class Placing:
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
        left: list[Left],
    ) -> None:
        self.table, self.policy = table, table.policy
        self.region, self.here = region, table.layout.regions[region]
        self.counters = table._counters[region]
        self.i, self.tick, self.now, self.was_full, self.left = i, tick, now, was_full, left
        self.home, self.way, self.entry = table._find(keys, i, None, region)
        self.index, self.line = self.home.number, self.home.line
        self.target = table._set(self.here, self.index)
        self.slot = -1

    def insert(self, new: Entry, absent_only: bool) -> Status:
        """Update, insert or refuse; count it; return the status."""
        resident = self.entry
        expired = resident is not None and is_expired(resident, self.now)
        if resident is not None and not expired and absent_only:
            self.slot = self._slot(self.way)
            return Status.PRESENT
        refused = new.guess and len(self.target.ways) < GUESS_SHARE
        refused = refused or not self._make_room(new.size)
        if expired:
            self._remove(self.way, Counter.EXPIRATIONS, Reason.EXPIRED)
        if refused:
            if resident is not None and not expired:
                self._remove(self.way, Counter.EVICTIONS, Reason.EVICTED)
            self.counters[Counter.REFUSALS] += 1
            return Status.REFUSED
        if resident is not None and not expired:
            return self._update(resident, new)
        return self._place(new)

    def _update(self, entry: Entry, new: Entry) -> Status:
        table = self.table
        if entry.guess:
            table._replay(entry, self.tick, self.target.state)
        else:
            table._hit(entry, self.tick, self.target.state)
        self.left.append(Left(Reason.REPLACED, self.i, replace(entry)))
        if table._ledger:
            table._ledger.release(entry.size)
            table._ledger.store(new.size)
        self.counters[Counter.BYTES] += new.size - entry.size
        self.counters[Counter.UPDATES] += 1
        entry.deadline, entry.cost = new.deadline, new.cost
        entry.value, entry.size = new.value, new.size
        table._tell_value(entry)
        self.slot = self._slot(self.way)
        return Status.UPDATED

    def _place(self, new: Entry) -> Status:
        total = self._total()
        free, leaving = self._candidates(new.guess)
        if free is None and not leaving:
            self.counters[Counter.REFUSALS] += 1
            return Status.REFUSED
        tag = self._take_ghost()
        frequency = self.table._frequency(new.word)
        new.meta, self.target.state = self.table._admit_meta(
            self.tick, frequency, tag, self.target.state, total
        )
        way = self._evict(leaving, total) if free is None else free
        if free is not None and self.target.ways[way] is not None:
            self._remove(way, Counter.EXPIRATIONS, Reason.EXPIRED)
        self.target.ways[way] = new
        self.table._tell_value(new)
        if self.table._ledger:
            self.table._ledger.store(new.size)
        self.counters[Counter.SIZE] += 1
        self.counters[Counter.INSERTIONS] += 1
        self.counters[Counter.BYTES] += new.size
        self.counters[Counter.INSERTED_BYTES] += new.size
        self.slot = self._slot(way)
        return Status.INSERTED

    def _make_room(self, size: int) -> bool:
        """Have others leave until a value fits; return whether it does."""
        table = self.table
        spared = self._slot(self.way) if self.entry is not None else -1
        instead = None
        if self.entry is not None and not (
            table._ledger and spared in table._pins and is_expired(self.entry, self.now)
        ):
            instead = self.entry.size
        if not table._can_ever_fit(size):
            return False
        while not table._fits(size, instead, self.region):
            if not self._relieve(spared):
                return False
        return True

    def _relieve(self, spared: int) -> bool:
        """Have an entry leave of the next set with one that may; return whether there is one."""
        table, here = self.table, self.here
        for _ in range(here.sets):
            there = _Elsewhere(self, table._hand)
            table._hand = (table._hand + 1) % here.sets
            may = [way for way in there._may_leave() if there._slot(way) != spared]
            if may:
                there._leave_one(may)
                return True
        return False

    def _take_ghost(self) -> int:
        for place, (tag, fingerprint) in enumerate(self.target.ghosts):
            if fingerprint == self.home.fingerprint:
                del self.target.ghosts[place]
                return tag | place << TAG_BITS
        return 0

    def _candidates(self, guess: bool) -> tuple[int | None, list[int]]:
        """Return a way that is free or expired, or else the ways that may leave."""
        live = dict(self.target.live())
        guesses = [way for way, entry in live.items() if entry.guess]
        may = self._may_leave()
        silent = [way for way in may if live[way].guess]
        if guess and len(guesses) >= len(self.target.ways) // GUESS_SHARE:
            return None, silent
        if self.way >= 0 and self.entry is not None and not self._is_pinned(self.way):
            return self.way, []
        order = self.here.line_order(self.index, self.line)
        for way in order:
            if way not in live and not self._is_pinned(way):
                return way, []
        for way in order:
            if way in may and is_expired(live[way], self.now):
                return way, []
        if silent and not guess:
            return None, silent
        return None, [way for way in may if not live[way].guess]

    # ------------------------------------------------------------------ of any set

    def _slot(self, way: int) -> int:
        return self.here.slot(self.index, way)

    def _is_pinned(self, way: int) -> bool:
        return self._slot(way) in self.table._pins

    def _may_leave(self) -> list[int]:
        return [way for way, _ in self.target.live() if not self._is_pinned(way)]

    def _remove(self, way: int, counter: Counter, reason: Reason) -> None:
        self.table._remove(self.region, self.index, way, counter, reason, self.i, self.left)

    def _total(self) -> int:
        return checked_int64(
            sum(checked_int64(self.policy.tally(entry.meta)) for _, entry in self.target.live())
        )

    def _word(self, way: int) -> int:
        entry = self.target.ways[way]
        assert entry is not None
        return entry.word

    def _rank(self, way: int, total: int) -> tuple[int, int]:
        entry = self.target.ways[way]
        assert entry is not None
        rank = self.policy.rank(
            entry.meta, self.tick, self.target.state, total, self.table._parameters
        )
        return checked_int64(rank), way

    def _choose(self, ways: list[int], total: int) -> int:
        """The policy's victim among some ways that are not guesses."""
        if not self.policy.has_segments:
            return min(ways, key=lambda way: self._rank(way, total))
        segments: list[list[int]] = [[], []]
        for way, entry in self.target.live():
            if way in ways:
                segments[checked_int64(self.policy.segment(entry.meta)) & 1].append(way)
        nominees = [min(some, key=lambda way: self._rank(way, total)) for some in segments if some]
        if len(nominees) == 1:
            return nominees[0]
        words = [self._word(way) for way in nominees]
        leaves = self.policy.admit(*(self.table._frequency(word) for word in words))
        return nominees[checked_int64(leaves) & 1]

    def _evict(self, ways: list[int], total: int) -> int:
        """Have one of some ways leave to make room in a set; return it."""
        way = self._depart(ways, total)
        self._remove(way, Counter.EVICTIONS, Reason.EVICTED)
        if not self.was_full:
            self.counters[Counter.CONFLICTS] += 1
            self.target.conflicts += 1
        return way

    def _depart(self, ways: list[int], total: int) -> int:
        """Choose one of some ways, all guesses or none, and tell the policy unless it is one."""
        if all(entry.guess for way, entry in self.target.live() if way in ways):
            return min(ways, key=lambda way: self._rank(way, total))
        way = self._choose(ways, total)
        victim = self.target.ways[way]
        assert victim is not None
        slot_mask = (1 << self.policy.slot_bits) - 1
        seen = (victim.meta, self.tick, self.target.state, total, self.table._parameters)
        if checked_int64(self.policy.passes(*seen)) & 1:
            for other, entry in self.target.live():
                if other != way:
                    entry.meta = slot_mask & checked_int64(self.policy.on_pass(entry.meta, *seen))
        state, tag = self.policy.on_evict(victim.meta, self.tick, self.target.state)
        self.target.state = checked_int64(state) & ((1 << self.policy.set_bits) - 1)
        tag = checked_int64(tag) & ((1 << TAG_BITS) - 1)
        if self.policy.ghosts and tag:
            fingerprint = self.table._home(victim.word, self.region).fingerprint
            self.target.ghosts = [(tag, fingerprint), *self.target.ghosts][:WAYS]
        return way


class _Elsewhere(Placing):
    """Another set, of which an entry leaves because values weigh too much."""

    def __init__(self, placing: Placing, index: int) -> None:
        self.__dict__.update(placing.__dict__)
        self.index, self.line = index, 0
        self.target = self.table._set(self.here, index)

    def _leave_one(self, may: list[int]) -> None:
        live = dict(self.target.live())
        for way in self.here.line_order(self.index, 0):
            if way in may and is_expired(live[way], self.now):
                self._remove(way, Counter.EXPIRATIONS, Reason.EXPIRED)
                return
        silent = [way for way in may if live[way].guess]
        way = self._depart(silent or may, self._total())
        self._remove(way, Counter.EVICTIONS, Reason.EVICTED)
