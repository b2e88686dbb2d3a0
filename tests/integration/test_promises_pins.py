"""What pins promise: every sentence is a test, named after it."""

from __future__ import annotations

import asyncio
import gc
import os
import random
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import predis_core as predis
from predis_core.errors import CacheClosed, CacheFull, ForkedCache
from tests.support.combinations import plain
from tests.support.crew import PATIENCE, Crew
from tests.support.holdings import HOLDINGS, Holding

THREADS = 8
ROUNDS = 60


@pytest.fixture(params=HOLDINGS, ids=str)
def holding(request: pytest.FixtureRequest) -> Holding:
    """Each store with keys that are numbers and with keys that are objects."""
    found: Holding = request.param
    return found


def filled(holding: Holding, capacity: int, **options: Any) -> predis.Cache[Any, Any]:
    """Return a cache of the entries 0 to capacity - 1."""
    cache = holding.open(capacity, **options)
    numbers = range(capacity)
    assert cache.set_many(holding.keys(numbers), holding.values(numbers)).all()
    return cache


def pinned(cache: predis.Cache[Any, Any]) -> int:
    return cache._table.pinned


# ------------------------------------------------------------------ what a context gives


def test_a_context_has_the_values_and_what_was_there(holding: Holding) -> None:
    cache = filled(holding, 3)
    context = cache.pinned(holding.keys([2, 7, 0, 2]))
    with context as values:
        assert [plain(values)[at] for at in (0, 2, 3)] == holding.values([2, 0, 2])
        assert plain(values)[1] == (0 if holding.holds_rows else None)
        assert context.hit.tolist() == [True, False, True, True]
        assert pinned(cache) == 2
    assert pinned(cache) == 0
    assert (cache.stats().hits, cache.stats().misses) == (3, 1)


def test_what_came_only_after_the_pins_is_no_hit(holding: Holding) -> None:
    cache = holding.open(3)
    context = cache.pinned(holding.keys([1]))
    look_up = context._look_up

    def late(keys: Any) -> Any:
        cache[holding.key(1)] = holding.value(1)
        return look_up(keys)

    context._look_up = late
    with context:
        assert context.hit.tolist() == [False]
    assert holding.key(1) in cache


def test_a_large_batch_is_pinned_whole(holding: Holding) -> None:
    cache = holding.open(20_000, **({"memory": "8MiB"} if holding.store == "blobs" else {}))
    numbers = range(10_000)
    stored = cache.set_many(holding.keys(numbers), holding.values(numbers))
    context = cache.pinned(holding.keys(numbers))
    with context:
        assert context.hit.sum() == pinned(cache) == len(cache) >= 9_900
    assert stored.all()
    assert pinned(cache) == 0


# ------------------------------------------------------------------ refused


def test_all_ways_of_a_set_pinned_the_insert_is_refused(holding: Holding) -> None:
    cache = filled(holding, 3)
    new = holding.key(7)
    with cache.pinned(holding.keys(range(3))):
        stored, evicted = cache.set_many(
            holding.keys([7, 1, 8]), holding.values([7, 1, 8]), return_evicted=True
        )
        assert stored.tolist() == [False, True, False]
        assert len(evicted.keys) == 0
        assert cache.set(new, holding.value(7)) is False
        assert cache.stats().refusals == 3
        assert sorted(map(holding.number, cache)) == [0, 1, 2]
    assert cache.set(new, holding.value(7)) is True
    assert new in cache
    assert len(cache) == 3


def test_all_ways_of_a_set_pinned_the_dict_face_raises_cache_full(holding: Holding) -> None:
    cache = filled(holding, 2)
    key, value = holding.key(7), holding.value(7)
    with cache.pinned(holding.keys([0, 1])):
        with pytest.raises(CacheFull) as caught:
            cache[key] = value
        assert str(caught.value) == f"no entry may leave to make room for {key!r}"
        with pytest.raises(CacheFull, match=r"^no entry may leave to make room for some of the"):
            cache.update({key: value})
        with pytest.raises(CacheFull):
            cache.setdefault(key, value)
        assert key not in cache
    cache[key] = value
    assert cache[key] == value


def test_all_ways_of_a_set_pinned_get_or_load_still_returns_the_value(holding: Holding) -> None:
    cache = filled(holding, 2)
    with cache.pinned(holding.keys([0, 1])):
        assert cache.get_or_load(holding.key(7), lambda _: holding.value(7)) == holding.value(7)
        numbers = [8, 0, 9, 8]
        values = cache.get_or_load_many(holding.keys(numbers), holding.load)
        assert plain(values) == holding.values(numbers)

        async def load() -> Any:
            return await cache.aget_or_load_many(holding.keys(numbers), holding.load)

        assert plain(asyncio.run(load())) == holding.values(numbers)
        assert sorted(map(holding.number, cache)) == [0, 1]


# ------------------------------------------------------------------ eviction, and nothing else


def test_a_pin_blocks_eviction(holding: Holding) -> None:
    cache = filled(holding, 28)
    kept = holding.keys([0, 5, 11])
    with cache.pinned(kept):
        for first in range(100, 400, 50):
            some = range(first, first + 50)
            assert cache.set_many(holding.keys(some), holding.values(some)).all()
        assert cache.contains_many(kept).all()
        assert plain(cache.get_many(kept)[0]) == holding.values([0, 5, 11])
        assert len(cache) == 28
    some = range(500, 600)
    cache.set_many(holding.keys(some), holding.values(some))
    assert not cache.contains_many(kept).any()


def test_a_pin_blocks_no_deletion(holding: Holding) -> None:
    cache = filled(holding, 5)
    keys = holding.keys(range(5))
    with cache.pinned(keys):
        del cache[keys[0]]
        assert keys[0] not in cache
        assert cache.get(keys[0]) is None
        assert cache.pop(keys[1]) == holding.value(1)
        assert cache.delete_many(keys[:3]).tolist() == [False, False, True]
        assert sorted(map(holding.number, cache)) == [3, 4]
        cache.clear()
        assert len(cache) == 0
        assert pinned(cache) == 5
    assert pinned(cache) == 0
    assert cache.set_many(keys, holding.values(range(5))).all()


def test_a_pin_blocks_no_replacement(holding: Holding) -> None:
    cache = filled(holding, 2)
    with cache.pinned(holding.keys([0, 1])) as values:
        cache[holding.key(0)] = holding.value(50)
        assert cache[holding.key(0)] == holding.value(50)
        assert plain(values) == holding.values([0, 1])
    assert cache[holding.key(0)] == holding.value(50)


def test_a_pin_blocks_no_expiry(holding: Holding) -> None:
    clock = predis.ManualClock()
    cache = filled(holding, 1, ttl=1, clock=clock)
    with cache.pinned(holding.keys([0])):
        clock.advance(1)
        assert holding.key(0) not in cache
        assert cache.set(holding.key(7), holding.value(7)) is False
        context = cache.pinned(holding.keys([0]))
        with context:
            assert context.hit.tolist() == [False]
    assert cache.set(holding.key(7), holding.value(7)) is True


# ------------------------------------------------------------------ the last unpin


def test_pins_are_counted(holding: Holding) -> None:
    cache = filled(holding, 1)
    new = holding.key(7), holding.value(7)
    first, second = cache.pinned(holding.keys([0])), cache.pinned(holding.keys([0, 0]))
    first.__enter__()
    second.__enter__()
    assert pinned(cache) == 1
    second.__exit__(None, None, None)
    assert cache.set(*new) is False
    first.__exit__(None, None, None)
    assert cache.set(*new) is True


def test_the_memory_is_freed_at_the_last_unpin(holding: Holding) -> None:
    cache = filled(holding, 1)
    old, new = holding.keys([0]), holding.key(7)
    with cache.pinned(old):
        with cache.pinned(old):
            assert cache.delete_many(old).tolist() == [True]
            assert len(cache) == 0
            assert cache.set(new, holding.value(7)) is False
            assert cache.set(old[0], holding.value(0)) is False
        assert cache.set(new, holding.value(7)) is False
    assert cache.set(new, holding.value(7)) is True
    assert cache[new] == holding.value(7)


@pytest.mark.parametrize("kind", ["int64", "any"])
def test_the_bytes_of_a_blob_are_freed_at_the_last_unpin(kind: Any) -> None:
    cache = predis.Cache[int, bytes](
        100, memory="64KiB", value=predis.Blobs(), keys=kind, policy="lru"
    )
    large = bytes(36_000)
    for leave in (cache.delete_many, lambda _: cache.clear()):
        cache[1] = large
        with cache.pinned([1]):
            with cache.pinned([1]):
                leave([1])
                assert cache.stats().bytes == 0
                assert cache.set(2, large) is False
            assert cache.set(2, large) is False
            assert cache.set(3, b"small") is True
        assert cache.set(2, large) is True
        cache.check_invariants()
        cache.clear()


@pytest.mark.parametrize("kind", ["int64", "any"])
def test_a_pin_blocks_eviction_for_weight(kind: Any) -> None:
    blobs = predis.Cache[int, bytes](
        100, memory="64KiB", value=predis.Blobs(), keys=kind, policy="lru"
    )
    weighed = predis.Cache[int, bytes](
        100, memory="64KiB", weigher=lambda _, value: len(value), keys=kind, policy="lru"
    )
    # Blobs of a small arena lie in small pieces, each with its head.
    for cache, too_much in ((blobs, bytes(38_000)), (weighed, bytes(50_000))):
        with cache.pinned([1]):
            pass  # a pin on nothing keeps nothing
        cache[1] = bytes(20_000)
        with cache.pinned([1]):
            for number in range(2, 30):
                assert cache.set(number, bytes(20_000)) is True
            assert cache[1] == bytes(20_000)
            assert cache.set(99, too_much) is False
            assert list(cache) == [1]
        assert cache.set(99, too_much) is True
        assert 1 not in cache


# ------------------------------------------------------------------ pins do not leak


def test_a_block_that_raises_leaves_no_pin(holding: Holding) -> None:
    cache = filled(holding, 2)
    with pytest.raises(ZeroDivisionError), cache.pinned(holding.keys([0, 1])):
        raise ZeroDivisionError
    assert pinned(cache) == 0


def test_a_context_that_is_lost_leaves_no_pin(holding: Holding) -> None:
    cache = filled(holding, 2)
    cache.pinned(holding.keys([0])).__enter__()
    gc.collect()
    assert pinned(cache) == 0

    lost: list[Any] = [cache.pinned(holding.keys([1]))]
    lost[0].__enter__()
    lost.append(lost)
    assert pinned(cache) == 1
    del lost
    gc.collect()
    assert pinned(cache) == 0


def test_an_abandoned_generator_leaves_no_pin(holding: Holding) -> None:
    cache = filled(holding, 2)

    def values() -> Iterator[Any]:
        with cache.pinned(holding.keys([0, 1])) as found:
            yield from found

    generator = values()
    next(generator)
    assert pinned(cache) == 2
    del generator
    gc.collect()
    assert pinned(cache) == 0


def test_contexts_may_be_nested_and_left_in_any_order(holding: Holding) -> None:
    cache = filled(holding, 3)
    outer, inner = cache.pinned(holding.keys([0, 1])), cache.pinned(holding.keys([1, 2]))
    outer.__enter__()
    inner.__enter__()
    assert pinned(cache) == 3
    outer.__exit__(None, None, None)
    assert pinned(cache) == 2
    outer.__exit__(None, None, None)
    assert pinned(cache) == 2
    inner.__exit__(None, None, None)
    assert pinned(cache) == 0


def test_a_context_is_entered_again_only_once_it_was_left(holding: Holding) -> None:
    cache = filled(holding, 2)
    context = cache.pinned(holding.keys([0]))
    for _ in range(2):
        with context:
            with pytest.raises(RuntimeError) as caught:
                context.__enter__()
            assert pinned(cache) == 1
        assert pinned(cache) == 0
    assert str(caught.value) == "pinned: this was entered already; call pinned() again"


def test_a_context_that_is_not_entered_pins_nothing(holding: Holding) -> None:
    cache = filled(holding, 2)
    context = cache.pinned(holding.keys([0]))
    assert pinned(cache) == 0
    context.__exit__(None, None, None)
    assert pinned(cache) == 0


@pytest.mark.parametrize("at", ["pin", "look up"])
def test_an_interrupt_on_entering_leaves_no_pin(holding: Holding, at: str) -> None:
    cache = filled(holding, 2)
    context = cache.pinned(holding.keys([0, 1]))
    if at == "look up":

        def look_up(keys: Any) -> Any:
            raise KeyboardInterrupt

        context._look_up = look_up
    else:
        table = context._table()

        class Interrupted:
            unpin = staticmethod(table.unpin)

            def pin(self, *args: Any, **options: Any) -> Any:
                table.pin(*args, **options)
                assert pinned(cache) == 2
                raise KeyboardInterrupt

        context._table = Interrupted  # type: ignore[assignment]
    with pytest.raises(KeyboardInterrupt):
        context.__enter__()
    assert pinned(cache) == 0


# ------------------------------------------------------------------ the end of a cache


def test_a_cache_may_be_closed_while_entries_are_pinned(holding: Holding) -> None:
    cache = filled(holding, 2)
    context, late = cache.pinned(holding.keys([0])), cache.pinned(holding.keys([1]))
    with context as values:
        cache.close()
        assert plain(values) == holding.values([0])
    assert pinned(cache) == 0
    with pytest.raises(CacheClosed):
        late.__enter__()
    with pytest.raises(CacheClosed):
        cache.pinned(holding.keys([1]))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_child_leaves_the_table_alone(holding: Holding) -> None:
    cache = filled(holding, 2)
    context, other = cache.pinned(holding.keys([0])), cache.pinned(holding.keys([1]))
    context.__enter__()
    lock = cache._table._header[:1]
    lock[0] = 1 << 62  # as if another thread, which the child lacks, were storing something
    child = os.fork()
    if child == 0:
        code = 1
        try:
            context.__exit__(None, None, None)
            try:
                other.__enter__()
            except ForkedCache:
                code = 0
        finally:
            os._exit(code)
    lock[0] = 0
    deadline = time.monotonic() + PATIENCE / 5
    while (ended := os.waitpid(child, os.WNOHANG)) == (0, 0) and time.monotonic() < deadline:
        time.sleep(0.01)
    if ended == (0, 0):
        os.kill(child, 9)
        os.waitpid(child, 0)
        pytest.fail("the child waits for a lock that nobody holds")
    assert os.waitstatus_to_exitcode(ended[1]) == 0
    context.__exit__(None, None, None)
    assert pinned(cache) == 0


# ------------------------------------------------------------------ threads


def test_pins_of_many_threads_hold_and_are_all_taken_back(holding: Holding, crew: Crew) -> None:
    cache = holding.open(60)
    numbers = range(90)

    def work(seed: int) -> None:
        random_ = random.Random(seed)
        # Nobody else sets or deletes these.
        mine = [1000 + 2 * seed, 1001 + 2 * seed]
        for _ in range(ROUNDS):
            some = random_.choices(numbers, k=5)
            cache.set_many(holding.keys(some), holding.values(some))
            cache.delete_many(holding.keys(some[:2]))
            cache.set_many(holding.keys(mine), holding.values(mine))
            context = cache.pinned(holding.keys([*some, *mine]))
            with context as values:
                others = random_.choices(numbers, k=30)
                cache.set_many(holding.keys(others), holding.values(others))
                where = np.flatnonzero(context.hit).tolist()
                found = plain(values)
                asked = [*some, *mine]
                assert all(found[at] == holding.value(asked[at]) for at in where)
                held = [n for n, hit in zip(mine, context.hit[-2:], strict=True) if hit]
                assert cache.contains_many(holding.keys(held)).all()
            if random_.random() < 0.3:
                cycle: list[Any] = [cache.pinned(holding.keys(some))]
                cycle[0].__enter__()
                cycle.append(cycle)

    crew.run(*[lambda seed=seed: work(seed) for seed in range(THREADS)])
    crew.end()  # a thread that still collects would keep this one from it
    gc.collect()
    assert pinned(cache) == 0
    cache.check_invariants()
    assert len(cache) <= 60
