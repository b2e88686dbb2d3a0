"""Early eviction: how many distinct keys a cache loses before it is full.

A set that gets more keys than it has ways evicts, whatever the policy, while other sets still
have free ways. The share lost depends on the ways and on nothing else.
"""

from __future__ import annotations

import numpy as np
from traces import mix, set_of, spread

Row = dict[str, str | int | float]


def lost_share(entries: int, ways: int, load: float, seed: int) -> float:
    """Share of `load * entries` random keys that an empty cache of `entries` slots evicts."""
    start = spread(entries, ways)
    keys = np.random.default_rng(seed).integers(-(1 << 63), (1 << 63) - 1, int(entries * load))
    per_set = np.bincount(set_of(mix(keys, seed), start.size - 1), minlength=start.size - 1)
    return float(np.maximum(per_set - np.diff(start), 0).sum() / keys.size)


def measure(ways: list[int], runs: dict[int, int]) -> list[Row]:
    """Mean and worst share in percent; `runs` gives the number of seeds for each cache size."""
    rows: list[Row] = []
    for entries, seeds in runs.items():
        for load in (1.0, 0.75):
            for way in ways:
                lost = [100 * lost_share(entries, way, load, seed) for seed in range(seeds)]
                rows.append(
                    {
                        "entries": entries,
                        "load": load,
                        "ways": way,
                        "seeds": seeds,
                        "lost_percent": round(float(np.mean(lost)), 2),
                        "worst_seed": round(max(lost), 2),
                    }
                )
    return rows
