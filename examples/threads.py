"""Single flight: eight threads want the same rows at the same time, and each row is loaded once."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt

import predis_core as predis

THREADS, WIDTH, IDS = 8, 32, 2_000

guard = threading.Lock()
loaded: list[int] = []


def load(ids: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    """Stand for a store with a round trip of 20 ms; note what it is asked for."""
    time.sleep(0.02)
    with guard:
        loaded.extend(ids.tolist())
    return np.repeat(ids.astype(np.float32)[:, None], WIDTH, axis=1)


cache = predis.Cache[int, npt.NDArray[np.float32]](
    10_000, value=predis.Rows("float32", (WIDTH,)), loader=load
)
together = threading.Barrier(THREADS)


def read(seed: int) -> int:
    """Ask for overlapping batches and check each row; return how many rows that were."""
    random = np.random.default_rng(seed)
    together.wait()
    for _ in range(20):
        ids = random.integers(0, IDS, 500)
        rows = cache.get_or_load_many(ids)
        assert (rows == ids[:, None]).all()
    return 20 * 500


with ThreadPoolExecutor(THREADS) as pool:
    rows_read = sum(pool.map(read, range(THREADS)))

stats = cache.stats()
cache.check_invariants()
assert len(loaded) == len(set(loaded)) == stats.loads
assert stats.load_failures == 0
print(f"{rows_read:,} rows for {THREADS} threads, all right")
print(f"{stats.loads:,} distinct rows loaded, none of them twice")
print(f"waited for another thread's load: {'yes' if stats.loads_saved else 'no'}")
