"""The geometry experiment: how many ways, in how many lines.

    python benchmarks/geometry/run.py --traces DIR --out DIR [--quick] [--parts check misses ...]

DIR of --traces holds NAME.npy.zst (integer keys) and EXPECTED.tsv (fully associative miss
ratios: trace, cache_fraction, entries, policy, miss_ratio). Needs numpy, numba and zstandard.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import early
import misses
import report
import speed

WAYS = [7, 14, 16, 21, 24, 28, 32]
PARTS = ("check", "misses", "early", "speed")
QUICK_LONGEST = 140_000  # requests


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Ways x policy x miss ratio x speed.")
    parser.add_argument("--traces", type=Path, required=True, help="folder of traces")
    parser.add_argument("--out", type=Path, required=True, help="folder for the results")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--quick", action="store_true", help="a subset, in less than a minute")
    return parser.parse_args()


def run_part(part: str, traces: Path, quick: bool) -> tuple[str, list[report.Row]]:
    """The name of the part's table, and its rows."""
    longest = QUICK_LONGEST if quick else 1 << 62
    if part == "check":
        return "one_set.tsv", misses.check(traces, longest)
    if part == "misses":
        ways, seeds = ([7, 28], 1) if quick else (WAYS, misses.SEEDS)
        return "miss_ratio.tsv", misses.measure(traces, ways, seeds, longest)
    if part == "early":
        return "early_eviction.tsv", early.measure(WAYS, {10_000: 20, 1_000_000: 1 if quick else 5})
    if quick:
        return "speed.tsv", speed.measure([100_000], [(1, 7), (4, 7)], repeats=1)
    return "speed.tsv", speed.measure([100_000, 1_000_000, 10_000_000])


def main() -> None:
    arguments = parse()
    arguments.out.mkdir(parents=True, exist_ok=True)
    for part in arguments.parts:
        begin = time.perf_counter()
        name, rows = run_part(part, arguments.traces, arguments.quick)
        report.write(arguments.out / name, rows)
        print(f"{name}: {len(rows)} rows, {time.perf_counter() - begin:.0f} s", flush=True)
    report.summarise(arguments.out)


if __name__ == "__main__":
    main()
