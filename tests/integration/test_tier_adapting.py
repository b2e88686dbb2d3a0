"""A cache with a tier whose policy is a choice: both tables get the one that suits the whole."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pytest

import predis_core as predis
from predis_core import policies
from predis_core.errors import PolicyError
from predis_core.tiers import TierRequest, in_memory
from tests.integration.test_auto import EITHER
from tests.integration.test_curves import through
from tests.support.crew import wait_until
from tests.support.gpu import open_on_host
from tests.support.tiers import open_tiered

LRU, LIRS = EITHER.candidates
LOOP = np.arange(30_000) % 700


@pytest.fixture(params=["cpu", "cuda"])
def device(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """What the table above is on."""
    if request.param == "cuda":
        open_on_host(monkeypatch)
    return str(request.param)


def opened(**options: Any) -> predis.Cache[Any, Any]:
    """A cache that takes its turns when told to."""
    cache = open_tiered(50, 500, **{"policy": EITHER, "seed": 1} | options)
    cache._chosen()
    return cache


def ask(cache: predis.Cache[Any, Any], keys: np.ndarray[Any, Any]) -> float:
    """Look keys up in batches, store what is missing, adapt now and then; return the hit ratio."""
    hits = 0
    for low in range(0, len(keys), 100):
        asked = keys[low : low + 100]
        found, hit = cache.get_many(asked)
        assert (found[hit] == 3 * asked[hit]).all()
        cache.set_many(asked[~hit], 3 * asked[~hit])
        hits += int(hit.sum())
        if low % 1_000 == 0:
            cache._adapt()
    return hits / len(keys)


def tables(cache: predis.Cache[Any, Any]) -> tuple[Any, Any]:
    table: Any = cache._table
    return table.upper, table.lower


def test_both_take_the_policy_that_suits_the_whole(device: str) -> None:
    keys = LOOP[:12_000]
    cache, lru = opened(device=device), opened(policy="lru", device=device)
    assert cache.policy == "lru"
    ask(cache, keys)
    assert cache.policy == "lirs"
    assert [table.policy.name for table in tables(cache)] == ["lirs", "lirs"]
    assert ask(cache, keys) > ask(lru, keys) + 0.2
    cache.check_invariants()


def test_a_change_keeps_entries_copies_and_pins() -> None:
    cache = opened()
    ask(cache, np.arange(400))
    held = dict(cache.items())
    with cache.pinned([7]):
        copies = [set(table.export(0).keys.words.tolist()) for table in tables(cache)]
        for policy in (LIRS, LRU, LIRS):
            cache._change_policy(policy)
            assert cache.policy == policy.name
            assert dict(cache.items()) == held
            after = [set(table.export(0).keys.words.tolist()) for table in tables(cache)]
            assert after == copies
        cache.set_many(np.arange(10_000, 20_000), np.arange(10_000))
        assert cache[7] == 21
    cache.check_invariants()


def test_a_resize_and_a_namespace_after_a_change(device: str) -> None:
    cache = opened(device=device)
    cache._change_policy(LIRS)
    cache.resize(800, above=80)
    assert cache.policy == "lirs"
    assert [table.policy.name for table in tables(cache)] == ["lirs", "lirs"]
    space = cache.namespace("other")
    assert space.policy == "lru"
    assert space._table.candidates == EITHER.candidates
    cache.check_invariants()


def test_a_change_that_failed_in_one_table_is_made_good(monkeypatch: pytest.MonkeyPatch) -> None:
    cache = opened()
    upper, lower = tables(cache)

    def fails(policy: Any) -> Any:
        raise PolicyError("not now")

    with monkeypatch.context() as patch:
        patch.setattr(upper, "switch", fails)
        with pytest.raises(PolicyError, match="not now"):
            cache._change_policy(LIRS)
    assert (upper.policy, lower.policy, cache.policy) == (LRU, LIRS, "lru")
    cache.check_invariants()
    cache._change_policy(LIRS)
    assert (upper.policy, lower.policy, cache.policy) == (LIRS, LIRS, "lirs")


@pytest.mark.adapts
def test_it_happens_in_the_background(device: str) -> None:
    with open_tiered(50, 300, policy=EITHER, seed=1, device=device) as cache:
        keys = np.arange(4_200) % 420

        def changes() -> bool:
            through(cache, keys, batch=100)
            return cache.policy == "lirs"

        wait_until(changes)


def test_another_policy_than_the_candidates_is_refused() -> None:
    cache = opened()
    table: Any = cache._table
    with pytest.raises(PolicyError):
        list(table.switch(policies.get("fifo")))
    assert cache.policy == "lru"


class Fixed:
    """A tier whose policy cannot change."""

    def __init__(self, request: TierRequest) -> None:
        assert request.policy == LRU
        assert request.given == EITHER
        self._table = in_memory(request)

    def __getattr__(self, name: str) -> Any:
        if name in ("prepare", "switch"):
            raise AttributeError(name)
        return getattr(self._table, name)


def plain(request: TierRequest) -> Any:
    """Make a tier as those do who know of one policy only."""
    return in_memory(
        TierRequest(request.cache, request.layout, request.policy, request.seed, request.row)
    )


@pytest.mark.parametrize("tier", [Fixed, plain])
def test_over_a_tier_that_knows_one_policy_the_first_candidate_stays(
    tier: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "predis")
    cache = opened(tier=tier)
    assert cache._choosing is None
    assert cache._table.candidates == (LRU,)
    ask(cache, LOOP[:2_000])
    assert cache.policy == "lru"
    assert caplog.messages == []
