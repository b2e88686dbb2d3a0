"""A cache in a table of another size, while other threads go on; `table.moving` tells how."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, cast

import msgspec

from predis_core import planning
from predis_core.clock import NANOSECONDS, Clock, stopwatch
from predis_core.deferred import Deferred
from predis_core.errors import CacheBusy, CacheClosed, DeviceError
from predis_core.intake import Intake
from predis_core.listening import Listeners
from predis_core.stores import Store
from predis_core.table.cpu import CpuTable
from predis_core.table.interface import CacheTable
from predis_core.table.keys import KeyCodec, spread_seed
from predis_core.table.layout import Layout
from predis_core.tiers.tiered import TieredTable
from predis_core.types import TierStats

if TYPE_CHECKING:
    from predis_core.native import Scalars
    from predis_core.snapshot.subject import Inspected
    from predis_core.table.context import Context
    from predis_core.table.cuda.shared import SharedGpuTable

_resident: Any = Deferred("predis_core.resident")
"""Of no use to a cache on the CPU."""


class ResizeReport(msgspec.Struct, frozen=True):
    """What a resize did.

    Attributes:
        moved: entries that came over.
        evicted: entries that left because they, or others, did not fit.
        seconds: how long it took.
    """

    moved: int
    evicted: int
    seconds: float


class Turn:
    """What threads take one after the other.

    While a thread has one, it may only take a higher one, of whichever cache: so nobody waits in a
    circle, whatever finalisers and codecs do.

    Args:
        name: of the cache.
        rank: 1 for its capacity, 2 for its table.
    """

    _mine = threading.local()

    def __init__(self, name: str, rank: int) -> None:
        self._name = name
        self._rank = rank
        self._before = 0
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        before = getattr(self._mine, "rank", 0)
        if before >= self._rank:
            raise CacheBusy(
                f"cache {self._name!r}: resizes, snapshots and changes of namespaces take turns, "
                "and this thread is in one of them; call the next when it has returned"
            )
        self._lock.acquire()
        self._before, self._mine.rank = before, self._rank

    def __exit__(self, *raised: object) -> None:
        self._mine.rank = self._before
        self._lock.release()


class Resizable:
    """A cache whose table can be replaced by a larger or smaller one."""

    if TYPE_CHECKING:
        name: str
        _native: Context
        _scalars: Scalars
        _table: CacheTable
        _store: Store
        _codec: KeyCodec
        _clock: Clock
        _intake: Intake
        _listeners: Listeners
        _seed: int
        _turn: Turn

        def _check(self) -> None: ...

        def _memory_for(self, capacity: int) -> int | None: ...

        def _copies_for(self, capacity: int) -> int: ...

    def tiers(self) -> tuple[TierStats, ...]:
        """Return what each table of a cache with a tier did and has, the first asked first.

        () if there is one table only.
        """
        self._check()
        return self._table.tiers() if isinstance(self._table, TieredTable) else ()

    def _take_device_arrays(self) -> None:
        """Have the batch face take arrays of the GPU, too, if that is where the table is."""
        if not isinstance(self._table, CpuTable):
            self.__class__ = _resident.with_resident_face(type(self), self._table)

    def _rebuild(self, capacity: int) -> ResizeReport:
        """Move all entries to a table of that capacity; see `Cache.resize`."""
        begin = stopwatch()
        with self._turn:
            self._check()
            self._settle()
            old: Any = self._table
            if old.is_sealed:
                raise CacheClosed(
                    f"cache {self.name!r} is being closed; open another with Cache(...)"
                )
            if self._has_sizes(capacity):
                return ResizeReport(0, 0, 0.0)
            made = self._made(capacity)
            tell = self._listeners.tell if self._listeners else None
            move = old.move_to(made, tell)
            if not move.begin():
                raise CacheBusy(
                    f"cache {self.name!r}: it cannot be resized while entries are pinned; leave "
                    "the contexts of pinned() first"
                )
            self._settle()
        moved, evicted = move.totals()
        return ResizeReport(moved, evicted, (stopwatch() - begin) / NANOSECONDS)

    def _has_sizes(self, capacity: int) -> bool:
        """Return whether the table has a capacity already, and as many copies above as it is to."""
        table = self._table
        same = capacity == table.layout.slots
        if isinstance(table, TieredTable):
            same = same and self._copies_for(capacity) == table.above
        return same

    def _made(self, capacity: int) -> Any:
        """Return an empty table like the present one, or those of one with a tier."""
        old, key_refs = self._table, self._codec.has_refs
        if isinstance(old, TieredTable):
            if capacity != old.layout.slots:
                old.check_resizable(self.name)
            return old.like(Layout.build(capacity), Layout.build(self._copies_for(capacity)))
        if not isinstance(old, CpuTable):
            return cast("SharedGpuTable", old).like(Layout.build(capacity))
        planned = planning.plan(
            old.given,
            self._store,
            key_refs=key_refs,
            capacity=capacity,
            memory=self._memory_for(capacity),
            costs=self._intake.keeps_costs,
        )
        holding = self._store.hold(capacity, planned.values)
        return CpuTable(
            Layout.build(capacity),
            old.given,
            spread_seed(self._seed),
            holding.column,
            key_refs=key_refs,
            limit=holding.limit,
            arena=holding.arena,
            live=old.policy,
        )

    def _settle(self) -> None:
        """Carry over what is left to be, also by a resize that was interrupted."""
        move = getattr(self._table, "_move", None)
        if move is not None:
            for _ in move.steps(self._clock.monotonic):
                pass
            self._hold(move.successor)
            self._scalars.drop(self)

    def _hold(self, table: CacheTable) -> None:
        """Go on with a table that holds every entry by now."""
        self._intake.table = self._table = table
        self._fetch = table.fetch

    def _inspected(self) -> Inspected:
        """Return the table that holds every entry, one that snapshots can look into.

        Raises:
            DeviceError: if that is a tier of somebody else's.
        """
        table = self._table.lower if isinstance(self._table, TieredTable) else self._table
        if isinstance(self._table, TieredTable) and not isinstance(table, CpuTable):
            raise DeviceError(
                f"cache {self.name!r} has a tier {self._table.name!r} below it, of which there are "
                "no snapshots; take the tier 'memory', or leave it out"
            )
        return cast("Inspected", table)
