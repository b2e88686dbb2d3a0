"""Objects that a weigher weighs: bounded together, however they come in."""

from __future__ import annotations

import asyncio
import random
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import predis_core as predis
from predis_core.errors import CacheFull, ValueShapeError
from tests.support.crew import Crew

MEMORY = 200_000


def weighed(capacity: int = 200, memory: int = MEMORY, **more: Any) -> predis.Cache[Any, Any]:
    given = {"weigher": lambda key, value: len(value), "policy": "lru", "seed": 7} | more
    return predis.Cache(capacity, memory=memory, **given)


def limit(cache: predis.Cache[Any, Any]) -> int:
    assert cache._table.limit is not None
    return cache._table.limit


def total(cache: predis.Cache[Any, Any]) -> int:
    return sum(map(len, cache.values()))


def test_values_together_never_weigh_more_than_there_is_memory() -> None:
    cache, numbers = weighed(), random.Random(7)
    for step in range(300):
        keys = [numbers.randrange(400) for _ in range(numbers.choice([1, 20]))]
        most = numbers.choice([10, 3_000, 60_000])
        cache.set_many(keys, ["x" * numbers.randrange(most) for _ in keys])
        assert cache.stats().bytes == total(cache) <= limit(cache)
        assert cache._table.memory + cache.stats().bytes <= MEMORY
        if step % 3 == 0:
            cache.delete_many(keys[:2])
    assert cache.stats().evictions > 100
    assert cache.stats().bytes > 0.5 * limit(cache)


def test_they_do_not_under_threads_either() -> None:
    cache = weighed()
    seen: list[int] = []

    def write(number: int) -> None:
        numbers = random.Random(number)
        for _ in range(300):
            keys = [numbers.randrange(300) for _ in range(5)]
            cache.set_many(keys, ["x" * numbers.randrange(20_000) for _ in keys])
            seen.append(cache.stats().bytes)

    crew = Crew()
    crew.run(*(partial(write, number) for number in range(4)))
    crew.end()
    assert max(seen) <= limit(cache)
    assert cache.stats().bytes == total(cache)


def test_a_heavier_value_in_place_of_a_light_one_makes_others_leave() -> None:
    cache = weighed()
    half = limit(cache) // 2
    cache["a"], cache["b"] = "x" * half, "y"
    cache["b"] = "y" * (half + 10)
    assert dict(cache.items()) == {"b": "y" * (half + 10)}
    assert cache.stats().evictions == 1


def test_a_value_that_weighs_too_much_is_refused_and_the_old_one_is_gone() -> None:
    cache = weighed()
    cache["a"], cache["b"] = "old", "other"
    assert not cache.set("a", "x" * (limit(cache) + 1))
    assert dict(cache.items()) == {"b": "other"}
    with pytest.raises(CacheFull):
        cache["b"] = "x" * (limit(cache) + 1)
    assert len(cache) == 0
    assert cache.set("a", "x" * limit(cache))
    assert cache.get_or_load("c", lambda key: "x" * MEMORY) == "x" * MEMORY
    assert "c" not in cache


def test_values_may_weigh_nothing() -> None:
    cache = weighed(weigher=lambda key, value: 0)
    cache.set_many(range(100), ["x"] * 100)
    assert cache.stats().bytes == 0


def test_the_weigher_gets_keys_as_the_user_gave_them() -> None:
    got: list[Any] = []

    def weigher(key: Any, value: Any) -> int:
        got.append((key, value))
        return 1

    cache = weighed(weigher=weigher)
    cache[("a", 1)] = "x"
    assert got == [(("a", 1), "x")]
    numbers = weighed(weigher=weigher, keys="int64")
    numbers[7] = "y"
    assert got[1:] == [(7, "y")]
    assert type(got[1][0]) is int


@pytest.mark.parametrize("weight", [-1, 1.5, None, True, "3"])
def test_a_weight_that_is_none_leaves_the_cache_unchanged(weight: Any) -> None:
    cache = weighed(weigher=lambda key, value: weight if value == "wrong" else 5)
    cache["a"] = "old"
    with pytest.raises(ValueShapeError) as caught:
        cache.set_many(["b", "a"], ["new", "wrong"])
    assert str(caught.value) == f"weigher: expected bytes as an int >= 0 for 'a', got {weight!r}"
    assert dict(cache.items()) == {"a": "old"}
    assert cache.stats().bytes == 5


def test_what_a_weigher_raises_is_raised_and_the_cache_is_unchanged() -> None:
    def weigher(key: Any, value: Any) -> int:
        if value == "wrong":
            raise KeyError("weight")
        return 5

    cache = weighed(weigher=weigher)
    cache["a"] = "old"
    with pytest.raises(KeyError, match="weight"):
        cache.set_many(["b", "a"], ["new", "wrong"])
    with pytest.raises(KeyError, match="weight"):
        cache["a"] = "wrong"
    assert dict(cache.items()) == {"a": "old"}


def test_what_is_loaded_is_weighed() -> None:
    cache = weighed()
    values = cache.get_or_load_many(["a", "b"], lambda ids: ["x" * 300 for _ in ids])
    assert values == ["x" * 300] * 2
    assert cache.stats().bytes == 600

    async def main() -> None:
        await cache.aset_many(["c"], ["y" * 7])
        await cache.aget_or_load_many(["d"], lambda ids: ["z" * 3 for _ in ids])

    asyncio.run(main())
    assert cache.stats().bytes == 610


def test_what_was_evicted_for_its_weight_is_told() -> None:
    cache = weighed()
    third = limit(cache) // 3
    cache.set_many(["a", "b"], ["x" * third, "y" * third])
    stored, evicted = cache.set_many(["c"], ["z" * (2 * third)], return_evicted=True)
    assert stored.all()
    assert len(evicted.keys) == 1
    assert {*evicted.keys, *cache} == {"a", "b", "c"}


def test_expired_values_leave_before_others() -> None:
    clock = predis.ManualClock()
    cache = weighed(28, clock=clock)
    third = limit(cache) // 3
    cache.set("dead", "x" * third, ttl=1.0)
    cache["alive"] = "y" * third
    cache.touch_many(["dead"])
    clock.advance(2.0)
    cache["new"] = "z" * (2 * third)
    assert set(cache) == {"alive", "new"}
    assert cache.stats().expirations == 1


def test_a_snapshot_keeps_the_most_valuable_that_weigh_little_enough(tmp_path: Path) -> None:
    cache = weighed()
    size = limit(cache) // 25
    cache.set_many(range(20), ["x" * size] * 20)
    cache.get_many(range(10, 20))
    cache.snapshot(tmp_path / "s")
    other = weighed(memory=MEMORY // 2)
    other["mine"] = "y" * (limit(other) // 4)
    report = other.restore(tmp_path / "s")
    assert other["mine"] == "y" * (limit(other) // 4)
    assert report.restored + report.did_not_fit == report.entries == 20
    assert report.restored == (limit(other) - len(other["mine"])) // size > 0
    assert other.stats().evictions == 0


def test_a_weigher_that_raises_during_a_restore_leaves_the_cache_unchanged(tmp_path: Path) -> None:
    cache = weighed()
    cache.set_many(range(20), ["x" * key for key in range(20)])
    cache.snapshot(tmp_path / "s")

    def weigher(key: Any, value: Any) -> int:
        return 1 // (19 - len(value))

    other = weighed(weigher=weigher)
    other["mine"] = "y"
    with pytest.raises(ZeroDivisionError):
        other.restore(tmp_path / "s")
    assert dict(other.items()) == {"mine": "y"}
