"""What `sampling` costs: time of a batch, the background's share of a core, memory.

    python benchmarks/curves/overhead.py [--rate 0.01] [--capacity 1000000] [--rounds N]

One cache of int64 keys and rows. Batches of `get_many` with keys of a Zipf distribution take turns
at running while lookups of sampled keys are noted and drained, and while none are; `again` is the
control, a second turn without. Printed are medians of nanoseconds per batch over the rounds, and
medians of the rounds' differences. Background is the time that other threads than the caller's had
a core, over the time that passed, while batches of 1,000 came one after the other.
"""

from __future__ import annotations

import argparse
import random
import statistics
from time import perf_counter, perf_counter_ns, process_time, thread_time
from typing import Any

import numpy as np

import predis_core as predis

ARMS = ("off", "again", "on")
KEYS_PER_TURN = 20_000
BATCHES = (10, 1_000, 100_000)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--rate", type=float, default=0.01, help="(default: %(default)s)")
    options.add_argument("--capacity", type=int, default=1_000_000, help="(default: %(default)s)")
    options.add_argument("--rounds", type=int, default=300, help="(default: %(default)s)")
    options.add_argument("--seconds", type=float, default=5.0, help="of the background's share")
    given = options.parse_args()
    rows = predis.Rows("int64", ())
    everything = np.random.default_rng(1).permutation(2 * given.capacity)
    ranks = np.random.default_rng(2).zipf(1.1, 4_000_000) % len(everything)
    stream = everything[ranks]
    with predis.Cache(
        given.capacity, value=rows, seed=1, sampling=given.rate, device="cpu"
    ) as cache:
        cache.set_many(everything, everything)
        for size in BATCHES:
            told = measured(cache, stream, size, given.rate, given.rounds)
            print(f"batches of {size:>7,}:", ", ".join(told))
        print(f"background: {background(cache, stream, given.seconds):.1%} of a core")
        curve = cache.miss_ratio_curve()
        assert cache._curves is not None
        table = bare(given.capacity, rows)
        kept = cache._curves.nbytes + cache._table.memory - table
        print(f"memory: {kept / 2**10:,.0f} KiB, {kept / table:.1%} of the table's")
        print(f"{curve!r}, {curve.lost:,} lost")


def measured(cache: Any, stream: Any, size: int, rate: float, rounds: int) -> list[str]:
    """Return what an arm's batches take, and by how much that differs from the first arm's."""
    found: dict[str, list[float]] = {arm: [] for arm in ARMS}
    calls = max(1, KEYS_PER_TURN // size)
    for _ in range(rounds):
        for arm in random.sample(ARMS, len(ARMS)):
            cache._sampled.want(cache._table, "core", rate if arm == "on" else 0.0, 0)
            first = random.randrange(len(stream) - calls * size)
            batches = [stream[first + at * size :][:size] for at in range(calls)]
            begin = perf_counter_ns()
            for batch in batches:
                cache.get_many(batch)
            found[arm].append((perf_counter_ns() - begin) / calls)
    told = []
    for arm in ARMS:
        median = statistics.median(found[arm])
        pairs = zip(found[arm], found["off"], strict=True)
        difference = statistics.median(one - other for one, other in pairs)
        told.append(f"{arm} {median:,.0f} ns ({difference / median:+.1%})")
    return told


def background(cache: Any, stream: Any, seconds: float) -> float:
    """Return the share of a core that other threads have while batches come."""
    at, begin, own, all_of_it = 0, perf_counter(), thread_time(), process_time()
    while perf_counter() - begin < seconds:
        cache.get_many(stream[at : at + 1_000])
        at = (at + 1_000) % (len(stream) - 1_000)
    passed = perf_counter() - begin
    return (process_time() - all_of_it - thread_time() + own) / passed


def bare(capacity: int, rows: predis.Rows) -> int:
    """Return the bytes of a table without sampling."""
    with predis.Cache(capacity, value=rows, device="cpu") as cache:
        return cache._table.memory


if __name__ == "__main__":
    main()
