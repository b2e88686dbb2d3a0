"""Keys of a cache on a GPU that have code of their own, which runs where no lock is held."""

from __future__ import annotations

import gc
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

import predis_core as predis
from predis_core.table import moving
from predis_core.table.cuda import shared
from tests.concurrency import test_resize
from tests.concurrency.test_threads import WAYS_OUT, Hooked, Loud, Same
from tests.support.crew import PATIENCE, Crew
from tests.support.gpu import open_on_host

Opened = Callable[..., predis.Cache[Any, Any]]


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Opened:
    """Opens a cache of numbers by keys of any kind."""
    open_on_host(monkeypatch)
    monkeypatch.setattr(moving, "_BYTES", 1 << 12)

    def opened(capacity: int, **options: Any) -> predis.Cache[Any, Any]:
        given = {"policy": "lru", "value": predis.Rows("int64"), "device": "cuda:0"} | options
        return predis.Cache(capacity, keys="any", **given)

    return opened


@pytest.mark.parametrize("pause", [0, 0.0002], ids=["yields", "sleeps"])
def test_slow_equality_and_equal_hashes_never_mix_keys_up(
    crew: Crew, opened: Opened, monkeypatch: pytest.MonkeyPatch, pause: float
) -> None:
    monkeypatch.setattr(Same, "pause", staticmethod(lambda: time.sleep(pause)))
    cache = opened(28)

    def work(seed: int) -> None:
        pick = random.Random(seed)
        for _ in range(20):
            numbers = pick.sample(range(12), 3)
            batch = [Same(n) for n in numbers]
            values, hit = cache.get_many(batch)
            assert all(v == n for v, n, h in zip(values, numbers, hit, strict=True) if h)
            assert cache.set_many(batch, numbers).all()
            number = pick.randrange(12)
            assert cache.get(Same(number), number) == number
            assert cache.get_or_load(Same(number), lambda key: key.number) == number
            if pick.random() < 0.3:
                assert cache.pop(Same(number), number) == number

    crew.run(*[lambda seed=seed: work(seed) for seed in range(4)])
    cache.check_invariants()
    assert set(Counter(key.number for key in cache).values()) == {1}


def test_a_resident_key_is_found_however_its_neighbours_move(crew: Crew, opened: Opened) -> None:
    """And however often everything moves to another table."""
    cache = opened(28)
    cache[Same(0)] = 0
    done = threading.Event()

    def churn(first: int) -> None:
        while not done.is_set():
            for number in range(first, first + 4):
                cache[Same(number)] = number
            for number in range(first + 3, first - 1, -1):
                cache.pop(Same(number), None)
            cache.resize(50 + first)

    def read() -> None:
        for _ in range(60):
            assert cache.get(Same(0), "lost") == 0
            assert Same(0) in cache

    churners = [crew.start(lambda first=first: churn(first)) for first in (1, 5)]
    try:
        crew.run(read, read)
    finally:
        done.set()
    for churner in churners:
        churner.result(PATIENCE)


def test_comparing_holds_no_lock(crew: Crew, opened: Opened) -> None:
    """Another thread does all that it wants meanwhile."""
    cache = opened(100)
    cache[Hooked(1)] = 1

    def wait_for_another() -> None:
        assert crew.start(lambda: (cache.set("other", 2), cache["other"])).result(PATIENCE)[1] == 2

    for use in (
        lambda: cache.get(Hooked(1)),
        lambda: cache.set(Hooked(1), 1),
        lambda: cache.touch_many([Hooked(1)]).tolist(),
        lambda: cache.ttl_left(Hooked(1)),
        lambda: cache.pop(Hooked(1)),
        lambda: cache.set_many([Hooked(1), Hooked(1)], [1, 2]),
    ):
        Hooked.hook = wait_for_another
        use()
        assert Hooked.hook is None, "nothing was compared"
    assert dict(cache.items()) == {Hooked(1): 2, "other": 2}


def test_equality_that_changes_what_is_there_hides_no_key(opened: Opened) -> None:
    cache = opened(28)
    first, second = Hooked(1), Hooked(2)

    def reorder() -> None:
        del cache[first]
        cache[Hooked(3)] = 3
        cache[first] = 1
        del cache[Hooked(3)]

    for use in (
        lambda: cache.get(Hooked(2)),
        lambda: cache.pop(Hooked(2), None),
        lambda: cache.get_many([Hooked(2)])[0][0],
        lambda: (cache.set(Hooked(2), 5), 2)[1],
    ):
        cache.clear()
        cache[first], cache[second] = 1, 2
        Hooked.hook = reorder
        assert use() == 2
    assert cache[second] == 5
    assert len(cache) == 2


def test_a_key_that_comes_while_it_is_compared_comes_once(opened: Opened) -> None:
    cache = opened(28)
    cache[Hooked(1)] = 1

    def come_first() -> None:
        cache[Hooked(2)] = 7

    Hooked.hook = come_first
    cache[Hooked(2)] = 2
    assert Counter(key.number for key in cache) == {1: 1, 2: 1}
    assert cache[Hooked(2)] == 2
    cache.check_invariants()


def test_a_resize_from_within_a_comparison_is_done(opened: Opened) -> None:
    cache = opened(100)
    held = test_resize.Curious(1)
    cache[held] = 1
    held.act = lambda: cache.resize(1_000)
    cache[test_resize.Curious(1)] = 2
    assert cache.stats().updates == 1
    held.act = lambda: cache.resize(10)
    assert cache[test_resize.Curious(1)] == 2
    held.act = lambda: cache.resize(50)
    assert cache.pop(test_resize.Curious(1)) == 2
    assert (len(cache), cache.capacity) == (0, 50)


def test_a_move_is_not_stopped_by_what_is_compared_for_it(opened: Opened) -> None:
    """What an older table holds is compared as well, and no key of the windows is."""
    cache = opened(100)
    keys = [test_resize.Curious(number) for number in range(20)]
    cache.set_many(keys, range(20))
    move = shared.Move(cache._table, cache._made(200), None)  # type: ignore[arg-type]
    assert move.begin()
    seen: list[int] = []
    for key in keys:
        key.act = lambda: seen.append(len(list(cache)))
    assert cache[test_resize.Curious(3)] == 3
    assert seen
    assert set(seen) == {20}

    def fail() -> None:
        raise AssertionError("compared")

    for key in keys:
        key.act = fail
    cache._settle()
    for key in keys:
        key.act = None
    assert dict(cache.items()) == dict(zip(keys, range(20), strict=True))
    cache.check_invariants()


@pytest.mark.parametrize("face", ["set", "get"])
def test_equality_that_always_writes_is_an_error_and_no_hang(face: str, opened: Opened) -> None:
    cache = opened(28)

    class Restless:
        """Replaces a key of its own hash with a new one whenever it is compared."""

        inside = False
        newest: Any = None

        def __init__(self, number: int) -> None:
            self.number = number

        def __hash__(self) -> int:
            return 11

        def __eq__(self, other: object) -> bool:
            if not Restless.inside:
                Restless.inside = True
                cache.pop(Restless.newest, None)
                Restless.newest = Restless(-1)
                cache[Restless.newest] = 0
                Restless.inside = False
            return isinstance(other, Restless) and self.number == other.number

    cache[Restless(1)] = 1
    calls: dict[str, Callable[[], Any]] = {
        "set": lambda: cache.set(Restless(2), 2),
        "get": lambda: cache.get(Restless(2)),
    }
    with pytest.raises(RuntimeError, match="__eq__"):
        calls[face]()
    Restless.inside = True
    assert cache.set(Restless(2), 2)
    assert cache[Restless(2)] == 2


@pytest.mark.watches_lifetime
@pytest.mark.parametrize("way", [*WAYS_OUT, "resized"])
def test_what_leaves_is_dropped_after_every_lock_and_may_use_the_cache(
    way: str, opened: Opened
) -> None:
    clock = predis.ManualClock()
    cache = opened(20, clock=clock)
    heard: list[int] = []
    for number in range(10):
        key = Loud(cache, number, heard)
        cache.set(key, number, ttl=1)
        if way == "replaced":
            # As in a dict, the key that came first stays: it is its equal twin that goes.
            key = Loud(cache, number, heard)
        if way == "resized":
            cache.resize(1)
            cache.resize(20)
        elif way == "replaced":
            cache.set(key, 1)
        else:
            WAYS_OUT[way](cache, clock, key)
        del key
        cache.check_invariants()
    cache.clear()
    gc.collect()
    assert list(cache) in ([], ["last words"])
    twins = 2 if way == "replaced" else 1
    assert Counter(heard) == dict.fromkeys(range(10), twins)
    cache.check_invariants()


def test_finalizers_under_threads(crew: Crew, opened: Opened) -> None:
    cache = opened(30)

    class Key:
        def __init__(self, number: int) -> None:
            self.number = number

        def __hash__(self) -> int:
            return self.number % 5

        def __eq__(self, other: object) -> bool:
            return isinstance(other, Key) and self.number == other.number

        def __del__(self) -> None:
            if self.number % 4 == 0:
                cache[("gone", self.number)] = 0

    def work(seed: int) -> None:
        pick = random.Random(seed)
        for _ in range(15):
            numbers = pick.choices(range(60), k=10)
            cache.set_many([Key(n) for n in numbers], numbers)
            values, hit = cache.get_many([Key(n) for n in numbers])
            assert all(v == n for v, n, h in zip(values, numbers, hit, strict=True) if h)
            cache.delete_many([Key(n) for n in numbers[:3]])

    crew.run(*[lambda seed=seed: work(seed) for seed in range(4)])
    gc.collect()
    cache.check_invariants()
    cache.clear()
