"""A cache on a GPU whose lookups are followed: what it learns is what one on the CPU learns."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

import predis_core as predis
from predis_core import policies
from predis_core.errors import PolicyError
from predis_core.table.cuda.shared import SharedGpuTable
from tests.host.test_samplers import taker
from tests.integration.test_auto import EITHER
from tests.integration.test_curves import through, zipf
from tests.support.crew import wait_until
from tests.support.dumps import assert_same_dump
from tests.support.gpu import open_on_host
from tests.support.shelf import Shelf

ROWS = predis.Rows("int64", ())


def opened(device: str, **options: Any) -> predis.Cache[int, int]:
    return predis.Cache(300, value=ROWS, seed=1, device=device, **options)


def test_curves_are_those_of_a_cache_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    open_on_host(monkeypatch)
    words, sizes, curves = zipf(12_000, 2_000), np.array([50, 300, 900]), []
    for device in ("cpu", "cuda"):
        with opened(device, policy="lru", sampling=0.5) as cache:
            assert isinstance(cache._table, SharedGpuTable) == (device == "cuda")
            through(cache, words[:6_000])
            cache.resize(500)
            through(cache, words[6_000:])
            curves.append(cache.miss_ratio_curve(sizes))
            assert cache.size_for(0.5) > 1
    one, other = curves
    assert (one.requests, one.sampled, one.lost) == (other.requests, other.sampled, other.lost)
    assert one.miss_ratios.tolist() == other.miss_ratios.tolist()
    assert one.lost == 0


def test_what_waits_is_drained_in_the_background(monkeypatch: pytest.MonkeyPatch) -> None:
    open_on_host(monkeypatch)
    with opened("cuda", policy="lru", sampling=1.0) as cache:
        through(cache, np.arange(2_000) % 50)
        curves = cache._curves
        assert curves is not None
        wait_until(lambda: curves.keys == 50)


def test_samplers_of_plugins_are_given_what_the_gpu_noted(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_on_host(monkeypatch)
    module = taker(shelf, stream="keys", rate=1.0, interval=0.01)
    rows = {"kind": "rows", "dtype": "int64"}
    section = {"capacity": 30, "policy": "lru", "value": rows, "device": "cuda"}
    with predis.open({"cache": section, "plugins": {"taker": {}}}) as cache:
        assert isinstance(cache._table, SharedGpuTable)
        cache[5] = 1
        cache.get_many([5, 6, 5])
        wait_until(lambda: bool(module.GOT))
    sample = module.GOT[0]
    assert sample.words.tolist() == [5, 6, 5]
    assert sample.hits.tolist() == [True, False, True]


# ---------------------------------------------------------------------- auto


def chosen(device: str) -> predis.Cache[int, int]:
    """Return a cache that takes its turns when told to."""
    cache = opened(device, policy=EITHER)
    cache._chosen()
    return cache


def test_auto_chooses_as_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    open_on_host(monkeypatch)
    caches = [chosen("cpu"), chosen("cuda")]
    policies_of: list[list[str]] = [[], []]
    keys = np.arange(12_000) % 420
    for cache, had in zip(caches, policies_of, strict=True):
        for low in range(0, len(keys), 100):
            asked = keys[low : low + 100]
            _, hit = cache.get_many(asked)
            cache.set_many(asked[~hit], asked[~hit])
            if low % 1_000 == 0:
                cache._adapt()
                had.append(cache.policy)
    assert policies_of[0] == policies_of[1]
    assert policies_of[1][-1] == "lirs"
    assert_same_dump(caches[0]._table.dump(), caches[1]._table.dump())
    for cache in caches:
        cache.resize(500)
        assert cache.policy == "lirs"
    assert_same_dump(caches[0]._table.dump(), caches[1]._table.dump())


@pytest.mark.adapts
def test_it_happens_in_the_background(monkeypatch: pytest.MonkeyPatch) -> None:
    open_on_host(monkeypatch)
    with opened("cuda", policy=EITHER) as cache:
        keys = np.arange(4_200) % 420

        def changes() -> bool:
            through(cache, keys, batch=100)
            return cache.policy == "lirs"

        wait_until(changes)


def test_a_candidate_that_cannot_be_translated_is_refused_at_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    open_on_host(monkeypatch)

    def rank(meta: int, tick: int, state: int, total: int, parameters: Any) -> int:
        found = 0
        for _ in range(3):
            found += meta
        return found

    looped = dataclasses.replace(policies.get("fifo"), name="looped", rank=rank)
    either = policies.auto(policies.get("lru"), looped)
    with pytest.raises(PolicyError, match="policy 'looped': rank cannot run on the GPU"):
        opened("cuda", policy=either)
    assert not isinstance(opened("auto", policy=either)._table, SharedGpuTable)
    assert "policy 'looped': rank cannot run on the GPU" in caplog.text
