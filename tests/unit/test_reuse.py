"""Reuse distances against a list that is searched, and what a bounded sample makes of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from predis_core.adapt.estimate import Truth
from predis_core.adapt.reuse import ReuseDistances
from predis_core.table.interface import Int64s


def lru_misses(words: list[int], size: int) -> int:
    """Replay into an LRU cache: the definition."""
    stack: list[int] = []
    misses = 0
    for word in words:
        if word in stack:
            stack.remove(word)
        else:
            misses += 1
        stack.insert(0, word)
        del stack[size:]
    return misses


def fed(words: Int64s, rate: float = 1.0, seed: int = 1, **options: int) -> ReuseDistances:
    """Follow a stream of which the live cache misses all."""
    reuse = ReuseDistances(rate, seed, **options)
    for part in np.array_split(words, 3):
        reuse.feed(part, np.zeros(len(part), bool), Truth(len(part), len(part)))
    return reuse


def zipf(requests: int, keys: int, exponent: float = 0.8, seed: int = 0) -> Int64s:
    weights = np.arange(1.0, keys + 1) ** -exponent
    ranks = np.random.default_rng(seed).choice(keys, requests, p=weights / weights.sum())
    return ranks.astype(np.int64) * 7_919


@settings(deadline=None)
@given(st.lists(st.integers(-(2**63), 2**63 - 1) | st.integers(0, 12), min_size=1, max_size=200))
def test_with_full_sampling_the_curve_is_that_of_lru_at_every_size(words: list[int]) -> None:
    sizes = np.arange(1, 40)
    curve = fed(np.array(words, np.int64)).curve(sizes)
    expected = [lru_misses(words, size) / len(words) for size in sizes.tolist()]
    assert curve.miss_ratios.tolist() == pytest.approx(expected, abs=1e-12)
    assert not curve.error.any()
    assert (curve.requests, curve.sampled, curve.rate) == (len(words), len(words), 1.0)


def test_it_stays_exact_while_arrays_grow_and_places_are_numbered_anew() -> None:
    words = zipf(30_000, 6_000)
    sizes = np.array([1, 10, 100, 1_000, 2_500, 6_000])
    curve = fed(words).curve(sizes)
    expected = [lru_misses(words[:3_000].tolist(), int(size)) / 3_000 for size in sizes]
    assert fed(words[:3_000]).curve(sizes).miss_ratios.tolist() == pytest.approx(expected)
    last: dict[int, int] = {}
    cold = sum(last.setdefault(word, at) == at for at, word in enumerate(words.tolist()))
    assert curve.miss_ratios[-1] == pytest.approx(cold / len(words))


@pytest.mark.parametrize("options", [{"rate": 0.1}, {"rate": 1.0, "keys": 2_000}])
def test_a_sample_is_within_two_points_of_the_truth(options: dict[str, float]) -> None:
    words = zipf(400_000, 20_000)
    sizes = np.linspace(200, 20_000, 50).astype(np.int64)
    true = fed(words).curve(sizes).miss_ratios
    off = []
    for seed in range(5):
        reuse = fed(words, seed=seed, **options)  # type: ignore[arg-type]
        curve = reuse.curve(sizes)
        off.append(np.abs(curve.miss_ratios - true).mean())
        assert 0.03 < curve.rate < 0.11
        assert (curve.error > 0).all()
        assert (np.diff(curve.miss_ratios) <= 0).all()
    assert np.mean(off) < 0.02


def test_memory_is_bounded_by_the_keys_that_are_followed() -> None:
    reuse = fed(np.arange(300_000), keys=1_000)
    assert reuse.rate < 0.01
    assert reuse.nbytes < 200_000
    assert fed(np.arange(300_000)).nbytes < 6 << 20
    assert reuse.curve(np.array([10, 1_000_000])).miss_ratios.tolist() == [1.0, 1.0]


def test_errors_are_about_as_large_as_the_deviations() -> None:
    words = zipf(300_000, 30_000)
    sizes = np.linspace(1_000, 30_000, 30).astype(np.int64)
    true = fed(words).curve(sizes).miss_ratios
    curves = [fed(words, rate=0.05, seed=seed).curve(sizes) for seed in range(12)]
    deviation = np.sqrt(np.mean([(curve.miss_ratios - true) ** 2 for curve in curves]))
    said = np.sqrt(np.mean([curve.error**2 for curve in curves]))
    assert 0.4 < said / deviation < 2.5


def test_a_lower_rate_from_now_on_follows_fewer_keys() -> None:
    words = zipf(100_000, 5_000)
    reuse = fed(words)
    reuse.lower(0.25)
    assert reuse.rate == 0.25
    reuse.lower(0.5)
    assert reuse.rate == 0.25
    reuse.feed(words, np.zeros(len(words), bool), Truth(len(words), len(words)))
    sizes = np.array([500, 1_000, 3_000])
    true = fed(np.append(words, words)).curve(sizes).miss_ratios
    assert np.abs(reuse.curve(sizes).miss_ratios - true).max() < 0.05


def test_sizes_are_distinct_and_end_where_nothing_changes_any_more() -> None:
    curve = fed(np.tile(np.arange(50), 4)).curve()
    assert curve.sizes.tolist() == list(range(1, 51))
    assert curve.miss_ratios.tolist() == [1.0] * 49 + [0.25]
    assert fed(np.arange(9)).curve().sizes.tolist() == [1]


def test_where_fewer_keys_cannot_be_told_apart_all_begin_anew() -> None:
    lowest = 2.0**-20
    words = np.arange(8_000_000)
    reuse = fed(words, rate=lowest, keys=2)
    assert reuse.rate == lowest
    assert reuse.keys > 2
    curve = reuse.curve(np.array([1]))
    assert curve.sampled == reuse.keys
