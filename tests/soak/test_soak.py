"""Minutes of mixed operations from eight threads, on each store with each kind of keys.

SOAK_SECONDS for each of them (60 by default), in parts. After each part the threads are gone, the
invariants hold, every entry is right, and memory no longer grows. At the end every reference that
the cache took has been given back. `make soak` runs it.
"""

from __future__ import annotations

import gc
import os
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from predis_core.warming import warm
from tests.support.combinations import Combination
from tests.support.crew import Crew
from tests.support.traffic import Traffic

SECONDS = float(os.environ.get("SOAK_SECONDS", "60"))
PARTS = 6
THREADS = 8
CAPACITY = 1000
GROWTH_MIB = 24
"""Beyond what the first parts took; the allocators of eight threads keep some megabytes."""
STRAYS = 500
"""References and objects that the interpreter and the test runner may come to hold meanwhile."""

pytestmark = [pytest.mark.soak, pytest.mark.timeout(SECONDS * 3 + 900)]


class Value:
    """A value that the garbage collector knows, equal to itself only."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __repr__(self) -> str:
        return f"Value({self.number})"


def entries_of(combination: Combination) -> dict[Any, Any]:
    """Entries, three times as many as fit; objects are such that nobody else refers to."""
    numbers = range(1_000_000, 1_000_000 + 3 * CAPACITY)
    if combination.store == "objects":
        return {combination.key(n): Value(n) for n in numbers}
    return combination.entries(numbers)


def resident_mib() -> float | None:
    """Return the memory of this process that is resident; None where the system does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        return None
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def references(entries: dict[Any, Any]) -> tuple[list[int], int, int]:
    """Return the reference counts of keys and values and of None, and the number of objects."""
    gc.collect()
    counts = [sys.getrefcount(thing) for entry in entries.items() for thing in entry]
    return counts, sys.getrefcount(None), len(gc.get_objects())


def work(cache: Any, entries: dict[Any, Any], seed: int, ends: float) -> int:
    """Do mixed operations, one at least, until the time is up; return how many."""
    traffic = Traffic(cache, entries, seed, failing=True)
    steps = 0
    while not steps or time.monotonic() < ends:
        traffic.step()
        steps += 1
    return steps


def run_part(cache: Any, entries: dict[Any, Any], crew: Crew, part: int) -> int:
    """Run all threads for a part of the time; look at the cache when they are gone."""
    ends = time.monotonic() + SECONDS / PARTS
    seeds = range(part * THREADS, (part + 1) * THREADS)
    steps = crew.run(
        *[lambda seed=seed: work(cache, entries, seed, ends) for seed in seeds],
        patience=SECONDS + 300,
    )
    crew.end()
    cache.check_invariants()
    assert min(steps) > 0
    assert all(value == entries[key] for key, value in cache.items())
    return sum(steps)


@pytest.mark.watches_lifetime
def test_soak(combination: Combination, crew: Crew) -> None:
    entries = entries_of(combination)
    first = combination.open(CAPACITY)
    # A kernel that is compiled between the counts leaves thousands of references to None in Numba.
    warm(first._table.policy, first._store, combination.kind)
    run_part(first, entries, crew, 0)
    first.close()
    del first
    before = references(entries)

    cache = combination.open(CAPACITY)
    resident: list[float] = []
    steps = 0
    for part in range(1, PARTS):
        steps += run_part(cache, entries, crew, part)
        gc.collect()
        resident += [now for now in (resident_mib(),) if now is not None]
    stats = cache.stats()
    assert min(stats.hits, stats.misses, stats.evictions, stats.expirations, stats.loads) > 0
    assert stats.insertions - stats.evictions - stats.expirations - stats.deletions == len(cache)

    cache.clear()
    assert references(entries)[0] == before[0]
    cache.close()
    del cache
    after = references(entries)
    assert after[0] == before[0]
    assert after[1] - before[1] < STRAYS, f"None was taken {after[1] - before[1]} times too often"
    assert after[2] - before[2] < STRAYS
    if resident:
        assert max(resident) - resident[1] < GROWTH_MIB, f"{resident} MiB after {steps} steps"
