"""What a set-associative cache loses before it is full, and that capacity is exact."""

from __future__ import annotations

import numpy as np
import pytest

import predis_core as predis

CAPACITIES = (1, 2, 10, 31, 33, 95, 1_000)


def distinct_keys(n: int, seed: int) -> np.ndarray:
    return np.unique(np.random.default_rng(seed).integers(-(2**63), 2**63, 2 * n))[:n]


@pytest.mark.parametrize("seed", range(5))
def test_three_quarters_full_loses_at_most_2_5_percent(seed: int) -> None:
    with predis.Cache(10_000, value=predis.Rows("int64"), seed=seed) as cache:
        keys = distinct_keys(7_500, seed)
        cache.set_many(keys, keys)
        lost = 1 - cache.contains_many(keys).mean()
        assert lost <= 0.025
        assert len(cache) == round(7_500 * (1 - lost))
        assert cache.stats().conflicts == 7_500 - len(cache)


@pytest.mark.parametrize("capacity", CAPACITIES)
@pytest.mark.parametrize("seed", range(3))
def test_capacity_is_exact(capacity: int, seed: int) -> None:
    with predis.Cache(capacity, value=predis.Rows("int64"), seed=seed) as cache:
        keys = distinct_keys(20 * capacity + 100, seed)
        for start in range(0, len(keys), 7):
            batch = keys[start : start + 7]
            stored = cache.set_many(batch, batch * 3)
            assert stored.all()
            assert len(cache) <= capacity
        assert len(cache) == capacity
        resident = np.array(list(cache))
        assert len(np.unique(resident)) == capacity
        values, hit = cache.get_many(resident)
        assert hit.all()
        assert (values == resident * 3).all()


@pytest.mark.parametrize("capacity", CAPACITIES)
def test_one_entry_fits_in_any_capacity(capacity: int) -> None:
    with predis.Cache(capacity) as cache:
        for key in range(3 * capacity):
            cache[key] = str(key)
            assert cache[key] == str(key)
            assert len(cache) <= capacity
