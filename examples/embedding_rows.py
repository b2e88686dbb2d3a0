"""A cache of embedding rows in front of a large table, filled by a batch loader.

The table stands for whatever holds all rows and is slow to ask: a memory-mapped file, a feature
service, a parameter server. The cache holds a hundredth of it.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

import predis_core as predis

ROWS, WIDTH, BATCH = 200_000, 32, 1_000

random = np.random.default_rng(7)
table = random.standard_normal((ROWS, WIDTH), np.float32)
fetches = 0


def load(ids: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    """Fetch rows: int64[m], the distinct ids that are missing, to float32[m, WIDTH]."""
    global fetches
    fetches += 1
    return table[ids]


cache = predis.Cache[int, npt.NDArray[np.float32]](
    ROWS // 100, value=predis.Rows("float32", (WIDTH,)), loader=load, seed=7
)
for _ in range(200):
    ids = random.zipf(1.3, BATCH) % ROWS
    rows = cache.get_or_load_many(ids)
    assert rows.dtype == np.float32
    assert np.array_equal(rows, table[ids])

stats = cache.stats()
cache.check_invariants()
assert stats.requests == 200 * BATCH
assert fetches <= 200
assert stats.size <= stats.capacity == ROWS // 100
assert stats.hit_ratio > 0.8

print(f"{stats.requests:,} rows asked for, {stats.hit_ratio:.0%} of them hits")
print(f"{stats.loads:,} rows loaded in {fetches} calls of the loader; every row was right")
