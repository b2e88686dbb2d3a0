"""Two tables as one: a fast one above, and a tier below that holds everything.

The tier is *inclusive*: every entry lies in it, and the table above has copies of some.

* What is stored goes to both. What the upper table evicts is in the tier already, so it just goes;
  nothing is copied at that moment, and nobody waits for the upper device.
* A lookup asks the upper table; what it misses is looked up in the tier, all of a batch at once,
  and what is found there goes up with the life that it has left.
* What the tier evicts leaves the cache, and with it the copy above. So that entries in constant use
  above do not look forgotten below, every `HINT_EVERY`th lookup tells the tier of its hits.
* Deadlines, pins, deletes, counters and what left are the tier's. The upper table knows deadlines
  too, and no pins: its copies may come and go.

An *exclusive* tier would hold as many entries more as the upper table has. But each lookup that it
answers would make both tables write, every eviction would come back from the device, with its
deadline and its pins, and where the upper device is lost, what it held would be.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator
from typing import Any, Concatenate, NamedTuple, ParamSpec, TypeVar

import numpy as np
import numpy.typing as npt

from predis_core.errors import DeviceError
from predis_core.policies import Policy
from predis_core.policies.choice import check_candidate
from predis_core.table.batches import part_of
from predis_core.table.interface import (
    Bools,
    Bytes,
    CacheTable,
    Counter,
    Deleted,
    Dump,
    Entries,
    Inserted,
    Int64s,
    Keys,
    Reason,
    Removed,
    Sampled,
    Sealed,
)
from predis_core.table.layout import Layout
from predis_core.tiers.base import RESIZING, SWITCHING, NamedTier, Tier
from predis_core.tiers.moving import Move
from predis_core.tiers.noting import Notes
from predis_core.types import TierStats

HINT_EVERY = 8
"""Lookups from one whose hits above the tier is told of to the next: an eighth of the work."""

ABOVE = "above"
"""What the table that is asked first is called."""

_P = ParamSpec("_P")
_R = TypeVar("_R")


def _alone(verb: Callable[Concatenate[Any, _P], _R]) -> Callable[Concatenate[Any, _P], _R]:
    """Return a verb that no other thread is in at the same time, and that finds both in step."""

    @functools.wraps(verb)
    def alone(self: TieredTable, /, *args: _P.args, **options: _P.kwargs) -> _R:
        with self._turn:
            if self._is_busy:
                # A finaliser of this thread, in the midst of another verb.
                self._is_behind = True
                return verb(self, *args, **options)
            self._catch_up()
            self._is_busy = True
            try:
                return verb(self, *args, **options)
            except BaseException:
                # One of the two may have done its part, and the other not.
                self._is_behind = True
                raise
            finally:
                self._is_busy = False

    return alone


class Sized(NamedTuple):
    """Empty tables of other sizes; None for one that has its size already."""

    lower: Any
    upper: Any


class TieredTable:
    """A table, and a tier below it; see `interface.CacheTable` for what the verbs promise.

    Its layout, slots and policy are the tier's. One lock is held while a verb works on both.

    Args:
        upper: the table that is asked first; the CPU's or a GPU's.
        lower: the tier, a `Tier`.
        row: dtype of a value, with its shape.
        kind: what made the tier.
        given: the policy that the cache was given.
        seed: int64, of both.
    """

    def __init__(
        self,
        upper: CacheTable,
        lower: Tier,
        row: np.dtype[Any],
        kind: NamedTier,
        given: Policy,
        seed: int,
    ) -> None:
        self.upper, self.lower = upper, lower
        self.layout = lower.layout
        self.kind, self.name, self.given = kind, kind.name, given
        self.policy: Policy = lower.policy
        can_switch = all(hasattr(lower, verb) for verb in SWITCHING)
        self.candidates = lower.candidates if can_switch else (lower.policy,)
        self._row_bytes = row.itemsize
        self._move: Move | None = None
        # A finaliser may take pins back in the midst of a verb of the same thread.
        self._turn = threading.RLock()
        self._has_deadlines = False
        self._is_busy = self._is_behind = False
        self._lookups = self._tick = 0
        self._notes = Notes(seed)

    def _catch_up(self) -> None:
        """Have the upper table forget all, if a verb failed half way or another came between."""
        if self._is_behind:
            self.upper.clear(0)
            self._is_behind = False

    @_alone
    def alone(self, act: Callable[..., _R], *args: Any) -> _R:
        """Return what a function does, with both tables to itself."""
        return act(*args)

    # ------------------------------------------------------------------ verbs that move no entry

    @_alone
    def fetch(
        self, keys: Keys, now: int, out: Any, *, zero: bool, count: bool = True, region: int = 0
    ) -> Bools:
        """See `interface.CacheTable`."""
        hit = self._fetched(keys, now, out, zero, count)
        if count:
            self._notes.note(keys.words, hit, self._tick)
        self._tick += max(1, len(hit))
        return hit

    def _fetched(self, keys: Keys, now: int, out: Any, zero: bool, count: bool) -> Bools:
        hit = self.upper.fetch(keys, now, out, zero=zero, count=count)
        self._lookups += 1
        if self._lookups % HINT_EVERY == 0 and hit.any():
            self.lower.touch(part_of(keys, hit), now)
        missed = np.flatnonzero(~hit)
        if not len(missed):
            return hit
        asked = part_of(keys, missed)
        rows = np.empty((len(missed), self._row_bytes), np.uint8)
        found = self.lower.fetch(asked, now, rows.reshape(-1), zero=False, count=count)
        if found.any():
            places = missed[found]
            self._as_bytes(out)[places] = rows[found]
            hit[places] = True
            self._promote(part_of(asked, found), rows[found], now)
        return hit

    def _promote(self, keys: Keys, rows: npt.NDArray[np.uint8], now: int) -> None:
        """Have copies above of what was found below."""
        deadlines = self.lower.deadlines(keys, now) if self._has_deadlines else None
        self.upper.insert(keys, rows.reshape(-1), now, deadlines=deadlines)

    def _as_bytes(self, out: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
        """Return rows in C order as uint8[n, row bytes], the same memory."""
        found: npt.NDArray[np.uint8] = out.reshape(-1).view(np.uint8).reshape(-1, self._row_bytes)
        return found

    def lookup(
        self, keys: Keys, now: int, *, out: Any = None, count: bool = True, region: int = 0
    ) -> Int64s:
        """See `interface.Table`; in the tier only, whose slots these are."""
        return self.lower.lookup(keys, now, out=out, count=count)

    @_alone
    def touch(self, keys: Keys, now: int, *, region: int = 0) -> Bools:
        """See `interface.Table`."""
        self.upper.touch(keys, now)
        return self.lower.touch(keys, now)

    def contains(self, keys: Keys, now: int, *, region: int = 0) -> Bools:
        """See `interface.Table`."""
        return self.lower.contains(keys, now)

    def deadlines(self, keys: Keys, now: int, *, region: int = 0) -> Int64s:
        """See `interface.Table`."""
        return self.lower.deadlines(keys, now)

    @_alone
    def pin(self, keys: Keys, now: int, *, slots: Int64s | None = None, region: int = 0) -> Int64s:
        """See `interface.CacheTable`."""
        table = self.lower
        while True:
            try:
                return table.pin(keys, now, slots=slots)
            except Sealed:
                newer = table.succeeding(keys, now)
                if newer is table:
                    raise
                table = newer

    def unpin(self, keys: Keys, slots: Int64s, *, region: int = 0) -> None:
        """See `interface.Table`; while entries move, nothing is pinned where they come from."""
        self.lower.newest.unpin(keys, slots)

    # ------------------------------------------------------------------ verbs that move entries

    @_alone
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
        """See `interface.Table`; guesses stay in the tier until they are used."""
        done = self.lower.insert(
            keys,
            values,
            now,
            deadlines=deadlines,
            costs=costs,
            absent_only=absent_only,
            guess=guess,
            veto=veto,
            want_removed=True,
        )
        self._tick += max(1, len(keys.words))
        self._has_deadlines |= deadlines is not None
        stored = done.stored
        if not guess and stored.any():
            self._raise(keys, values, now, deadlines, stored)
        assert done.removed is not None
        self.follow(done.removed, now)
        return done if want_removed else done._replace(removed=None)

    def _raise(
        self, keys: Keys, values: Any, now: int, deadlines: Int64s | None, stored: Bools
    ) -> None:
        """Have copies above of what was stored. No costs: what is promoted comes without them."""
        if not stored.all():
            keys, values = part_of(keys, stored), self._as_bytes(values)[stored].reshape(-1)
            deadlines = None if deadlines is None else deadlines[stored]
        self.upper.insert(keys, values, now, deadlines=deadlines)

    def follow(self, removed: Removed, now: int) -> None:
        """Have no copies above of what the tier evicted; only with both tables to oneself."""
        gone = part_of(removed.keys, removed.reasons == Reason.EVICTED)
        if not len(gone.words):
            return
        # It may have come back in the same batch.
        left = ~self.lower.contains(gone, now)
        if left.any():
            self.upper.delete(part_of(gone, left), now)

    @_alone
    def delete(
        self, keys: Keys, now: int, *, want_removed: bool = False, region: int = 0
    ) -> Deleted:
        """See `interface.Table`."""
        gone = self.lower.delete(keys, now, want_removed=want_removed)
        self.upper.delete(keys, now)
        return gone

    @_alone
    def clear(self, now: int, *, want_removed: bool = False, region: int = 0) -> Removed | None:
        """See `interface.Table`."""
        removed = self.lower.clear(now, want_removed=want_removed)
        self.upper.clear(now)
        return removed

    def clearing(self, now: int) -> Iterator[Removed | None]:
        """See `interface.CacheTable`: all at once, for a lookup in between would copy it up."""
        move = self._move
        if move is not None:
            move.tell_of_gone()
        yield self.clear(now, want_removed=True)

    def seal(self) -> None:
        """See `interface.CacheTable`."""
        self.lower.seal()

    # ------------------------------------------------------------------ following lookups

    @_alone
    def sample_keys(self, rate: float, capacity: int) -> None:
        """Note the counted lookups of that share of keys, 0 for none; see `Notes`."""
        self._notes.want(rate, capacity)

    @_alone
    def drain_sampled(self, since: int) -> tuple[Sampled, int, int]:
        """Return what was noted since an earlier call, which said `since`; see `Notes.read`."""
        return self._notes.read(since)

    # ------------------------------------------------------------------ policies

    def prepare(self, policy: Policy) -> None:
        """Have compiled, or loaded, what a policy needs in both; nobody waits meanwhile."""
        for table in self._switched():
            table.prepare(policy)

    def switch(self, policy: Policy) -> Iterator[None]:
        """Return the steps that give both another policy; between them, others may go on.

        One change at a time, and none while entries move.

        Args:
            policy: one of the `candidates`.

        Raises:
            PolicyError: if it is another one.
        """
        check_candidate(policy, self.candidates)
        for table in self._switched():
            steps = table.switch(policy)
            while self.alone(_goes_on, steps):
                yield
        self.policy = policy

    def _switched(self) -> tuple[Any, Any]:
        return self.lower, self.upper

    # ------------------------------------------------------------------ resizing

    def check_resizable(self, cache: str) -> None:
        """Refuse to resize a tier that cannot be.

        Raises:
            DeviceError: naming the cache, the tier and the fix.
        """
        if lacking := [verb for verb in RESIZING if not hasattr(self.lower, verb)]:
            raise DeviceError(
                f"cache {cache!r} has a tier {self.name!r} below it, which cannot be resized: it "
                f"has no {' and no '.join(lacking)}; take the tier 'memory', or have the tier do "
                "what predis_core.tiers.ResizableTier says"
            )

    def like(self, below: Layout, above: Layout) -> Sized:
        """Return empty tables of other sizes, in other respects the same, for `move_to`."""
        return Sized(_like(self.lower, below), _like(self.upper, above))

    def move_to(self, sized: Sized, tell: Callable[[Removed], None] | None) -> Move:
        """Return the way of all entries to other tables, which are to take these ones' places.

        Args:
            sized: as `like` returns it.
            tell: gets what leaves for others, or because its time is over; None if nobody asks.
        """
        return Move(self, sized, tell)

    # ------------------------------------------------------------------ looking into it

    @property
    def above(self) -> int:
        """Of how many entries there may be copies above."""
        return self.upper.newest.layout.slots

    @property
    def is_sealed(self) -> bool:
        """See `interface.CacheTable`."""
        return self.lower.is_sealed

    @property
    def newest(self) -> TieredTable:
        """See `interface.CacheTable`: there is no other."""
        return self

    def succeeding(self, keys: Keys, now: int) -> TieredTable:
        """See `interface.CacheTable`: there is no other."""
        return self

    @property
    def memory(self) -> int:
        """See `interface.CacheTable`: of both, and of what was noted."""
        return self.upper.memory + self.lower.memory + self._notes.nbytes

    def size(self, *, region: int = 0) -> int:
        """See `interface.CacheTable`."""
        return self.lower.size()

    def export(self, now: int, *, region: int = 0) -> Entries:
        """See `interface.Table`."""
        return self.lower.export(now)

    @_alone
    def counters(self, *, region: int = 0) -> dict[Counter, int]:
        """See `interface.Table`; hits are those of both."""
        found = self.lower.counters()
        found[Counter.HITS] += self.upper.counters()[Counter.HITS]
        return found

    @_alone
    def tiers(self) -> tuple[TierStats, TierStats]:
        """Return what the upper table did and has, and what the tier did and has."""
        return _stats_of(ABOVE, self.upper), _stats_of(self.name, self.lower)

    def conflicts(self, *, region: int = 0) -> Int64s:
        """See `interface.Table`."""
        return self.lower.conflicts()

    @_alone
    def set_parameters(self, parameters: tuple[int, ...]) -> None:
        """See `interface.Table`: of both."""
        self.upper.set_parameters(parameters)
        self.lower.set_parameters(parameters)

    def dump(self) -> Dump:
        """See `interface.Table`; of the tier."""
        return self.lower.dump()

    @_alone
    def broken(self) -> list[str]:
        """See `interface.CacheTable`."""
        found = [f"tier: {each}" for each in self.lower.broken()]
        found += [f"above the tier: {each}" for each in self.upper.broken()]
        return found + self._strays()

    def _strays(self) -> list[str]:
        """Return what is above and not below, unless it has expired, or differs from it."""
        above, below = self.upper.export(0), self.lower.export(0)
        place = {word: at for at, word in enumerate(below.keys.words.tolist())}
        mine, others = self._as_bytes(above.values), self._as_bytes(below.values)
        found = []
        for at, (word, ends) in enumerate(
            zip(above.keys.words.tolist(), above.deadlines.tolist(), strict=True)
        ):
            there = place.get(word)
            if there is None:
                # What expired is reclaimed wherever it is in the way, in one of them first.
                found += [] if ends else [f"{word} is above the tier and not in it"]
            elif ends != below.deadlines[there] or (mine[at] != others[there]).any():
                found.append(f"{word} is another above the tier than in it")
        return found


def _goes_on(steps: Iterator[None]) -> bool:
    """Take a step; return whether there may be another."""
    return any(True for _ in steps)


def _like(table: Any, layout: Layout) -> Any:
    return None if table.newest.layout.slots == layout.slots else table.like(layout)


def _stats_of(name: str, table: CacheTable) -> TierStats:
    counters = table.counters()
    return TierStats(
        name,
        table.newest.layout.slots,
        counters[Counter.SIZE],
        counters[Counter.HITS],
        counters[Counter.EVICTIONS],
        table.memory,
    )
