"""What curves promise: every sentence is a test, named after it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import predis_core as predis
from predis_core.adapt.estimate import Truth
from predis_core.adapt.reuse import ReuseDistances
from predis_core.table.interface import Int64s

ROWS = predis.Rows("int64", ())
POINTS = 1.5


def zipf(requests: int, keys: int) -> Int64s:
    weights = np.arange(1.0, keys + 1) ** -0.7
    ranks = np.random.default_rng(3).choice(keys, requests, p=weights / weights.sum())
    return ranks.astype(np.int64)


def drifting(requests: int, keys: int) -> Int64s:
    """A window of keys that moves on: most lookups are of late ones."""
    ago = np.random.default_rng(4).exponential(keys / 20, requests).astype(np.int64)
    return np.arange(requests, dtype=np.int64) * keys // requests - ago


def scans(requests: int, keys: int) -> Int64s:
    """A third of the lookups goes round and round over a fifth of the keys."""
    words = zipf(requests, keys * 4 // 5)
    at = np.arange(0, requests, 3)
    words[at] = keys + np.arange(len(at)) % (keys // 5)
    return words


def followed(words: Int64s, sampling: float, seed: int, policy: str = "lru") -> Any:
    """Return the curve of a cache that holds a tenth of the keys, and its miss ratio."""
    capacity = len(np.unique(words)) // 10
    with predis.Cache(capacity, policy=policy, value=ROWS, seed=seed, sampling=sampling) as cache:
        for part in np.array_split(words, max(1, len(words) // 2_000)):
            _, hit = cache.get_many(part)
            cache.set_many(part[~hit], part[~hit])
        return cache.miss_ratio_curve(), cache.stats().miss_ratio


def true_ratios(words: Int64s, sizes: Int64s) -> Any:
    reuse = ReuseDistances(1.0, 0, keys=1 << 20)
    reuse.feed(words, np.zeros(len(words), bool), Truth(len(words), len(words)))
    return reuse.curve(sizes).miss_ratios


def even(words: Int64s) -> Int64s:
    distinct = len(np.unique(words))
    return np.linspace(distinct / 100, distinct, 100).astype(np.int64)


@pytest.mark.parametrize("workload", [zipf, drifting, scans])
def test_the_online_curve_of_lru_is_within_1_5_points_of_the_true_one_at_1_percent_sampling(
    workload: Any,
) -> None:
    words = workload(800_000, 150_000)
    sizes = even(words)
    assert sizes[-1] >= 100_000
    true = true_ratios(words, sizes)
    off = []
    for seed in range(5):
        curve, _ = followed(words, 0.01, seed)
        assert 0.009 < curve.rate < 0.011
        off.append(100 * np.abs(curve.miss_ratio(sizes) - true).mean())
    assert np.mean(off) < POINTS


def test_with_full_sampling_the_online_curve_of_lru_is_the_true_one() -> None:
    words = scans(60_000, 8_000)
    curve, _ = followed(words, 1.0, 1)
    assert curve.miss_ratios.tolist() == pytest.approx(true_ratios(words, curve.sizes).tolist())


def test_the_live_policys_own_curve_is_published_beside_it() -> None:
    words = zipf(200_000, 20_000)
    curve, missed = followed(words, 0.2, 1, "s3fifo")
    assert curve.policy == "lru"
    assert curve.live.policy == "s3fifo"
    capacity = len(np.unique(words)) // 10
    assert curve.live.miss_ratio(capacity) == pytest.approx(missed, abs=0.01)


def test_a_curve_comes_with_an_error_estimate_that_full_sampling_brings_to_zero() -> None:
    words = zipf(100_000, 10_000)
    exact, _ = followed(words, 1.0, 1)
    some, _ = followed(words, 0.1, 1)
    assert not exact.error.any()
    assert (some.error >= 0).all()
    assert 0.0005 < some.error.mean() < 0.05
