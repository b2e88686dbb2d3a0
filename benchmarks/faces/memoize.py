"""What a hit of a memoized function costs, beside functools.lru_cache and cachetools.cached.

    python benchmarks/faces/memoize.py [--rounds N] [--json]

The same function of two arguments is decorated by each; all take turns in one process on one core,
and each round times a run of calls that hit. Printed are medians over all rounds, in nanoseconds
per call, and how many times that is of lru_cache. `cache.get` is the look-up alone, without a
function around it. A batch function is timed with a thousand items per call and shown per item.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import platform
import statistics
import threading
from collections.abc import Callable
from contextlib import suppress
from importlib.metadata import version
from time import perf_counter_ns
from typing import Any

import cachetools

import predis_core as predis

CAPACITY = 10_000
KEYS = 100
BATCH = 1_000


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--rounds", type=int, default=200, help="default: %(default)s")
    options.add_argument("--json", action="store_true", help="print a document")
    given = options.parse_args()
    with suppress(AttributeError, OSError):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    figures = measured(given.rounds)
    ratios = {name: value / figures["functools.lru_cache"] for name, value in figures.items()}
    versions = {name: version(name) for name in ("predis-core", "cachetools", "numba")}
    versions["python"] = platform.python_version()
    if given.json:
        print(json.dumps({"ns": figures, "ratios": ratios, "versions": versions}, indent=2))
        return
    for name, value in figures.items():
        print(f"{name:<32} {value:8,.0f} ns {ratios[name]:8.1f} x")
    print(", ".join(f"{name} {text}" for name, text in versions.items()))


def add(first: int, second: int = 0) -> int:
    return first + second


def candidates() -> dict[str, Callable[[], Any]]:
    """Return what runs a number of hits, by name."""
    cache: predis.Cache[Any, Any] = predis.Cache(CAPACITY)
    memoized = cache.memoize(add)
    batch = cache.batch(lambda items: items)
    items = list(range(BATCH))
    lru = functools.lru_cache(CAPACITY)(add)
    of_cachetools = cachetools.cached(cachetools.LRUCache(CAPACITY))(add)
    locked = cachetools.cached(cachetools.LRUCache(CAPACITY), lock=threading.Lock())(add)
    keys = [memoized.key(n, 1) for n in range(KEYS)]

    def calls(function: Any) -> Callable[[], Any]:
        return lambda: [function(n, 1) for n in range(KEYS)]

    def named(function: Any) -> Callable[[], Any]:
        return lambda: [function(second=1, first=n) for n in range(KEYS)]

    return {
        "functools.lru_cache": calls(lru),
        "cachetools.cached": calls(of_cachetools),
        "cachetools.cached(lock=)": calls(locked),
        "cache.get": lambda: [cache.get(key) for key in keys],
        "cache.memoize": calls(memoized),
        "cache.memoize, named arguments": named(memoized),
        "cache.batch, per item": lambda: batch(items),
    }


def measured(rounds: int) -> dict[str, float]:
    """Return medians in nanoseconds per call."""
    runs = candidates()
    times: dict[str, list[float]] = {name: [] for name in runs}
    for run in runs.values():
        run()
    for number in range(rounds):
        order = list(runs) if number % 2 else list(reversed(runs))
        for name in order:
            begin = perf_counter_ns()
            done = runs[name]()
            times[name].append((perf_counter_ns() - begin) / len(done))
    return {name: statistics.median(found) for name, found in times.items()}


if __name__ == "__main__":
    main()
