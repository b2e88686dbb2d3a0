"""What figures are taken on, and the cores that they are taken on."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from predis_lab.bench.measuring import Unavailable

PACKAGES = (
    "predis-core",
    "predis-lab",
    "numpy",
    "numba",
    "aiocache",
    "async-lru",
    "cachebox",
    "cachetools",
    "moka-py",
    "pandas",
    "redis",
    "theine",
    "xxhash",
)


def cores() -> list[int]:
    """Cores that this thread may use, if the system tells; the best for measuring first."""
    if not hasattr(os, "sched_getaffinity"):
        return []
    # The first core is the one that most interrupts go to.
    return sorted(os.sched_getaffinity(0), reverse=True)


_ALL = frozenset(cores())


def all_cores() -> set[int]:
    """Cores that this process could use when it began, whatever it is pinned to now."""
    return set(_ALL)


def stay_on(chosen: set[int], process: int = 0) -> None:
    """Keep a process on some cores, or this thread and those that it starts."""
    os.sched_setaffinity(process, chosen)


@contextmanager
def pinned(count: int) -> Iterator[list[int]]:
    """Keep this thread on `count` of its cores; yields them, none where that is impossible.

    Raises:
        Unavailable: if it may not use that many.
    """
    allowed = cores()
    if len(allowed or range(os.cpu_count() or 1)) < count:
        raise Unavailable(f"it takes {count} cores")
    if not allowed:
        yield []
        return
    chosen = allowed[:count]
    stay_on(set(chosen))
    try:
        yield chosen
    finally:
        stay_on(set(allowed))


def machine() -> dict[str, Any]:
    """What the figures were taken on: processor, cores, system, and versions."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": {name: found for name in PACKAGES if (found := _version(name))},
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
