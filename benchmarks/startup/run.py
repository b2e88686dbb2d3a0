"""What the start of a process costs: the import, the first look-up, and compiling before it.

    python benchmarks/startup/run.py [--rounds 9]

Each figure is of a process of its own, from its very beginning; the cases take turns, and medians
are printed. `cold` begins with an empty folder of kernels, once.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from statistics import median
from typing import NamedTuple

OBJECTS = "import predis_core; predis_core.Cache(1_000).get(7)"
ROWS = "import predis_core as p; p.Cache(1_000, value=p.Rows('float32', (64,))).get_many([7])"
CASES = {
    "python": "pass",
    "import predis_core": "import predis_core",
    "import numpy": "import numpy",
    "import numpy, numba": "import numpy, numba",
    "first get, a default cache": OBJECTS,
    "first get_many, rows": ROWS,
}


class Cost(NamedTuple):
    """Seconds by the clock, and of the processor."""

    wall: float
    cpu: float


def cost(code: str, **environment: str) -> Cost:
    """What a process that runs some code costs, from the call to its end."""
    before, begin = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([sys.executable, "-c", code], env={**os.environ, **environment}, check=True)
    wall, after = time.perf_counter() - begin, resource.getrusage(resource.RUSAGE_CHILDREN)
    return Cost(wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def show(title: str, costs: list[Cost]) -> None:
    wall, cpu = (sorted(column) for column in zip(*costs, strict=True))
    print(
        f"{title:28} {median(wall):6.3f} s ({wall[0]:.3f} to {wall[-1]:.3f}), "
        f"processor {median(cpu):6.3f} s ({cpu[0]:.3f} to {cpu[-1]:.3f})"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    for code in CASES.values():
        cost(code)  # compiles what is not there yet, and writes byte code
    costs: dict[str, list[Cost]] = {title: [] for title in CASES}
    for _ in range(rounds):
        for title, code in CASES.items():
            costs[title].append(cost(code))
    for title, found in costs.items():
        show(title, found)
    for title in ("first get, a default cache", "first get_many, rows"):
        with tempfile.TemporaryDirectory() as folder:
            show(f"cold: {title}", [cost(CASES[title], PREDIS_CACHE_DIR=folder)])


if __name__ == "__main__":
    main()
