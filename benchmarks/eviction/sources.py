"""What is replayed: the traces of a folder, or synthetic workloads where there is none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from predis_lab.traces import Keys, Trace, TraceError, open_trace
from predis_lab.workloads import Game, Interleaved, Loop, Market, Phases, Scan, Training, Zipf

# What cannot be told apart from a table of something else without naming a column.
_TABLES = ("csv", "tsv")
# One request of libCacheSim's oracleGeneral.
_RECORD = np.dtype([("time", "<u4"), ("id", "<u8"), ("size", "<u4"), ("next", "<i8")])
_NEVER = np.iinfo(np.int64).max


@dataclass(frozen=True, slots=True)
class Source:
    """A trace by its name; `read` returns its keys, int64[requests]."""

    name: str
    read: Callable[[], Keys]


def from_folder(folder: Path) -> list[Source]:
    """Return the traces of a folder by name.

    Raises:
        FileNotFoundError: if there are none.
    """
    found = [trace for path in sorted(folder.iterdir()) if (trace := _trace(path)) is not None]
    if not found:
        raise FileNotFoundError(
            f"{folder} holds no traces: files that end in .npy, .txt, .lis, .trc or "
            ".oracleGeneral, also in .gz or .zst"
        )
    return [Source(trace.name, trace.read) for trace in found]


def _trace(path: Path) -> Trace | None:
    try:
        trace = open_trace(path)
    except TraceError:
        return None
    return None if trace.format in _TABLES else trace


def synthetic() -> list[Source]:
    """Return workloads of predis-lab, among them popular keys between scans and in phases."""
    zipf = Zipf(500_000, 50_000, 0.9, seed=1)
    workloads = {
        "zipf": zipf,
        "zipf_and_scan": Interleaved((zipf, Scan(250_000)), disjoint=True, seed=2),
        "loop": Loop(20_000, 15, seed=3),
        "phases": Phases((zipf, Loop(20_000, 10, seed=4)), rounds=2, disjoint=True),
        "game": Game(steps=10_000, seed=5),
        "market": Market(500_000, seed=6),
        "training": Training(seed=7),
    }
    return [Source(name, workload.ids) for name, workload in workloads.items()]


def write_oracle(keys: Keys, path: Path) -> None:
    """Write keys as oracleGeneral: each request with the number of the next one of its key."""
    records = np.zeros(len(keys), _RECORD)
    records["time"] = np.arange(len(keys))
    records["id"] = keys.view(np.uint64)
    records["size"] = 1
    records["next"] = next_requests(keys)
    records.tofile(path)


def next_requests(keys: Keys) -> Keys:
    """Return for each request the index of the next one of its key; int64's highest for the last.

    int64[requests]
    """
    order = np.argsort(keys, kind="stable")
    following = np.full(len(keys), _NEVER, np.int64)
    again = keys[order[1:]] == keys[order[:-1]]
    following[order[:-1][again]] = order[1:][again]
    return following
