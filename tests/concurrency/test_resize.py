"""Resizes with other threads at work: nothing is lost, and nothing comes back."""

from __future__ import annotations

import itertools
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import predis_core as predis
from predis_core.errors import CacheBusy
from predis_core.table import moving
from tests.support.combinations import Combination, plain
from tests.support.crew import PATIENCE, Crew

THREADS = 8
SECONDS = 1.5
EACH = 40
"""Keys that belong to each thread: few enough for every set to have room for all of them."""

CAPACITIES = (1_000, 6_000, 1_500, 4_000)


@pytest.fixture(autouse=True)
def small_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many steps per move, so that others come between them."""
    monkeypatch.setattr(moving, "_SETS_WITH_GIL", 4)
    monkeypatch.setattr(moving, "_BYTES", 1 << 12)
    monkeypatch.setattr(moving, "_KEYS", 16)


def resize_until(cache: predis.Cache[Any, Any], stop: threading.Event) -> None:
    """Resize again and again; twice at least, however slow the machine is."""
    for count in itertools.count():
        if stop.is_set() and count > 1:
            return
        cache.resize(CAPACITIES[count % len(CAPACITIES)])


class Owner:
    """A thread that alone writes some keys, so that it knows what each has to be."""

    def __init__(self, combination: Combination, cache: predis.Cache[Any, Any], me: int) -> None:
        self.combination, self.cache = combination, cache
        self.numbers = range(me * EACH, (me + 1) * EACH)
        self.random = np.random.default_rng(me)
        self.held: dict[int, int] = {}
        self.lookups = 0

    def run(self) -> None:
        ends = time.monotonic() + SECONDS
        while time.monotonic() < ends:
            some = self.random.choice(self.numbers, 10).tolist()
            act = (self.set, self.get, self.delete, self.load, self.pop)[self.random.integers(5)]
            act(some)
        self.get(list(self.numbers))

    def set(self, some: list[int]) -> None:
        versions = self.random.integers(1 << 30, size=len(some)).tolist()
        keys, values = self.combination.keys(some), self.combination.values(versions)
        assert self.cache.set_many(keys, values).all()
        self.held.update(zip(some, versions, strict=True))

    def get(self, some: list[int]) -> None:
        values, hit = self.cache.get_many(self.combination.keys(some))
        assert hit.tolist() == [n in self.held for n in some]
        there = [value for value, found in zip(plain(values), hit, strict=True) if found]
        assert there == self.combination.values(self.held[n] for n in some if n in self.held)
        self.lookups += len(some)

    def delete(self, some: list[int]) -> None:
        some = list(dict.fromkeys(some))
        deleted = self.cache.delete_many(self.combination.keys(some))
        assert deleted.tolist() == [n in self.held for n in some]
        for n in some:
            self.held.pop(n, None)

    def load(self, some: list[int]) -> None:
        version = int(self.random.integers(1 << 30))

        def load(ids: Any) -> list[Any]:
            return [self.combination.value(version)] * len(ids)

        values = self.cache.get_or_load_many(self.combination.keys(some), load)
        for n in some:
            self.held.setdefault(n, version)
        assert plain(values) == self.combination.values(self.held[n] for n in some)
        self.lookups += len(some)

    def pop(self, some: list[int]) -> None:
        value = self.cache.pop(self.combination.key(some[0]), None)
        version = self.held.pop(some[0], None)
        assert value == (None if version is None else self.combination.value(version))


def test_every_thread_finds_what_it_stored(combination: Combination, crew: Crew) -> None:
    cache = combination.open(CAPACITIES[1], seed=1)
    owners = [Owner(combination, cache, me) for me in range(THREADS)]
    stop = threading.Event()
    resizer = crew.start(lambda: resize_until(cache, stop))
    try:
        crew.run(*(owner.run for owner in owners))
    finally:
        stop.set()
    resizer.result(PATIENCE)
    stats = cache.stats()
    assert stats.requests == sum(owner.lookups for owner in owners)
    assert stats.evictions == 0
    assert stats.size == len(cache) == len(list(cache)) == sum(len(each.held) for each in owners)


def test_a_key_that_is_there_all_the_time_is_never_missed(
    combination: Combination, crew: Crew
) -> None:
    """Not even while one thread replaces its value and another moves it."""
    cache = combination.open(CAPACITIES[1], seed=1)
    numbers = range(20)
    keys = combination.keys(numbers)
    cache.set_many(keys, combination.values(numbers))
    stop = threading.Event()

    def read() -> None:
        while not stop.is_set():
            assert cache.get_many(keys)[1].all()
            assert cache.contains_many(keys).all()
            assert set(keys) <= set(cache)

    def write() -> None:
        while not stop.is_set():
            cache.set_many(keys, combination.values(numbers))

    readers = [crew.start(work) for work in (read, read, write, write)]
    resizer = crew.start(lambda: resize_until(cache, stop))
    time.sleep(SECONDS)
    stop.set()
    for each in readers:
        each.result(PATIENCE)
    resizer.result(PATIENCE)


def test_counters_never_go_back(combination: Combination, crew: Crew) -> None:
    cache = combination.open(CAPACITIES[1])
    cache.set_many(combination.keys(range(800)), combination.values(range(800)))
    stop = threading.Event()

    def watch() -> None:
        before = cache.stats()
        while not stop.is_set():
            now = cache.stats()
            for field in ("hits", "insertions", "updates", "evictions", "deletions"):
                assert getattr(now, field) >= getattr(before, field)
            assert now.insertions - now.evictions == now.size
            before = now

    watchers = [crew.start(watch) for _ in range(2)]
    resizer = crew.start(lambda: resize_until(cache, stop))
    time.sleep(SECONDS)
    stop.set()
    for each in watchers:
        each.result(PATIENCE)
    resizer.result(PATIENCE)


def test_a_clear_leaves_nothing_that_was_there_before(combination: Combination, crew: Crew) -> None:
    cache = combination.open(CAPACITIES[1])
    numbers = range(800)
    keys, values = combination.keys(numbers), combination.values(numbers)
    stop = threading.Event()
    resizer = crew.start(lambda: resize_until(cache, stop))
    ends = time.monotonic() + SECONDS
    while time.monotonic() < ends:
        cache.set_many(keys, values)
        cache.clear()
        assert list(cache) == []
        assert not cache.get_many(keys)[1].any()
    stop.set()
    resizer.result(PATIENCE)


def test_resizes_and_snapshots_wait_for_each_other(
    combination: Combination, crew: Crew, tmp_path: Path
) -> None:
    cache = combination.open(CAPACITIES[1], seed=1)
    numbers = range(200)
    cache.set_many(combination.keys(numbers), combination.values(numbers))
    path = tmp_path / "cache.snapshot"

    def snapshots() -> None:
        for _ in range(5):
            assert cache.snapshot(path).entries == len(numbers)

    def resizes() -> None:
        for capacity in CAPACITIES * 2:
            cache.resize(capacity)

    crew.run(snapshots, resizes, resizes)
    other = combination.open(CAPACITIES[1])
    assert other.restore(path).restored == len(numbers)


# ------------------------------------------------------------------ keys with code of their own


class Curious:
    """A key that does something whenever it is compared; all have the same hash."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.act: Any = None

    def __hash__(self) -> int:
        return 1

    def __eq__(self, other: object) -> bool:
        if self.act is not None:
            act, self.act = self.act, None
            act()
        return isinstance(other, Curious) and other.number == self.number


def test_a_resize_from_within_a_comparison_is_done() -> None:
    cache: predis.Cache[Curious, int] = predis.Cache(100)
    held = Curious(1)
    cache[held] = 1
    held.act = lambda: cache.resize(1_000)
    cache[Curious(1)] = 2
    assert cache.stats().updates == 1
    held.act = lambda: cache.resize(10)
    assert cache[Curious(1)] == 2
    assert (cache.stats().hits, cache.stats().misses) == (1, 0)
    held.act = lambda: cache.resize(50)
    assert cache.pop(Curious(1)) == 2
    assert (len(cache), cache.capacity) == (0, 50)


def test_a_lookup_that_a_resize_overtakes_counts_each_key_once() -> None:
    cache: predis.Cache[Any, int] = predis.Cache(100)
    held = Curious(1)
    cache.set_many([held, "other"], [1, 2])

    def overtake() -> None:
        move = moving.Move(cache._table, cache._made(1_000))
        assert move.begin()
        move._carry(cache._encode([held]), 0)

    held.act = overtake
    values, hit = cache.get_many([Curious(1), "other"])
    assert values == [1, 2]
    assert hit.all()
    assert (cache.stats().hits, cache.stats().misses) == (2, 0)
    assert cache.get("absent") is None
    assert (cache.stats().hits, cache.stats().misses) == (2, 1)
    cache._settle()


def test_moving_compares_no_keys() -> None:
    cache: predis.Cache[Curious, int] = predis.Cache(100)
    keys = [Curious(number) for number in range(20)]
    cache.set_many(keys, range(20))

    def fail() -> None:
        raise AssertionError("compared")

    for key in keys:
        key.act = fail
    assert cache.resize(1_000).moved == 20
    for key in keys:
        key.act = None


def test_a_thread_does_not_wait_for_itself() -> None:
    """Values that leave are let go while the resize goes on, and may run anything."""
    cache: predis.Cache[int, Any] = predis.Cache(28)
    said: list[str] = []

    class Last:
        def __del__(self) -> None:
            try:
                cache.resize(500)
            except CacheBusy as error:
                said.append(str(error))

    cache.set_many(range(28), [Last() for _ in range(28)])
    assert cache.resize(7).evicted == 21
    assert (
        said
        == [
            "cache 'default': resizes, snapshots and changes of namespaces take turns, and this "
            "thread is in one of them; call the next when it has returned"
        ]
        * 21
    )
    cache.clear()
    assert cache.capacity == 500
