"""How long batches hold up an event loop, and what awaiting one costs.

    python benchmarks/faces/asyncio_latency.py [--keys N] [--rounds N] [--json]

Gaps: while one awaited call runs, another task of the loop takes its turn as often as it can. Per
round, the time between two turns has a 99th percentile and a longest. Printed are the median of the
former, and the least of the latter: what else runs on the machine only ever makes it longer. The
least CPU time that the loop's thread spends in its longest gap is beside. The collector is off
meanwhile.

Calls: small batches that all hit, the plain call and the awaited one in turns, in nanoseconds per
call; medians over all rounds.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import platform
import statistics
from collections.abc import Awaitable, Callable
from importlib.metadata import version
from time import perf_counter_ns, thread_time_ns
from typing import Any

import numpy as np

import predis_core as predis

SMALL = (1, 100)
CALLS = 200
"""Small batches per round."""

Verbs = dict[str, Callable[[], Awaitable[Any]]]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--keys", type=int, default=100_000, help="default: %(default)s")
    options.add_argument("--rounds", type=int, default=15, help="default: %(default)s")
    options.add_argument("--json", action="store_true", help="print a document")
    given = options.parse_args()
    gc.disable()
    caches = {
        name: asyncio.run(measured(given.rounds, *made(given.keys)))
        for name, made in {"objects": objects, "str rows": str_rows, "rows": rows}.items()
    }
    if given.json:
        print(json.dumps({"keys": given.keys, "caches": caches, "versions": versions()}, indent=2))
        return
    print(f"{given.keys:,} keys, milliseconds           gap, 99 %   longest   its CPU      call")
    for name, (gaps, _) in caches.items():
        for verb, figures in gaps.items():
            print(f"  {name:>10} {verb:<22}" + "".join(f"{figure:10.2f}" for figure in figures))
    print("small batches, nanoseconds per call        plain   awaited")
    for name, (_, calls) in caches.items():
        for size, figures in calls.items():
            print(f"  {name:>10} {size:>5} keys {'':20}{figures[0]:10,.0f}{figures[1]:10,.0f}")
    print(", ".join(f"{name} {found}" for name, found in versions().items()))


def objects(n: int) -> tuple[predis.Cache[Any, Any], Any, Any]:
    return predis.Cache(4 * n), list(range(n)), [("value", number) for number in range(n)]


def str_rows(n: int) -> tuple[predis.Cache[Any, Any], Any, Any]:
    cache = predis.Cache[Any, Any](4 * n, keys="str", value=predis.Rows("float32", (32,)))
    return cache, [f"key-{number}" for number in range(n)], np.ones((n, 32), np.float32)


def rows(n: int) -> tuple[predis.Cache[Any, Any], Any, Any]:
    cache = predis.Cache[Any, Any](4 * n, value=predis.Rows("float32", (32,)))
    return cache, np.arange(n), np.ones((n, 32), np.float32)


async def measured(
    rounds: int, cache: predis.Cache[Any, Any], keys: Any, values: Any
) -> tuple[dict[str, list[float]], dict[int, list[float]]]:
    """Return (usual gap, longest, its CPU time, call) by verb, and (plain, awaited) by size."""

    async def load(ids: Any) -> Any:
        return values[: len(ids)]

    verbs: Verbs = {
        "aset_many": lambda: cache.aset_many(keys, values),
        "aget_many": lambda: cache.aget_many(keys),
        "acontains_many": lambda: cache.acontains_many(keys),
        "adelete_many": lambda: cache.adelete_many(keys),
        "aget_or_load_many miss": lambda: cache.aget_or_load_many(keys, load),
        "aget_or_load_many hit": lambda: cache.aget_or_load_many(keys, load),
    }
    found: dict[str, list[tuple[float, ...]]] = {verb: [] for verb in verbs}
    for _ in range(rounds + 1):
        for verb, call in verbs.items():
            found[verb].append(await gaps_of(call))
        await cache.adelete_many(keys)
    gaps = {}
    for verb, figures in found.items():
        # The first round compiles kernels, or reads them.
        usual, longest, most, whole = zip(*figures[1:], strict=True)
        medians = statistics.median(usual), statistics.median(whole)
        gaps[verb] = [ns / 1e6 for ns in (medians[0], min(longest), min(most), medians[1])]
    await cache.aset_many(keys, values)
    return gaps, {size: await calls_of(cache, keys[:size], rounds) for size in SMALL}


async def gaps_of(call: Callable[[], Awaitable[Any]]) -> tuple[float, float, float, float]:
    """Return the 99th percentile of the gaps, the longest, the most CPU time, and the call's."""
    gaps: list[int] = []
    most = 0
    running = True

    async def tick() -> None:
        nonlocal most
        last, computed = perf_counter_ns(), thread_time_ns()
        while running:
            await asyncio.sleep(0)
            now, computing = perf_counter_ns(), thread_time_ns()
            gaps.append(now - last)
            most = max(most, computing - computed)
            last, computed = now, computing

    ticking = asyncio.create_task(tick())
    await asyncio.sleep(0.01)
    gaps.clear()
    most = 0
    begin = perf_counter_ns()
    result = await call()
    whole = perf_counter_ns() - begin
    running = False
    await ticking
    del result  # which is the caller's to give up, and takes its time
    gaps.sort()
    return gaps[-1 - len(gaps) // 100], gaps[-1], most, whole


async def calls_of(cache: predis.Cache[Any, Any], keys: Any, rounds: int) -> list[float]:
    """Return nanoseconds of a plain and of an awaited small batch."""
    plain, awaited = [], []
    for _ in range(10 * rounds):
        begin = perf_counter_ns()
        for _ in range(CALLS):
            cache.get_many(keys)
        middle = perf_counter_ns()
        for _ in range(CALLS):
            await cache.aget_many(keys)
        awaited.append((perf_counter_ns() - middle) / CALLS)
        plain.append((middle - begin) / CALLS)
    return [statistics.median(plain), statistics.median(awaited)]


def versions() -> dict[str, str]:
    found = {name: version(name) for name in ("predis-core", "numpy", "numba")}
    return {"python": platform.python_version()} | found


if __name__ == "__main__":
    main()
