"""The table on a GPU as a cache has it: safe from any thread, sealed one day."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator
from typing import Any, Concatenate, ParamSpec, TypeVar

import numpy as np

from predis_core.policies.contract import Policy
from predis_core.table import invariants
from predis_core.table.cuda.device import Device
from predis_core.table.cuda.table import GpuTable
from predis_core.table.interface import (
    Bools,
    Bytes,
    Counter,
    Inserted,
    Int64s,
    Keys,
    Removed,
    Sealed,
)
from predis_core.table.layout import Layout

_P = ParamSpec("_P")
_R = TypeVar("_R")


def _alone(verb: Callable[Concatenate[Any, _P], _R]) -> Callable[Concatenate[Any, _P], _R]:
    """Return a verb that no other thread is in at the same time, on whichever stream it is."""

    @functools.wraps(verb)
    def alone(self: SharedGpuTable, /, *args: _P.args, **options: _P.kwargs) -> _R:
        with self._turn, self._device.in_order():
            return verb(self, *args, **options)

    return alone


class SharedGpuTable(GpuTable):
    """A table in a device's memory, for a cache; see `interface.CacheTable`.

    One lock on the host is held while a verb prepares and launches its kernels, so that those of
    two threads do not mix. What a verb waits for, it waits for with the lock. Where threads have
    different streams, the device has one wait for the other; the host does not.

    Args:
        device, layout, policy, seed, row: as for `GpuTable`.

    Raises:
        PolicyError, DeviceError: as `GpuTable`, and as the device.
    """

    def __init__(
        self, device: Device, layout: Layout, policy: Policy, seed: int, row: np.dtype[Any]
    ) -> None:
        # A finaliser may take pins back in the midst of a verb of the same thread.
        self._turn = threading.RLock()
        self._sealed = False
        self.candidates: tuple[Policy, ...] = (policy,)
        super().__init__(device, layout, policy, seed, row)

    lookup = _alone(GpuTable.lookup)
    contains = _alone(GpuTable.contains)
    touch = _alone(GpuTable.touch)
    deadlines = _alone(GpuTable.deadlines)
    delete = _alone(GpuTable.delete)
    clear = _alone(GpuTable.clear)
    unpin = _alone(GpuTable.unpin)
    misses = _alone(GpuTable.misses)
    export = _alone(GpuTable.export)
    counters = _alone(GpuTable.counters)
    conflicts = _alone(GpuTable.conflicts)
    set_parameters = _alone(GpuTable.set_parameters)
    dump = _alone(GpuTable.dump)

    @_alone
    def fetch(
        self, keys: Keys, now: int, out: Any, *, zero: bool, count: bool = True, region: int = 0
    ) -> Bools:
        """See `interface.CacheTable`."""
        rows = out if self._device.holds(out) else self._as_rows(out)
        return super().fetch(keys, now, rows, zero=zero, count=count, region=region)

    def insert(
        self, keys: Keys, values: Any, now: int, *, veto: Bytes | None = None, **options: Any
    ) -> Inserted:
        """See `interface.CacheTable`."""
        with self._turn, self._device.in_order():
            if self._sealed:
                veto = np.ones(len(keys.words), np.uint8)
            return super().insert(keys, values, now, veto=veto, **options)

    @_alone
    def pin(self, keys: Keys, now: int, *, slots: Int64s | None = None, region: int = 0) -> Int64s:
        """See `interface.CacheTable`."""
        if self._sealed:
            raise Sealed
        found = super().pin(keys, now, region=region)
        if slots is None:
            return found
        slots[:] = found
        return slots

    def succeeding(self, keys: Keys, now: int) -> SharedGpuTable:
        """See `interface.CacheTable`: there is no other."""
        return self

    def clearing(self, now: int) -> Iterator[Removed | None]:
        """See `interface.CacheTable`: all at once."""
        yield self.clear(now, want_removed=True)

    @property
    def device(self) -> Device:
        """Whose memory it lies in."""
        return self._device

    @_alone
    def seal(self) -> None:
        """See `interface.CacheTable`."""
        self._sealed = True

    @property
    def is_sealed(self) -> bool:
        """See `interface.CacheTable`."""
        return self._sealed

    @property
    def newest(self) -> SharedGpuTable:
        """See `interface.CacheTable`: there is no other."""
        return self

    @property
    def memory(self) -> int:
        """See `interface.CacheTable`: bytes of the device."""
        return sum(int(column.nbytes) for column in list(self._columns.values()))

    def size(self, *, region: int = 0) -> int:
        """See `interface.CacheTable`; waits for the device."""
        return self.counters(region=region)[Counter.SIZE]

    def broken(self) -> list[str]:
        """See `interface.CacheTable`."""
        return invariants.broken(self.dump(), self.layout, self.seed)
