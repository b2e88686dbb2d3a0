"""What the faces promise about time to live: every sentence is a test, named after it."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import numpy as np
import pytest

import predis_core as predis
from tests.support.clocks import TickingClock
from tests.support.combinations import Combination, plain

ONE_SET = 28


def forbidden(ids: Any) -> Any:
    raise AssertionError(f"the loader was called for {ids}")


Write = Callable[[predis.Cache[Any, Any], Any, Any, Any], Any]
WRITES: dict[str, Write] = {
    "set": lambda cache, key, value, ttl: cache.set(key, value, ttl=ttl),
    "set_many": lambda cache, key, value, ttl: cache.set_many([key], [value], ttl=ttl),
    "get_or_load": lambda cache, key, value, ttl: cache.get_or_load(key, lambda _: value, ttl=ttl),
    "get_or_load_many": lambda cache, key, value, ttl: cache.get_or_load_many(
        [key], lambda _: [value], ttl=ttl
    ),
}
TTLS = {
    "seconds": 5,
    "timedelta": timedelta(seconds=5),
    "list": [5.0],
    "array": np.array([5.0]),
    "float32": np.array([5], np.float32),
    "numpy scalar": np.float64(5),
}


@pytest.mark.parametrize("ttl", TTLS.values(), ids=TTLS)
@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_ttl_scalar_or_array_in_every_set_and_load(
    combination: Combination, write: Write, ttl: Any
) -> None:
    clock = predis.ManualClock()
    cache = combination.open(10, clock=clock)
    key = combination.key(1)
    write(cache, key, combination.value(1), ttl)
    assert cache.ttl_left(key) == 5.0
    clock.advance(4.75)
    assert cache.ttl_left(key) == 0.25
    assert cache[key] == combination.value(1)
    clock.advance(0.25)
    assert key not in cache


def test_ttl_of_each_key_of_a_batch(combination: Combination) -> None:
    clock = predis.ManualClock()
    cache = combination.open(100, clock=clock)
    ttl = np.array([1, math.inf, 2, 0.5])
    cache.set_many(combination.keys(range(4)), combination.values(range(4)), ttl=ttl)
    numbers = [12, 11, 12, 10]
    cache.get_or_load_many(combination.keys(numbers), combination.load, ttl=[3, 4, 5, math.inf])
    assert [cache.ttl_left(combination.key(n)) for n in range(4)] == [1, None, 2, 0.5]
    assert [cache.ttl_left(combination.key(n)) for n in (12, 11, 10)] == [3, 4, None]
    clock.advance(1)
    assert cache.contains_many(combination.keys(range(4))).tolist() == [False, True, True, False]


def test_ttl_default_counts_wherever_none_is_given(combination: Combination) -> None:
    cache = combination.open(100, ttl=7, clock=predis.ManualClock())
    keys = combination.keys(range(8))
    values = combination.values(range(8))
    cache[keys[0]] = values[0]
    cache.set(keys[1], values[1])
    cache.set_many(keys[2:3], values[2:3])
    cache.update({keys[3]: values[3]})
    cache.setdefault(keys[4], values[4])
    cache.get_or_load(keys[5], lambda _: values[5])
    cache.get_or_load_many(keys[6:7], combination.load)
    cache.set(keys[7], values[7], ttl=math.inf)
    assert [cache.ttl_left(key) for key in keys] == [7.0] * 7 + [None]


def test_ttl_uses_the_monotonic_clock_read_once_per_batch(combination: Combination) -> None:
    clock = TickingClock(step=0.125)
    cache = combination.open(100, clock=clock, ttl=60)
    keys, values = combination.keys(range(9)), combination.values(range(9))

    def readings(call: Callable[[], Any]) -> int:
        before = clock.readings
        call()
        return clock.readings - before

    assert readings(lambda: cache.set_many(keys, values, ttl=50)) == 1
    assert readings(lambda: cache.set_many(keys, values, ttl=np.full(9, 50))) == 1
    assert readings(lambda: cache.get_many(keys)) == 1
    assert readings(lambda: cache.contains_many(keys)) == 1
    assert readings(lambda: cache.touch_many(keys)) == 1
    assert readings(lambda: cache.get_or_load_many(keys, forbidden)) == 1
    assert readings(lambda: list(cache)) == 1
    assert readings(lambda: list(cache.items())) == 1
    assert readings(lambda: cache.ttl_left(keys[0])) == 1
    assert readings(lambda: cache[keys[0]]) == 1
    assert readings(lambda: cache.set(keys[0], values[0])) == 1
    assert readings(lambda: cache.update(zip(keys, values, strict=True))) == 1
    assert readings(lambda: cache.pop(keys[0])) == 1
    assert readings(lambda: cache.delete_many(keys)) == 1
    assert readings(cache.clear) == 1
    assert readings(lambda: (len(cache), cache.stats())) == 0


@pytest.mark.parametrize("method", ["set_many", "get_or_load_many"])
def test_ttl_ends_at_one_time_for_a_whole_batch(combination: Combination, method: str) -> None:
    class Steps(predis.ManualClock):
        """Stands still only when told to."""

        moving = True

        def monotonic(self) -> int:
            if self.moving:
                self.advance(0.5)
            return super().monotonic()

    clock = Steps()
    cache = combination.open(2000, clock=clock)
    keys = combination.keys(range(100))
    if method == "set_many":
        cache.set_many(keys, combination.values(range(100)), ttl=90)
    else:
        cache.get_or_load_many(keys, combination.load, ttl=90)
    clock.moving = False
    assert {cache.ttl_left(key) for key in keys} == {90.0}


@pytest.mark.parametrize("write", [WRITES["set"], WRITES["set_many"]], ids=["set", "set_many"])
def test_ttl_set_resets_it(combination: Combination, write: Write) -> None:
    clock = predis.ManualClock()
    cache = combination.open(10, clock=clock)
    key = combination.key(1)
    for value, ttl in ((1, 5), (2, 5), (3, 2), (4, 9)):
        write(cache, key, combination.value(value), ttl)
        assert cache.ttl_left(key) == ttl
        clock.advance(1)
    write(cache, key, combination.value(5), None)
    assert cache.ttl_left(key) is None
    clock.advance(1e6)
    assert cache[key] == combination.value(5)


def test_ttl_touch_and_get_do_not_reset_it(combination: Combination) -> None:
    clock = predis.ManualClock()
    cache = combination.open(10, clock=clock)
    key = combination.key(1)
    cache.set(key, combination.value(1), ttl=5)
    clock.advance(3)
    assert cache.touch_many([key]).tolist() == [True]
    assert cache[key] == cache.get(key) == combination.value(1)
    cache.get_or_load(key, forbidden, ttl=50)
    assert cache.setdefault(key, combination.value(2)) == combination.value(1)
    assert cache.ttl_left(key) == 2
    clock.advance(2)
    assert cache.touch_many([key]).tolist() == [False]
    assert key not in cache


def expired(combination: Combination, **options: Any) -> predis.Cache[Any, Any]:
    """A cache of 1 to 3, which have expired, and 4 to 6, which have not."""
    clock = predis.ManualClock()
    cache = combination.open(10, clock=clock, **options)
    cache.set_many(combination.keys([1, 2, 3]), combination.values([1, 2, 3]), ttl=1)
    cache.set_many(combination.keys([4, 5, 6]), combination.values([4, 5, 6]), ttl=2)
    clock.advance(1)
    return cache


def test_ttl_expired_are_misses_on_every_face(combination: Combination) -> None:
    cache = expired(combination)
    keys = combination.keys(range(1, 7))
    first = keys[0]
    live = [False] * 3 + [True] * 3
    values, hit = cache.get_many(keys)
    assert hit.tolist() == live
    assert plain(values) == [*([0 if combination.holds_rows else None] * 3), *plain(values)[3:]]
    assert cache.contains_many(keys).tolist() == live
    assert cache.touch_many(keys).tolist() == live
    assert first not in cache
    assert cache.get(first, "default") == "default"
    for read in (cache.__getitem__, cache.pop, cache.ttl_left, cache.__delitem__):
        with pytest.raises(KeyError):
            read(first)
    assert cache.pop(keys[1], "default") == "default"
    assert cache.delete_many(keys).tolist() == live
    assert (cache.stats().hits, cache.stats().misses) == (3, 5)


def test_ttl_expired_are_loaded_anew(combination: Combination) -> None:
    cache = expired(combination)
    asked: list[Any] = []

    def loader(ids: Any) -> Any:
        asked.extend(plain(ids))
        return combination.load(ids)

    values = cache.get_or_load_many(combination.keys(range(1, 7)), loader)
    assert plain(values) == combination.values(range(1, 7))
    assert asked == combination.keys([1, 2, 3])
    assert cache.ttl_left(combination.key(1)) is None


def test_ttl_expired_are_not_iterated(combination: Combination) -> None:
    cache = expired(combination)
    assert sorted(map(combination.number, cache)) == [4, 5, 6]
    assert sorted(map(combination.number, cache.keys())) == [4, 5, 6]
    assert sorted(plain(cache.values())) == combination.values([4, 5, 6])
    pairs = {combination.number(key): value for key, value in cache.items()}
    assert pairs == {n: combination.value(n) for n in (4, 5, 6)}
    taken = [cache.popitem() for _ in range(3)]
    assert sorted(combination.number(key) for key, _ in taken) == [4, 5, 6]
    with pytest.raises(KeyError):
        cache.popitem()


def test_ttl_expired_are_the_first_victims(combination: Combination) -> None:
    clock = predis.ManualClock()
    cache = combination.open(ONE_SET, clock=clock)
    short = range(5, 15)
    numbers = range(ONE_SET)
    ttl = [1 if n in short else math.inf for n in numbers]
    cache.set_many(combination.keys(numbers), combination.values(numbers), ttl=ttl)
    clock.advance(1)

    new = range(100, 110)
    _, evicted = cache.set_many(combination.keys(new), combination.values(new), return_evicted=True)
    assert len(evicted.keys) == 0
    kept = [n for n in numbers if n not in short]
    values, hit = cache.get_many(combination.keys([*kept, *new]))
    assert hit.all()
    assert plain(values) == combination.values([*kept, *new])
    stats = cache.stats()
    assert (stats.expirations, stats.evictions, stats.size) == (10, 0, ONE_SET)

    _, evicted = cache.set_many(
        combination.keys([200]), combination.values([200]), return_evicted=True
    )
    assert len(evicted.keys) == 1


def test_ttl_expired_count_in_len_until_reclaimed(combination: Combination) -> None:
    cache = expired(combination)
    assert len(cache) == cache.stats().size == 6
    cache.get_many(combination.keys(range(1, 7)))
    assert len(cache) == 6
    cache[combination.key(1)] = combination.value(1)
    assert len(cache) == 6
    cache.delete_many(combination.keys([2]))
    assert len(cache) == 5
    numbers = range(100, 130)
    cache.set_many(combination.keys(numbers), combination.values(numbers))
    assert len(cache) == 10
    assert cache.stats().expirations == 3
