"""How long batches hold up an event loop, and what awaiting one costs.

    python benchmarks/faces/asyncio_latency.py [--keys N] [--rounds N] [--json]

Ticks: while one awaited call runs, the loop is asked for a tick in 0.2 ms, again and again. How
late one comes is how long the loop was held up. Per round, that has a 99th percentile and a worst;
beside is the most of it that can have been CPU time of the loop's thread, of which other processes
take nothing. Printed are medians over the rounds, and in brackets the least: what else runs on the
machine only ever adds to it. The rows "idle" are controls, in turns with the rest: nothing is
awaited but a sleep of 0.1 s. What exceeds them is the batch's. The collector is off meanwhile.

Calls: small batches that all hit, the plain call and the awaited one in turns, in nanoseconds per
call; medians over all rounds.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import platform
import selectors
import statistics
from collections.abc import Awaitable, Callable, Coroutine
from importlib.metadata import version
from time import perf_counter_ns, thread_time
from typing import Any, TypeVar

import numpy as np

import predis_core as predis

SMALL = (1, 100)
CALLS = 200
"""Small batches per round."""

TICK = 0.2e-3
"""Seconds between two ticks."""

Result = TypeVar("Result")
Verbs = dict[str, Callable[[], Awaitable[Any]]]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--keys", type=int, default=100_000, help="default: %(default)s")
    options.add_argument("--rounds", type=int, default=15, help="default: %(default)s")
    options.add_argument("--json", action="store_true", help="print a document")
    given = options.parse_args()
    gc.disable()
    caches = {
        name: on_a_loop(measured(given.rounds, *made(given.keys)))
        for name, made in {"objects": objects, "str rows": str_rows, "rows": rows}.items()
    }
    if given.json:
        print(json.dumps({"keys": given.keys, "caches": caches, "versions": versions()}, indent=2))
        return
    print(f"{given.keys:,} keys, milliseconds       held up, 99 %       the worst   CPU, the worst")
    for name, (ticks, _) in caches.items():
        for verb, held_up in ticks.items():
            texts = [f"{usual:6.2f} ({least:5.2f})" for usual, least in held_up]
            print(f"  {name:>8} {verb:<18}" + "".join(f"{text:>17}" for text in texts))
    print("small batches, nanoseconds per call        plain   awaited")
    for name, (_, calls) in caches.items():
        for size, figures in calls.items():
            print(f"  {name:>10} {size:>5} keys {'':20}{figures[0]:10,.0f}{figures[1]:10,.0f}")
    print(", ".join(f"{name} {found}" for name, found in versions().items()))


def on_a_loop(work: Coroutine[Any, Any, Result]) -> Result:
    """Run work on a loop that can sleep for less than a millisecond, as epoll cannot."""

    def loop() -> asyncio.AbstractEventLoop:
        return asyncio.SelectorEventLoop(selectors.SelectSelector())

    with asyncio.Runner(loop_factory=loop) as runner:
        return runner.run(work)


def objects(n: int) -> tuple[predis.Cache[Any, Any], Any, Any]:
    return predis.Cache(4 * n), list(range(n)), [("value", number) for number in range(n)]


def str_rows(n: int) -> tuple[predis.Cache[Any, Any], Any, Any]:
    cache = predis.Cache[Any, Any](4 * n, keys="str", value=predis.Rows("float32", (32,)))
    return cache, [f"key-{number}" for number in range(n)], np.ones((n, 32), np.float32)


def rows(n: int) -> tuple[predis.Cache[Any, Any], Any, Any]:
    rows = predis.Rows("float32", (32,))
    cache = predis.Cache[Any, Any](4 * n, value=rows, device="cpu")
    return cache, np.arange(n), np.ones((n, 32), np.float32)


async def measured(
    rounds: int, cache: predis.Cache[Any, Any], keys: Any, values: Any
) -> tuple[dict[str, list[tuple[float, float]]], dict[int, list[float]]]:
    """Return (median, least) of `ticks_during` by verb, and (plain, awaited) by size."""

    def load(ids: Any) -> Any:
        return values[: len(ids)]

    async def awaited_load(ids: Any) -> Any:
        return load(ids)

    verbs: Verbs = {
        "idle": lambda: asyncio.sleep(0.1),
        "aset_many": lambda: cache.aset_many(keys, values),
        "aget_many": lambda: cache.aget_many(keys),
        "acontains_many": lambda: cache.acontains_many(keys),
        "adelete_many": lambda: cache.adelete_many(keys),
        "load, coroutine": lambda: cache.aget_or_load_many(keys, awaited_load),
        "load, all hit": lambda: cache.aget_or_load_many(keys, awaited_load),
        "(delete)": lambda: cache.adelete_many(keys),
        "load, function": lambda: cache.aget_or_load_many(keys, load),
        "idle again": lambda: asyncio.sleep(0.1),
    }
    found: dict[str, list[tuple[float, ...]]] = {verb: [] for verb in verbs}
    for _ in range(rounds + 1):
        for verb, call in verbs.items():
            found[verb].append(await ticks_during(call))
        await cache.adelete_many(keys)
    ticks = {
        # The first round compiles kernels, or reads them.
        verb: [(statistics.median(column), min(column)) for column in zip(*took[1:], strict=True)]
        for verb, took in found.items()
        if verb != "(delete)"
    }
    await cache.aset_many(keys, values)
    return ticks, {size: await calls_of(cache, keys[:size], rounds) for size in SMALL}


async def ticks_during(call: Callable[[], Awaitable[Any]]) -> tuple[float, float, float]:
    """Return how late ticks were (99th percentile, worst) and the most CPU time of that, in ms."""
    loop = asyncio.get_running_loop()
    late: list[float] = []
    computing: list[float] = []
    ticks: asyncio.Handle

    def tick(due: float, computed: float) -> None:
        nonlocal ticks
        begin, now_computed = loop.time(), thread_time()
        late.append(begin - due)
        computing.append(min(late[-1], now_computed - computed))
        ticks = loop.call_at(begin + TICK, tick, begin + TICK, now_computed)

    ticks = loop.call_soon(tick, loop.time(), thread_time())
    await asyncio.sleep(0.01)
    late.clear()
    computing.clear()
    result = await call()
    await asyncio.sleep(2 * TICK)
    ticks.cancel()
    del result  # which is the caller's to give up, and takes its time
    late.sort()
    return 1e3 * late[-1 - len(late) // 100], 1e3 * late[-1], 1e3 * max(computing)


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
