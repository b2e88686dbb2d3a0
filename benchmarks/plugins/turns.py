"""How caches with a plugin are compared with caches without, where the machine is noisy.

Four caches take turns: a plain one with another plain one, an A/A control of identical code, and a
third plain one with the one that has the plugin. Of each pair the first one alternates, and so does
the first pair. A block is a thousand batches of one cache, and yields their 99th percentile. Every
hundred blocks all four are opened anew, each time in another order, for where a cache happens to
lie in memory alone makes it a few percent faster or slower. Found are the medians of the pairs'
ratios and their 95 % intervals by bootstrap.

Where the interval of the control goes beyond what is asked, the machine is too noisy to tell, and
the run is void.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from contextlib import AbstractContextManager
from time import perf_counter_ns
from typing import Any

import numpy as np
import numpy.typing as npt

CAPACITY = 100_000
"""Of each cache, which holds the keys below half of that."""

CALLS = 1_000
"""Batches per block."""

ROUND = 100
"""Blocks of each cache until all are opened anew."""

MOST = 1.05
"""What the upper end of an interval may be."""

RESAMPLES = 2_000

Opener = Callable[[], AbstractContextManager[Any]]
"""Opens a cache that holds every int64 below `CAPACITY // 2`."""


def arguments(document: str | None) -> ArgumentParser:
    """Return the options that all of these benchmarks have."""
    options = ArgumentParser(description=(document or "").partition("\n")[0])
    options.add_argument("--blocks", type=int, default=1_000, help="default: %(default)s")
    options.add_argument("--batch", type=int, default=1_000, help="keys (default: %(default)s)")
    options.add_argument("--one-core", action="store_true", help="for all threads")
    options.add_argument("--json", action="store_true", help="print a document")
    return options


def compared(plain: Opener, other: Opener, given: Namespace) -> npt.NDArray[np.float64]:
    """Return float64[blocks, 2]: p99 by that of a plain cache, of a plain one and of the other.

    Args:
        plain: opens a cache without the plugin.
        other: opens one with it.
        given: the options, with blocks, batch and one_core.
    """
    if given.one_core:
        with contextlib.suppress(AttributeError, OSError):  # not every system can
            os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    generator = np.random.default_rng(1)
    openers, found = (plain, plain, plain, other), []
    for first in range(0, given.blocks, ROUND):
        caches: list[Any] = [None] * len(openers)
        with contextlib.ExitStack() as stack:
            for which in generator.permutation(len(openers)):
                caches[which] = stack.enter_context(openers[which]())
            blocks = min(ROUND, given.blocks - first)
            found.append(_ratios(caches, blocks, given.batch, generator))
    return np.concatenate(found)


def _ratios(
    caches: list[Any], blocks: int, batch: int, generator: np.random.Generator
) -> npt.NDArray[np.float64]:
    """Return float64[blocks, 2]: p99 of the second by the first, and of the fourth by the third."""
    found = np.empty((blocks, 2))
    for cache in caches:
        _p99(cache, np.arange(batch))
    gc.disable()
    for number in range(blocks):
        keys = generator.integers(0, CAPACITY // 2, batch)
        for pair in (0, 1) if number % 4 < 2 else (1, 0):
            order = (2 * pair, 2 * pair + 1)
            took = {each: _p99(caches[each], keys) for each in order[:: 1 if number % 2 else -1]}
            found[number, pair] = took[order[1]] / took[order[0]]
    gc.enable()
    return found


def _p99(cache: Any, keys: npt.NDArray[np.int64]) -> float:
    """Return the 99th percentile of a block's batches, in nanoseconds."""
    took = np.empty(CALLS)
    for call in range(CALLS):
        begin = perf_counter_ns()
        cache.get_many(keys)
        took[call] = perf_counter_ns() - begin
    return float(np.quantile(took, 0.99))


def verdict(name: str, pairs: npt.NDArray[np.float64], given: Namespace, **said: Any) -> int:
    """Print what was found; return 0, or 1 where it is too slow, or 3 where the run is void."""
    control, found = _interval(pairs[:, 0]), _interval(pairs[:, 1])
    void = control[2] > MOST
    if given.json:
        print(json.dumps({"control": control, name: found, "void": void, **said}, indent=2))
    else:
        for each, (low, median, high) in (("A/A control", control), (name, found)):
            print(f"{each}: p99 {median:.3f} times as long, 95 % between {low:.3f} and {high:.3f}")
        for what, number in said.items():
            print(f"{what.replace('_', ' ')}: {number:,}")
        if void:
            print("void: the control itself goes beyond what is asked; try a quieter machine")
    return 3 if void else int(found[2] > MOST)


def _interval(values: npt.NDArray[np.float64]) -> tuple[float, float, float]:
    """Return the median and, around it, the ends of its 95 % interval by bootstrap."""
    generator = np.random.default_rng(2)
    drawn = generator.choice(values, (RESAMPLES, len(values)))
    low, high = np.quantile(np.median(drawn, axis=1), (0.025, 0.975))
    return float(low), float(np.median(values)), float(high)
