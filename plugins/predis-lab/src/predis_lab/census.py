"""How many requests a trace has, how many different keys, and what their values take."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from predis_lab.traces import Chunk


class Census(NamedTuple):
    """Counts of a trace: its requests, the distinct keys among them, and bytes of their values."""

    requests: int
    distinct: int
    bytes: int = 0


def take_census(chunks: Iterable[Chunk]) -> Census:
    """Count exactly, in one pass. Memory: a few times 8 bytes per distinct key, and a chunk.

    With sizes it is twice as much, and of a value that changes its size the largest counts.
    """
    requests = 0
    # Sorted runs, each at least twice as long as the next, so that a key is merged rarely.
    runs: list[Chunk] = []
    for chunk in chunks:
        requests += len(chunk)
        run = _distinct(chunk)
        while runs and len(runs[-1]) < 2 * len(run):
            run = _distinct(np.concatenate([runs.pop(), run]))
        runs.append(run)
    whole: Chunk = _distinct(np.concatenate(runs)) if runs else np.empty(0, np.int64)
    return Census(requests, len(whole), int(whole["size"].sum()) if whole.dtype.names else 0)


def _distinct(requests: Chunk) -> Chunk:
    """One request of each key, in the order of keys."""
    if not requests.dtype.names:
        return np.unique(requests)
    ordered: Chunk = requests[np.lexsort((requests["size"], requests["key"]))]
    last = np.append(ordered["key"][1:] != ordered["key"][:-1], True)
    kept: Chunk = ordered[last[: len(ordered)]]
    return kept
