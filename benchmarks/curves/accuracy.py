"""How far sampled miss-ratio curves are off.

    python benchmarks/curves/accuracy.py --traces FOLDER [--seeds N] [--policy NAME] [--only NAMES]

Every trace in the folder is replayed into a cache of a tenth of its distinct keys, which follows
1 % of the keys where there are 100,000 or more and all of them where there are fewer, as a `Cache`
with `sampling` does. Its curve of lru is compared with the true one, at 100 sizes
evenly apart up to the number of distinct keys (`even`), and at 100 evenly apart on a logarithmic
scale from a thousandth of them, at least 100 (`log`); and the curve of the policy itself with
replays at the same eight sizes. Printed are mean absolute errors in percentage points, means over
the seeds, and the standard error that the curves themselves name, as root mean squares.

The true curve is that of full sampling, which is exact (`tests/unit/test_reuse.py` compares it with
a plain list); where the folder has known ratios (EXPECTED.tsv), `known` is by how much it differs
from those of lru at most.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from predis_core import MissRatioCurve
from predis_lab import Trace, open_trace, replay
from predis_lab.census import take_census

MANY = 100_000
"""Distinct keys from which on a trace is sampled."""

RATE = 0.01
SIZES = 100
COLUMNS = ("trace", "keys", "sampled", "even", "error", "log", "error", "policy", "error", "known")


class Off(NamedTuple):
    """By how much a curve is off, and by how much it says that it is, in percentage points."""

    by: float
    said: float


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--traces", type=Path, required=True, help="a folder of them")
    options.add_argument("--seeds", type=int, default=5, help="(default: %(default)s)")
    options.add_argument("--policy", default="s3fifo", help="(default: %(default)s)")
    options.add_argument("--only", default="", help="names of traces, with commas")
    given = options.parse_args()
    print("|", " | ".join(COLUMNS), "|")
    print("|---|" + "---:|" * (len(COLUMNS) - 1))
    known = known_ratios(given.traces / "EXPECTED.tsv")
    for path in sorted(given.traces.glob("*.npy*")):
        trace = open_trace(path)
        if not given.only or trace.name in given.only.split(","):
            cells = measured(trace, given.seeds, given.policy, known.get(trace.name, {}))
            print("|", " | ".join(cells), "|", flush=True)


def known_ratios(path: Path) -> dict[str, dict[int, float]]:
    """Return miss ratios of lru by entries, of each trace."""
    found: dict[str, dict[int, float]] = {}
    if path.exists():
        with path.open(newline="") as file:
            for row in csv.DictReader(file, delimiter="\t"):
                if row["policy"] == "lru":
                    of_trace = found.setdefault(row["trace"], {})
                    of_trace[int(row["entries"])] = float(row["miss_ratio"])
    return found


def measured(trace: Trace, seeds: int, policy: str, known: dict[int, float]) -> Iterator[str]:
    """Yield the cells of a trace's row."""
    distinct = take_census(trace.chunks()).distinct
    rate = RATE if distinct >= MANY else 1.0
    capacity = max(1, distinct // 10)
    exact = curve_of(trace, capacity, policy, 1.0, 0)
    curves = [curve_of(trace, capacity, policy, rate, seed) for seed in range(seeds)]
    lives = [curve.live for curve in curves if curve.live is not None]
    even = np.unique(np.linspace(distinct / SIZES, distinct, SIZES).astype(np.int64))
    least = min(max(100, distinct // 1_000), distinct)
    log = np.unique(np.geomspace(least, distinct, SIZES).astype(np.int64))
    yield trace.name
    yield f"{distinct:,}"
    yield f"{rate:.0%}"
    for sizes in (even, log):
        yield from shown([off(curve, sizes, exact.miss_ratio(sizes)) for curve in curves])
    sizes = lives[0].sizes
    replayed = np.array([replay(trace, size, policy).miss_ratio for size in sizes.tolist()])
    yield from shown([off(live, sizes, replayed) for live in lives])
    differences = [abs(exact.miss_ratio(size) - ratio) for size, ratio in known.items()]
    yield f"{100 * max(differences):.3f}" if differences else "–"


def curve_of(trace: Trace, capacity: int, policy: str, rate: float, seed: int) -> MissRatioCurve:
    curve = replay(trace, capacity, policy, curve=True, sampling=rate, seed=seed).curve
    assert curve is not None
    return curve


def off(curve: MissRatioCurve, sizes: npt.NDArray[np.int64], true: npt.NDArray[np.float64]) -> Off:
    differences = np.abs(curve.miss_ratio(sizes) - true)
    errors = np.interp(sizes, curve.sizes, curve.error)
    return Off(100 * differences.mean(), 100 * np.sqrt((errors**2).mean()))


def shown(offs: list[Off]) -> tuple[str, str]:
    by, said = np.mean(offs, axis=0)
    return f"{by:.2f}", f"{said:.2f}"


if __name__ == "__main__":
    main()
