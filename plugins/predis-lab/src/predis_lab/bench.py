"""Speed beside other caches: contenders take turns in one process, and medians are reported.

Each round runs every contender once, one after the other, so that what slows the machine down for
a while slows all of them. A row's ratio is the median of the ratios within the rounds.
"""

from __future__ import annotations

import gc
import os
import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from time import perf_counter_ns
from typing import Any

import numpy as np

ROUNDS = 9
OURS = "predis"

# Called once per round; what it returns is timed. So each round can have keys of its own.
Prepare = Callable[[], Callable[[], object]]


@dataclass(frozen=True, slots=True)
class Row:
    """One comparison: what it is about, how many keys a timed call handles, and who takes part."""

    title: str
    keys: int
    contenders: Mapping[str, Prepare]


@dataclass(frozen=True, slots=True)
class Measured:
    """The times of one row: nanoseconds per key by contender, one per round."""

    name: str
    title: str
    nanoseconds: Mapping[str, Sequence[float]]

    @property
    def medians(self) -> dict[str, float]:
        """Median nanoseconds per key by contender."""
        return {name: float(np.median(times)) for name, times in self.nanoseconds.items()}

    @property
    def ratios(self) -> dict[str, float]:
        """The median over rounds of a contender's time by that of Predis."""
        ours = np.array(self.nanoseconds[OURS])
        return {
            name: float(np.median(np.array(times) / ours))
            for name, times in self.nanoseconds.items()
        }

    def as_dict(self) -> dict[str, Any]:
        """All of it, as JSON can carry it."""
        return {
            "row": self.name,
            "title": self.title,
            "contenders": {
                name: {
                    "ns_per_key": median,
                    "ns_per_key_rounds": list(self.nanoseconds[name]),
                    "keys_per_second": 1e9 / median,
                    "time_over_predis": self.ratios[name],
                }
                for name, median in self.medians.items()
            },
        }


def measure(name: str, row: Row, rounds: int = ROUNDS) -> Measured:
    """Run every contender once untimed, then `rounds` times in turns. Garbage waits meanwhile."""
    times: dict[str, list[float]] = {contender: [] for contender in row.contenders}
    for prepare in row.contenders.values():
        prepare()()
    collecting = gc.isenabled()
    gc.disable()
    try:
        for _ in range(rounds):
            for contender, prepare in row.contenders.items():
                timed = prepare()
                begin = perf_counter_ns()
                timed()
                times[contender].append((perf_counter_ns() - begin) / row.keys)
            gc.collect()
    finally:
        if collecting:
            gc.enable()
    return Measured(name, row.title, times)


@contextmanager
def one_core() -> Iterator[int | None]:
    """Keep this thread on one of its cores; yields its number, or None where that is impossible."""
    if not hasattr(os, "sched_setaffinity"):
        yield None
        return
    allowed = os.sched_getaffinity(0)
    # The first core is the one that most interrupts go to.
    chosen = max(allowed)
    os.sched_setaffinity(0, {chosen})
    try:
        yield chosen
    finally:
        os.sched_setaffinity(0, allowed)


def machine() -> dict[str, Any]:
    """What the figures were taken on: processor, cores, system, and versions."""
    packages = ("predis-core", "predis-lab", "numpy", "numba", "cachebox", "cachetools")
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": {name: found for name in packages if (found := _version(name))},
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or "unknown"


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
