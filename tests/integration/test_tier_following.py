"""A cache with a tier whose lookups are followed: each is one, whichever table answered it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import predis_core as predis
from predis_core import Cache
from predis_core.table.interface import Keys, Sampled
from predis_core.tiers import TierRequest, in_memory
from predis_core.tiers.noting import Notes
from predis_core.tiers.tiered import TieredTable
from tests.host.test_samplers import taker
from tests.integration.test_curves import through, zipf
from tests.support.crew import wait_until
from tests.support.gpu import open_on_host
from tests.support.shelf import Shelf
from tests.support.tiers import open_tiered

ROWS = predis.Rows("int64")


class Counted:
    """A tier with the verbs that every tier has: to follow lookups takes no more."""

    def __init__(self, request: TierRequest) -> None:
        self._table = in_memory(request)

    def __getattr__(self, name: str) -> Any:
        if name in ("sample_keys", "drain_sampled", "like", "move_to", "switch", "prepare"):
            raise AttributeError(name)
        return getattr(self._table, name)


def pair(device: str = "cpu", **options: Any) -> list[Cache[int, int]]:
    """Return a cache with one table, and one with a tier that evicts the same."""
    given: dict[str, Any] = {"policy": "fifo", "seed": 1} | options
    return [
        Cache(300, value=ROWS, device="cpu", **given),
        open_tiered(30, 300, device=device, tier=Counted, **given),
    ]


def noted(cache: Cache[Any, Any]) -> Sampled:
    table: Any = cache._table
    lookups, until, lost = table.drain_sampled(0)
    assert (until, lost) == (len(lookups.words), 0)
    return lookups  # type: ignore[no-any-return]


@pytest.mark.parametrize("rate", [1.0, 0.3])
def test_the_lookups_are_those_of_one_table(rate: float) -> None:
    one, other = caches = pair()
    for cache in caches:
        table: Any = cache._table
        table.sample_keys(rate, 1 << 14)
        through(cache, zipf(6_000, 2_000), batch=70)
    mine, its = noted(other), noted(one)
    assert mine.words.tolist() == its.words.tolist()
    assert mine.hits.tolist() == its.hits.tolist()
    assert 0 < mine.hits.sum() < len(mine.hits)
    assert (np.diff(mine.ticks) >= 0).all()
    upper, lower = other.tiers()
    assert min(upper.hits, lower.hits) > 0
    assert other.stats().hits == one.stats().hits
    assert other.stats().misses == one.stats().misses


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_the_curve_is_that_of_the_whole(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    open_on_host(monkeypatch)
    words, sizes, curves = zipf(12_000, 2_000), np.array([50, 300, 900]), []
    for cache in pair(device, sampling=0.5):
        with cache:
            through(cache, words)
            curves.append(cache.miss_ratio_curve(sizes))
            assert cache.size_for(0.5) > 1
    one, other = curves
    assert (one.requests, one.sampled, one.lost) == (other.requests, other.sampled, other.lost)
    assert one.miss_ratios.tolist() == other.miss_ratios.tolist()
    assert one.live is not None
    assert other.live is not None
    assert one.live.miss_ratios.tolist() == other.live.miss_ratios.tolist()


def test_a_resize_keeps_the_curve() -> None:
    with open_tiered(30, 300, policy="lru", seed=1, sampling=1.0) as cache:
        words = zipf(6_000, 1_000)
        through(cache, words[:3_000])
        cache.resize(600, above=50)
        through(cache, words[3_000:])
        curve = cache.miss_ratio_curve()
        assert (curve.requests, curve.sampled) == (6_000, 6_000)


def test_what_waits_is_drained_in_the_background() -> None:
    with open_tiered(10, 100, policy="lru", seed=1, sampling=1.0) as cache:
        through(cache, np.arange(2_000) % 50)
        curves = cache._curves
        assert curves is not None
        wait_until(lambda: curves.keys == 50)


def test_samplers_of_plugins_are_given_what_both_answered(shelf: Shelf) -> None:
    module = taker(shelf, stream="keys", rate=1.0, interval=0.01)
    rows = {"kind": "rows", "dtype": "int64"}
    section = {"capacity": 1, "host_capacity": 30, "policy": "lru", "value": rows}
    plain = {"cache": section | {"device": "cpu"}, "plugins": {"taker": {}}}
    with pytest.MonkeyPatch.context() as patch:
        open_on_host(patch)
        with predis.open(plain | {"cache": section | {"device": "cuda"}}) as cache:
            assert isinstance(cache._table, TieredTable)
            cache.set_many([4, 5], [1, 1])
            cache.get_many([4, 6, 5])
            wait_until(lambda: bool(module.GOT))
    sample = module.GOT[0]
    assert sample.words.tolist() == [4, 6, 5]
    assert sample.hits.tolist() == [True, False, True]


def test_loads_are_noted_once_and_what_is_not_wanted_never() -> None:
    cache = open_tiered(10, 100, policy="lru", seed=1)
    table: Any = cache._table
    cache.get_many([1, 2])
    before = cache.nbytes
    table.sample_keys(1.0, 100)
    assert cache.nbytes == before + 128 * 16
    cache.get_or_load_many([1, 2, 1], lambda ids: ids)
    cache.contains_many([1])
    cache.touch_many([1])
    table.sample_keys(0, 100)
    cache.get_many([1])
    lookups = noted(cache)
    assert lookups.words.tolist() == [1, 2, 1]
    assert not lookups.hits.any()


# ---------------------------------------------------------------------- the ring


def some(first: int, count: int) -> tuple[Any, Any]:
    words = np.arange(first, first + count)
    return words, words % 2 == 0


def test_the_oldest_lookups_make_room_and_are_counted() -> None:
    notes = Notes(7)
    notes.want(1.0, 6)  # there is room for eight
    notes.note(*some(0, 5), 10)
    (words, ticks, hits), since, lost = notes.read(0)
    assert (words.tolist(), ticks.tolist(), since, lost) == ([0, 1, 2, 3, 4], [10] * 5, 5, 0)
    assert hits.tolist() == [True, False, True, False, True]
    notes.note(*some(5, 6), 15)
    notes.note(*some(11, 20), 21)
    (words, ticks, hits), since, lost = notes.read(since)
    assert (words.tolist(), since, lost) == (list(range(23, 31)), 31, 18)
    assert ticks.tolist() == [21] * 8
    assert notes.read(since)[0].words.tolist() == []
    assert notes.read(1 << 62)[1] == 31


def test_before_anybody_wants_any_there_are_none() -> None:
    notes = Notes(7)
    notes.note(*some(0, 5), 1)
    (words, _, _), since, lost = notes.read(0)
    assert (words.tolist(), since, lost) == ([], 0, 0)


def test_the_keys_are_those_of_a_table() -> None:
    one = Cache[int, int](100, value=ROWS, seed=3, device="cpu")
    table: Any = one._table
    notes = Notes(table.seed)
    words, _ = some(0, 5_000)
    for rate in (0.5, 0.01):
        for want in (table.sample_keys, notes.want):
            want(rate, 1 << 13)
        hit = one._table.fetch(Keys(words), 0, np.empty(len(words), np.int64), zero=False)
        notes.note(words, hit, 0)
    assert notes.read(0)[0].words.tolist() == table.drain_sampled(0)[0].words.tolist()
