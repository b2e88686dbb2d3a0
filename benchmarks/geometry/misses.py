"""Miss ratios of set-associative caches on traces, against fully associative ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import simulate
from traces import Cell, Trace, fingerprint, load_expected, load_trace, mix, set_of, spread

POLICIES = ("fifo", "lru", "sieve", "s3fifo")
CHOSEN_WAYS = 28
SMALLEST = 512  # entries of the smallest cache that the bar speaks about
SEEDS = 5
LONG, LONG_SEEDS = 2_000_000, 2  # a trace of more requests is replayed with fewer seeds
EXACT = 600  # entries up to which the simulators are checked in one set
Row = dict[str, str | int | float]


@dataclass(frozen=True)
class Variant:
    """One simulator with its options; `all_ways` or only the chosen number of ways."""

    policy: str
    name: str
    simulator: Callable[..., int]
    options: dict[str, float | int | bool] = field(default_factory=dict)
    all_ways: bool = False

    def misses(
        self, requests: np.ndarray, home: np.ndarray, start: np.ndarray, marks: np.ndarray
    ) -> int:
        """Replay; `marks` are what ghosts keep."""
        if self.policy == "s3fifo":
            return self.simulator(requests, home, start, marks, **self.options)
        return self.simulator(requests, home, start, **self.options)


def _s3(name: str, all_ways: bool = False, ranked: bool = False, **options: float) -> Variant:
    simulator = simulate.s3fifo_ranked if ranked else simulate.s3fifo
    return Variant("s3fifo", name, simulator, options, all_ways)


VARIANTS = [
    Variant("fifo", "fifo", simulate.fifo, all_ways=True),
    Variant("lru", "lru", simulate.lru, all_ways=True),
    Variant("sieve", "sieve", simulate.sieve, all_ways=True),
    _s3("s3fifo 0.10", all_ways=True, share=0.10),
    _s3("s3fifo 0.15", all_ways=True, share=0.15),
    Variant("sieve", "sieve, hand never goes back", simulate.sieve, {"rewind": False}),
    _s3("s3fifo 0.05", share=0.05),
    _s3("s3fifo 0.20", share=0.20),
    _s3("s3fifo 0.15, half the ghosts", share=0.15, ghost=0.5),
    _s3("s3fifo 0.15, twice the ghosts", share=0.15, ghost=2.0),
    _s3("s3fifo 0.15, promotes after 1 hit", share=0.15, threshold=1),
    _s3("s3fifo 0.15, all keys start in small", share=0.15, main_first=False),
    _s3("s3fifo 0.15, stamp", share=0.15, stamped=True),
    _s3("s3fifo 0.10, rank form, stamp", ranked=True, share=0.10, stamped=True),
    _s3("s3fifo 0.15, rank form", ranked=True, share=0.15),
    _s3("s3fifo 0.15, rank form, stamp", ranked=True, share=0.15, stamped=True),
    _s3("s3fifo 0.20, rank form, stamp", ranked=True, share=0.20, stamped=True),
]


def _traces(folder: Path, longest: int) -> Iterator[tuple[Trace, dict[int, list[Cell]]]]:
    """Every trace of at most `longest` requests, with its cells by cache size."""
    cells = load_expected(folder / "EXPECTED.tsv", POLICIES)
    for name in sorted({cell.trace for cell in cells}):
        trace = load_trace(folder / f"{name}.npy.zst")
        if trace.requests.size <= longest:
            sizes: dict[int, list[Cell]] = {}
            for cell in cells:
                if cell.trace == name:
                    sizes.setdefault(cell.entries, []).append(cell)
            yield trace, sizes


def check(folder: Path, longest: int) -> list[Row]:
    """Replay small caches in a single set, which is a fully associative cache.

    Raises AssertionError where fifo, lru or sieve differ from the expected miss ratio, or
    s3fifo (whose rounding of tiny queues is its author's) by more than a percentage point.
    """
    rows: list[Row] = []
    for trace, sizes in _traces(folder, longest):
        home = np.zeros(trace.keys.size, np.int32)
        marks = np.arange(trace.keys.size, dtype=np.int32)
        for entries, cells in sizes.items():
            if entries > EXACT:
                continue
            start = np.array([0, entries])
            for cell in cells:
                variant = next(v for v in VARIANTS if v.policy == cell.policy)
                if cell.policy == "s3fifo":
                    variant = _s3("s3fifo", share=0.10, ghost=0.9)
                ratio = variant.misses(trace.requests, home, start, marks) / trace.requests.size
                if abs(ratio - cell.miss_ratio) > (0.01 if cell.policy == "s3fifo" else 0.0001):
                    raise AssertionError(f"{cell}: one set gives {ratio:.4f}")
                rows.append(
                    {
                        "trace": cell.trace,
                        "entries": entries,
                        "policy": cell.policy,
                        "one_set": round(ratio, 4),
                        "expected": cell.miss_ratio,
                    }
                )
    return rows


def measure(folder: Path, ways: list[int], seeds: int, longest: int) -> list[Row]:
    """Mean miss ratio over hash seeds for every variant, number of ways, trace and size."""
    rows: list[Row] = []
    for trace, sizes in _traces(folder, longest):
        count = min(seeds, LONG_SEEDS) if trace.requests.size > LONG else seeds
        hashes = [mix(trace.keys, seed + 1) for seed in range(count)]
        marks = [fingerprint(h) for h in hashes]
        for entries, cells in sizes.items():
            expected = {cell.policy: cell for cell in cells}
            for way in ways:
                start = spread(entries, way)
                homes = [set_of(h, start.size - 1) for h in hashes]
                for variant in VARIANTS:
                    if not variant.all_ways and way != CHOSEN_WAYS:
                        continue
                    ratios = [
                        variant.misses(trace.requests, home, start, mark) / trace.requests.size
                        for home, mark in zip(homes, marks, strict=True)
                    ]
                    cell, mean = expected[variant.policy], float(np.mean(ratios))
                    rows.append(
                        {
                            "policy": variant.policy,
                            "variant": variant.name,
                            "ways": way,
                            "trace": trace.name,
                            "fraction": cell.fraction,
                            "entries": entries,
                            "seeds": count,
                            "expected": cell.miss_ratio,
                            "miss_ratio": round(mean, 5),
                            "excess_points": round(100 * (mean - cell.miss_ratio), 3),
                            "worst_seed_points": round(100 * (max(ratios) - cell.miss_ratio), 3),
                        }
                    )
    return rows
