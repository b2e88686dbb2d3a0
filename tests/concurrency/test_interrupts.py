"""Interrupts, collections and signals at any point: nothing is left behind that others wait for."""

from __future__ import annotations

import contextlib
import gc
import random
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

import pytest

import predis_core as predis
from predis_core import flights, loading
from predis_core.errors import LoaderDeadlock
from tests.support.combinations import Combination, plain
from tests.support.crew import PATIENCE, Crew

LOADING = {str(module.__file__) for module in (flights, loading)}


class InterruptAtLine:
    """Raises KeyboardInterrupt when the n-th line of `loading` or `flights` is reached."""

    def __init__(self, n: int) -> None:
        self.left = n

    def __call__(self, frame: FrameType, event: str, argument: Any) -> Any:
        if frame.f_code.co_filename not in LOADING:
            return None
        if event == "line":
            self.left -= 1
            if self.left < 0:
                raise KeyboardInterrupt
        return self


def test_an_interrupt_at_any_line_of_a_load_leaves_nothing_to_wait_for(crew: Crew) -> None:
    lines = 0
    gc.collect()  # the end of loads that other tests left would be interrupted in their place
    while True:
        cache = predis.Cache[str, str](10)
        cache["c"] = "C"

        def load(cache: predis.Cache[str, str] = cache) -> list[str]:
            found: list[str] = cache.get_or_load_many(
                list("abca"), lambda ids: [key.upper() for key in ids]
            )
            return found

        before = sys.gettrace()
        sys.settrace(InterruptAtLine(lines))
        try:
            load()
            break
        except KeyboardInterrupt:
            pass
        finally:
            sys.settrace(before)
        again = crew.start(load)
        with contextlib.suppress(TimeoutError):
            again.result(PATIENCE)
        assert again.done(), f"hangs after an interrupt at the {lines}th line"
        assert again.result() == list("ABCA")
        lines += 1
    assert lines > 30


@pytest.fixture
def eager_collector() -> Iterator[None]:
    """Make the garbage collector run at nearly every allocation."""
    threshold = gc.get_threshold()
    gc.set_threshold(5, 2, 2)
    yield
    gc.set_threshold(*threshold)


@pytest.mark.usefixtures("eager_collector")
def test_collections_at_any_point_may_use_the_cache(combination: Combination) -> None:
    """Finalisers of cyclic garbage write, delete and iterate in the middle of other operations."""
    cache = combination.open(60)
    numbers = range(100)
    pick = random.Random(1)
    collected = 0

    class Garbage:
        def __init__(self) -> None:
            self.itself = self

        def __del__(self) -> None:
            nonlocal collected
            collected += 1
            part = pick.choices(numbers, k=3)
            cache.set_many(combination.keys(part), combination.values(part))
            cache.delete_many(combination.keys(part[:1]))
            # A thread of the core may collect, too, while this one goes on.
            if collected % 10 == 0 and threading.current_thread() is threading.main_thread():
                assert len(list(cache.items())) <= len(cache)

    for _ in range(300):
        Garbage()
        part = pick.choices(numbers, k=10)
        keys, values = combination.keys(part), combination.values(part)
        assert cache.set_many(keys, values).all()
        found, hit = cache.get_many(keys)
        assert all(v == e for v, e, h in zip(plain(found), values, hit, strict=True) if h)
        assert plain(cache.get_or_load_many(keys, combination.load)) == values
        cache.pop(keys[0], None)
    assert collected > 100
    gc.disable()
    cache.check_invariants()
    gc.enable()


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="this system has no timers")
def test_signal_handlers_may_use_the_cache(combination: Combination) -> None:
    assert threading.current_thread() is threading.main_thread()
    cache = combination.open(60)
    numbers = range(100)
    pick = random.Random(1)
    handled = 0

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal handled
        handled += 1
        part = pick.choices(numbers, k=3)
        cache.set_many(combination.keys(part), combination.values(part))
        # A handler that interrupts a handler may find this id being loaded, below it in the stack.
        with contextlib.suppress(LoaderDeadlock):
            cache.get_or_load(combination.key(500), lambda _: combination.value(500))
        cache.delete_many(combination.keys([*part[:1], 500]))

    before = signal.signal(signal.SIGALRM, handle)
    try:
        while handled < 200:
            # Once a round: on a busy machine, a steady timer has handlers interrupt each other.
            signal.setitimer(signal.ITIMER_REAL, pick.uniform(1e-5, 1e-3))
            part = pick.choices(numbers, k=10)
            keys, values = combination.keys(part), combination.values(part)
            assert cache.set_many(keys, values).all()
            found, hit = cache.get_many(keys)
            assert all(v == e for v, e, h in zip(plain(found), values, hit, strict=True) if h)
            assert plain(cache.get_or_load_many(keys, combination.load)) == values
            cache.pop(keys[0], None)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    cache.check_invariants()
