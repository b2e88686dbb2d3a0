"""Observers that watch loaders, or some operations: what they are told of, where, and that they
cannot break a load."""

from __future__ import annotations

import asyncio
import contextvars
import threading
import time
from typing import Any

import numpy as np
import pytest

import predis_core as predis
from predis_core import host
from predis_core.errors import LoaderError
from predis_core.host.guard import FAILURES_IN_A_ROW
from predis_core.hosted import MeasuredCache
from predis_core.plugin import LoadStats
from tests.support.shelf import Shelf

WATCHER = """
import contextvars

CALLER = contextvars.ContextVar("CALLER", default="nobody")
SEEN = []
BATCHES = []

class Observer:
    def on_batch(self, stats):
        BATCHES.append(stats)

    def on_load(self, load):
        SEEN.append((load, threading.current_thread().name, CALLER.get()))
        {body}

class Plugin:
    def __init__(self, options): ...

    @hookimpl
    def predis_observers(self, cache):
        return [Observer()]
"""


def watcher(shelf: Shelf, body: str = "pass", name: str = "watcher") -> Any:
    return shelf.module(shelf.put(name, WATCHER.format(body=body)))


def configuration(*plugins: str, **host_section: Any) -> dict[str, Any]:
    return {
        "host": host_section,
        "cache": {
            "capacity": 10_000,  # no set is full, whatever the seed
            "policy": "fifo",
            "value": {"kind": "rows", "dtype": "int64"},
        },
        "plugins": {plugin: {} for plugin in plugins},
    }


def told(module: Any) -> list[tuple[int, int, str]]:
    return [(load.keys, load.failed, load.error) for load, _, _ in module.SEEN]


def unknown(ids: Any) -> Any:
    raise ConnectionError("the source is gone")


def short(ids: Any) -> Any:
    return np.zeros(len(ids) + 1, np.int64)


def test_each_call_of_a_loader_is_told_of_and_hits_are_not(shelf: Shelf) -> None:
    module = watcher(shelf)
    with predis.open(configuration("watcher")) as cache:
        assert type(cache) is MeasuredCache
        cache.get_or_load_many([1, 2, 2, 3], lambda ids: ids * 10)
        cache.get_or_load_many([1, 2, 3], unknown)  # hits: nobody asks it
        cache.get_or_load_many([3, 4], lambda ids: {4: 40})
        assert cache.get_or_load(5, lambda key: key * 10) == 50
        assert cache.get_or_load(5, unknown) == 50
        cache.get_or_load_many([6, 7], lambda ids: {7: 70}, missing="mask")
        stats = cache.stats()
    assert told(module) == [(3, 0, ""), (1, 0, ""), (1, 0, ""), (2, 0, "")]
    assert stats.loads == sum(load.keys for load, _, _ in module.SEEN)
    assert {load.cache for load, _, _ in module.SEEN} == {"default"}
    assert all(isinstance(load, LoadStats) for load, _, _ in module.SEEN)
    assert [batch.operation for batch in module.BATCHES] == ["load"] * 6


def test_a_load_that_fails_is_told_of_with_its_error(shelf: Shelf) -> None:
    module = watcher(shelf)
    with predis.open(configuration("watcher")) as cache:
        for loader in (unknown, short, lambda ids: None, lambda ids: {99: 1}):
            with pytest.raises(LoaderError):
                cache.get_or_load_many([1, 2], loader)
        with pytest.raises(LoaderError):
            cache.get_or_load(3, unknown)
        stats = cache.stats()
    assert told(module) == [
        (2, 2, "ConnectionError"),
        (2, 2, "ValueShapeError"),
        (2, 2, "LoaderError"),
        (2, 2, "LoaderError"),
        (1, 1, "ConnectionError"),
    ]
    assert stats.load_failures == sum(load.failed for load, _, _ in module.SEEN)
    assert stats.loads == sum(load.keys for load, _, _ in module.SEEN)


def test_an_interrupted_loader_is_told_of_and_the_interrupt_goes_its_way(shelf: Shelf) -> None:
    module = watcher(shelf)

    def interrupted(ids: Any) -> Any:
        raise KeyboardInterrupt

    with predis.open(configuration("watcher")) as cache, pytest.raises(KeyboardInterrupt):
        cache.get_or_load_many([1], interrupted)
    assert told(module) == [(1, 1, "KeyboardInterrupt")]


def test_the_time_of_the_loader_is_told(shelf: Shelf) -> None:
    module = watcher(shelf)

    def slow(ids: Any) -> Any:
        time.sleep(0.05)
        return ids

    with predis.open(configuration("watcher")) as cache:
        cache.get_or_load_many([1, 2], slow)
        with pytest.raises(LoaderError):
            cache.get_or_load_many([3], lambda ids: (time.sleep(0.05), unknown(ids)))
    assert all(50e6 <= load.nanoseconds < 60e9 for load, _, _ in module.SEEN)


def test_it_is_told_in_the_thread_and_context_of_the_caller(shelf: Shelf) -> None:
    module = watcher(shelf)

    def call(cache: Any) -> None:
        module.CALLER.set("me")
        cache.get_or_load_many([1], lambda ids: ids)

    with predis.open(configuration("watcher")) as cache:
        thread = threading.Thread(
            target=contextvars.copy_context().run, args=(call, cache), name="the-caller"
        )
        thread.start()
        thread.join()
    assert [seen[1:] for seen in module.SEEN] == [("the-caller", "me")]


def test_awaited_loads_are_told_of_in_the_context_of_the_caller(shelf: Shelf) -> None:
    module = watcher(shelf)
    loop_thread = threading.current_thread().name

    async def coroutine(ids: Any) -> Any:
        await asyncio.sleep(0)
        return ids

    def plain(ids: Any) -> Any:
        return ids

    def mixed(ids: Any) -> Any:
        return coroutine(ids)

    async def failing(ids: Any) -> Any:
        await asyncio.sleep(0)
        raise TimeoutError

    async def use(cache: Any) -> None:
        for caller, keys, loader in (
            ("coroutine", [1, 2], coroutine),
            ("plain", [3], plain),
            ("mixed", [4], mixed),
            ("long", range(100, 700), coroutine),
        ):
            module.CALLER.set(caller)
            await cache.aget_or_load_many(keys, loader)
            await cache.aget_or_load_many(keys, loader)
        module.CALLER.set("failing")
        with pytest.raises(LoaderError):
            await cache.aget_or_load_many([8], failing)
        module.CALLER.set("single")
        assert await cache.aget_or_load(9, lambda key: key * 10) == 90

    with predis.open(configuration("watcher")) as cache:
        asyncio.run(use(cache))
        stats = cache.stats()
    assert [(load.keys, load.error, caller) for load, _, caller in module.SEEN] == [
        (2, "", "coroutine"),
        (1, "", "plain"),
        (1, "", "mixed"),
        (600, "", "long"),
        (1, "TimeoutError", "failing"),
        (1, "", "single"),
    ]
    where = {caller: thread for _, thread, caller in module.SEEN}
    assert where["coroutine"] == where["mixed"] == where["failing"] == loop_thread
    assert where["plain"].startswith("predis-loader")
    assert (stats.loads, stats.load_failures) == (606, 1)


def test_a_namespace_is_told_of_by_its_name(shelf: Shelf) -> None:
    module = watcher(shelf)
    with predis.open(configuration("watcher")) as cache:
        cache.namespace("acme", capacity=10).get_or_load_many([1], lambda ids: ids)
        cache.get_or_load_many([1], lambda ids: ids)
    assert [load.cache for load, _, _ in module.SEEN] == ["default/acme", "default"]


def test_an_observer_that_raises_breaks_no_load_and_is_given_up(shelf: Shelf) -> None:
    noise = watcher(shelf, 'raise RuntimeError("told")', name="noise")
    calm = watcher(shelf)
    with predis.open(configuration("noise", "watcher")) as cache:
        for key in range(2 * FAILURES_IN_A_ROW):
            assert cache.get_or_load(key, lambda key: key * 10) == key * 10
        with pytest.raises(LoaderError, match="the source is gone"):
            cache.get_or_load(99, unknown)
        state = host.status()
        assert state is not None
        functions = {f.what: f for f in state.plugins[0].functions}
        guard = functions["observer Observer of loads"]
        assert (guard.calls, guard.failures, guard.disabled) == (3, FAILURES_IN_A_ROW, True)
        assert guard.last_error == "RuntimeError: told"
        assert not functions["observer Observer"].disabled
        assert cache.stats().load_failures == 1
    assert len(noise.SEEN) == FAILURES_IN_A_ROW
    assert len(calm.SEEN) == 2 * FAILURES_IN_A_ROW + 1


def test_strict_raises_what_it_raises(shelf: Shelf) -> None:
    watcher(shelf, 'raise RuntimeError("told")')
    cache = predis.open(configuration("watcher", strict=True))
    with pytest.raises(RuntimeError, match="told"):
        cache.get_or_load(1, lambda key: key)
    cache.close()


def test_without_such_an_observer_no_load_is_told_of(shelf: Shelf) -> None:
    shelf.put(
        "batches",
        """
        class Observer:
            def on_batch(self, stats): ...

        class Plugin:
            def __init__(self, options): ...

            @hookimpl
            def predis_observers(self):
                return [Observer()]
        """,
    )
    with predis.open(configuration("batches")) as cache:
        assert cache._loads.told is None
        assert cache.get_or_load(1, lambda key: key * 10) == 10
    with predis.open(configuration()) as cache:
        assert cache._loads.told is None


SOME = """
SEEN = []

class Observer:
    operations = {operations}

    def on_batch(self, stats):
        SEEN.append(stats.operation)

class Plugin:
    def __init__(self, options): ...

    @hookimpl
    def predis_observers(self, cache):
        return [Observer()]
"""


def test_an_observer_of_some_operations_is_told_of_these_only(shelf: Shelf) -> None:
    some = shelf.module(shelf.put("some", SOME.format(operations='("load", "set")')))
    every = watcher(shelf)
    with predis.open(configuration("some", "watcher")) as cache:
        cache.set_many([1], [1])
        cache.get_many([1])
        cache.get_or_load_many([1], lambda ids: ids)
        cache.delete_many([1])
    assert some.SEEN == ["set", "load"]
    assert [batch.operation for batch in every.BATCHES] == ["set", "get", "load", "delete"]


def test_an_observer_of_an_unknown_operation_is_a_failure_of_the_plugin(shelf: Shelf) -> None:
    shelf.put("some", SOME.format(operations='("load", "store")'))
    with predis.open(configuration("some")) as cache:
        cache.get_many([1])
        state = host.status()
        assert state is not None
        functions = {f.what: f for f in state.plugins[0].functions}
        told = functions["predis_observers"].last_error
    assert told.startswith("ValueError: operations: expected some of ('get', ")
    assert told.endswith("got ['store']")
