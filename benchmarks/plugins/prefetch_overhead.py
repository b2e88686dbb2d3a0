"""Whether a prefetcher that is of no use makes batches slower.

    python benchmarks/plugins/prefetch_overhead.py [--blocks N] [--batch KEYS] [--json]

It proposes keys that nobody ever asks for, as many as it may, so that its guesses are wasted, it
becomes quiet, and is looked at again for a short stretch now and then. Blocks of `get_many` of
resident keys on a cache with it and on one without any plugin take turns in one process, the first
one alternating; each block yields the 99th percentile of its batches. Printed are the median of the
blocks' ratios and its 95 % interval by bootstrap. With --one-core, threads share a core.

The same is done with two caches without plugins, an A/A control of identical code whose blocks take
turns with the others: where the interval of that one goes beyond what is asked of prefetching, the
machine is too noisy to tell, and the run is void (exit code 3). Beyond it with the prefetcher: exit
code 1.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter_ns
from typing import Any

import numpy as np
import numpy.typing as npt

import predis_core as predis
from predis_core.plugin import AccessBatch, NoOptions, PluginSpec, Prefetcher, hookimpl

CAPACITY = 100_000
CALLS = 1_000
"""Batches per block."""

MOST = 1.05
"""What the upper end of the interval may be."""

RESAMPLES = 2_000

NEVER = 1 << 40
"""The first of the keys that are proposed; those that are asked for are lower."""


class Useless(Prefetcher):
    """Proposes as much as it may of what nobody asks for."""

    name = "useless"

    def __init__(self) -> None:
        self._next = NEVER

    def observe(self, batch: AccessBatch) -> None:
        pass

    def predict(self, limit: int) -> tuple[Any, Any]:
        keys = np.arange(self._next, self._next + limit)
        self._next += limit
        return keys, np.ones(limit)


class Plugin:
    """Offers it."""

    def __init__(self, options: NoOptions) -> None: ...

    @hookimpl
    def predis_prefetchers(self) -> list[Prefetcher]:
        return [Useless()]


USELESS = PluginSpec(plugin="__main__:Plugin")


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--blocks", type=int, default=1_000, help="default: %(default)s")
    options.add_argument("--batch", type=int, default=1_000, help="keys (default: %(default)s)")
    options.add_argument("--one-core", action="store_true", help="for all threads")
    options.add_argument("--json", action="store_true", help="print a document")
    given = options.parse_args()
    if given.one_core:
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    with shelf(), opened() as plain, opened() as again, opened("useless") as other:
        pairs = ratios((plain, again, other), given.blocks, given.batch)
        (did,) = other.prefetch_stats()
    if not did.loads:
        raise SystemExit("nothing was ever loaded ahead: there is nothing to measure")
    control, found = interval(pairs[:, 0]), interval(pairs[:, 1])
    void = control[2] > MOST
    if given.json:
        document = {"control": control, "useless": found, "void": void, "loads": did.loads}
        print(json.dumps(document, indent=2))
    else:
        for name, (low, median, high) in (("A/A control", control), ("useless", found)):
            print(f"{name}: p99 {median:.3f} times as long, 95 % between {low:.3f} and {high:.3f}")
        print(f"{did.loads} keys were loaded ahead, {did.used} of them used")
        if void:
            print("void: the control itself goes beyond what is asked; try a quieter machine")
    return 3 if void else int(found[2] > MOST)


@contextlib.contextmanager
def shelf() -> Iterator[None]:
    """Have the plugin of this file found as if it were installed."""
    with tempfile.TemporaryDirectory() as folder:
        info = Path(folder, "prefetch_overhead.dist-info")
        info.mkdir()
        info.joinpath("METADATA").write_text("Name: prefetch-overhead\nVersion: 1\n")
        lines = "[predis.plugins.v1]\nuseless = __main__:USELESS\n"
        info.joinpath("entry_points.txt").write_text(lines)
        sys.path.append(folder)
        yield
        sys.path.remove(folder)


@contextlib.contextmanager
def opened(*plugins: str) -> Iterator[Any]:
    """Open a cache that holds what is asked for."""
    section = {
        "capacity": CAPACITY,
        "policy": "s3fifo",
        "seed": 1,
        "value": {"kind": "rows", "dtype": "int64"},
    }
    enabled = {"cache": section, "plugins": {plugin: {} for plugin in plugins}}
    with predis.open(enabled, loader=lambda ids: ids) as cache:
        everything = np.arange(CAPACITY // 2)
        cache.set_many(everything, everything)
        yield cache


def ratios(caches: tuple[Any, Any, Any], blocks: int, batch: int) -> npt.NDArray[np.float64]:
    """Return float64[blocks, 2]: p99 of the second and of the third cache by that of the first."""
    generator, found = np.random.default_rng(1), []
    for cache in caches:
        p99(cache, np.arange(batch))
    gc.disable()
    for number in range(blocks):
        keys = generator.integers(0, CAPACITY // 2, batch)
        turns = []
        # Each ratio has a block of the first cache of its own, right beside the other.
        for which in (1, 2) if number % 4 < 2 else (2, 1):
            order = (0, which) if number % 2 else (which, 0)
            took = {each: p99(caches[each], keys) for each in order}
            turns.append((which, took[which] / took[0]))
        found.append([ratio for _, ratio in sorted(turns)])
    gc.enable()
    return np.array(found)


def p99(cache: Any, keys: npt.NDArray[np.int64]) -> float:
    """Return the 99th percentile of a block's batches, in nanoseconds."""
    took = np.empty(CALLS)
    for call in range(CALLS):
        begin = perf_counter_ns()
        cache.get_many(keys)
        took[call] = perf_counter_ns() - begin
    return float(np.quantile(took, 0.99))


def interval(values: npt.NDArray[np.float64]) -> tuple[float, float, float]:
    """Return the median and, around it, the ends of its 95 % interval by bootstrap."""
    generator = np.random.default_rng(2)
    drawn = generator.choice(values, (RESAMPLES, len(values)))
    low, high = np.quantile(np.median(drawn, axis=1), (0.025, 0.975))
    return float(low), float(np.median(values)), float(high)


if __name__ == "__main__":
    raise SystemExit(main())
