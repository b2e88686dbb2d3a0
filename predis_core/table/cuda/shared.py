"""The table on a GPU as a cache has it: safe from any thread, resized and sealed one day."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator
from typing import Any, Concatenate, ParamSpec, TypeVar

import numpy as np

from predis_core.policies.contract import Policy
from predis_core.table import invariants
from predis_core.table.cuda.comparing import Undecided
from predis_core.table.cuda.device import Device
from predis_core.table.cuda.moving import Transfer
from predis_core.table.cuda.referenced import ReferencedTable
from predis_core.table.cuda.table import GpuTable
from predis_core.table.interface import (
    Counter,
    Entries,
    Keys,
    Removed,
)
from predis_core.table.layout import Layout
from predis_core.table.removals import joined

_P = ParamSpec("_P")
_R = TypeVar("_R")
_Verb = Callable[Concatenate[GpuTable, _P], _R]


def _alone(verb: _Verb[_P, _R]) -> Callable[Concatenate[Any, _P], _R]:
    """Return a verb that no other thread is in at the same time, on whichever stream it is."""
    name = verb.__name__

    @functools.wraps(verb)
    def alone(self: SharedGpuTable, /, *args: _P.args, **options: _P.kwargs) -> _R:
        with self._turn, self._device.in_order():
            return getattr(self._table, name)(*args, **options)  # type: ignore[no-any-return]

    return alone


def _of_keys(verb: _Verb[_P, _R], now: int = 1) -> Callable[Concatenate[Any, _P], _R]:
    """Return a verb as `_alone` does; what an older table holds of its keys comes over first.

    Keys are compared while no lock is held, wherever that may run code of users.

    Args: now, which of the verb's arguments is the time; the first has the keys.
    """
    name = verb.__name__

    @functools.wraps(verb)
    def alone(self: SharedGpuTable, /, *args: _P.args, **options: _P.kwargs) -> _R:
        brought: Move | None = None
        given: Any = args
        keys = self._asked(given[0], name == "insert")
        while True:
            try:
                with self._turn, self._device.in_order():
                    move = self._move
                    if move is None or move is brought:
                        done = getattr(self._table, name)(keys, *given[1:], **options)
                        dropped = self._dropped()
                        break
                # Without the lock: it tells what leaves. By then another move may have begun.
                move.carry(functools.partial(Transfer.carry, keys=keys, now=given[now]))
                brought = move
            except Undecided:
                keys.compare()
        del dropped  # which may run code of users
        return done  # type: ignore[no-any-return]

    return alone


class SharedGpuTable:
    """A table in a device's memory, for a cache; see `interface.CacheTable`.

    One lock on the host is held while a verb prepares and launches its kernels, so that those of
    two threads do not mix. What a verb waits for, it waits for with the lock. Where threads have
    different streams, the device has one wait for the other; the host does not. No code of users
    runs under the lock.

    Args:
        device, layout, policy, seed, row: as for `GpuTable`.
        key_refs: whether keys are Python objects beside their words.

    Attributes:
        layout: of the table that entries are moving to, if they are.
        given: the policy, or the choice among several.
        candidates, policy: see `interface.CacheTable`.

    Raises:
        PolicyError, DeviceError: as `GpuTable`, and as the device.
    """

    def __init__(
        self,
        device: Device,
        layout: Layout,
        policy: Policy,
        seed: int,
        row: np.dtype[Any],
        *,
        key_refs: bool = False,
    ) -> None:
        # A finaliser may take pins back in the midst of a verb of the same thread.
        self._turn = threading.RLock()
        self._device = device
        self._move: Move | None = None
        self.layout, self.given = layout, policy
        kind = ReferencedTable if key_refs else GpuTable
        self._table = kind(device, layout, policy, seed, row)
        self.candidates, self.policy = self._table.candidates, self._table.policy

    lookup = _of_keys(GpuTable.lookup)
    fetch = _of_keys(GpuTable.fetch)
    contains = _of_keys(GpuTable.contains)
    touch = _of_keys(GpuTable.touch)
    deadlines = _of_keys(GpuTable.deadlines)
    delete = _of_keys(GpuTable.delete)
    insert = _of_keys(GpuTable.insert, now=2)
    pin = _of_keys(GpuTable.pin)
    unpin = _alone(GpuTable.unpin)
    misses = _alone(GpuTable.misses)
    conflicts = _alone(GpuTable.conflicts)
    dump = _alone(GpuTable.dump)
    sample_keys = _alone(GpuTable.sample_keys)
    drain_sampled = _alone(GpuTable.drain_sampled)
    levels = _alone(GpuTable.levels)
    room = _alone(GpuTable.room)
    homes = _alone(GpuTable.homes)

    # ------------------------------------------------------------------ all of it

    def clear(self, now: int, *, want_removed: bool = False, region: int = 0) -> Removed | None:
        """See `interface.CacheTable`."""
        with self._turn, self._device.in_order():
            removed = None
            if self._move is not None:
                self._move.transfer.disturb()
            for table in self._tables():
                left = table.clear(now, want_removed=want_removed, region=region)
                removed = joined(removed, left)
            dropped = self._dropped()
        del dropped  # which may run code of users
        return removed

    def clearing(self, now: int) -> Iterator[Removed | None]:
        """See `interface.CacheTable`: all at once."""
        yield self.clear(now, want_removed=True)

    def export(self, now: int, *, sets: range | None = None, region: int = 0) -> Entries:
        """See `interface.CacheTable`; with `sets` (numbered in the region, step 1), only those.

        Of a table whose entries are moving to another, the whole is what both hold.
        """
        with self._turn, self._device.in_order():
            if sets is not None or self._move is None:
                return self._table.export(now, sets=sets, region=region)
            older, newer = (table.export(now, region=region) for table in self._tables())
            both: Any = zip(older.keys, newer.keys, strict=True)
            words, refs = both
            keys = Keys(np.concatenate(words), None if refs[0] is None else np.concatenate(refs))
            columns = zip(older[1:], newer[1:], strict=True)
            return Entries(keys, *map(np.concatenate, columns))

    def counters(self, *, region: int = 0) -> dict[Counter, int]:
        """See `interface.CacheTable`; waits for the device."""
        with self._turn, self._device.in_order():
            if self._move is None:
                return self._table.counters(region=region)
            return self._move.transfer.counters()

    def size(self, *, region: int = 0) -> int:
        """See `interface.CacheTable`; waits for the device."""
        return self.counters(region=region)[Counter.SIZE]

    def set_parameters(self, parameters: tuple[int, ...]) -> None:
        """See `interface.CacheTable`."""
        with self._turn, self._device.in_order():
            for table in self._tables():
                table.set_parameters(parameters)

    def seal(self) -> None:
        """See `interface.CacheTable`."""
        with self._turn:
            for table in self._tables():
                table.is_sealed = True

    def broken(self) -> list[str]:
        """See `interface.CacheTable`."""
        with self._turn, self._device.in_order():
            return [
                sentence
                for table in self._tables()
                for sentence in invariants.broken(table.dump(), table.layout, table.seed)
            ]

    # ------------------------------------------------------------------ what it is

    @property
    def device(self) -> Device:
        """Whose memory it lies in."""
        return self._device

    @property
    def is_sealed(self) -> bool:
        """See `interface.CacheTable`."""
        return self._table.is_sealed

    @property
    def newest(self) -> SharedGpuTable:
        """See `interface.CacheTable`: there is no other."""
        return self

    def succeeding(self, keys: Keys, now: int) -> SharedGpuTable:
        """See `interface.CacheTable`: there is no other."""
        return self

    @property
    def memory(self) -> int:
        """See `interface.CacheTable`."""
        return sum(table.nbytes for table in self._tables())

    def ledger(self) -> None:
        """Return None, as there is no arena."""

    @property
    def weight_left(self) -> None:
        """None, as rows weigh nothing."""

    # ------------------------------------------------------------------ policies

    def prepare(self, policy: Policy) -> None:
        """Have what a policy needs compiled, or loaded; nobody waits meanwhile."""
        self._table.prepare(policy)

    def switch(self, policy: Policy) -> Iterator[None]:
        """Return the steps that give the table another policy: there is one.

        None while entries move.

        Args:
            policy: one of the `candidates`.

        Raises:
            PolicyError: if it is another one.
        """
        with self._turn, self._device.in_order():
            self._table.switch(policy)
            self.policy = policy
        yield

    # ------------------------------------------------------------------ resizing

    def like(self, layout: Layout) -> GpuTable:
        """Return an empty table on the same device, in other respects the same."""
        with self._turn, self._device.in_order():
            return self._table.like(layout)

    def move_to(self, successor: GpuTable, tell: Callable[[Removed], None] | None) -> Move:
        """Return the way of all entries to another table, which is to take this one's place.

        Args:
            successor: as `like` returns it.
            tell: gets what leaves for others, or because its time is over; None if nobody asks.
        """
        return Move(self, successor, tell)

    def _asked(self, keys: Keys, unite: bool) -> Any:
        """Return keys as the table's verbs take them where a lock is held; none is held here."""
        table = self._table
        return table.asked(keys, unite=unite) if isinstance(table, ReferencedTable) else keys

    def _dropped(self) -> list[Any]:
        """Return what the tables have let go of, for the caller to forget without the lock."""
        tables = self._tables()
        return [each.dropped() for each in tables if isinstance(each, ReferencedTable)]

    def _tables(self) -> tuple[GpuTable, ...]:
        """Return the table, after an older one if there is one."""
        move, table = self._move, self._table
        return (table,) if move is None else (move.transfer.old, table)


class Move:
    """The entries of a table on their way to its successor, with which all verbs go on.

    Args:
        table, successor, tell: as for `SharedGpuTable.move_to`.
    """

    def __init__(
        self,
        table: SharedGpuTable,
        successor: GpuTable,
        tell: Callable[[Removed], None] | None,
    ) -> None:
        self.successor = table
        self._to, self._tell = successor, tell

    def begin(self) -> bool:
        """Have what is stored from now on stored in the successor.

        Returns False if it cannot be, for something is pinned; then nothing has changed.
        """
        table = self.successor
        with table._turn, table._device.in_order():
            if table._table.is_pinned():
                return False
            self.transfer = Transfer(table._table, self._to, self._tell is not None)
            self._to.is_sealed = table._table.is_sealed
            table._move, table._table, table.layout = self, self._to, self._to.layout
            return True

    def steps(self, now: Callable[[], int]) -> Iterator[None]:
        """Carry everything over, some sets at a time; others may do anything between the steps.

        A move that was given up halfway is taken up again by another call.

        Args:
            now: returns nanoseconds of the monotonic clock.
        """
        for sets in self.transfer.windows():
            self.carry(functools.partial(Transfer.carry_sets, sets=sets, now=now()))
            yield
        table = self.successor
        with table._turn, table._device.in_order():
            self.transfer.end()
            table._move = None

    def totals(self) -> tuple[int, int]:
        """Return how many entries came over, and how many left as they or others did not fit."""
        with self.successor._turn, self.successor._device.in_order():
            return self.transfer.totals()

    def carry(self, some: Callable[[Transfer], Removed | None]) -> None:
        """Carry some entries over, with the table to oneself; then tell what left."""
        table = self.successor
        with table._turn, table._device.in_order():
            removed = some(self.transfer)
            dropped = table._dropped()
        del dropped  # which may run code of users
        if removed is not None and self._tell is not None:
            self._tell(removed)
