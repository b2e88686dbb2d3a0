"""Rows of float32: Predis beside `np.take` with known slots, and two threads beside one."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt

import predis_core as predis
from predis_lab.bench import material
from predis_lab.bench.limits import COPY, KEY_LINES, STREAM, Gather, Lines, filled_rows
from predis_lab.bench.machine import cores, stay_on
from predis_lab.bench.material import Keys, Sizes, all_at_once, batches, over
from predis_lab.bench.measuring import OURS, Bar, Prepare, Row, faster_than
from predis_lab.workloads import Ids

TAKE = "np.take, known slots"
GATHER, ALONE = "bare gather", ", one thread"
WIDTH, NARROW = 64, 16

Floats = npt.NDArray[np.float32]
Calls = list[Callable[[], object]]


def rows(sizes: Sizes, *, entries: int, bar: float, aim: float, exponent: float = 0.0) -> Row:
    """Rows of 256 bytes beside a gather from slots that are known."""
    keys = Keys(entries)
    cache = material.table(entries, value=predis.Rows("float32", (WIDTH,)))
    held = filled_rows(entries, WIDTH)
    material.fill(cache, keys.all, held)
    keys.keep(cache)
    slots = batches(
        keys.slots(sizes.large_batches * sizes.large_batch, exponent), sizes.large_batch
    )
    queries = [keys.stored[part] for part in slots]
    out = filled_rows(sizes.large_batch, WIDTH)
    lines, gather = Lines(entries), Gather(held)
    contenders = {
        OURS: over(lambda part: cache.get_many(part, out=out), queries),
        TAKE: over(lambda part: np.take(held, part, axis=0, out=out, mode="clip"), slots),
        KEY_LINES: all_at_once([lines.reader(part) for part in slots]),
        COPY: all_at_once([gather.copier(part, out) for part in slots]),
        STREAM: all_at_once([gather.copier(part, out, past_the_caches=True) for part in slots]),
    }
    drawn = f"Zipf {exponent}" if exponent else "uniform"
    return Row(
        f"get_many(out=), float32[{WIDTH}], {sizes.large_batch:,} per batch, {entries:,} entries, "
        f"{drawn}",
        sizes.large_batches * sizes.large_batch,
        contenders,
        bars=(faster_than(TAKE, bar, aim),),
        limit=((KEY_LINES,), (COPY, STREAM)),
    )


def threads(sizes: Sizes) -> Row:
    """Two threads, each with half of the batches, beside one; how a bare gather scales."""
    keys = Keys(sizes.entries)
    cache = material.table(sizes.entries, value=predis.Rows("float32", (NARROW,)))
    held = filled_rows(sizes.entries, NARROW)
    material.fill(cache, keys.all, held)
    keys.keep(cache)
    size = sizes.large_batch // 4
    slots = batches(keys.slots(8 * sizes.large_batches * size), size)
    outs = [filled_rows(size, NARROW) for _ in range(2)]
    gather = Gather(held)
    one, two = _crew(1), _crew(2)

    def ours(part: Ids, out: Floats) -> Callable[[], object]:
        queries = keys.stored[part]
        return lambda: cache.get_many(queries, out=out)

    contenders = {}
    for name, call in ((OURS, ours), (GATHER, gather.copier)):
        halves = [[call(part, out) for part in slots[at::2]] for at, out in enumerate(outs)]
        contenders[name] = two(halves)
        contenders[f"{name}{ALONE}"] = one([[*halves[0], *halves[1]]])
    return Row(
        f"get_many(out=), float32[{NARROW}], {size:,} per batch, {sizes.entries:,} entries, "
        "two threads",
        len(slots) * size,
        contenders,
        bars=(
            Bar(
                "scaling by that of a bare gather",
                (f"{OURS}{ALONE}", GATHER),
                (OURS, f"{GATHER}{ALONE}"),
                0.9,
                1.0,
            ),
        ),
        cores=2,
    )


def _crew(count: int) -> Callable[[list[Calls]], Prepare]:
    """Threads, each on a core of its own; returns what has each of them run its calls."""
    free = cores()

    def begin() -> None:
        if free:
            stay_on({free.pop(0)})

    pool = ThreadPoolExecutor(count, initializer=begin)

    def run(calls: Calls) -> None:
        for call in calls:
            call()

    def together(parts: list[Calls]) -> Prepare:
        return lambda: lambda: list(pool.map(run, parts))

    return together
