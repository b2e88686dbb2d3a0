"""A day of three workloads, and a cache that takes the policy that suits each."""

from __future__ import annotations

import time

import numpy as np

import predis_core as predis

CAPACITY, BATCH = 1_000, 100


def load(ids: np.ndarray) -> np.ndarray:
    """Load values: int64[n] -> int64[n]."""
    return 3 * ids


def epochs(requests: int) -> np.ndarray:
    """Training: round and round through more samples than fit."""
    return np.arange(requests) % 1_400


def recent(requests: int) -> np.ndarray:
    """Ticks: what was asked for lately is asked for again."""
    back = np.random.default_rng(1).geometric(1 / 300, requests)
    return 10_000 + np.arange(requests) // 4 - back


def serve(cache: predis.Cache[int, int], requests: np.ndarray) -> float:
    """Serve requests; return the hit ratio."""
    before = cache.stats()
    for batch in np.array_split(requests, len(requests) // BATCH):
        assert (cache.get_or_load_many(batch) == 3 * batch).all()
    after = cache.stats()
    return (after.hits - before.hits) / (after.requests - before.requests)


rows = predis.Rows("int64", ())  # a GPU would keep the first policy
with predis.Cache(CAPACITY, policy="auto", value=rows, loader=load, device="cpu") as cache:
    begun_with = cache.policy
    first = serve(cache, epochs(20_000))
    patience = time.monotonic() + 600  # the first time, kernels are compiled
    chosen, later = begun_with, first
    while (chosen == begun_with or later < first + 0.2) and time.monotonic() < patience:
        chosen, later = cache.policy, serve(cache, epochs(20_000))
    ticks = serve(cache, recent(20_000))

assert chosen != begun_with
assert later > first + 0.2

print(f"training: {first:.1%} hits with {begun_with}, {later:.1%} with {chosen}")
print(f"ticks: {ticks:.1%} hits")
