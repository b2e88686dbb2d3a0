"""A cache that holds something, the keys to ask it for, and rows beside it to compare it with."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

import predis_core as predis
from benchmarks.gpu.plan import Point, Shape
from benchmarks.gpu.session import OutOfTime, Session
from predis_core.table.cuda.shared import SharedGpuTable
from predis_core.table.cuda.table import GpuTable
from predis_core.table.interface import Keys

EXPONENT = 0.99
"""Of Zipf's law."""
_ODD = 0x9E37_79B9_7F4A_7C15
_LOW = 0xFFFF


def numbers_of(keys: Any) -> Any:
    """Return the number, float32[n], that the rows of some keys are full of."""
    return (keys & _LOW).astype(np.float32)


class Filled:
    """A cache with a table of a shape, filled.

    Args:
        session: the run; the table lies on its device.
        shape: of the table.

    Attributes:
        session: the run.
        cache: what users call.
        shared: the cache's table, which any thread may use.
        table: the table in that, with no lock and no order of streams around its verbs.
        resident: int64[m] of the device, all keys that it holds.
        rows: float32[entries, dim] of the device, an array like the table's own.

    Raises:
        OutOfTime: if the time is over before the table is full.
        DeviceError: if memory does not do.
    """

    def __init__(self, session: Session, shape: Shape) -> None:
        self.session = session
        self._cupy = session.cupy
        self.shape = shape
        self._taken = 0
        self.cache: predis.Cache[int, Any] = predis.Cache(
            shape.entries,
            value=predis.Rows("float32", (shape.dim,)),
            keys="int64",
            policy=session.policy,
            seed=1,
            device=f"cuda:{session.number}",
        )
        assert isinstance(self.cache._table, SharedGpuTable)
        self.shared = self.cache._table
        self.table: GpuTable = self.shared._table
        self._fill()
        self.resident = self._held()
        self.rows = self.room(shape.entries)
        self.rows.fill(1)
        self._random = np.random.default_rng(shape.entries)

    def room(self, n: int) -> Any:
        """Return float32[n, dim] of the device, of anything."""
        return self._cupy.empty(n * self.shape.dim, np.float32).reshape(n, self.shape.dim)

    def _fill(self) -> None:
        for n in self._parts():
            keys = self.fresh(n)
            self.table.insert(Keys(keys), self.values_of(keys), 0)
            self._look_at_the_time()

    def _parts(self) -> list[int]:
        """How many keys go in at a time."""
        whole, rest = divmod(self.shape.filled_with, self.session.plan.fill)
        return [self.session.plan.fill] * whole + [rest] * bool(rest)

    def _held(self) -> Any:
        held, first = [], 0
        for n in self._parts():
            keys = self._keys(first, n)
            first += n
            held.append(keys[self.table.contains(Keys(keys), 0)])
            self._look_at_the_time()
        return self._cupy.concatenate(held)

    def _look_at_the_time(self) -> None:
        self._cupy.cuda.get_current_stream().synchronize()
        if self.session.deadline.left <= 0:
            raise OutOfTime

    def fresh(self, n: int) -> Any:
        """Return int64[n] of the device, keys that were never stored; the same in every run."""
        first, self._taken = self._taken, self._taken + n
        return self._keys(first, n)

    def _keys(self, first: int, n: int) -> Any:
        """The keys of some numbers: all different, as an odd factor and a shift lose nothing."""
        words = self._cupy.arange(first + 1, first + n + 1, dtype=np.uint64) * np.uint64(_ODD)
        return (words ^ (words >> np.uint64(32))).view(np.int64)

    def values_of(self, keys: Any) -> Any:
        """Return rows to be stored under keys."""
        values = self.room(len(keys))
        values[...] = numbers_of(keys)[:, None]
        return values

    def queries(self, point: Point) -> Any:
        """Return int64[batch] of the device: keys as a point asks for them."""
        n, count = point.batch, len(self.resident)
        if point.draw == "zipf":
            places = np.searchsorted(_zipf(count), self._random.random(n))
        else:
            places = self._random.integers(0, count, n)
        found = self.resident[self._cupy.asarray(places.astype(np.int64))]
        misses = np.flatnonzero(self._random.random(n) >= point.hit_ratio)
        if len(misses):
            found[self._cupy.asarray(misses)] = self.fresh(len(misses))
        return found


@cache
def _zipf(count: int) -> npt.NDArray[np.float64]:
    """Return the share of requests that the first k of `count` keys get, for each k."""
    shares = np.cumsum(np.arange(1, count + 1, dtype=np.float64) ** -EXPONENT)
    shares /= shares[-1]
    return shares
