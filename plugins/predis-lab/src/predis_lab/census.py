"""How many requests a trace has, and how many different keys."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from predis_lab.traces import Keys


class Census(NamedTuple):
    """Counts of a trace: its requests, and the distinct keys among them."""

    requests: int
    distinct: int


def take_census(chunks: Iterable[Keys]) -> Census:
    """Count exactly, in one pass. Memory: a few times 8 bytes per distinct key, and a chunk."""
    requests = 0
    # Sorted runs, each at least twice as long as the next, so that a key is merged rarely.
    runs: list[Keys] = []
    for chunk in chunks:
        requests += len(chunk)
        run = np.unique(chunk)
        while runs and len(runs[-1]) < 2 * len(run):
            run = np.union1d(runs.pop(), run)
        runs.append(run)
    distinct = len(np.unique(np.concatenate(runs))) if runs else 0
    return Census(requests, distinct)
