"""Loaders under threads: each id is loaded once, and nobody waits for ever."""

from __future__ import annotations

import random
import threading
import weakref
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

import predis_core as predis
from predis_core.errors import LoaderDeadlock, LoaderError, MissingKeys
from tests.support.combinations import Combination, plain
from tests.support.crew import PATIENCE, Crew, wait_until
from tests.support.sources import Held, Source

THREADS = 8


# ------------------------------------------------------------------ single flight


def test_threads_that_miss_the_same_ids_load_them_once(
    combination: Combination, crew: Crew
) -> None:
    cache = combination.open(1000)
    source = Held(combination)
    numbers = range(50)

    def reader(seed: int) -> list[Any]:
        order = random.Random(seed).sample(numbers, len(numbers))
        values = cache.get_or_load_many(combination.keys(order), source)
        assert plain(values) == combination.values(order)
        return order

    readers = [crew.start(lambda seed=seed: reader(seed)) for seed in range(THREADS)]
    wait_until(lambda: cache.stats().loads_saved == (THREADS - 1) * len(numbers))
    source.release.set()
    for one in readers:
        one.result(PATIENCE)
    assert source.asked == Counter(combination.keys(numbers))
    assert source.batches == 1
    stats = cache.stats()
    assert (stats.loads, stats.load_failures) == (50, 0)
    assert (stats.hits, stats.misses) == (0, THREADS * 50)
    assert stats.insertions == 50


def test_overlapping_batches_load_each_id_once(combination: Combination, crew: Crew) -> None:
    cache = combination.open(1000)
    source = Source(combination)

    def reader(seed: int) -> None:
        order = random.Random(seed).sample(range(60), 30)
        values = cache.get_or_load_many(combination.keys(order), source)
        assert plain(values) == combination.values(order)

    for _ in range(20):
        cache.clear()
        source.asked.clear()
        crew.run(*[lambda seed=seed: reader(seed) for seed in range(THREADS)])
        assert set(source.asked.values()) == {1}


@pytest.mark.parametrize("capacity", [1, 5])
def test_each_id_is_loaded_once_even_if_the_cache_cannot_hold_the_batch(
    combination: Combination, crew: Crew, capacity: int
) -> None:
    """Everybody has missed before the first load ends, so all of them share it, evicted or not."""
    cache = combination.open(capacity)
    source = Held(combination)
    numbers = range(40)

    def reader(seed: int) -> None:
        order = random.Random(seed).sample(numbers, len(numbers))
        values = cache.get_or_load_many(combination.keys(order), source)
        assert plain(values) == combination.values(order)

    readers = [crew.start(lambda seed=seed: reader(seed)) for seed in range(THREADS)]
    wait_until(lambda: cache.stats().misses == THREADS * len(numbers))
    source.release.set()
    for one in readers:
        one.result(PATIENCE)
    assert set(source.asked.values()) == {1}
    assert len(source.asked) == 40
    assert len(cache) <= capacity
    assert cache.stats().loads == 40


def test_scalar_loads_share_flights_with_batches(combination: Combination, crew: Crew) -> None:
    cache = combination.open(100)
    source = Held(combination)
    first = crew.start(lambda: cache.get_or_load_many(combination.keys([1, 2, 3]), source))
    wait_until(lambda: source.batches == 1)
    second = crew.start(lambda: cache.get_or_load(combination.key(2), lambda key: 1 / 0))
    wait_until(lambda: cache.stats().loads_saved == 1)
    source.release.set()
    assert plain(first.result(PATIENCE)) == combination.values([1, 2, 3])
    assert second.result(PATIENCE) == combination.value(2)


def test_equal_ids_of_other_types_are_one_id(crew: Crew) -> None:
    cache = predis.Cache[Any, str](100)
    begun, release = threading.Event(), threading.Event()

    def loader(ids: list[Any]) -> list[str]:
        begun.set()
        release.wait(PATIENCE)
        return ["one"] * len(ids)

    first = crew.start(lambda: cache.get_or_load_many([1, True, 1.0], loader))
    assert begun.wait(PATIENCE)
    second = crew.start(lambda: cache.get_or_load_many([True], lambda ids: 1 / 0))
    wait_until(lambda: cache.stats().loads_saved == 1)
    release.set()
    assert first.result(PATIENCE) == ["one"] * 3
    assert second.result(PATIENCE) == ["one"]
    assert cache.stats().loads == 1


def test_absent_ids_are_shared_too(combination: Combination, crew: Crew) -> None:
    cache = combination.open(100)
    begun, release = threading.Event(), threading.Event()

    def loader(ids: Any) -> dict[Any, Any]:
        begun.set()
        release.wait(PATIENCE)
        return {combination.key(1): combination.value(1)}

    keys = combination.keys([1, 2])
    first = crew.start(lambda: cache.get_or_load_many(keys, loader, missing="mask"))
    assert begun.wait(PATIENCE)
    second = crew.start(lambda: cache.get_or_load_many(keys[::-1], loader))
    wait_until(lambda: cache.stats().loads_saved == 2)
    release.set()
    assert first.result(PATIENCE)[1].tolist() == [True, False]
    with pytest.raises(MissingKeys) as caught:
        second.result(PATIENCE)
    assert caught.value.ids == [combination.key(2)]
    assert cache.stats().loads == 2


# ------------------------------------------------------------------ loaders that hang


def test_while_a_loader_hangs_other_ids_go_on(combination: Combination, crew: Crew) -> None:
    cache = combination.open(100)
    source = Held(combination)
    stuck = crew.start(lambda: cache.get_or_load_many(combination.keys([1, 2]), source))
    wait_until(lambda: source.batches == 1)

    others = combination.keys([3, 4])
    assert plain(cache.get_or_load_many(others, combination.load)) == combination.values([3, 4])
    assert cache.get_many(others)[1].all()
    assert cache.get_many(combination.keys([1, 2]))[1].tolist() == [False, False]
    cache[combination.key(5)] = combination.value(5)
    assert cache.pop(combination.key(5)) == combination.value(5)
    assert cache.delete_many(others).all()
    assert cache.contains_many(others).tolist() == [False, False]
    assert cache.stats().size == 0
    assert not stuck.done()

    source.release.set()
    assert plain(stuck.result(PATIENCE)) == combination.values([1, 2])
    assert cache.get_many(combination.keys([1, 2]))[1].all()


def test_the_cache_may_be_closed_while_a_loader_hangs(combination: Combination, crew: Crew) -> None:
    cache = combination.open(100)
    source = Held(combination)
    stuck = crew.start(lambda: cache.get_or_load_many(combination.keys([1]), source))
    wait_until(lambda: source.batches == 1)
    cache.close()
    source.release.set()
    assert plain(stuck.result(PATIENCE)) == combination.values([1])


@pytest.mark.watches_lifetime
def test_what_is_loaded_for_a_closed_cache_is_not_kept(crew: Crew) -> None:
    class Value:
        pass

    cache = predis.Cache[str, Value](10)
    begun, release = threading.Event(), threading.Event()
    values: list[Value] = [Value()]
    gone = weakref.ref(values[0])

    def loader(ids: list[str]) -> list[Value]:
        begun.set()
        release.wait(PATIENCE)
        return [values.pop()]

    stuck = crew.start(lambda: cache.get_or_load_many(["a"], loader) and None)
    assert begun.wait(PATIENCE)
    cache.close()
    release.set()
    stuck.result(PATIENCE)
    crew.end()
    assert gone() is None


# ------------------------------------------------------------------ loaders that come back


def test_a_loader_may_load_other_ids(combination: Combination) -> None:
    cache = combination.open(100)
    depth: list[int] = []

    def loader(ids: Any) -> Any:
        numbers = [combination.number(key) for key in plain(ids)]
        depth.append(len(numbers))
        below = [n - 1 for n in numbers if n > 0]
        if below:
            values = cache.get_or_load_many(combination.keys(below), loader)
            assert plain(values) == combination.values(below)
        return combination.values(numbers)

    assert plain(cache.get_or_load_many(combination.keys([10]), loader)) == combination.values([10])
    assert len(cache) == 11
    assert depth == [1] * 11
    assert cache.stats().loads == 11


def test_a_loader_may_use_every_face(combination: Combination) -> None:
    cache = combination.open(100)
    cache[combination.key(7)] = combination.value(7)

    def loader(ids: Any) -> Any:
        assert combination.key(1) not in cache
        assert cache.get(combination.key(1)) is None
        assert cache[combination.key(7)] == combination.value(7)
        cache[combination.key(8)] = combination.value(8)
        assert len(list(cache)) == len(cache) == 2
        cache.check_invariants()
        return combination.load(ids)

    keys = combination.keys([1, 2])
    assert plain(cache.get_or_load_many(keys, loader)) == combination.values([1, 2])
    assert cache.get_many(combination.keys([1, 2, 7, 8]))[1].all()


def test_a_loader_that_catches_its_deadlock_can_go_on(combination: Combination) -> None:
    cache = combination.open(100)

    def loader(ids: Any) -> Any:
        with pytest.raises(LoaderDeadlock):
            cache.get_or_load(combination.key(1), lambda key: combination.value(1))
        return combination.load(ids)

    keys = combination.keys([1, 2])
    assert plain(cache.get_or_load_many(keys, loader)) == combination.values([1, 2])
    assert cache.stats().load_failures == 0


def test_a_loader_that_waits_for_its_own_id_through_another_load(combination: Combination) -> None:
    cache = combination.open(100)

    def outer(ids: Any) -> Any:
        return cache.get_or_load_many(combination.keys([2]), inner)

    def inner(ids: Any) -> Any:
        return cache.get_or_load_many(combination.keys([1]), combination.load)

    with pytest.raises(LoaderDeadlock) as caught:
        cache.get_or_load_many(combination.keys([1]), outer)
    assert caught.value.ids == combination.keys([1])
    assert len(cache) == 0
    keys = combination.keys([1, 2])
    assert plain(cache.get_or_load_many(keys, combination.load)) == combination.values([1, 2])


def outcome(call: Callable[[], Any]) -> Any:
    try:
        return plain(call())
    except Exception as error:
        return error


def deadlocked(error: BaseException | None) -> bool:
    """Say whether a deadlock is an error or the cause of it."""
    return error is not None and (isinstance(error, LoaderDeadlock) or deadlocked(error.__cause__))


@pytest.mark.parametrize("threads", [2, 3, 5])
def test_threads_whose_loaders_wait_for_each_other_get_an_error(
    combination: Combination, crew: Crew, threads: int
) -> None:
    cache = combination.open(100)
    all_claimed = threading.Barrier(threads)

    def reader(n: int) -> Any:
        def loader(ids: Any) -> Any:
            all_claimed.wait(PATIENCE)
            asked = combination.keys([(n + 1) % threads])
            return cache.get_or_load_many(asked, combination.load)

        return outcome(lambda: cache.get_or_load_many(combination.keys([n]), loader))

    outcomes = crew.run(*[lambda n=n: reader(n) for n in range(threads)])
    assert any(isinstance(found, LoaderDeadlock) for found in outcomes)
    assert all(isinstance(found, LoaderError) and deadlocked(found) for found in outcomes)
    assert len(cache) == 0
    keys = combination.keys(range(threads))
    assert plain(cache.get_or_load_many(keys, combination.load)) == combination.values(
        range(threads)
    )


def test_loaders_of_two_caches_that_wait_for_each_other_get_an_error(
    combination: Combination, crew: Crew
) -> None:
    caches = [combination.open(100), combination.open(100)]
    both_claimed = threading.Barrier(2)
    keys = combination.keys([1])

    def reader(mine: int) -> Any:
        def loader(ids: Any) -> Any:
            both_claimed.wait(PATIENCE)
            return caches[1 - mine].get_or_load_many(keys, combination.load)

        return outcome(lambda: caches[mine].get_or_load_many(keys, loader))

    outcomes = crew.run(lambda: reader(0), lambda: reader(1))
    assert all(isinstance(found, LoaderError) and deadlocked(found) for found in outcomes)


def test_crossing_batches_that_do_not_nest_are_no_deadlock(
    combination: Combination, crew: Crew
) -> None:
    """Each holds what the other waits for, but loads its own before it waits."""
    cache = combination.open(1000)
    source = Source(combination)
    numbers = range(100)

    def reader(order: list[int]) -> None:
        for at in range(0, 100, 10):
            part = order[at : at + 10]
            values = cache.get_or_load_many(combination.keys(part), source)
            assert plain(values) == combination.values(part)

    for _ in range(10):
        cache.clear()
        source.asked.clear()
        orders = [random.Random(seed).sample(numbers, 100) for seed in range(THREADS)]
        crew.run(*[lambda order=order: reader(order) for order in orders])
        assert set(source.asked.values()) == {1}


# ------------------------------------------------------------------ writes during a load


@pytest.mark.parametrize("write", ["set", "delete", "pop", "clear"])
def test_a_write_of_another_thread_wins_over_a_load(
    combination: Combination, crew: Crew, write: str
) -> None:
    cache = combination.open(100)
    source = Held(combination)
    keys = combination.keys([1, 2])
    reader = crew.start(lambda: cache.get_or_load_many(keys, source))
    wait_until(lambda: source.batches == 1)
    waiter = crew.start(lambda: cache.get_or_load_many(keys, source))
    wait_until(lambda: cache.stats().loads_saved == 2)
    if write == "set":
        cache[keys[0]] = combination.value(100)
        assert cache[keys[0]] == combination.value(100)
    elif write == "delete":
        assert cache.delete_many(keys[:1]).tolist() == [False]
    elif write == "pop":
        assert cache.pop(keys[0], None) is None
    else:
        cache.clear()
    source.release.set()
    assert plain(reader.result(PATIENCE)) == combination.values([1, 2])
    assert plain(waiter.result(PATIENCE)) == combination.values([1, 2])
    assert (keys[0] in cache) == (write == "set")
    assert (keys[1] in cache) == (write != "clear")
    if write == "set":
        assert cache[keys[0]] == combination.value(100)


def test_a_load_after_a_write_during_a_load_is_kept(combination: Combination, crew: Crew) -> None:
    cache = combination.open(100)
    source = Held(combination)
    keys = combination.keys([1])
    reader = crew.start(lambda: cache.get_or_load_many(keys, source))
    wait_until(lambda: source.batches == 1)
    cache.delete_many(keys)
    source.release.set()
    reader.result(PATIENCE)
    assert len(cache) == 0
    cache.get_or_load_many(keys, source)
    assert keys[0] in cache
    assert source.asked[keys[0]] == 2


def test_sets_never_lose_to_loads(combination: Combination, crew: Crew) -> None:
    """Loads bring 1, sets 2: whoever sees its own set gone sees a wrong winner."""
    cache = combination.open(1000)
    numbers = range(200)
    loaded = [combination.value(n) for n in numbers]

    def load() -> None:
        for n in numbers:
            cache.get_or_load_many([combination.key(n)], lambda ids: combination.load(ids))

    def write() -> None:
        for n in numbers:
            cache[combination.key(n)] = combination.value(1000 + n)
            assert cache[combination.key(n)] == combination.value(1000 + n)

    crew.run(load, load, load, write)
    assert [cache[combination.key(n)] for n in numbers] == [
        combination.value(1000 + n) for n in numbers
    ]
    assert loaded != [cache[combination.key(n)] for n in numbers]


def test_a_time_to_live_given_to_a_load_counts_from_when_it_was_loaded(
    combination: Combination,
) -> None:
    clock = predis.ManualClock()
    cache = combination.open(100, clock=clock)

    def slow(ids: Any) -> Any:
        clock.advance(100)
        return combination.load(ids)

    cache.get_or_load_many(combination.keys([1, 2]), slow, ttl=[5, 7])
    assert [cache.ttl_left(key) for key in combination.keys([1, 2])] == [5, 7]
