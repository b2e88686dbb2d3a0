"""The cells of the comparison, and what both caches miss in them."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.eviction.sources import Source, write_oracle
from predis_core import policies
from predis_lab import replay
from predis_lab.traces import Keys

OURS, THEIRS = "predis", "libcachesim"
BOUND = "belady"
CLASSES = {
    "arc": "ARC",
    "cacheus": "Cacheus",
    "clock": "Clock",
    "clock2qplus": "Clock2QPlus",
    "clockpro": "ClockPro",
    "fifo": "FIFO",
    "hyperbolic": "Hyperbolic",
    "lecar": "LeCaR",
    "lfu": "LFU",
    "lfuda": "LFUDA",
    "lhd": "LHD",
    "lirs": "LIRS",
    "lru": "LRU",
    "lruk": "LRUK",
    "mq": "MQ",
    "s3fifo": "S3FIFO",
    "sieve": "Sieve",
    "slru": "SLRU",
    "twoq": "TwoQ",
    "wtinylfu": "WTinyLFU",
    BOUND: "Belady",
}
"""libcachesim's policies by the name that they have here. Left out: those that learn for hours, and
those that weigh sizes, because every entry has the same."""

# The slowest of theirs replay a million requests in a second or two; at some sizes one never ends.
_PATIENCE_SECONDS = 10
_REQUESTS_PER_SECOND = 50_000
_PROGRAM = Path(__file__).with_name("libcachesim_cell.py")


@dataclass(frozen=True, slots=True)
class Cell:
    """A cache of so many entries, in front of a trace; `fraction` of its distinct keys."""

    trace: str
    fraction: float
    entries: int
    requests: int


@dataclass(frozen=True, slots=True)
class Result:
    """What a policy of a cache missed in a cell; None if it failed, which happens to theirs."""

    cell: Cell
    cache: str
    policy: str
    miss_ratio: float | None


@dataclass(frozen=True, slots=True)
class Plan:
    """What is compared.

    ours, theirs: policies by name
    fractions: of a trace's distinct keys
    seeds: of our hash; a result is the mean over them
    jobs: caches replayed into at the same time
    """

    ours: Sequence[str]
    theirs: Sequence[str]
    fractions: Sequence[float]
    seeds: int = 3
    jobs: int = 1

    @property
    def results(self) -> int:
        """How many results a trace has."""
        return len(self.fractions) * (len(self.ours) + len(self.theirs))


def known(names: Iterable[str]) -> tuple[list[str], list[str]]:
    """Return which of some policies Predis has and which libcachesim has.

    Raises:
        ValueError: for one that neither has.
    """
    asked = list(names)
    for name in asked:
        if name not in policies.names() and name not in CLASSES:
            everybody = sorted({*policies.names(), *CLASSES})
            raise ValueError(f"no policy {name!r} among {', '.join(everybody)}")
    return [n for n in asked if n in policies.names()], [n for n in asked if n in CLASSES]


def compare(source: Source, plan: Plan, python: Path, advance: Callable[[], None]) -> list[Result]:
    """Replay a trace into every cache of the plan.

    python: of an environment with libcachesim
    advance: called after each result
    """
    keys = source.read()
    distinct = len(np.unique(keys))
    cells = [
        Cell(source.name, fraction, max(1, round(distinct * fraction)), len(keys))
        for fraction in plan.fractions
    ]
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(plan.jobs) as pool:
        trace = Path(folder) / "trace.oracleGeneral"
        write_oracle(keys, trace)
        work: list[Callable[[], Result]] = []
        for cell in cells:
            work += [partial(_ours, keys, cell, name, plan.seeds) for name in plan.ours]
            work += [partial(_theirs, python, trace, cell, name) for name in plan.theirs]
        done = []
        for result in pool.map(lambda job: job(), work):
            done.append(result)
            advance()
    return done


def _ours(keys: Keys, cell: Cell, policy: str, seeds: int) -> Result:
    ratios = [replay(keys, cell.entries, policy, seed=seed).miss_ratio for seed in range(seeds)]
    return Result(cell, OURS, policy, float(np.mean(ratios)))


def _theirs(python: Path, trace: Path, cell: Cell, policy: str) -> Result:
    command = [*map(str, (python, _PROGRAM, trace)), CLASSES[policy], str(cell.entries)]
    patience = _PATIENCE_SECONDS + cell.requests / _REQUESTS_PER_SECOND
    try:
        answer = subprocess.run(
            command, capture_output=True, text=True, check=True, timeout=patience
        )
        missed = float(answer.stdout.split()[-1])
    except (subprocess.SubprocessError, ValueError, IndexError):
        return Result(cell, THEIRS, policy, None)
    return Result(cell, THEIRS, policy, missed)
