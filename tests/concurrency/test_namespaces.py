"""Namespaces that come and go, and change their size, with other threads at work."""

from __future__ import annotations

import contextlib
import threading
from typing import Any

import predis_core as predis
from predis_core.errors import CacheBusy, CacheClosed
from tests.support.combinations import Combination, plain
from tests.support.crew import PATIENCE, Crew

THREADS = 8
NAMES = [f"tenant-{number}" for number in range(4)]


def test_all_who_ask_at_once_get_the_same_one(crew: Crew) -> None:
    cache = predis.Cache[int, int](10_000)
    made = crew.run(*[lambda: [cache.namespace(name, share=0.1) for name in NAMES]] * THREADS)
    assert len({id(each) for some in made for each in some}) == len(NAMES)
    assert cache.capacity == 6_000


def test_others_go_on_while_namespaces_come_and_go(combination: Combination, crew: Crew) -> None:
    cache = combination.open(2_000, seed=1)
    numbers = range(60)
    keys, values = combination.keys(numbers), combination.values(numbers)
    cache.set_many(keys, values)
    stop = threading.Event()

    def read() -> None:
        while not stop.is_set():
            found, hit = cache.get_many(keys)
            assert hit.all()
            assert plain(found) == values

    def tenant(name: str) -> None:
        for round_ in range(3):
            mine = cache.namespace(name, capacity=200 + 50 * (round_ % 3))
            mine.set_many(keys, combination.values(range(round_, round_ + 60)))
            mine.resize(150)
            found, hit = mine.get_many(keys)
            there = [n for n, at in zip(numbers, hit, strict=True) if at]
            some = [value for value, at in zip(plain(found), hit, strict=True) if at]
            assert some == combination.values(n + round_ for n in there)
            assert there
            cache.drop_namespace(name)

    readers = [crew.start(read) for _ in range(2)]
    try:
        crew.run(*[lambda name=name: tenant(name) for name in NAMES])
    finally:
        stop.set()
    for each in readers:
        each.result(PATIENCE)
    assert (cache.capacity, cache.namespaces()) == (2_000, {})


def test_a_cache_that_closes_meanwhile_leaves_no_namespace_open(crew: Crew) -> None:
    for _ in range(20):
        cache = predis.Cache[int, int](1_000)
        made: list[Any] = []

        def make(cache: Any = cache, made: list[Any] = made) -> None:
            with contextlib.suppress(CacheClosed):
                made.extend(cache.namespace(name, capacity=10) for name in NAMES)

        crew.run(make, cache.close)
        assert all(each._unusable is not None for each in made)


def test_a_change_of_namespaces_within_a_resize_is_refused() -> None:
    """A finaliser of a value that leaves, say: it would wait for the thread that it runs in."""
    cache = predis.Cache[int, Any](28, policy="fifo")
    said: list[str] = []

    class Last:
        def __del__(self) -> None:
            try:
                cache.namespace("late", capacity=1)
            except CacheBusy as error:
                said.append(str(error))

    cache[1] = Last()
    cache[2] = None
    assert cache.resize(1).evicted == 1
    assert said == [
        "cache 'default': resizes, snapshots and changes of namespaces take turns, and this "
        "thread is in one of them; call the next when it has returned"
    ]
