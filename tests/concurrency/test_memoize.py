"""Memoized and batch functions that many threads call at a time."""

from __future__ import annotations

import threading
import time
from collections import Counter
from typing import Any

import numpy as np
import pytest

import predis_core as predis
from predis_core.errors import LoaderDeadlock, LoaderError
from tests.support.crew import PATIENCE, Crew, wait_until
from tests.support.functions import Gate, fail

THREADS = 8


@pytest.fixture
def cache() -> predis.Cache[Any, Any]:
    return predis.Cache(1_000)


# ------------------------------------------------------------------ threads


def test_equal_calls_of_threads_at_a_time_run_the_function_once(
    cache: predis.Cache[Any, Any], crew: Crew
) -> None:
    gate = Gate(lambda x: [x])
    function = cache.memoize(gate)
    calls = [crew.start(lambda: function(1)) for _ in range(THREADS)]
    wait_until(lambda: cache.stats().loads_saved == THREADS - 1)
    gate.release.set()
    results = [call.result(PATIENCE) for call in calls]
    assert all(result is results[0] for result in results)
    assert gate.runs == [1]
    assert function.cache_info() == (THREADS - 1, 1)


def test_different_calls_do_not_wait_for_each_other(
    cache: predis.Cache[Any, Any], crew: Crew
) -> None:
    both = threading.Barrier(2)

    @cache.memoize
    def function(x: int) -> int:
        both.wait(PATIENCE)
        return x

    assert crew.run(lambda: function(1), lambda: function(2)) == [1, 2]


def test_all_who_wait_get_the_exception_and_the_next_call_runs_again(
    cache: predis.Cache[Any, Any], crew: Crew
) -> None:
    error = ValueError("none")
    gate = Gate(lambda x: fail(error))
    function = cache.memoize(gate)

    def call() -> BaseException:
        with pytest.raises(ValueError, match="none") as caught:
            function(1)
        return caught.value

    calls = [crew.start(call) for _ in range(THREADS)]
    wait_until(lambda: cache.stats().loads_saved == THREADS - 1)
    gate.release.set()
    assert [call.result(PATIENCE) for call in calls] == [error] * THREADS
    assert function.cache_info() == (0, 1)
    call()
    assert gate.runs == [1, 1]


def test_all_who_wait_get_a_cached_exception(cache: predis.Cache[Any, Any], crew: Crew) -> None:
    gate = Gate(lambda x: fail(ValueError("none")))
    function = cache.memoize(cache_exceptions=ValueError)(gate)

    def call() -> None:
        with pytest.raises(ValueError, match="none"):
            function(1)

    calls = [crew.start(call) for _ in range(THREADS)]
    wait_until(lambda: cache.stats().loads_saved == THREADS - 1)
    gate.release.set()
    for each in calls:
        each.result(PATIENCE)
    assert gate.runs == [1]
    assert function.cache_info() == (THREADS - 1, 1)


def test_who_waits_for_a_run_that_was_interrupted_is_told(
    cache: predis.Cache[Any, Any], crew: Crew
) -> None:
    gate = Gate(lambda x: fail(KeyboardInterrupt()))
    function = cache.memoize(gate)

    def call() -> type[BaseException]:
        with pytest.raises((KeyboardInterrupt, LoaderError)) as caught:
            function(1)
        if isinstance(caught.value, LoaderError):
            assert str(caught.value).startswith("the load in another thread")
        return caught.type

    calls = [crew.start(call) for _ in range(2)]
    wait_until(lambda: cache.stats().loads_saved == 1)
    gate.release.set()
    assert {each.result(PATIENCE) for each in calls} == {KeyboardInterrupt, LoaderError}
    assert len(cache) == 0


def test_functions_that_wait_for_each_other_get_an_error(
    cache: predis.Cache[Any, Any], crew: Crew
) -> None:
    both = threading.Barrier(2)
    waits = iter([True, True])

    @cache.memoize
    def function(x: int) -> int:
        if next(waits, False):
            both.wait(PATIENCE)
        return function(1 - x)

    def call(x: int) -> None:
        with pytest.raises(LoaderError):
            function(x)

    crew.run(lambda: call(0), lambda: call(1))
    assert len(cache) == 0


def test_who_waits_for_a_run_that_closed_a_circle_gets_the_deadlock(
    cache: predis.Cache[Any, Any], crew: Crew
) -> None:
    release = threading.Event()

    @cache.memoize(cache_exceptions=Exception)
    def circle(n: int) -> int:
        assert release.wait(PATIENCE)
        return circle(n)

    def call() -> None:
        with pytest.raises(LoaderDeadlock):
            circle(0)

    calls = [crew.start(call) for _ in range(3)]
    wait_until(lambda: cache.stats().loads_saved == 2)
    release.set()
    for each in calls:
        each.result(PATIENCE)
    assert len(cache) == 0


def test_counts_are_exact_with_threads(cache: predis.Cache[Any, Any], crew: Crew) -> None:
    function = cache.memoize(lambda x: x)

    def work() -> None:
        for n in range(200):
            assert function(n % 50) == n % 50

    crew.run(*[work] * THREADS)
    hits, misses = function.cache_info()
    assert misses == 50
    assert hits == THREADS * 200 - 50


@pytest.mark.parametrize("name", [None, "named"])
def test_after_invalidate_all_nobody_sees_an_older_result(
    cache: predis.Cache[Any, Any], crew: Crew, name: str | None
) -> None:
    version = [0]
    function = cache.memoize(name=name)(lambda x: version[0])
    stop = threading.Event()

    def read() -> None:
        while not stop.is_set():
            for x in range(20):
                function(x)

    readers = [crew.start(read) for _ in range(3)]
    try:
        for _ in range(20):
            version[0] += 1
            function.invalidate_all()
            # Whoever was loading meanwhile returns what it found, and does not store it.
            wait_until(lambda: [function(x) for x in range(20)] == [version[0]] * 20)
            assert [function(x) for x in range(20)] == [version[0]] * 20
    finally:
        stop.set()
    for each in readers:
        each.result(PATIENCE)


def test_batches_of_threads_compute_each_item_once(crew: Crew) -> None:
    cache = predis.Cache[Any, Any](10_000, value=predis.Rows("int64"), keys="str")
    computed: Counter[str] = Counter()

    def lengths(texts: list[str]) -> Any:
        computed.update(texts)
        time.sleep(0.002)
        return [len(text) for text in texts]

    batch = cache.batch(lengths, max_batch=7)

    def work(seed: int) -> None:
        random = np.random.default_rng(seed)
        for _ in range(10):
            texts = ["x" * n for n in random.integers(0, 300, 40)]
            assert batch(texts).tolist() == list(map(len, texts))

    crew.run(*[lambda seed=seed: work(seed) for seed in range(THREADS)])
    assert set(computed.values()) == {1}
    hits, misses = batch.cache_info()
    assert (hits, misses) == (THREADS * 400 - len(computed), len(computed))


def test_who_waits_for_items_that_fail_elsewhere_is_told_the_items(
    cache: predis.Cache[Any, Any], crew: Crew
) -> None:
    gate = Gate(lambda items: fail(ValueError("down")))
    batch = cache.batch(gate)

    def call() -> LoaderError:
        with pytest.raises(LoaderError) as caught:
            batch(["a", "b"])
        return caught.value

    calls = [crew.start(call) for _ in range(2)]
    wait_until(lambda: cache.stats().loads_saved == 2)
    gate.release.set()
    for each in calls:
        assert each.result(PATIENCE).ids == ["a", "b"]
