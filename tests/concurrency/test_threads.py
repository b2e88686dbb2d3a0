"""Every face from every thread, and code of keys and values that calls the cache back."""

from __future__ import annotations

import gc
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import predis_core as predis
from tests.support.combinations import Combination, plain
from tests.support.crew import PATIENCE, Crew
from tests.support.traffic import Traffic

THREADS = 6
ROUNDS = 150


@pytest.mark.parametrize("capacity", [1, 40, 600])
def test_every_value_belongs_to_its_key(
    combination: Combination, crew: Crew, capacity: int
) -> None:
    cache = combination.open(capacity)
    expected = combination.entries(range(3 * capacity + 20))

    def work(seed: int) -> None:
        traffic = Traffic(cache, expected, seed)
        for _ in range(ROUNDS):
            traffic.step()

    crew.run(*[lambda seed=seed: work(seed) for seed in range(THREADS)])
    cache.check_invariants()
    assert len(list(cache)) <= len(cache) <= capacity


def test_counters_lose_nothing(combination: Combination, crew: Crew) -> None:
    cache = combination.open(500)
    keys, values = combination.keys(range(400)), combination.values(range(400))

    def work(seed: int) -> tuple[int, int]:
        pick = random.Random(seed)
        looked = found = 0
        for _ in range(ROUNDS):
            at = pick.randrange(390)
            part = slice(at, at + 10)
            cache.set_many(keys[part], values[part])
            hit = cache.get_many(keys[part])[1]
            looked, found = looked + 10, found + int(hit.sum())
            cache.delete_many(keys[at : at + 3])
        return looked, found

    results = crew.run(*[lambda seed=seed: work(seed) for seed in range(THREADS)])
    stats = cache.stats()
    assert stats.requests == sum(looked for looked, _ in results) == THREADS * ROUNDS * 10
    assert stats.hits == sum(found for _, found in results)
    left = stats.deletions + stats.evictions + stats.expirations
    assert stats.insertions - left == stats.size == len(cache) == len(list(cache))
    assert stats.insertions + stats.updates == THREADS * ROUNDS * 10


def test_a_row_is_never_half_of_another(crew: Crew) -> None:
    """Rows that take longer to copy than a step of the other thread: readers see whole ones."""
    width = 16
    cache = predis.Cache(64, value=predis.Rows("int64", (width,)))
    keys = np.arange(16)
    stop = threading.Event()
    # Kernels for rows of this width may have to be compiled: not while threads wait.
    cache.set_many(keys, np.full((16, width), 3000) + keys[:, None])
    cache.get_many(keys)

    def write(mark: int) -> None:
        rows = np.full((16, width), mark) + keys[:, None]
        while not stop.is_set():
            cache.set_many(keys, rows)

    def read() -> None:
        ends = time.monotonic() + 2
        while time.monotonic() < ends:
            rows, hit = cache.get_many(keys)
            assert (rows[hit] == rows[hit][:, :1]).all()
            assert ((rows[hit][:, 0] - keys[hit]) % 1000 == 0).all()

    writers = [crew.start(lambda mark=mark: write(mark)) for mark in (1000, 2000)]
    try:
        crew.run(read, read)
    finally:
        stop.set()
    for writer in writers:
        writer.result(PATIENCE)


def test_one_thread_closes_while_others_work(combination: Combination, crew: Crew) -> None:
    cache = combination.open(200)
    expected = combination.entries(range(500))
    working = threading.Barrier(THREADS + 1)

    def work(seed: int) -> int:
        traffic = Traffic(cache, expected, seed)
        working.wait(PATIENCE)
        rounds = 0
        try:
            while True:
                traffic.step()
                rounds += 1
        except predis.errors.CacheClosed:
            return rounds
        except AssertionError:
            # Of a batch that the close overtook, some may be stored, and the mask says which.
            with pytest.raises(predis.errors.CacheClosed):
                len(cache)
            return rounds

    workers = [crew.start(lambda seed=seed: work(seed)) for seed in range(THREADS)]
    working.wait(PATIENCE)
    time.sleep(0.05)
    # The class's own: the test run checks invariants at close, which needs the cache for itself.
    type(cache).close.__wrapped__(cache)  # type: ignore[attr-defined]
    for worker in workers:
        worker.result(PATIENCE)


# ------------------------------------------------------------------ keys with code of their own


class Same:
    """All keys of this kind have one hash. Comparing them lets other threads run."""

    pause: Callable[[], None] = staticmethod(lambda: time.sleep(0))

    def __init__(self, number: int) -> None:
        self.number = number

    def __hash__(self) -> int:
        return 11

    def __eq__(self, other: object) -> bool:
        Same.pause()
        return isinstance(other, Same) and self.number == other.number

    def __repr__(self) -> str:
        return f"Same({self.number})"


@pytest.mark.parametrize("pause", [0, 0.0002], ids=["yields", "sleeps"])
def test_slow_equality_and_equal_hashes_never_mix_keys_up(
    crew: Crew, monkeypatch: pytest.MonkeyPatch, pause: float
) -> None:
    monkeypatch.setattr(Same, "pause", staticmethod(lambda: time.sleep(pause)))
    cache = predis.Cache[Same, int](28)

    def work(seed: int) -> None:
        pick = random.Random(seed)
        for _ in range(40):
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
    held = Counter(key.number for key in cache)
    assert set(held.values()) == {1}


def test_a_resident_key_is_found_however_its_neighbours_move(crew: Crew) -> None:
    """Others come, go and change places in the chain of one hash; this one stays all along."""
    cache = predis.Cache[Same, int](28)
    cache[Same(0)] = 0
    done = threading.Event()

    def churn(first: int) -> None:
        while not done.is_set():
            for number in range(first, first + 4):
                cache[Same(number)] = number
            for number in range(first + 3, first - 1, -1):
                cache.pop(Same(number), None)

    def read() -> None:
        for _ in range(400):
            assert cache.get(Same(0), "lost") == 0
            assert Same(0) in cache

    churners = [crew.start(lambda first=first: churn(first)) for first in (1, 5)]
    try:
        crew.run(read, read)
    finally:
        done.set()
    for churner in churners:
        churner.result(PATIENCE)


class Hooked:
    """A key of one hash whose next comparison runs `hook` first."""

    hook: Callable[[], None] | None = None

    def __init__(self, number: int) -> None:
        self.number = number

    def __hash__(self) -> int:
        return 11

    def __eq__(self, other: object) -> bool:
        hook, Hooked.hook = Hooked.hook, None
        if hook is not None:
            hook()
        return isinstance(other, Hooked) and self.number == other.number

    def __repr__(self) -> str:
        return f"Hooked({self.number})"


def test_equality_that_reorders_the_chain_hides_no_key() -> None:
    cache = predis.Cache[Hooked, str](28)
    first, second = Hooked(1), Hooked(2)

    def reorder() -> None:
        del cache[first]
        cache[Hooked(3)] = "in its place"
        cache[first] = "one"
        del cache[Hooked(3)]

    for read in (
        lambda: cache.get(Hooked(2)),
        lambda: cache.pop(Hooked(2), None),
        lambda: cache.get_many([Hooked(2)])[0][0],
    ):
        cache.clear()
        cache[first], cache[second] = "one", "two"
        Hooked.hook = reorder
        assert read() == "two"
    cache.clear()
    cache[first], cache[second] = "one", "two"
    Hooked.hook = reorder
    cache[Hooked(2)] = "new"
    assert cache[second] == "new"
    assert len(cache) == 2


def test_a_new_key_at_the_address_of_an_old_one_is_seen() -> None:
    """What was compared may leave and free its memory to a key that was not compared."""
    cache = predis.Cache[Hooked, str](28)
    cache[Hooked(1)] = "one"
    cache[Hooked(2)] = "two"

    def replace() -> None:
        (old,) = [key for key in cache if key.number == 1]
        address = id(old)
        del cache[old]
        del old
        kept = []
        while len(kept) < 1000:
            kept.append(Hooked(3))
            if id(kept[-1]) == address:
                break
        cache[kept[-1]] = "by the other"

    def later() -> None:
        Hooked.hook = replace

    Hooked.hook = later
    cache[Hooked(3)] = "three"
    assert Counter(key.number for key in cache) == {2: 1, 3: 1}
    assert cache[Hooked(3)] == "three"


@pytest.mark.parametrize("use", ["get", "set", "delete", "contains", "load"])
def test_equality_may_use_the_cache(use: str) -> None:
    cache = predis.Cache[Any, Any](280)
    calls = 0

    class Curious:
        def __init__(self, number: int) -> None:
            self.number = number

        def __hash__(self) -> int:
            return 11

        def __eq__(self, other: object) -> bool:
            nonlocal calls
            calls += 1
            if use == "get":
                cache.get(("other", self.number))
            elif use == "set" and calls % 3 == 0:
                cache[("other", self.number)] = calls
            elif use == "delete":
                cache.pop(("other", self.number), None)
            elif use == "contains":
                assert len(list(cache)) == len(cache)
            elif use == "load":
                cache.get_or_load(("other", self.number), lambda key: calls)
            return isinstance(other, Curious) and self.number == other.number

    for _ in range(3):
        for number in range(6):
            cache[Curious(number)] = number
            assert cache[Curious(number)] == number
    assert sorted(k.number for k in cache if isinstance(k, Curious)) == list(range(6))
    assert calls > 0


@pytest.mark.timeout(300)
@pytest.mark.parametrize("face", ["set", "get", "contains", "delete"])
def test_equality_that_always_writes_is_an_error_and_no_hang(face: str) -> None:
    cache = predis.Cache[Any, int](28)

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
        "contains": lambda: Restless(2) in cache,
        "delete": lambda: cache.delete_many([Restless(2)]),
    }
    with pytest.raises(RuntimeError, match="__eq__"):
        calls[face]()
    Restless.inside = True
    assert cache.set(Restless(2), 2)
    assert cache[Restless(2)] == 2


def test_a_hash_may_use_the_cache() -> None:
    cache = predis.Cache[Any, int](100)

    class Nosy:
        def __init__(self, number: int) -> None:
            self.number = number

        def __hash__(self) -> int:
            cache[self.number] = self.number
            cache.get(self.number + 1)
            return hash(("nosy", self.number))

        def __eq__(self, other: object) -> bool:
            return isinstance(other, Nosy) and self.number == other.number

    cache.set_many([Nosy(n) for n in range(10)], range(10))
    assert cache.get_many([Nosy(n) for n in range(10)])[0] == list(range(10))
    assert len(cache) == 20


# ------------------------------------------------------------------ what leaves


class Loud:
    """Calls the cache back when it is collected."""

    def __init__(self, cache: predis.Cache[Any, Any], number: int, heard: list[int]) -> None:
        self.cache, self.number, self.heard = cache, number, heard

    def __hash__(self) -> int:
        return hash(("loud", self.number))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Loud) and self.number == other.number

    def __del__(self) -> None:
        self.cache["last words"] = self.number
        assert self.cache["last words"] == self.number
        assert len(list(self.cache)) <= len(self.cache) <= self.cache.capacity
        self.heard.append(self.number)


WAYS_OUT: dict[str, Callable[[predis.Cache[Any, Any], predis.ManualClock, Any], Any]] = {
    "evicted": lambda cache, clock, key: cache.set_many(range(100, 200), range(100)),
    "replaced": lambda cache, clock, key: cache.set(key, None),
    "deleted": lambda cache, clock, key: cache.delete_many([key]),
    "popped": lambda cache, clock, key: cache.pop(key) and None,
    "cleared": lambda cache, clock, key: cache.clear(),
    "expired": lambda cache, clock, key: (clock.advance(1), cache.set_many(range(100), range(100))),
}


@pytest.mark.watches_lifetime
@pytest.mark.parametrize("part", ["key", "value"])
@pytest.mark.parametrize("way", WAYS_OUT)
def test_what_leaves_is_dropped_after_every_lock_and_may_use_the_cache(part: str, way: str) -> None:
    clock = predis.ManualClock()
    cache = predis.Cache[Any, Any](20, clock=clock)
    heard: list[int] = []
    for number in range(40):
        key = Loud(cache, number, heard) if part == "key" else number
        value = number if part == "key" else Loud(cache, number, heard)
        cache.set(key, value, ttl=1)
        if part == "key" and way == "replaced":
            # As in a dict, the key that came first stays: it is its equal twin that goes.
            key = Loud(cache, number, heard)
        del value
        WAYS_OUT[way](cache, clock, key)
        del key
        cache.check_invariants()
    cache.clear()
    gc.collect()
    assert list(cache) in ([], ["last words"])
    twins = 2 if part == "key" and way == "replaced" else 1
    assert Counter(heard) == dict.fromkeys(range(40), twins)
    cache.check_invariants()


@pytest.mark.parametrize("store", ["objects", "rows"])
def test_finalizers_under_threads(crew: Crew, store: str) -> None:
    combination = Combination(store, "any")
    cache = combination.open(30)

    class Key:
        def __init__(self, number: int) -> None:
            self.number = number

        def __hash__(self) -> int:
            return self.number % 5

        def __eq__(self, other: object) -> bool:
            return isinstance(other, Key) and self.number == other.number

        def __del__(self) -> None:
            if self.number % 4 == 0:
                cache[("gone", self.number)] = combination.value(0)

    def work(seed: int) -> None:
        pick = random.Random(seed)
        for _ in range(ROUNDS):
            numbers = pick.choices(range(60), k=10)
            cache.set_many([Key(n) for n in numbers], combination.values(numbers))
            values, hit = cache.get_many([Key(n) for n in numbers])
            expected = combination.values(numbers)
            assert all(v == e for v, e, h in zip(plain(values), expected, hit, strict=True) if h)
            cache.delete_many([Key(n) for n in numbers[:3]])

    crew.run(*[lambda seed=seed: work(seed) for seed in range(4)])
    gc.collect()
    cache.check_invariants()
    cache.clear()
