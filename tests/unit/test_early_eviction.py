"""A cache of sets holds nearly all that fits, never more, whatever its capacity."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from predis_core import policies
from predis_core.cache import Cache
from predis_core.stores import Rows

CAPACITIES = [1, 2, 10, 31, 33, 95, 1000]


def open_cache(capacity: int, seed: int, policy: str = "s3fifo") -> Cache[Any, Any]:
    return Cache(capacity, policy=policy, value=Rows("int64"), seed=seed)


def random_keys(count: int, seed: int) -> Any:
    keys = np.random.default_rng(seed).integers(-(2**63), 2**63 - 1, 2 * count)
    return np.unique(keys)[:count]


def orders(keys: Any) -> list[Any]:
    """Keys as they come, in a row, and far apart: no order may be bad for the hash."""
    n = len(keys)
    return [np.random.default_rng(0).permutation(keys), np.arange(n), np.arange(n) << 40]


@pytest.mark.parametrize("seed", range(6))
def test_a_cache_filled_to_three_quarters_loses_a_fortieth_at_most(seed: int) -> None:
    for keys in orders(random_keys(7_500, seed)):
        cache = open_cache(10_000, seed)
        for start in range(0, len(keys), 500):
            cache.set_many(keys[start : start + 500], keys[start : start + 500])
        resident = int(cache.contains_many(keys).sum())
        assert resident == len(cache)
        assert resident >= 7_500 * 0.975
        stats = cache.stats()
        assert stats.evictions == stats.conflicts == 7_500 - resident


@pytest.mark.parametrize("policy", policies.names())
@pytest.mark.parametrize("capacity", CAPACITIES)
def test_filling_and_overfilling_keeps_within_the_capacity(capacity: int, policy: str) -> None:
    cache = open_cache(capacity, seed=1, policy=policy)
    keys = random_keys(3 * capacity + 30, seed=2)
    for start in range(0, len(keys), 7):
        batch = keys[start : start + 7]
        stored = cache.set_many(batch, batch)
        assert stored.all()
        assert len(cache) <= capacity
    values, hit = cache.get_many(keys)
    assert int(hit.sum()) == len(cache)
    assert (values[hit] == keys[hit]).all()
    assert (values[~hit] == 0).all()
    assert sorted(cache) == sorted(keys[hit].tolist())
    # Three times as many keys as slots leave no set with a free way.
    assert len(cache) == capacity


@pytest.mark.parametrize("capacity", CAPACITIES)
def test_what_is_resident_can_be_replaced_and_removed(capacity: int) -> None:
    cache = open_cache(capacity, seed=3)
    keys = random_keys(2 * capacity, seed=4)
    cache.set_many(keys, keys)
    resident = np.array(list(cache), np.int64)
    evictions = cache.stats().evictions
    cache.set_many(resident, resident + 1)
    assert cache.stats().evictions == evictions
    assert (cache.get_many(resident)[0] == resident + 1).all()
    assert cache.delete_many(resident).all()
    assert len(cache) == 0
    assert not cache.contains_many(keys).any()
    cache.set_many(resident, resident)
    assert sorted(cache) == sorted(resident.tolist())


def test_one_batch_larger_than_the_cache() -> None:
    cache = open_cache(33, seed=5)
    keys = random_keys(1_000, seed=6)
    stored, evicted = cache.set_many(keys, keys, return_evicted=True)
    assert stored.all()
    assert len(cache) == 33
    assert (evicted.keys == evicted.values).all()
    assert sorted([*evicted.keys.tolist(), *cache]) == sorted(keys.tolist())
