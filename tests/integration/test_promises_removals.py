"""What removal listeners promise: every sentence is a test, named after it."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import predis_core as predis
from predis_core.errors import CacheClosed, LoaderDeadlock
from predis_core.listening import REASONS, Listeners
from predis_core.table import cpu
from tests.support.combinations import plain
from tests.support.crew import PATIENCE, Crew
from tests.support.holdings import HOLDINGS, Holding
from tests.support.told import Gone, Told

THREADS = 8
ROUNDS = 60

OBJECTS, ROWS = Holding("objects", "any"), Holding("rows", "int64")


@pytest.fixture(params=HOLDINGS, ids=str)
def holding(request: pytest.FixtureRequest) -> Holding:
    """Each store with keys that are numbers and with keys that are objects."""
    found: Holding = request.param
    return found


@pytest.fixture
def told(holding: Holding) -> Told:
    return Told(holding)


# ------------------------------------------------------------------ which verb, which reason

Case = Callable[[predis.Cache[Any, Any], Holding], Any]
"""What is done to a cache of 1, 2 and 3 with room for no more, of which 1 has expired."""


def _set(numbers: list[int], values: list[int]) -> Case:
    return lambda cache, h: cache.set_many(h.keys(numbers), h.values(values))


def _load(*numbers: int) -> Case:
    return lambda cache, h: cache.get_or_load_many(h.keys(numbers), h.load)


async def _aset(cache: predis.Cache[Any, Any], h: Holding) -> None:
    await cache.aset_many(h.keys([2, 4, 5]), h.values([20, 40, 50]))


async def _adelete(cache: predis.Cache[Any, Any], h: Holding) -> None:
    await cache.adelete_many(h.keys([3, 2]))


CASES: dict[str, tuple[Case, list[tuple[int, int, str]]]] = {
    "set: replaced": (_set([2], [20]), [(2, 2, "replaced")]),
    "set: the same value again": (_set([2], [2]), [(2, 2, "replaced")]),
    "set: an expired entry of the same key": (_set([1], [10]), [(1, 1, "expired")]),
    "set: an expired entry in the way": (_set([4], [40]), [(1, 1, "expired")]),
    "set_many: all there is, in order": (
        _set([4, 2, 5, 6], [40, 20, 50, 60]),
        [(1, 1, "expired"), (2, 2, "replaced"), (3, 3, "evicted"), (4, 40, "evicted")],
    ),
    "set_many: what the batch itself brought": (
        _set([4, 5, 6, 7], [40, 50, 60, 70]),
        [(1, 1, "expired"), (2, 2, "evicted"), (3, 3, "evicted"), (4, 40, "evicted")],
    ),
    "set_many: of equal keys the last": (_set([2, 2, 2], [20, 21, 22]), [(2, 2, "replaced")]),
    "aset_many": (
        lambda cache, h: asyncio.run(_aset(cache, h)),
        [(2, 2, "replaced"), (1, 1, "expired"), (3, 3, "evicted")],
    ),
    "[]=": (
        lambda cache, h: cache.__setitem__(h.key(3), h.value(30)),
        [(3, 3, "replaced")],
    ),
    "update": (lambda cache, h: cache.update({h.key(3): h.value(30)}), [(3, 3, "replaced")]),
    "setdefault: of a new key": (
        lambda cache, h: cache.setdefault(h.key(4), h.value(4)),
        [(1, 1, "expired")],
    ),
    "setdefault: of one that is there": (
        lambda cache, h: cache.setdefault(h.key(2), h.value(20)),
        [],
    ),
    "load: expired, then evicted": (_load(4, 5), [(1, 1, "expired"), (2, 2, "evicted")]),
    "load: the expired itself": (_load(1), [(1, 1, "expired")]),
    "load: hits": (_load(2, 3), []),
    "get_or_load": (
        lambda cache, h: cache.get_or_load(h.key(4), lambda _: h.value(4)),
        [(1, 1, "expired")],
    ),
    "aget_or_load_many": (
        lambda cache, h: asyncio.run(cache.aget_or_load_many(h.keys([1]), h.load)),
        [(1, 1, "expired")],
    ),
    "get": (lambda cache, h: cache.get_many(h.keys([1, 2])), []),
    "contains, touch": (
        lambda cache, h: (cache.contains_many(h.keys([1])), cache.touch_many(h.keys([1]))),
        [],
    ),
    "del": (lambda cache, h: cache.__delitem__(h.key(2)), [(2, 2, "deleted")]),
    "delete_many: absent, expired, equal": (
        lambda cache, h: cache.delete_many(h.keys([9, 3, 1, 3])),
        [(3, 3, "deleted"), (1, 1, "expired")],
    ),
    "adelete_many": (
        lambda cache, h: asyncio.run(_adelete(cache, h)),
        [(3, 3, "deleted"), (2, 2, "deleted")],
    ),
    "pop": (lambda cache, h: cache.pop(h.key(2)), [(2, 2, "deleted")]),
    "pop: expired": (lambda cache, h: cache.pop(h.key(1), None), [(1, 1, "expired")]),
    "pop: absent": (lambda cache, h: cache.pop(h.key(9), None), []),
    "popitem": (lambda cache, h: cache.popitem(), [(2, 2, "deleted")]),
    "clear": (
        lambda cache, h: cache.clear(),
        [(1, 1, "expired"), (2, 2, "cleared"), (3, 3, "cleared")],
    ),
    "close": (
        lambda cache, h: cache.close(),
        [(1, 1, "expired"), (2, 2, "cleared"), (3, 3, "cleared")],
    ),
}


def three(holding: Holding, **options: Any) -> predis.Cache[Any, Any]:
    clock = predis.ManualClock()
    cache = holding.open(3, clock=clock, **options)
    for number, ttl in ((1, 1), (2, 9), (3, None)):
        cache.set(holding.key(number), holding.value(number), ttl=ttl)
    clock.advance(1)
    return cache


@pytest.mark.parametrize(("case", "expected"), CASES.values(), ids=CASES)
def test_each_verb_tells_what_left_and_why(
    holding: Holding, told: Told, case: Case, expected: list[tuple[int, int, str]]
) -> None:
    cache = three(holding, on_removal=told)
    case(cache, holding)
    assert len(told.batches) == bool(expected)
    assert told.take() == expected


def test_restore_tells_of_the_expired_whose_places_it_takes(tmp_path: Path) -> None:
    for holding in (OBJECTS, ROWS):
        told = Told(holding)
        source, path = holding.open(5), tmp_path / str(holding)
        source[holding.key(1)] = holding.value(10)
        source.snapshot(path)
        clock = predis.ManualClock()
        cache = holding.open(5, clock=clock, on_removal=told)
        cache.set(holding.key(1), holding.value(1), ttl=1)
        clock.advance(1)
        assert cache.restore(path).restored == 1
        assert told.take() == [(1, 1, "expired")]


def test_invalidating_a_function_tells_what_was_deleted() -> None:
    told: list[Any] = []
    cache = predis.Cache[Any, Any](10, policy="lru", on_removal=told.append)

    @cache.memoize(name="double")
    def double(x: int) -> int:
        return 2 * x

    double(3), double(4)
    double.invalidate(3)
    assert [(r.keys, r.values, r.reasons) for r in told] == [([double.key(3)], [6], ["deleted"])]
    told.clear()
    double.invalidate_all()
    assert [(r.keys, r.values, r.reasons) for r in told] == [([double.key(4)], [8], ["deleted"])]


def test_what_does_not_fit_in_memory_leaves_as_evicted() -> None:
    told = Told(Holding("blobs", "int64"))
    cache = predis.Cache[int, bytes](
        100, memory="64KiB", value=predis.Blobs(), policy="lru", on_removal=told
    )
    large = [b"value-%d" % number + bytes(20_000) for number in range(4)]
    told_of: list[tuple[list[int], list[str]]] = []
    cache.remove_removal_listener(told)
    cache.add_removal_listener(lambda r: told_of.append((plain(r.keys), r.reasons)))
    for number, value in enumerate(large):
        assert cache.set(number, value)
    kept = sorted(cache)
    assert sorted(key for keys, _ in told_of for key in keys) == sorted({*range(4)} - {*kept})
    assert {reason for _, reasons in told_of for reason in reasons} == {"evicted"}
    told_of.clear()
    # What can never fit is not stored, and what it was to replace is not found any more.
    assert cache.set(kept[0], bytes(100_000)) is False
    assert told_of == [([kept[0]], ["evicted"])]


# ------------------------------------------------------------------ one call per batch


def test_a_batch_is_told_in_one_call_in_order(holding: Holding, told: Told) -> None:
    cache = holding.open(20, on_removal=told)
    cache.set_many(holding.keys(range(20)), holding.values(range(20)))
    assert told.batches == []
    cache.set_many(holding.keys(range(50, 120)), holding.values(range(50, 120)))
    assert len(told.batches) == 1
    expected = [*range(20), *range(50, 100)]
    assert told.take() == [(n, n, "evicted") for n in expected]
    cache.delete_many(holding.keys([110, 7, 105, 119]))
    assert told.batches == [[Gone(n, n, "deleted") for n in (110, 105, 119)]]


@pytest.mark.parametrize("kind", ["int64", "any"])
def test_a_batch_of_blobs_larger_than_expected_is_told_in_one_call(kind: Any) -> None:
    told: list[Any] = []
    cache = predis.Cache[int, bytes](
        28, memory="1MiB", value=predis.Blobs(), keys=kind, policy="lru", on_removal=told.append
    )
    cache.set_many(range(28), [b"x"] * 28)
    values = [bytes([number % 256]) * (500 + 3 * number) for number in range(600)]
    values[300] = bytes(300_000)
    assert cache.set_many(range(100, 700), values).all()
    (removals,) = told
    assert plain(removals.keys) == [*range(28), *range(100, 672)]
    assert removals.values == [b"x"] * 28 + values[:-28]


def test_clear_tells_of_a_large_cache_in_parts(holding: Holding, told: Told) -> None:
    cache = holding.open(6000, on_removal=told, **({} if holding.store != "blobs" else BIG))
    stored = cache.set_many(holding.keys(range(5000)), holding.values(range(5000)))
    assert stored.all()
    evicted = {gone.key for gone in told.all}
    told.take()
    cache.clear()
    assert 1 < len(told.batches) < 5
    assert sorted(gone.key for gone in told.all) == sorted({*range(5000)} - evicted)
    assert {gone.reason for gone in told.all} == {"cleared"}
    assert all(gone.key == gone.value for gone in told.all)


BIG = {"memory": "4MiB"}


# ------------------------------------------------------------------ after every lock


def test_a_listener_may_use_the_cache(holding: Holding) -> None:
    told: list[int] = []

    def listener(removals: Any) -> None:
        told.append(len(removals.reasons))
        key = holding.key(100 + len(told))
        cache.get(key)
        cache.pop(key, None)
        if len(told) < 5:
            # Evicts in turn, and so calls the listener again.
            cache[key] = holding.value(100 + len(told))

    cache = holding.open(2, on_removal=listener)
    cache.set_many(holding.keys([1, 2]), holding.values([1, 2]))
    cache[holding.key(3)] = holding.value(3)
    assert told == [1] * 5
    cache.check_invariants()


def test_another_thread_may_use_the_cache_while_a_listener_runs(holding: Holding) -> None:
    done: list[bool] = []

    def use() -> None:
        cache.get(holding.key(3))
        cache.touch_many(holding.keys([3]))
        cache.set_many(holding.keys([3]), holding.values([3]))
        cache.pop(holding.key(9), None)

    def listener(removals: Any) -> None:
        if removals.reasons == ["evicted"]:
            other = threading.Thread(target=use, daemon=True)
            other.start()
            other.join(PATIENCE)
            done.append(not other.is_alive())

    cache = holding.open(2, on_removal=listener)
    cache.set_many(holding.keys([1, 2]), holding.values([1, 2]))
    cache[holding.key(3)] = holding.value(3)
    cache.get_or_load(holding.key(4), lambda _: holding.value(4))
    assert done == [True, True]


class Last:
    """Uses the cache when its last reference goes."""

    def __init__(self, cache: predis.Cache[int, Any], deaths: list[bool]) -> None:
        self._cache, self._deaths = cache, deaths

    def __del__(self) -> None:
        self._deaths.append(99 in self._cache)
        self._cache.delete_many([98])


@pytest.mark.parametrize("kind", ["int64", "any"])
@pytest.mark.parametrize("is_told", [True, False])
def test_the_last_reference_of_a_value_goes_after_every_lock(kind: Any, is_told: bool) -> None:
    deaths: list[bool] = []
    cache = predis.Cache[int, Any](2, policy="lru", keys=kind)
    if is_told:
        cache.add_removal_listener(lambda removals: None)
    for leave in (
        lambda: cache.set_many([2, 3], [0, 0]),
        lambda: cache.set(1, 0),
        lambda: cache.delete_many([1]),
        lambda: cache.clear(),
    ):
        cache[1] = Last(cache, deaths)
        leave()
        gc.collect()
        assert deaths.pop() is False
        assert deaths == []


def test_a_listener_that_loads_what_is_being_loaded_gets_an_error_and_does_not_hang() -> None:
    errors: list[LoaderDeadlock] = []

    def listener(removals: Any) -> None:
        try:
            cache.get_or_load_many(removals.keys, lambda ids: list(ids))
        except LoaderDeadlock as error:
            errors.append(error)

    cache = predis.Cache[int, int](1, policy="lru", on_removal=listener)
    assert cache.get_or_load_many([1, 2], lambda ids: list(ids)) == [1, 2]
    assert [error.ids for error in errors] == [[1]]
    assert cache.get_or_load_many([1], lambda ids: list(ids)) == [1]


# ------------------------------------------------------------------ a listener that raises


def test_a_listener_that_raises_breaks_nothing(
    holding: Holding, told: Told, caplog: pytest.LogCaptureFixture
) -> None:
    def wrong(removals: Any) -> None:
        raise ZeroDivisionError("told")

    cache = holding.open(1, name="prices", on_removal=wrong)
    cache.add_removal_listener(told)
    key, value = holding.key(1), holding.value(1)
    with caplog.at_level(logging.WARNING, "predis"):
        cache[key] = value
        assert cache.set(key, value) is True
        assert cache.pop(key) == value
        assert len(caplog.records) == 1
        assert cache.get_or_load(key, lambda _: value) == value
        cache.clear()
        cache[key] = value
        cache.clear()
    first, last = caplog.records
    assert first.getMessage() == f"cache 'prices': removal listener {wrong!r} raised"
    assert first.exc_info is not None
    assert last.levelno == logging.ERROR
    assert last.getMessage() == (
        f"cache 'prices': removal listener {wrong!r} is not told any more, after 3 failures in a "
        "row, the last one ZeroDivisionError: told"
    )
    assert cache.remove_removal_listener(wrong) is False
    assert [gone.reason for gone in told.all] == ["replaced", "deleted", "cleared", "cleared"]


def test_only_failures_in_a_row_end_a_listener(caplog: pytest.LogCaptureFixture) -> None:
    calls: list[int] = []

    def sometimes(removals: Any) -> None:
        calls.append(1)
        if len(calls) % 3:
            raise ZeroDivisionError

    cache = predis.Cache[int, int](1, policy="lru", on_removal=sometimes)
    with caplog.at_level(logging.WARNING, "predis"):
        for number in range(31):
            cache[number] = number
    assert len(calls) == 30
    assert len(caplog.records) == 1
    assert cache.remove_removal_listener(sometimes) is True


def test_an_interrupt_in_a_listener_goes_its_way() -> None:
    def interrupted(removals: Any) -> None:
        raise KeyboardInterrupt

    cache = predis.Cache[int, int](1, policy="lru", on_removal=interrupted)
    cache[1] = 1
    with pytest.raises(KeyboardInterrupt):
        cache[1] = 2
    assert cache[1] == 2


# ------------------------------------------------------------------ costs


def test_a_listener_is_told_what_each_entry_cost_to_load(holding: Holding, told: Told) -> None:
    cache = holding.open(10, on_removal=told)

    def slow(ids: Any) -> Any:
        threading.Event().wait(0.03)
        return holding.load(ids)

    begin = time.monotonic()
    cache.get_or_load_many(holding.keys([1, 2]), slow)
    both = time.monotonic() - begin
    cache[holding.key(3)] = holding.value(3)
    cache.set_many(holding.keys([2]), holding.values([20]))
    cache.clear()
    assert 0.014 < told.costs[1] <= both / 2
    assert told.costs[3] == told.costs[2] == 0.0
    assert told.batches[0] == [Gone(2, 2, "replaced")]


def test_only_a_cache_opened_with_a_listener_keeps_costs(holding: Holding, told: Told) -> None:
    cache = holding.open(10)
    cache.add_removal_listener(told)
    cache.get_or_load_many(holding.keys([1]), holding.load)
    cache.clear()
    assert told.costs == {1: 0.0}


# ------------------------------------------------------------------ several listeners


def test_several_listeners_are_told_in_the_order_in_which_they_came() -> None:
    calls: list[str] = []
    cache = predis.Cache[int, int](1, policy="lru", on_removal=lambda _: calls.append("first"))
    cache.add_removal_listener(lambda _: calls.append("second"))
    cache.add_removal_listener(lambda _: calls.append("third"))
    cache.update({1: 1})
    cache.update({1: 1})
    assert calls == ["first", "second", "third"]


@pytest.mark.parametrize("wanted", [*[(reason,) for reason in REASONS], ("expired", "evicted")])
def test_a_listener_is_told_only_of_the_reasons_it_wants(
    holding: Holding, told: Told, wanted: tuple[Any, ...]
) -> None:
    everything = Told(holding)
    cache = three(holding)
    cache.add_removal_listener(told, reasons=wanted)
    cache.add_removal_listener(everything)
    cache.set_many(holding.keys([4, 2, 5, 6]), holding.values([40, 20, 50, 60]))
    cache.pop(holding.key(6))
    cache.clear()
    assert {gone.reason for gone in everything.all} == set(REASONS)
    assert told.all == [gone for gone in everything.all if gone.reason in wanted]
    assert all(told.batches)


def test_a_listener_is_not_told_any_more_once_it_was_removed(holding: Holding, told: Told) -> None:
    cache = holding.open(1)
    assert cache.remove_removal_listener(told) is False
    cache.add_removal_listener(told)
    cache[holding.key(1)] = holding.value(1)
    cache[holding.key(1)] = holding.value(2)
    assert cache.remove_removal_listener(told) is True
    assert cache.remove_removal_listener(told) is False
    cache.clear()
    assert told.take() == [(1, 1, "replaced")]


def test_a_bound_method_can_be_removed() -> None:
    found: list[Any] = []
    cache = predis.Cache[int, int](1, policy="lru")
    cache.add_removal_listener(found.append)
    assert cache.remove_removal_listener(found.append) is True


def test_a_listener_may_remove_itself(holding: Holding) -> None:
    calls: list[Any] = []

    def once(removals: Any) -> None:
        calls.append(removals)
        cache.remove_removal_listener(once)

    cache = holding.open(1, on_removal=once)
    for number in range(4):
        cache[holding.key(number)] = holding.value(number)
    assert len(calls) == 1


def test_listeners_may_come_and_go_in_any_thread(crew: Crew) -> None:
    cache = predis.Cache[int, int](3, policy="lru")
    listeners: list[list[Any]] = [[] for _ in range(THREADS)]

    def work(listener: list[Any]) -> None:
        for number in range(ROUNDS):
            cache.add_removal_listener(listener.append)
            cache.set_many([number], [number])
            # Lists that are equal are equal methods' objects, but not the same.
            assert cache.remove_removal_listener(listener.append) is True

    crew.run(*[lambda listener=listener: work(listener) for listener in listeners])
    assert not cache._listeners


# ------------------------------------------------------------------ nobody listens


def test_without_listeners_nothing_is_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*args: Any, **options: Any) -> Any:
        raise AssertionError("noted for nobody")

    monkeypatch.setattr(Listeners, "tell", forbidden)
    monkeypatch.setattr(Listeners, "shown", forbidden)
    for store, kind in (("rows", "int64"), ("blobs", "int64")):
        holding = Holding(store, kind)
        with monkeypatch.context() as patch:
            patch.setattr(cpu, "Log", forbidden)
            cache = three(holding)
            for case in ("set_many: all there is, in order", "load: expired, then evicted"):
                CASES[case][0](cache, holding)
            cache.delete_many(holding.keys(range(9)))
            cache.clear()
    # References are handed over to be dropped, but not shown to anybody.
    cache = three(OBJECTS)
    CASES["set_many: all there is, in order"][0](cache, OBJECTS)
    cache.clear()


# ------------------------------------------------------------------ return_evicted


def test_return_evicted_says_the_same_with_and_without_listeners(
    holding: Holding, told: Told
) -> None:
    found = []
    for listener in (None, told):
        cache = three(holding, seed=5)
        if listener is not None:
            cache.add_removal_listener(listener)
        stored, evicted = cache.set_many(
            holding.keys([4, 2, 5, 6]), holding.values([40, 20, 50, 60]), return_evicted=True
        )
        assert stored.all()
        assert isinstance(evicted.keys, list) == (holding.kind != "int64")
        assert isinstance(evicted.values, list) == (not holding.holds_rows)
        found.append((plain(evicted.keys), plain(evicted.values)))
    assert found[0] == found[1] == (holding.keys([3, 4]), holding.values([3, 40]))
    expected = CASES["set_many: all there is, in order"][1]
    assert told.take() == expected


# ------------------------------------------------------------------ exactly once


class Book:
    """Which values were stored, which were told of, and whether that adds up."""

    def __init__(self, cache: predis.Cache[Any, Any], holding: Holding) -> None:
        self.cache, self.holding = cache, holding
        self.told = Told(holding)
        cache.add_removal_listener(self.told)
        self.stored: list[int] = []
        self.loaded: list[int] = []

    def set(self, numbers: list[int], versions: Iterator[int], ttl: float | None = None) -> None:
        given = [next(versions) for _ in numbers]
        stored = self.cache.set_many(
            self.holding.keys(numbers), self.holding.values(given), ttl=ttl
        )
        last = {number: at for at, number in enumerate(numbers)}
        self.stored += [given[at] for at in last.values() if stored[at]]

    def load(self, numbers: list[int], versions: Iterator[int]) -> None:
        def loader(ids: Any) -> list[Any]:
            given = [next(versions) for _ in ids]
            self.loaded.extend(given)
            return self.holding.values(given)

        self.cache.get_or_load_many(self.holding.keys(numbers), loader)

    def check(self) -> None:
        """Everything left by now: what was set once each, what was loaded at most once."""
        told = Counter(gone.value for gone in self.told.all)
        assert max(told.values(), default=0) <= 1
        assert told.keys() - {*self.loaded} == {*self.stored}


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["set", "short", "load", "delete", "pop", "clear", "wait", "pin"]),
        st.lists(st.integers(0, 12), min_size=1, max_size=8),
    ),
    max_size=25,
)


@pytest.mark.parametrize("holding", HOLDINGS, ids=str)
@given(steps=STEPS)
def test_each_entry_that_was_stored_is_told_exactly_once(
    holding: Holding, steps: list[tuple[str, list[int]]]
) -> None:
    clock = predis.ManualClock()
    cache = holding.open(5, clock=clock)
    book, versions = Book(cache, holding), iter(range(10**6))
    for step, numbers in steps:
        keys = holding.keys(numbers)
        if step in ("set", "short"):
            book.set(numbers, versions, ttl=1 if step == "short" else None)
        elif step == "load":
            book.load(numbers, versions)
        elif step == "pin":
            with cache.pinned(keys):
                book.set([number + 6 for number in numbers], versions)
        elif step == "wait":
            clock.advance(0.4)
        elif step == "clear":
            cache.clear()
        elif step == "pop":
            cache.pop(keys[0], None)
        else:
            cache.delete_many(keys)
        held = {holding.value_number(value) for value in cache.values()}
        assert not held & {gone.value for gone in book.told.all}
    cache.close()
    book.check()
    assert {*book.loaded} >= {gone.value for gone in book.told.all} - {*book.stored}


def bookkept(holding: Holding, crew: Crew, *, closes_meanwhile: bool) -> None:
    """Have threads set, load and delete, and check the books once the cache is closed."""
    cache = holding.open(40)
    whole = Book(cache, holding)
    books = [Book(cache, holding) for _ in range(THREADS)]
    for book in books:
        cache.remove_removal_listener(book.told)
    half = threading.Event()

    def work(book: Book, seed: int) -> None:
        versions = iter(range(10**6 * seed, 10**6 * (seed + 1)))
        try:
            for turn in range(ROUNDS):
                first = (seed * 7 + turn * 11) % 60
                numbers = list(range(first, first + 8))
                book.set(numbers, versions)
                book.load(numbers[::2], versions)
                cache.delete_many(holding.keys(numbers[2:4]))
                cache.pop(holding.key(first), None)
                if turn == ROUNDS // 2:
                    half.set()
                    if seed == 0:
                        cache.clear()
        except CacheClosed:
            assert closes_meanwhile

    def close() -> None:
        half.wait(PATIENCE)
        cache.close()

    works: list[Callable[[], None]] = [partial(work, book, at) for at, book in enumerate(books)]
    if closes_meanwhile:
        works.append(close)
    crew.run(*works)
    cache.close()
    for book in books:
        whole.stored += book.stored
        whole.loaded += book.loaded
    assert len(whole.stored) > THREADS
    whole.check()


def test_each_entry_is_told_exactly_once_with_many_threads(holding: Holding, crew: Crew) -> None:
    bookkept(holding, crew, closes_meanwhile=False)


@pytest.mark.breaks_invariants  # which are checked on closing, while others go on here
def test_what_is_set_while_the_cache_closes_is_told_as_well(holding: Holding, crew: Crew) -> None:
    bookkept(holding, crew, closes_meanwhile=True)
