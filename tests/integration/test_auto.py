"""A cache whose policy is "auto": it has the policy that suits it, and keeps what it holds."""

from __future__ import annotations

import dataclasses
import re
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import predis_core as predis
from predis_core import policies
from predis_core.errors import PolicyError
from predis_core.policies.choice import auto
from tests.support.crew import PATIENCE

CAPACITY = 500
EITHER = auto(policies.get("lru"), policies.get("lirs"))


def opened(**options: Any) -> predis.Cache[Any, Any]:
    """A cache that takes its turns when told to, not in the background."""
    options = {"value": predis.Rows("int64", ()), "keys": "int64", "policy": EITHER} | options
    cache: predis.Cache[Any, Any] = predis.Cache(CAPACITY, **options)
    cache._chosen()
    return cache


def ask(cache: predis.Cache[Any, Any], keys: np.ndarray[Any, Any]) -> float:
    """Look keys up in batches, store what is missing, adapt now and then; return the hit ratio."""
    hits = 0
    for low in range(0, len(keys), 50):
        asked = keys[low : low + 50]
        found, hit = cache.get_many(asked)
        assert (found[hit] == 3 * asked[hit]).all()
        cache.set_many(asked[~hit], 3 * asked[~hit])
        hits += int(hit.sum())
        if low % 1000 == 0:
            cache._adapt()
    return hits / len(keys)


def loop(requests: int = 30_000) -> np.ndarray[Any, Any]:
    return np.arange(requests) % 700


def test_a_cache_takes_the_policy_that_suits_it_and_keeps_its_entries() -> None:
    cache, lru = opened(), opened(policy="lru")
    assert cache.policy == "lru"
    ask(cache, loop())
    assert cache.policy == "lirs"
    assert ask(cache, loop()) > ask(lru, loop()) + 0.3
    held = dict(cache.items())
    cache._change_policy(policies.get("lru"))
    assert dict(cache.items()) == held
    assert cache.policy == "lru"
    cache.check_invariants()


@pytest.mark.adapts
def test_it_happens_in_the_background() -> None:
    cache: predis.Cache[Any, Any] = predis.Cache(
        CAPACITY, policy=EITHER, value=predis.Rows("int64", ())
    )
    patience = time.monotonic() + PATIENCE  # kernels may have to be compiled
    while cache.policy == "lru" and time.monotonic() < patience:
        keys = loop(7_000)
        for low in range(0, len(keys), 50):
            asked = keys[low : low + 50]
            _, hit = cache.get_many(asked)
            cache.set_many(asked[~hit], asked[~hit])
    assert cache.policy == "lirs"
    cache.close()


def test_while_nothing_leaves_it_has_the_policy_at_rest() -> None:
    lru, lirs = policies.get("lru"), policies.get("lirs")
    cache = opened(policy=auto(lru, lirs, at_rest=lirs), seed=1)
    assert cache.policy == "lru"
    for _ in range(4):
        ask(cache, np.arange(4_000) % 200)
    assert cache.policy == "lirs"
    ask(cache, np.arange(2_000) + 10_000)
    assert cache.policy == "lru"


def test_the_default_begins_with_density_and_rests_with_s3fifo() -> None:
    cache: predis.Cache[Any, Any] = predis.Cache(CAPACITY, value=predis.Rows("int64", ()), seed=1)
    assert cache.policy == "density"
    for _ in range(4):
        ask(cache, np.arange(4_000) % 200)
    assert cache.policy == "s3fifo"


def test_nobody_waits_for_the_kernels_of_the_next_policy() -> None:
    cache = opened(value=predis.Objects(), keys="any")
    for number in range(300):  # some calls in plain Python, then in machine code
        cache.set(number, number)
        assert cache.get(number) == number
        assert number in cache
    cache.get_many(range(10))
    cache.delete_many(range(10))
    before = {name for name, verb in kernels_of(cache, "lru").items() if verb.overloads}
    lirs = policies.get("lirs")
    cache._table.prepare(lirs)
    cache._scalars.prepare(cache, lirs)  # type: ignore[arg-type]
    cache._change_policy(lirs)
    after = kernels_of(cache, "lirs")
    assert {"lookup", "delete"} < before
    assert {name for name in before if not after[name].overloads} == set()
    for number in range(300, 320):
        cache.set(number, number)
        assert cache.get(number) == number


def kernels_of(cache: predis.Cache[Any, Any], policy: str) -> dict[str, Any]:
    """Return the kernels of a cache's table by name, as Numba has them."""
    return cache._table.kernels_for(policies.get(policy)).dispatchers


def test_a_cache_that_evicts_nothing_follows_nothing() -> None:
    cache = opened(seed=1)
    for _ in range(5):
        ask(cache, np.arange(200))
    assert cache._choosing is not None
    assert cache._choosing._choice is None


def test_a_candidate_that_breaks_the_contract_is_refused_at_once() -> None:
    def rank(meta: int, tick: int, state: int, total: int, parameters: Any) -> int:
        return meta / 2  # type: ignore[return-value]

    broken = dataclasses.replace(policies.get("lru"), name="broken", rank=rank)
    with pytest.raises(PolicyError, match=re.escape("rank divides with '/'; use '//'")):
        opened(policy=auto(policies.get("fifo"), broken))


def test_a_choice_that_fails_leaves_the_policy_as_it_is(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    cache = opened()
    assert cache._choosing is not None

    def fail(table: Any) -> None:
        raise RuntimeError("no compiler")

    monkeypatch.setattr(cache._choosing, "turn", fail)
    ask(cache, loop(3_000))
    assert cache.policy == "lru"
    (record,) = caplog.records
    assert record.getMessage() == "cache 'default': its policy stays 'lru' from now on"


@pytest.mark.parametrize("name", ["lru", "s3fifo"])
def test_a_single_policy_has_nothing_to_choose(name: str) -> None:
    cache = opened(policy=name)
    assert cache._choosing is None
    assert cache.policy == name


def test_a_resized_cache_goes_on_with_the_policy_that_it_had() -> None:
    cache = opened()
    ask(cache, loop())
    assert cache.policy == "lirs"
    held = len(cache)
    cache.resize(2 * CAPACITY)
    assert (cache.policy, len(cache)) == ("lirs", held)
    ask(cache, np.arange(30_000) % 1_400)
    cache.check_invariants()


def test_scalar_methods_and_namespaces_go_on_through_a_change() -> None:
    cache = opened(value=predis.Objects(), keys="any")
    for number in range(2_000):
        cache.set(number, str(number))
        assert cache.get(number) == str(number)
    for name in ("lirs", "lru", "lirs"):
        cache._change_policy(policies.get(name))
        kept = [number for number in range(2_000) if number in cache]
        assert len(kept) == CAPACITY
        for number in kept:
            assert cache.get(number) == str(number)
            cache.set(number, number)
            assert cache[number] == number
            cache[number] = str(number)
    space = cache.namespace("other", capacity=100)
    space["key"] = 1
    assert (space["key"], space.policy) == (1, "lru")
    cache.check_invariants()


def test_a_snapshot_of_auto_is_restored_by_auto(tmp_path: Path) -> None:
    cache = opened(seed=1)
    ask(cache, loop())
    held = dict(cache.items())
    cache.snapshot(tmp_path / "snapshot")
    other = opened(seed=1)
    other.restore(tmp_path / "snapshot")
    assert dict(other.items()) == held


def test_the_curve_of_the_live_policy_is_that_of_the_policy_it_has_now() -> None:
    cache = opened(sampling=1.0)
    ask(cache, loop())
    assert cache.policy == "lirs"
    live = cache.miss_ratio_curve().live
    assert live is None or live.policy == "lirs"
    ask(cache, loop())
    live = cache.miss_ratio_curve().live
    assert live is not None
    assert live.policy == "lirs"


def test_a_configuration_may_say_auto(tmp_path: Path) -> None:
    path = tmp_path / "predis.toml"
    path.write_text('[cache]\ncapacity = 100\npolicy = "auto"\n', "utf-8")
    with predis.open(path) as cache:
        cache["key"] = 1
        assert cache["key"] == 1
        assert cache.policy in policies.names()
