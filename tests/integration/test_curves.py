"""Curves of a cache that works: every lookup counts, whichever face it came by."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import predis_core as predis
from predis_core.adapt.estimate import Truth
from predis_core.adapt.reuse import ReuseDistances
from predis_core.errors import CacheClosed, ConfigurationError, CurveError
from predis_core.table.interface import Int64s
from tests.support.crew import wait_until

ROWS = predis.Rows("int64", ())


def zipf(requests: int, keys: int, seed: int = 0) -> Int64s:
    weights = np.arange(1.0, keys + 1) ** -0.8
    ranks = np.random.default_rng(seed).choice(keys, requests, p=weights / weights.sum())
    return ranks.astype(np.int64)


def through(cache: Any, words: Int64s, batch: int = 500) -> None:
    """Send a stream through: look up, then store what was missed."""
    for part in np.array_split(words, max(1, len(words) // batch)):
        _, hit = cache.get_many(part)
        cache.set_many(part[~hit], part[~hit])


def true_curve(words: Int64s) -> ReuseDistances:
    reuse = ReuseDistances(1.0, 0)
    reuse.feed(words, np.zeros(len(words), bool), Truth(len(words), len(words)))
    return reuse


def test_with_full_sampling_the_curve_is_that_of_lru_exactly() -> None:
    words = zipf(40_000, 3_000)
    with predis.Cache(500, policy="lru", value=ROWS, seed=1, sampling=1.0) as cache:
        through(cache, words)
        curve = cache.miss_ratio_curve()
        assert (curve.policy, curve.requests, curve.sampled) == ("lru", 40_000, 40_000)
        assert (curve.rate, curve.lost) == (1.0, 0)
        true = true_curve(words).curve(curve.sizes)
        assert curve.miss_ratios.tolist() == pytest.approx(true.miss_ratios.tolist())
        assert not curve.error.any()


def test_single_lookups_of_str_keys_are_followed_too() -> None:
    words = zipf(3_000, 200).tolist()
    cache: predis.Cache[str, int] = predis.Cache(100, seed=1, sampling=1)
    for word in words:
        cache.get_or_load(str(word), lambda ids: [0] * len(ids))
    curve = cache.miss_ratio_curve([1, 10, 50, 200])
    true = true_curve(np.array(words)).curve(np.array([1, 10, 50, 200]))
    assert curve.miss_ratios.tolist() == pytest.approx(true.miss_ratios.tolist())
    assert curve.live is not None
    assert curve.live.policy == cache.policy == "density"


def test_the_live_curve_goes_through_what_the_cache_did() -> None:
    words = zipf(300_000, 30_000)
    with predis.Cache(3_000, policy="s3fifo", value=ROWS, seed=1, sampling=0.2) as cache:
        through(cache, words, batch=100)
        live = cache.miss_ratio_curve().live
        assert live is not None
        assert live.sizes[0] == pytest.approx(375, rel=0.02)
        assert live.sizes[-1] == pytest.approx(12_000, rel=0.02)
        assert len(live.sizes) == 8
        assert live.miss_ratio(3_000) == pytest.approx(cache.stats().miss_ratio, abs=0.01)


def test_a_size_for_a_hit_ratio_is_one_that_has_it() -> None:
    words = zipf(200_000, 10_000)
    with predis.Cache(1_000, policy="s3fifo", value=ROWS, seed=1, sampling=0.3) as cache:
        through(cache, words, batch=100)
        for wanted in (0.5, 0.6, 0.65):
            size = cache.size_for(wanted)
            with predis.Cache(size, policy="s3fifo", value=ROWS, seed=2) as other:
                through(other, words, batch=100)
                assert other.stats().hit_ratio == pytest.approx(wanted, abs=0.015)


def test_a_hit_ratio_beyond_what_was_simulated_is_read_off_the_curve_of_lru() -> None:
    words = zipf(100_000, 4_000)
    with predis.Cache(100, policy="s3fifo", value=ROWS, seed=1, sampling=1.0) as cache:
        through(cache, words)
        curve = cache.miss_ratio_curve()
        assert curve.live is not None
        assert 1 - curve.live.miss_ratios[-1] < 0.9
        assert cache.size_for(0.9) == curve.size_for(0.9)
        with pytest.raises(CurveError, match=r"hit_ratio: 0\.999 is out of reach: lru has"):
            cache.size_for(0.999)


def test_what_waits_is_drained_in_the_background(begun: Callable[[], list[str]]) -> None:
    with predis.Cache(100, value=ROWS, seed=1, sampling=1.0) as cache:
        assert begun() == ["predis-drains"]
        through(cache, np.arange(5_000) % 50)
        curves = cache._curves
        assert curves is not None
        wait_until(lambda: curves.keys == 50)
    wait_until(lambda: not begun())


@pytest.mark.watches_lifetime
def test_the_thread_ends_with_the_last_cache_that_is_sampled(
    begun: Callable[[], list[str]],
) -> None:
    first = predis.Cache(100, value=ROWS, sampling=0.5)
    second = predis.Cache(100, value=ROWS, sampling=0.5)
    first.close()
    first.close()
    assert begun() == ["predis-drains"]
    gone = weakref.ref(second)
    del second

    def is_gone() -> bool:  # the thread may be at the cache's work, and has it for as long
        gc.collect()
        return gone() is None

    wait_until(is_gone)
    wait_until(lambda: not begun())


def test_a_resize_keeps_the_curve_and_simulates_around_the_new_capacity() -> None:
    words = zipf(30_000, 2_000)
    with predis.Cache(400, value=ROWS, seed=1, sampling=1.0) as cache:
        through(cache, words)
        before = cache.miss_ratio_curve(np.array([100, 1_000]))
        cache.resize(1_000)
        after = cache.miss_ratio_curve(np.array([100, 1_000]))
        assert after.miss_ratios.tolist() == before.miss_ratios.tolist()
        assert after.requests == before.requests
        assert after.live is None
        through(cache, words)
        live = cache.miss_ratio_curve().live
        assert live is not None
        assert live.sizes.tolist() == [125, 250, 500, 750, 1_000, 1_500, 2_000, 4_000]
        assert live.requests == 30_000


def test_lookups_that_come_too_fast_lower_the_rate_and_are_told_of(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("predis_core.adapt.draining._MOST_WAITING", 1 << 14)
    monkeypatch.setattr("predis_core.curves.INTERVAL", 3_600.0)
    words = zipf(400_000, 20_000)
    with predis.Cache(2_000, value=ROWS, seed=1, sampling=1.0) as cache:
        for part in np.array_split(words, 8):
            through(cache, part)
            curve = cache.miss_ratio_curve()
        assert curve.lost > 0
        assert curve.rate < 0.5
        assert curve.requests < 400_000
        assert curve.live is not None
        assert curve.live.rate <= curve.rate
        sizes = np.array([2_000, 5_000, 10_000])
        true = true_curve(words).curve(sizes).miss_ratios
        assert np.abs(curve.miss_ratio(sizes) - true).max() < 0.08


def test_a_curve_without_samples_says_so() -> None:
    with predis.Cache(1_000, value=ROWS, seed=1, sampling=0.01) as cache:
        with pytest.raises(CurveError) as raised:
            cache.miss_ratio_curve()
        assert str(raised.value) == "no key was looked up so far of those that are sampled"
        cache.get_many(np.arange(1_000))
        with pytest.raises(CurveError) as raised:
            cache.size_for(0.5)
        assert str(raised.value).endswith(
            " keys were sampled so far, and a curve needs 64: ask again later, or raise sampling, "
            "which is 0.01 now"
        )


def test_without_sampling_there_is_no_curve_and_the_error_has_the_fix() -> None:
    with predis.Cache(100) as cache:
        for ask in (cache.miss_ratio_curve, lambda: cache.size_for(0.9)):
            with pytest.raises(ConfigurationError) as raised:
                ask()
            assert str(raised.value) == (
                "sampling: is off; open the cache with Cache(..., sampling=0.01), or with "
                "sampling = 0.01 in [cache]"
            )


def test_a_namespace_has_no_curve_of_its_own() -> None:
    with predis.Cache(100, value=ROWS, sampling=1.0) as cache:
        with pytest.raises(ConfigurationError) as raised:
            cache.namespace("acme").miss_ratio_curve()
        assert str(raised.value) == (
            "sampling: a namespace has no curve of its own; ask the cache that it is of"
        )


def test_a_closed_cache_has_no_curve() -> None:
    cache: predis.Cache[int, int] = predis.Cache(100, sampling=1.0)
    cache.close()
    with pytest.raises(CacheClosed):
        cache.miss_ratio_curve()


@pytest.mark.parametrize("wrong", [0, -0.5, 1.5, True, "1%", float("nan")])
def test_a_share_that_is_none_is_refused(wrong: Any) -> None:
    with pytest.raises(ConfigurationError) as raised:
        predis.Cache(100, sampling=wrong)
    assert str(raised.value) == (
        f"sampling: expected a share of the keys, above 0 and at most 1, got {wrong!r}"
    )


@pytest.mark.parametrize("wrong", [[], [0, 5], [5, 5], [[1]], [1.5], 7])
def test_sizes_that_do_not_ascend_are_refused(wrong: Any) -> None:
    with predis.Cache(100, value=ROWS, sampling=1.0) as cache:
        with pytest.raises(CurveError) as raised:
            cache.miss_ratio_curve(wrong)
        assert str(raised.value) == (f"sizes: expected integers >= 1 that ascend, got {wrong!r}")


def test_a_configuration_switches_sampling_on() -> None:
    section = {"capacity": 100, "sampling": 1, "value": {"kind": "rows", "dtype": "int64"}}
    with predis.open({"cache": section}) as cache:
        through(cache, np.arange(1_000) % 10)
        assert cache.size_for(0.99) == 10
    with pytest.raises(ConfigurationError, match=r"cache\.sampling"):
        predis.open({"cache": section | {"sampling": 2}})
