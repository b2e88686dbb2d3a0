"""Loaders under asyncio: one load per id, whoever waits and whoever leaves."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import random
import threading
from collections import Counter
from collections.abc import Coroutine
from typing import Any

import numpy as np
import pytest

import predis_core as predis
from predis_core.aio import face
from predis_core.errors import ConfigurationError, LoaderDeadlock, LoaderError, MissingKeys
from tests.support.combinations import Combination, plain
from tests.support.crew import PATIENCE, Crew, wait_until
from tests.support.sources import Held, Source

OBJECTS = Combination("objects", "any")
MANY = 2 * face._KEYS + 3


def run(work: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine on a loop of its own; one that hangs fails."""
    return asyncio.run(asyncio.wait_for(work, PATIENCE))


async def until(condition: Any) -> None:
    """Wait for what other tasks or threads bring about."""
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.0005)


def leave(work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
    """Start what nobody will wait for."""
    return asyncio.create_task(work)


class Slow:
    """A coroutine function as a loader: counts, and waits until it is released."""

    def __init__(self, combination: Combination) -> None:
        self.source = Source(combination)
        self.release = asyncio.Event()
        self.threads: set[int] = set()

    async def __call__(self, ids: Any) -> list[Any]:
        self.threads.add(threading.get_ident())
        values = self.source(ids)
        await self.release.wait()
        return values


# ------------------------------------------------------------------ single flight


@pytest.mark.parametrize("kind", ["coroutine", "function"])
def test_tasks_that_miss_the_same_ids_load_them_once(combination: Combination, kind: str) -> None:
    cache = combination.open(1000)
    numbers = range(50)

    async def main() -> None:
        slow, held = Slow(combination), Held(combination)
        loader: Any = slow if kind == "coroutine" else held

        async def reader(seed: int) -> None:
            order = random.Random(seed).sample(numbers, len(numbers))
            values = await cache.aget_or_load_many(combination.keys(order), loader)
            assert plain(values) == combination.values(order)

        readers = [asyncio.create_task(reader(seed)) for seed in range(8)]
        await until(lambda: cache.stats().loads_saved == 7 * len(numbers))
        slow.release.set()
        held.release.set()
        await asyncio.gather(*readers)
        source = slow.source if kind == "coroutine" else held
        assert source.asked == Counter(combination.keys(numbers))
        assert source.batches == 1

    run(main())
    stats = cache.stats()
    assert (stats.loads, stats.load_failures, stats.insertions) == (50, 0, 50)
    assert (stats.hits, stats.misses) == (0, 8 * 50)


@pytest.mark.parametrize("first", ["thread", "coroutine", "function"])
def test_threads_and_loops_share_one_load(combination: Combination, crew: Crew, first: str) -> None:
    cache = combination.open(100)
    held, keys = Held(combination), combination.keys([1, 2, 3])

    async def awaited(ids: Any) -> Any:
        return await asyncio.to_thread(held, ids)

    ways = {
        "thread": lambda: cache.get_or_load_many(keys, held),
        "coroutine": lambda: run(cache.aget_or_load_many(keys, awaited)),
        "function": lambda: run(cache.aget_or_load_many(keys, held)),
    }
    callers = [crew.start(ways[first])]
    wait_until(lambda: held.batches == 1)
    callers += [crew.start(way) for way in ways.values()]
    wait_until(lambda: cache.stats().loads_saved == 9)
    held.release.set()
    for caller in callers:
        assert plain(caller.result(PATIENCE)) == combination.values([1, 2, 3])
    assert (held.batches, cache.stats().loads) == (1, 3)


def test_overlapping_batches_of_tasks_and_threads_load_each_id_once(
    combination: Combination, crew: Crew
) -> None:
    cache = combination.open(1000)
    source = Source(combination)

    async def awaited(ids: Any) -> Any:
        await asyncio.sleep(0)
        return source(ids)

    def order(seed: int) -> list[int]:
        return random.Random(seed).sample(range(60), 30)

    async def reader(seed: int) -> None:
        loader: Any = awaited if seed % 2 else source
        values = await cache.aget_or_load_many(combination.keys(order(seed)), loader)
        assert plain(values) == combination.values(order(seed))

    async def main(start: int) -> None:
        await asyncio.gather(*[reader(seed) for seed in range(start, start + 6)])

    def thread(seed: int) -> None:
        values = cache.get_or_load_many(combination.keys(order(seed)), source)
        assert plain(values) == combination.values(order(seed))

    for _ in range(5):
        cache.clear()
        source.asked.clear()
        crew.run(*[lambda n=n: run(main(10 * n)) for n in range(3)], lambda: thread(99))
        assert set(source.asked.values()) == {1}


def test_a_hundred_waiters_for_one_slow_id_take_no_thread_each() -> None:
    cache = predis.Cache[int, str](100)
    held = Held(OBJECTS)

    async def main() -> None:
        waiters = [asyncio.create_task(cache.aget_or_load_many([3], held)) for _ in range(100)]
        await until(lambda: cache.stats().loads_saved == 99)
        before = set(threading.enumerate())
        more = [asyncio.create_task(cache.aget_or_load_many([3], held)) for _ in range(100)]
        await until(lambda: cache.stats().loads_saved == 199)
        assert not set(threading.enumerate()) - before
        held.release.set()
        assert await asyncio.gather(*waiters, *more) == [[("value", 3)]] * 200

    run(main())
    assert held.batches == 1


def test_a_batch_of_nothing_asks_no_loader(combination: Combination) -> None:
    source = Source(combination)
    assert plain(run(combination.open(10).aget_or_load_many(combination.keys([]), source))) == []
    assert not source.asked


@pytest.mark.parametrize("kind", ["coroutine", "function", "many ids"])
def test_large_batches_are_loaded_whole(combination: Combination, kind: str) -> None:
    cache = combination.open(4 * MANY)
    source = Source(combination)
    numbers = [n % MANY for n in range(3 * MANY // 2)]
    keys = combination.keys(numbers)

    async def awaited(ids: Any) -> Any:
        values = source(ids)
        return dict(zip(plain(ids), values, strict=True)) if kind == "many ids" else values

    async def main() -> None:
        known = range(0, MANY, 3)
        cache.set_many(combination.keys(known), combination.values(known))
        loader: Any = source if kind == "function" else awaited
        one = asyncio.create_task(cache.aget_or_load_many(keys, loader))
        two = asyncio.create_task(cache.aget_or_load_many(keys[::-1], loader))
        assert plain(await one) == combination.values(numbers)
        assert plain(await two) == combination.values(numbers[::-1])

    run(main())
    assert set(source.asked.values()) == {1}
    assert len(source.asked) == MANY - len(range(0, MANY, 3))
    assert dict(cache.items()) == combination.entries(range(MANY))


# ------------------------------------------------------------------ where loaders run

request: contextvars.ContextVar[str] = contextvars.ContextVar("request")


def note(ids: Any) -> list[Any]:
    return [(threading.get_ident(), request.get())] * len(ids)


async def note_awaited(ids: Any) -> list[Any]:
    assert asyncio.current_task() is not None
    return note(ids)


class Noting:
    async def __call__(self, ids: Any) -> list[Any]:
        return note(ids)

    async def method(self, ids: Any) -> list[Any]:
        return note(ids)


@pytest.mark.parametrize(
    ("loader", "here"),
    [
        (note, False),
        (note_awaited, True),
        (functools.partial(note_awaited), True),
        (Noting(), True),
        (Noting().method, True),
        (lambda ids: note(ids), False),
        (lambda ids: note_awaited(ids), True),
    ],
)
def test_coroutines_run_on_the_loop_of_the_caller_and_functions_never_do(
    loader: Any, here: bool
) -> None:
    cache = predis.Cache[int, Any](10)

    async def main() -> None:
        request.set("mine")
        for found in (
            (await cache.aget_or_load_many([1], loader))[0],
            await cache.aget_or_load(2, lambda key: loader([key])),
        ):
            thread, context = found if isinstance(found, tuple) else found[0]
            assert (thread == threading.get_ident()) == here
            assert context == "mine"

    run(main())


def test_a_single_key_is_loaded_by_functions_and_coroutines(combination: Combination) -> None:
    cache = combination.open(10)

    async def awaited(key: Any) -> Any:
        return combination.load([key])[0]

    async def main() -> None:
        loaders: list[Any] = [awaited, lambda key: combination.load([key])[0], lambda k: awaited(k)]
        for n, loader in enumerate(loaders):
            key = combination.key(n)
            assert await cache.aget_or_load(key, loader, ttl=60) == combination.value(n)
            assert cache[key] == combination.value(n)

    run(main())


def test_the_default_loader_may_be_a_coroutine_function() -> None:
    async def load(ids: list[int]) -> dict[int, int]:
        return {key: -key for key in ids if key < 5}

    cache = predis.Cache[int, int](10, loader=load)

    async def main() -> None:
        assert await cache.aget_or_load_many([1, 2, 1]) == [-1, -2, -1]
        assert await cache.aget_or_load(3) == -3
        values, found = await cache.aget_or_load_many([1, 7], missing="mask")
        assert (values, found.tolist()) == ([-1, None], [True, False])
        with pytest.raises(MissingKeys) as caught:
            await cache.aget_or_load_many([1, 7, 8, 7])
        assert caught.value.ids == [7, 8]

    run(main())
    with pytest.raises(LoaderError, match="returned an awaitable; await aget_or_load_many instead"):
        cache.get_or_load_many([4])


def test_what_is_wrong_with_a_call_is_said_as_by_the_batch_face() -> None:
    cache = predis.Cache[int, int](10)
    for options in ({}, {"loader": 5}, {"loader": len, "missing": "skip"}):
        with pytest.raises(ConfigurationError) as expected:
            cache.get_or_load_many([1], **options)
        with pytest.raises(ConfigurationError) as caught:
            run(cache.aget_or_load_many([1], **options))
        assert str(caught.value) == str(expected.value)


def test_a_write_during_an_awaited_load_wins(combination: Combination) -> None:
    cache = combination.open(100)
    keys = combination.keys([1, 2, 3])

    async def main() -> None:
        slow = Slow(combination)
        load = asyncio.create_task(cache.aget_or_load_many(keys, slow))
        await until(lambda: slow.source.batches)
        await cache.aset_many(keys[:1], combination.values([100]))
        await cache.adelete_many(keys[1:2])
        slow.release.set()
        assert plain(await load) == combination.values([1, 2, 3])

    run(main())
    assert dict(cache.items()) == {
        keys[0]: combination.value(100),
        keys[2]: combination.value(3),
    }


@pytest.mark.parametrize("write", ["set", "delete"])
def test_a_large_write_during_a_load_wins_too(write: str) -> None:
    combination = Combination("rows", "int64")
    cache = combination.open(4 * MANY)

    async def main() -> None:
        slow = Slow(combination)
        load = asyncio.create_task(cache.aget_or_load_many([MANY - 1, MANY], slow))
        await until(lambda: slow.source.batches)
        if write == "set":
            await cache.aset_many(np.arange(MANY), np.zeros(MANY, np.int64))
        else:
            await cache.adelete_many(np.arange(MANY))
        slow.release.set()
        assert plain(await load) == combination.values([MANY - 1, MANY])

    run(main())
    assert cache.get(MANY - 1) == (0 if write == "set" else None)
    assert cache[MANY] == combination.value(MANY)


# ------------------------------------------------------------------ cancelled waiters


@pytest.mark.parametrize("kind", ["coroutine", "function"])
@pytest.mark.parametrize("leaver", ["first", "second"])
def test_cancellation_of_one_waiter_does_not_cancel_the_load_for_the_others(
    combination: Combination, kind: str, leaver: str
) -> None:
    cache = combination.open(100)
    keys = combination.keys([1, 2])

    async def main() -> None:
        slow, held = Slow(combination), Held(combination)
        loader: Any = slow if kind == "coroutine" else held
        first = asyncio.create_task(cache.aget_or_load_many(keys, loader))
        await until(lambda: slow.source.batches + held.batches)
        second = asyncio.create_task(cache.aget_or_load_many(keys[::-1], loader))
        await until(lambda: cache.stats().loads_saved == 2)
        leaving, staying = (first, second) if leaver == "first" else (second, first)
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
        slow.release.set()
        held.release.set()
        order = [1, 2] if staying is first else [2, 1]
        assert plain(await staying) == combination.values(order)

    run(main())
    assert cache.stats().loads == 2
    assert cache.get_many(keys)[1].all()


@pytest.mark.parametrize("kind", ["coroutine", "function"])
def test_a_load_that_everybody_has_left_is_cached_all_the_same(kind: str) -> None:
    cache = OBJECTS.open(100)

    async def main() -> None:
        slow, held = Slow(OBJECTS), Held(OBJECTS)
        loader: Any = slow if kind == "coroutine" else held
        for _ in range(3):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.01):
                    await cache.aget_or_load_many([3], loader)
        slow.release.set()
        held.release.set()
        await until(lambda: 3 in cache and not cache._loads.under_way)
        assert slow.source.batches + held.batches == 1

    run(main())
    assert cache[3] == ("value", 3)


def test_waiters_that_leave_are_forgotten() -> None:
    cache = predis.Cache[int, Any](10)
    held = Held(OBJECTS)

    async def main() -> None:
        first = asyncio.create_task(cache.aget_or_load_many([3], held))
        await until(lambda: held.batches)
        for _ in range(20):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(cache.aget_or_load_many([3], held), 0.001)
        (load,) = cache._loads._flights
        assert len(load._callbacks) == 1
        held.release.set()
        await first

    run(main())
    assert not cache._loads._calls
    assert not cache._loads._flights


# ------------------------------------------------------------------ failures


@pytest.mark.parametrize("kind", ["coroutine", "function"])
def test_what_a_loader_raises_reaches_every_waiter(
    combination: Combination, crew: Crew, kind: str
) -> None:
    cache = combination.open(100)
    keys = combination.keys([1, 2])
    begun, release = threading.Event(), threading.Event()

    def fail(ids: Any) -> Any:
        begun.set()
        assert release.wait(PATIENCE)
        raise OSError("down")

    async def fail_awaited(ids: Any) -> Any:
        return await asyncio.to_thread(fail, ids)

    async def main() -> None:
        loader: Any = fail_awaited if kind == "coroutine" else fail
        tasks = [asyncio.create_task(cache.aget_or_load_many(keys, loader)) for _ in range(3)]
        await until(begun.is_set)
        thread = crew.start(lambda: cache.get_or_load_many(keys, fail))
        await until(lambda: cache.stats().loads_saved == 6)
        release.set()
        first, *others = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(first, LoaderError)
        assert str(first).startswith("the loader raised OSError: down; ids ")
        assert isinstance(first.__cause__, OSError)
        with pytest.raises(LoaderError) as caught:
            thread.result(PATIENCE)
        for error in (*others, caught.value):
            assert isinstance(error, LoaderError)
            assert str(error).startswith("the load in another thread or task failed: the loader ")
            assert error.ids == keys
            assert error.__cause__ is first
        assert plain(await cache.aget_or_load_many(keys, combination.load)) == combination.values(
            [1, 2]
        )

    run(main())
    assert cache.stats().load_failures == 2


def test_many_ids_that_fail_are_given_back(combination: Combination) -> None:
    cache = combination.open(3 * MANY)
    keys = combination.keys(range(MANY))

    async def main() -> None:
        for wrong in ([1], None, 5, {"unasked": 1}):
            with pytest.raises(LoaderError) as caught:
                await cache.aget_or_load_many(keys, lambda ids, wrong=wrong: wrong)
            assert caught.value.ids == keys
            assert not cache._loads.under_way
        found = await cache.aget_or_load_many(keys, combination.load)
        assert plain(found) == combination.values(range(MANY))

    run(main())


def test_a_loader_that_cancels_itself_is_a_loader_error(crew: Crew) -> None:
    cache = predis.Cache[int, int](10)

    async def load(ids: Any) -> Any:
        await asyncio.sleep(0.05)
        raise asyncio.CancelledError

    async def main() -> None:
        one, two = (asyncio.create_task(cache.aget_or_load_many([1, 2], load)) for _ in range(2))
        with pytest.raises(LoaderError, match=r"^the load was cancelled; ids \[1, 2\]$"):
            await one
        with pytest.raises(LoaderError, match=r"thread or task failed: CancelledError; ids"):
            await two
        assert await cache.aget_or_load_many([1, 2], lambda ids: ids) == [1, 2]

    run(main())


# ------------------------------------------------------------------ loops that end


def test_a_load_in_a_thread_outlives_its_loop(combination: Combination, crew: Crew) -> None:
    cache = combination.open(4 * MANY)
    held, keys = Held(combination), combination.keys(range(MANY))

    async def main() -> None:
        leave(cache.aget_or_load_many(keys, held))
        await until(lambda: held.batches)

    run(main())
    waiter = crew.start(lambda: cache.get_or_load_many(keys, combination.load))
    wait_until(lambda: cache.stats().loads_saved == MANY)
    held.release.set()
    assert plain(waiter.result(PATIENCE)) == combination.values(range(MANY))
    assert cache.stats().loads == MANY
    assert len(cache) == MANY


def test_a_load_that_ends_with_its_loop_is_an_error_for_others_who_may_then_load(
    combination: Combination, crew: Crew
) -> None:
    cache = combination.open(100)
    keys = combination.keys([1, 2])
    waiters = []

    async def main() -> None:
        slow = Slow(combination)
        leave(cache.aget_or_load_many(keys, slow))
        await until(lambda: slow.source.batches)
        waiters.append(crew.start(lambda: cache.get_or_load_many(keys, combination.load)))
        waiters.append(crew.start(lambda: run(cache.aget_or_load_many(keys, combination.load))))
        await until(lambda: cache.stats().loads_saved == 4)

    run(main())
    for waiter in waiters:
        with pytest.raises(LoaderError, match="the load in another thread or task failed: "):
            waiter.result(PATIENCE)
    assert plain(cache.get_or_load_many(keys, combination.load)) == combination.values([1, 2])


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("kind", ["coroutine", "function that returns one"])
def test_a_loop_that_is_closed_in_the_middle_keeps_nobody_waiting(crew: Crew, kind: str) -> None:
    """Without `asyncio.run` nobody cancels what runs on a loop: its loads are found to be lost."""
    cache = OBJECTS.open(100)
    loop = asyncio.new_event_loop()
    begun = threading.Event()

    async def load(ids: Any) -> Any:
        begun.set()
        await asyncio.sleep(600)

    async def main() -> None:
        loader: Any = load if kind == "coroutine" else (lambda ids: load(ids))
        leave(cache.aget_or_load_many([3], loader))
        await until(begun.is_set)

    loop.run_until_complete(main())
    waiters = [
        crew.start(lambda: cache.get_or_load_many([3], OBJECTS.load)),
        crew.start(lambda: run(cache.aget_or_load_many([3], OBJECTS.load))),
    ]
    wait_until(lambda: cache.stats().loads_saved == 2)
    loop.close()
    for waiter in waiters:
        with pytest.raises(LoaderError, match="failed: the load was interrupted; ids"):
            waiter.result(PATIENCE)
    assert run(cache.aget_or_load_many([3], OBJECTS.load)) == [("value", 3)]


def test_what_a_loader_returns_to_a_closed_loop_is_an_error(crew: Crew) -> None:
    cache = OBJECTS.open(100)
    held, waiters = Held(OBJECTS), []

    async def never(ids: Any) -> Any:
        raise AssertionError("the loop is closed")

    def load(ids: Any) -> Any:
        held(ids)
        return never(ids)

    async def main() -> None:
        leave(cache.aget_or_load_many([3], load))
        await until(lambda: held.batches)
        waiters.append(crew.start(lambda: cache.get_or_load_many([3], load)))
        await until(lambda: cache.stats().loads_saved)

    run(main())
    held.release.set()
    with pytest.raises(LoaderError, match="the loader raised RuntimeError: Event loop is closed"):
        waiters[0].result(PATIENCE)


def test_a_cache_that_is_closed_during_a_load_keeps_nothing() -> None:
    cache = OBJECTS.open(100)

    async def main() -> None:
        slow = Slow(OBJECTS)
        load = asyncio.create_task(cache.aget_or_load_many([3], slow))
        await until(lambda: slow.source.batches)
        cache.close()
        slow.release.set()
        assert await load == [("value", 3)]

    run(main())
    assert cache._table.size() == 0


# ------------------------------------------------------------------ deadlocks


def forbidden(ids: Any) -> Any:
    raise AssertionError(f"the loader was called for {ids}")


OWN = "a loader waits for an id that is being loaded by the very call it serves"


@pytest.mark.parametrize("way", ["at once", "in a task", "in a thread", "blocking", "by another"])
def test_a_coroutine_that_waits_for_its_own_id_is_an_error(way: str) -> None:
    cache = predis.Cache[int, Any](10)

    async def inner(ids: Any) -> Any:
        return await cache.aget_or_load_many([1], forbidden)

    async def load(ids: Any) -> Any:
        again = cache.aget_or_load_many([1], forbidden)
        if way == "at once":
            return await again
        if way == "in a task":
            return (await asyncio.gather(again))[0]
        again.close()
        if way == "in a thread":
            return await asyncio.to_thread(cache.get_or_load_many, [1], forbidden)
        if way == "blocking":
            return cache.get_or_load_many([1], forbidden)
        return await cache.aget_or_load_many([2], inner)

    async def main() -> None:
        with pytest.raises(LoaderDeadlock, match=OWN):
            await cache.aget_or_load_many([1], load)
        assert await cache.aget_or_load_many([1, 2], lambda ids: ids) == [1, 2]

    run(main())


@pytest.mark.parametrize("way", ["awaiting", "blocking"])
def test_a_function_that_waits_for_its_own_id_on_another_loop_is_an_error(way: str) -> None:
    cache = predis.Cache[int, Any](10)

    def load(ids: Any) -> Any:
        if way == "blocking":
            return cache.get_or_load_many([1], forbidden)
        return asyncio.run(cache.aget_or_load_many([1], forbidden))

    async def main() -> None:
        with pytest.raises(LoaderDeadlock, match=OWN):
            await cache.aget_or_load_many([1], load)

    run(main())


def test_coroutines_that_wait_for_each_other_get_an_error() -> None:
    cache = predis.Cache[int, Any](10)

    async def main() -> None:
        together = asyncio.Barrier(3)

        async def load(ids: Any) -> Any:
            await together.wait()
            return await cache.aget_or_load_many([(ids[0] + 1) % 3], forbidden)

        calls = [cache.aget_or_load_many([n], load) for n in range(3)]
        found = await asyncio.gather(*calls, return_exceptions=True)
        assert any(isinstance(error, LoaderDeadlock) for error in found)
        assert all(isinstance(error, LoaderError) for error in found)

    run(main())


def test_a_coroutine_and_a_thread_that_wait_for_each_other_get_an_error(crew: Crew) -> None:
    cache = predis.Cache[int, Any](10)
    together = threading.Barrier(2)

    async def awaited(ids: Any) -> Any:
        await asyncio.to_thread(together.wait, PATIENCE)
        return await cache.aget_or_load_many([2], forbidden)

    def blocking(ids: Any) -> Any:
        together.wait(PATIENCE)
        return cache.get_or_load_many([1], forbidden)

    calls = [
        crew.start(lambda: run(cache.aget_or_load_many([1], awaited))),
        crew.start(lambda: cache.get_or_load_many([2], blocking)),
    ]
    found = [call.exception(PATIENCE) for call in calls]
    assert any(isinstance(error, LoaderDeadlock) for error in found)
    assert all(isinstance(error, LoaderError) for error in found)


def test_a_call_that_blocks_the_loop_which_runs_the_load_is_an_error() -> None:
    cache = predis.Cache[int, Any](10)

    async def main() -> None:
        slow = Slow(OBJECTS)
        load = asyncio.create_task(cache.aget_or_load_many([3], slow))
        await until(lambda: slow.source.batches)
        with pytest.raises(LoaderDeadlock, match="await aget_or_load_many instead"):
            cache.get_or_load_many([3], forbidden)
        slow.release.set()
        assert await load == [("value", 3)]

    run(main())


def test_a_loader_that_waits_for_a_loop_which_stands_still_for_it_is_an_error(
    crew: Crew, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loop's thread blocks first, and no loader's; only then is the circle closed."""
    cache = predis.Cache[int, Any](10)
    held = Held(OBJECTS)

    def blocking(ids: Any) -> Any:
        held(ids)
        return cache.get_or_load_many([2], forbidden)

    async def main() -> None:
        slow = Slow(OBJECTS)
        load = asyncio.create_task(cache.aget_or_load_many([2], slow))
        thread = crew.start(lambda: cache.get_or_load_many([1], blocking))
        await until(lambda: slow.source.batches and held.batches)
        (of_thread,) = [each for each in cache._loads.flights if each.ids.listed() == [1]]
        wait = of_thread.ended.wait

        def stand_still(timeout: float | None = None) -> bool:
            # By now this thread has looked for a circle, and found none.
            held.release.set()
            return wait(timeout)

        monkeypatch.setattr(of_thread.ended, "wait", stand_still)
        with pytest.raises(LoaderError):
            cache.get_or_load_many([1], forbidden)
        assert isinstance(thread.exception(PATIENCE), LoaderDeadlock)
        slow.release.set()
        assert await load == [("value", 2)]

    run(main())


def test_a_loader_that_gave_up_waiting_may_be_waited_for(crew: Crew) -> None:
    """What it once waited for is no longer in its way, so this is no circle."""
    cache = predis.Cache[int, Any](10)

    async def main() -> None:
        gave_up = asyncio.Event()

        async def outer(ids: Any) -> Any:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(cache.aget_or_load_many([2], inner), 0.01)
            gave_up.set()
            await asyncio.sleep(0.05)
            return [-1]

        async def inner(ids: Any) -> Any:
            await gave_up.wait()
            return await cache.aget_or_load_many([1], forbidden)

        assert await cache.aget_or_load_many([1], outer) == [-1]
        assert await cache.aget_or_load_many([2], forbidden) == [-1]

    run(main())


def test_crossing_batches_of_tasks_are_no_deadlock(combination: Combination) -> None:
    cache = combination.open(100)

    async def load(ids: Any) -> Any:
        await asyncio.sleep(0.001)
        return combination.load(ids)

    async def main() -> None:
        for n in range(0, 40, 4):
            orders = [[n, n + 1, n + 2], [n + 3, n + 2, n + 1], [n + 1, n + 3, n]]
            calls = [cache.aget_or_load_many(combination.keys(order), load) for order in orders]
            found = await asyncio.gather(*calls)
            assert [plain(values) for values in found] == [combination.values(o) for o in orders]

    run(main())
    assert cache.stats().loads == 40


def test_slow_loaders_keep_no_batch_waiting() -> None:
    """Even when they hold every thread that loaders may have."""
    combination = Combination("rows", "int64")
    cache = combination.open(4 * MANY)

    async def main() -> None:
        held = Held(combination)
        loads = [asyncio.create_task(cache.aget_or_load_many([-n], held)) for n in range(1, 60)]
        await until(lambda: held.batches == 32)
        await cache.aset_many(np.arange(MANY), np.arange(MANY))
        assert (await cache.aget_many(np.arange(MANY)))[1].all()
        assert held.batches == 32
        held.release.set()  # whoever waited for one of these threads would never have got here
        await asyncio.gather(*loads)

    run(main())
