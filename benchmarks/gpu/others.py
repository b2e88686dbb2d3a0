"""What a table is compared with: gathers from known places, sorted keys, a cache on the CPU."""

from __future__ import annotations

from typing import Any

import numpy as np

import predis_core as predis
from benchmarks.gpu.plan import Point
from benchmarks.gpu.session import OutOfTime, Session
from benchmarks.gpu.verbs import Queries
from predis_core.table.interface import Keys

TAKE = "ceiling: cupy.take"
SELECT = "ceiling: torch.index_select"
SORTED = "cupy.searchsorted + take"
SORTED_TORCH = "torch.searchsorted + index_select"
ON_THE_CPU = "a cache on the CPU + copies"
_FILLED = 1 << 16


def measure_ceilings(session: Session, queries: Queries) -> None:
    """Gather the rows of the same slots, known beforehand, which no lookup can be faster than."""
    cupy, torch, filled, point = session.cupy, session.torch, queries.filled, queries.point
    slots = [filled.table.lookup(Keys(keys), 0) for keys in queries.batches]
    rows, out = filled.rows, queries.out

    def take(places: Any) -> None:
        cupy.take(rows, places, axis=0, out=out)

    session.measure(TAKE, point, point.batch, queries.over(take, slots))
    if torch is None:
        return
    tensor, into = torch.from_dlpack(rows), torch.from_dlpack(out)

    def select(places: Any) -> None:
        torch.index_select(tensor, 0, places, out=into)

    indices = [torch.from_dlpack(each) for each in slots]
    session.measure(SELECT, point, point.batch, queries.over(select, indices))


def measure_sorted(session: Session, queries: Queries) -> None:
    """Look keys up by bisection among sorted ones, and gather their rows: no cache, no eviction."""
    cupy, torch, filled, point = session.cupy, session.torch, queries.filled, queries.point
    keys, rows, out = cupy.sort(filled.resident), filled.rows, queries.out
    last = len(keys) - 1

    def take(asked: Any) -> Any:
        places = cupy.minimum(cupy.searchsorted(keys, asked), last)
        cupy.take(rows, places, axis=0, out=out)
        return keys[places] == asked

    session.measure(SORTED, point, point.batch, queries.over(take))
    if torch is None:
        return
    tensor, table, into = (torch.from_dlpack(each) for each in (keys, rows, out))

    def select(asked: Any) -> Any:
        places = torch.searchsorted(tensor, asked).clamp_(max=last)
        torch.index_select(table, 0, places, out=into)
        return tensor[places] == asked

    batches = [torch.from_dlpack(each) for each in queries.batches]
    session.measure(SORTED_TORCH, point, point.batch, queries.over(select, batches))


def measure_cpu(session: Session, point: Point) -> None:
    """Keys to the host, `get_many` there, rows to the device; through pinned memory.

    Raises:
        OutOfTime: if the time is over before the cache is full.
    """
    plan, cupy = session.plan, session.cupy
    if not session.has_time(f"{ON_THE_CPU} at {point}", plan.for_the_cpu):
        return
    entries, dim, n = plan.on_the_cpu, point.shape.dim, point.batch
    row = predis.Rows("float32", (dim,))
    random = np.random.default_rng(2)
    cache: predis.Cache[int, Any] = predis.Cache(
        entries, value=row, keys="int64", policy=session.policy, seed=1, device="cpu"
    )
    with cache:
        ids = np.arange(entries)
        for first in range(0, entries, _FILLED):
            part = ids[first : first + _FILLED]
            cache.set_many(part, np.ones((len(part), dim), np.float32))
            if session.deadline.left <= 0:
                raise OutOfTime
        held = ids[cache.contains_many(ids)]
        asked = cupy.asarray(random.choice(held, n))
        keys, rows = _pinned(cupy, np.int64, n), _pinned(cupy, np.float32, n, dim)
        out = cupy.empty(n * dim, np.float32).reshape(n, dim)

        def fetch() -> None:
            asked.get(out=keys)
            cache.get_many(keys, out=rows)
            out.set(rows)

        session.measure_calls(
            ON_THE_CPU, point, lambda _: fetch, amount=n, unit="keys",
            detail=f"it has {entries:,} entries, and all threads of the host",
        )  # fmt: skip


def _pinned(cupy: Any, dtype: Any, *shape: int) -> Any:
    """Return an array of the host that the device can copy from and to without a detour."""
    count = int(np.prod(shape))
    memory = cupy.cuda.alloc_pinned_memory(count * np.dtype(dtype).itemsize)
    return np.frombuffer(memory, dtype, count).reshape(shape)
