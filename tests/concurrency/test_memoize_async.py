"""Memoized and batch functions that many tasks call at a time, on one event loop or several."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import predis_core as predis
from predis_core.errors import KeyKindError, LoaderDeadlock, LoaderError, MissingKeys
from tests.support.crew import PATIENCE, Crew, wait_until
from tests.support.functions import Gate, fail


@pytest.fixture
def cache() -> predis.Cache[Any, Any]:
    return predis.Cache(1_000)


# ------------------------------------------------------------------ coroutine functions


class Slow:
    """A coroutine function that runs until it is let go; made within its loop."""

    def __init__(self, result: Callable[[Any], Any] = lambda x: x) -> None:
        self.release = asyncio.Event()
        self.runs: list[Any] = []
        self.cancelled = 0
        self._result = result

    async def __call__(self, x: Any) -> Any:
        self.runs.append(x)
        try:
            await asyncio.wait_for(self.release.wait(), PATIENCE)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return self._result(x)


async def settle() -> None:
    """Let every task go as far as it can."""
    for _ in range(20):
        await asyncio.sleep(0)


def test_a_memoized_coroutine_function_is_one(cache: predis.Cache[Any, Any]) -> None:
    @cache.memoize(ttl="5m")
    async def double(x: int) -> int:
        """Return twice as much."""
        return 2 * x

    assert inspect.iscoroutinefunction(double)
    assert double.__doc__ == "Return twice as much."

    async def main() -> None:
        assert await double(4) == 8
        assert await double(x=4) == 8
        assert double.cache_info() == (1, 1)
        assert double.invalidate(4)
        assert await double(4) == 8
        double.invalidate_all()
        assert await double(4) == 8

    asyncio.run(main())
    assert double.cache_info() == (1, 3)
    assert cache[double.key(4)] == 8


def test_equal_calls_of_tasks_at_a_time_share_one_run(cache: predis.Cache[Any, Any]) -> None:
    async def main() -> None:
        slow = Slow(lambda x: [x])
        function = cache.memoize(slow)
        tasks = [asyncio.create_task(function(1)) for _ in range(100)]
        await settle()
        slow.release.set()
        results = await asyncio.gather(*tasks)
        assert all(result is results[0] for result in results)
        assert slow.runs == [1]
        assert function.cache_info() == (99, 1)

    asyncio.run(main())


def test_one_who_is_cancelled_does_not_cancel_the_run_for_the_others(
    cache: predis.Cache[Any, Any],
) -> None:
    async def main() -> None:
        slow = Slow()
        function = cache.memoize(slow)
        tasks = [asyncio.create_task(function(1)) for _ in range(3)]
        await settle()
        tasks[0].cancel()  # the one that began it
        await settle()
        assert tasks[0].cancelled()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(function(1), 0.01)
        slow.release.set()
        assert await asyncio.gather(*tasks[1:]) == [1, 1]
        assert slow.runs == [1]
        assert slow.cancelled == 0

    asyncio.run(main())


def test_a_run_goes_on_if_all_who_wait_are_cancelled(cache: predis.Cache[Any, Any]) -> None:
    async def main() -> None:
        slow = Slow()
        function = cache.memoize(slow)
        task = asyncio.create_task(function(1))
        await settle()
        task.cancel()
        await settle()
        slow.release.set()
        await settle()
        assert cache[function.key(1)] == 1
        assert await function(1) == 1
        assert slow.runs == [1]

    asyncio.run(main())


def test_all_tasks_that_wait_get_the_exception(cache: predis.Cache[Any, Any]) -> None:
    async def main() -> None:
        error = ValueError("none")
        slow = Slow(lambda x: fail(error))
        function = cache.memoize(slow)
        tasks = [asyncio.create_task(function(1)) for _ in range(5)]
        await settle()
        slow.release.set()
        assert await asyncio.gather(*tasks, return_exceptions=True) == [error] * 5
        assert error.__context__ is None
        with pytest.raises(ValueError, match="none"):
            await function(1)
        assert slow.runs == [1, 1]

    asyncio.run(main())


def test_cached_exceptions_of_coroutines_are_raised_again(cache: predis.Cache[Any, Any]) -> None:
    @cache.memoize(cache_exceptions=KeyError)
    async def function(x: int) -> int:
        raise KeyError(x)

    async def main() -> None:
        for _ in range(3):
            with pytest.raises(KeyError, match="1"):
                await function(1)

    asyncio.run(main())
    assert function.cache_info() == (2, 1)


def test_a_cancelled_run_is_not_cached(cache: predis.Cache[Any, Any]) -> None:
    async def main() -> None:
        cancels = [True, False]

        @cache.memoize(cache_exceptions=Exception)
        async def function(x: int) -> int:
            if cancels.pop(0):
                raise asyncio.CancelledError
            return x

        with pytest.raises(LoaderError, match="the load was cancelled"):
            await function(1)
        assert len(cache) == 0
        assert await function(1) == 1

    asyncio.run(main())


def test_recursive_coroutines_are_no_deadlock_and_circles_an_error(
    cache: predis.Cache[Any, Any],
) -> None:
    @cache.memoize
    async def fibonacci(n: int) -> int:
        if n < 2:
            return n
        return sum(await asyncio.gather(fibonacci(n - 1), fibonacci(n - 2)))

    @cache.memoize
    async def circle(n: int) -> int:
        return await circle((n + 1) % 3)

    async def main() -> None:
        assert await asyncio.wait_for(fibonacci(30), PATIENCE) == 832_040
        assert fibonacci.cache_info() == (28, 31)
        with pytest.raises(LoaderDeadlock):
            await asyncio.wait_for(circle(0), PATIENCE)

    asyncio.run(main())


def test_loops_of_several_threads_share_one_run(cache: predis.Cache[Any, Any], crew: Crew) -> None:
    runs: list[int] = []
    release = threading.Event()

    @cache.memoize
    async def function(x: int) -> int:
        runs.append(x)
        while not release.is_set():
            await asyncio.sleep(0.001)
        return x

    calls = [crew.start(lambda: asyncio.run(function(1))) for _ in range(4)]
    wait_until(lambda: cache.stats().loads_saved == 3)
    release.set()
    assert [call.result(PATIENCE) for call in calls] == [1] * 4
    assert runs == [1]


def test_waiting_never_blocks_the_loop(cache: predis.Cache[Any, Any], crew: Crew) -> None:
    """Another thread's run of a function of the same name is waited for, and the loop ticks on."""
    gate = Gate()
    in_threads = cache.memoize(name="shared")(gate)

    @cache.memoize(name="shared")
    async def on_loops(x: int) -> int:
        raise AssertionError(x)

    async def main() -> int:
        task = asyncio.create_task(on_loops(1))
        for _ in range(50):
            await asyncio.sleep(0.001)
        assert not task.done()
        gate.release.set()
        return await asyncio.wait_for(task, PATIENCE)

    thread = crew.start(lambda: in_threads(1))
    wait_until(lambda: gate.runs == [1])
    assert asyncio.run(main()) == 1
    assert thread.result(PATIENCE) == 1


def test_methods_may_be_coroutine_functions(cache: predis.Cache[Any, Any]) -> None:
    class Shop:
        @cache.memoize
        async def price(self, symbol: str) -> tuple[int, str]:
            return id(self), symbol

    async def main() -> None:
        one, other = Shop(), Shop()
        assert await one.price("a") == await one.price(symbol="a") == (id(one), "a")
        assert await other.price("a") == (id(other), "a")
        assert Shop.price.cache_info() == (1, 2)
        assert Shop.price.invalidate(one, "a")

    asyncio.run(main())


def test_a_run_sees_the_context_of_the_call_that_began_it(cache: predis.Cache[Any, Any]) -> None:
    user = contextvars.ContextVar[str]("user")

    @cache.memoize
    async def function(x: int) -> str:
        return user.get()

    async def main() -> None:
        user.set("ada")
        assert await function(1) == "ada"

    asyncio.run(main())


# ------------------------------------------------------------------ batches of coroutine functions


class Model:
    """An embedding service: texts to rows."""

    def __init__(self, wait: float = 0) -> None:
        self.calls: list[list[str]] = []
        self._wait = wait

    async def __call__(self, texts: list[str]) -> Any:
        self.calls.append(texts)
        await asyncio.sleep(self._wait)
        return [[len(text)] * 2 for text in texts]


def embeddings() -> predis.Cache[Any, Any]:
    return predis.Cache(10_000, value=predis.Rows("float32", (2,)), keys="str")


def test_a_batch_function_may_be_a_coroutine_function() -> None:
    cache, model = embeddings(), Model()
    embed = cache.batch(model, name="model", ttl="1h", max_batch=2)
    assert inspect.iscoroutinefunction(embed)

    async def main() -> None:
        rows = await embed(["a", "bb", "a", "ccc"])
        assert rows.tolist() == [[1, 1], [2, 2], [1, 1], [3, 3]]
        assert model.calls == [["a", "bb"], ["ccc"]]
        assert (await embed(["ccc", "dddd"], ttl=5)).tolist() == [[3, 3], [4, 4]]
        assert model.calls[2:] == [["dddd"]]
        assert (await embed([])).shape == (0, 2)
        assert embed.invalidate(["a", "z"]).tolist() == [True, False]

    asyncio.run(main())
    assert embed.cache_info() == (2, 4)


def test_batches_of_tasks_compute_each_item_once() -> None:
    cache, model = embeddings(), Model(0.001)
    embed = cache.batch(model)

    async def work(seed: int) -> None:
        random = np.random.default_rng(seed)
        texts = ["x" * n for n in random.integers(0, 300, 100)]
        assert (await embed(texts))[:, 0].tolist() == list(map(len, texts))

    async def main() -> None:
        await asyncio.gather(*map(work, range(20)))

    asyncio.run(main())
    counts = Counter(text for texts in model.calls for text in texts)
    assert set(counts.values()) == {1}


def test_errors_of_coroutine_batches_have_the_items(cache: predis.Cache[Any, Any]) -> None:
    error = ConnectionError("down")

    async def broken(items: list[Any]) -> Any:
        raise error

    async def unknown(items: list[Any]) -> Any:
        return {}

    async def main() -> None:
        with pytest.raises(LoaderError) as caught:
            await cache.batch(broken)(["a", "b"])
        assert caught.value.ids == ["a", "b"]
        assert caught.value.__cause__ is error
        with pytest.raises(MissingKeys) as absent:
            await cache.batch(unknown)(["a"])
        assert absent.value.ids == ["a"]
        values, found = await cache.batch(unknown)(["a"], missing="mask")
        assert (values, found.tolist()) == ([None], [False])
        with pytest.raises(KeyKindError, match=r"items: unhashable type: 'list' \(at position 1\)"):
            await cache.batch(unknown)([1, [2]])

    asyncio.run(main())
