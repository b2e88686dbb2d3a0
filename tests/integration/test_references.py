"""References to keys and values: taken when an entry comes, given back when it leaves."""

from __future__ import annotations

import gc
import sys
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import predis_core as predis
from tests.support.combinations import Combination

CAPACITY = 28
ENTRIES = 60
TIMES = 50

pytestmark = pytest.mark.watches_lifetime


@pytest.fixture(autouse=True)
def quick_collections() -> Iterator[None]:
    """Leave what is there already out of the collector's rounds."""
    gc.freeze()
    yield
    gc.unfreeze()


class Thing:
    """A value of which there is one only."""


class Bench:
    """A cache, and entries to which nobody else refers."""

    def __init__(self, combination: Combination) -> None:
        self.clock = predis.ManualClock()
        self.cache = combination.open(CAPACITY, clock=self.clock)
        numbers = range(1_000_000, 1_000_000 + ENTRIES)
        self.keys = combination.keys(numbers)
        self.values: list[Any] = combination.values(numbers)
        if combination.store == "objects":
            self.values = [Thing() for _ in numbers]
        self.few = slice(0, 20)

    def store(self) -> None:
        self.cache.set_many(self.keys, self.values, ttl=1)

    def store_few(self) -> None:
        self.cache.set_many(self.keys[self.few], self.values[self.few], ttl=1)

    def load_few(self) -> None:
        self.cache.get_or_load_many(self.keys[self.few], lambda ids: self.values[self.few], ttl=1)

    def counts(self) -> list[int]:
        gc.collect()
        return [sys.getrefcount(thing) for thing in (*self.keys, *self.values)]


USES: dict[str, Callable[[Bench], Any]] = {
    "evict": lambda b: b.store(),
    "evict and return": lambda b: b.cache.set_many(b.keys, b.values, return_evicted=True),
    "update": lambda b: (b.store_few(), b.store_few()),
    "equal keys": lambda b: b.cache.set_many(b.keys[:3] * 5, b.values[:15]),
    "look up": lambda b: (b.store_few(), b.cache.get_many(b.keys), b.cache.get(b.keys[0])),
    "contain and touch": lambda b: (b.cache.contains_many(b.keys), b.cache.touch_many(b.keys)),
    "delete": lambda b: (b.store_few(), b.cache.delete_many(b.keys)),
    "pop": lambda b: (b.store_few(), b.cache.pop(b.keys[0], 1), b.cache.pop(b.keys[50], 1)),
    "expire and delete": lambda b: (b.store(), b.clock.advance(1), b.cache.delete_many(b.keys)),
    "expire and reclaim": lambda b: (b.store(), b.clock.advance(1), b.store()),
    "iterate": lambda b: (list(b.cache), list(b.cache.items()), list(b.cache.values())),
    "load": lambda b: (b.cache.clear(), b.load_few()),
    "load and evict": lambda b: b.cache.get_or_load_many(b.keys, lambda ids: b.values[-len(ids) :]),
    "clear": lambda b: (b.store(), b.cache.clear()),
}


@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_every_reference_is_given_back(
    combination: Combination, use: Callable[[Bench], Any]
) -> None:
    bench = Bench(combination)
    use(bench)
    bench.cache.check_invariants()  # compiled by now, and what that leaves behind is not counted
    bench.cache.clear()
    before, nones = bench.counts(), sys.getrefcount(None)
    for _ in range(TIMES):
        use(bench)
    bench.cache.check_invariants()
    bench.cache.clear()
    assert bench.counts() == before
    assert sys.getrefcount(None) - nones < TIMES


def test_nothing_is_held_by_a_closed_or_a_forgotten_cache(combination: Combination) -> None:
    for ending in ("close", "forget"):
        bench = Bench(combination)
        before = bench.counts()
        bench.store()
        if ending == "close":
            bench.cache.close()
        else:
            del bench.cache
        assert bench.counts() == before


def test_an_entry_is_held_for_as_long_as_it_is_cached() -> None:
    cache = predis.Cache[Any, Any](10)
    key, value = Thing(), Thing()
    gone = [weakref.ref(key), weakref.ref(value)]
    cache[key] = value
    del key, value
    gc.collect()
    assert [ref() is None for ref in gone] == [False, False]
    cache.popitem()
    assert [ref() is None for ref in gone] == [True, True]


def test_an_error_half_way_gives_references_back() -> None:
    class Broken(Thing):
        def __hash__(self) -> int:
            return 7

        def __eq__(self, other: object) -> bool:
            raise ZeroDivisionError

    cache = predis.Cache[Any, Any](10)
    cache[Broken()] = 1
    key, value = Broken(), Thing()
    before = sys.getrefcount(key), sys.getrefcount(value)
    for _ in range(20):
        for call in (
            lambda: cache.set(key, value),
            lambda: cache.set_many([1, key], [value, value]),
            lambda: cache.get(key),
            lambda: cache.delete_many([key]),
            lambda: cache.get_or_load(key, lambda _: value),
        ):
            with pytest.raises(ZeroDivisionError):
                call()
    cache.clear()
    gc.collect()
    assert (sys.getrefcount(key), sys.getrefcount(value)) == before
