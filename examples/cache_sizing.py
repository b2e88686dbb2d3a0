"""How large should the cache be? It says so itself, from a share of the keys, while it works."""

from __future__ import annotations

import numpy as np

import predis_core as predis

CAPACITY, KEYS, WANTED = 2_000, 50_000, 0.65


def load(ids: np.ndarray) -> np.ndarray:
    """Load rows: int64[n] -> float32[n, 8]."""
    return np.repeat(ids.astype("float32")[:, None], 8, axis=1)


def opened(capacity: int, sampling: float | None = None) -> predis.Cache[int, np.ndarray]:
    """Open a cache of that many rows."""
    rows = predis.Rows("float32", (8,))
    return predis.Cache(
        capacity, policy="s3fifo", value=rows, loader=load, seed=7, sampling=sampling
    )


def serve(cache: predis.Cache[int, np.ndarray]) -> float:
    """Serve the day's requests; return the hit ratio."""
    popularity = np.arange(1.0, KEYS + 1) ** -0.9
    requests = np.random.default_rng(1).choice(KEYS, 400_000, p=popularity / popularity.sum())
    for batch in np.array_split(requests, 1_000):
        cache.get_or_load_many(batch)
    return cache.stats().hit_ratio


with opened(CAPACITY, sampling=0.2) as cache:
    before = serve(cache)
    curve = cache.miss_ratio_curve()
    size = cache.size_for(hit_ratio=WANTED)
    assert curve.live is not None
    simulated = 1 - curve.live.miss_ratio(CAPACITY)

assert abs(simulated - before) < 0.02  # at its own size, the curve says what the cache did
with opened(size) as larger:
    after = serve(larger)
assert abs(after - WANTED) < 0.02

print(f"{CAPACITY:,} entries: {before:.1%} hits; the curve has {simulated:.1%}")
print(f"for {WANTED:.0%} it takes {size:,} entries; tried: {after:.1%} hits")
