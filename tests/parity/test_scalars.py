"""A scalar method in machine code does what the batch face does for one key, bit for bit."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

import predis_core as predis
from predis_core.errors import CacheFull
from tests.support.dumps import assert_same_dump
from tests.support.scalars import compiled, plain

CAPACITY, CALLS = 60, 3_000


def any_key(number: int) -> Any:
    """Return a key of one of many types; some equal others, and some share a hash."""
    kinds: tuple[Callable[[int], Any], ...] = (
        lambda n: n,
        lambda n: -1 - n % 2,  # of which the hashes are equal
        float,
        lambda n: n + 0.5,
        lambda n: bool(n % 2),
        str,
        lambda n: (n, str(n)),
        lambda n: b"%d" % n,
        lambda n: frozenset((n,)),
        lambda n: 2**61 - 1 + n,  # whose hash is that of n
    )
    return kinds[number % len(kinds)](number // len(kinds))


def outcome(call: Callable[[], Any]) -> Any:
    """Return what a call returns, or the exception that it raises."""
    try:
        return call()
    except (KeyError, CacheFull) as error:
        return type(error), error.args


class Twins:
    """Two caches alike: one with machine code, the other the definition."""

    def __init__(
        self, make_key: Callable[[int], Any], make_value: Callable[[int], Any], **options: Any
    ) -> None:
        self.clocks = predis.ManualClock(), predis.ManualClock()
        self.caches = [predis.Cache(seed=3, clock=clock, **options) for clock in self.clocks]
        self.key, self.value = make_key, make_value
        compiled(self.caches[0])
        plain(self.caches[1])
        self.random = random.Random(11)

    def both(self, call: Callable[[Any], Any]) -> None:
        native, definition = (outcome(lambda each=each: call(each)) for each in self.caches)
        assert type(native) is type(definition), (native, definition)
        assert native == definition

    def step(self) -> None:
        """Do the same with both."""
        key, key_2 = (self.key(self.random.randrange(180)) for _ in range(2))
        value, n = self.value(self.random.randrange(1000)), self.random.randrange(100)
        if n < 25:
            self.both(lambda c: c.get(key))
        elif n < 35:
            self.both(lambda c: c.get(key, value))
        elif n < 45:
            self.both(lambda c: c[key])
        elif n < 52:
            self.both(lambda c: key in c)
        elif n < 65:
            self.both(lambda c: c.set(key, value))
        elif n < 80:
            self.both(lambda c: c.__setitem__(key, value))
        elif n < 84:
            self.both(lambda c: c.set(key, value, ttl=5 if n % 2 else None))
        elif n < 90:
            self.both(lambda c: c.get_or_load(key, lambda _: value))
        elif n < 93:
            self.both(lambda c: c.pop(key, None))
        elif n < 96:
            self.both(lambda c: c.set_many([key, key_2], [value, value]).tolist())
        elif n < 98:
            self.both(lambda c: c.get_many([key, key_2])[1].tolist())
        else:
            for clock in self.clocks:
                clock.advance(1)

    def check(self) -> None:
        """Fail unless the tables and the counters are the same."""
        native, definition = self.caches
        assert native.stats() == definition.stats()
        assert_same_dump(native._table.dump(), definition._table.dump())
        native.check_invariants()


@pytest.mark.parametrize("policy", ["s3fifo", "wtinylfu"])
def test_objects_by_any_key(policy: str) -> None:
    twins = Twins(any_key, lambda n: f"value {n}", capacity=CAPACITY, policy=policy)
    for _ in range(CALLS):
        twins.step()
    twins.check()


def test_objects_with_a_default_ttl() -> None:
    twins = Twins(any_key, str, capacity=CAPACITY, ttl=3)
    for _ in range(CALLS):
        twins.step()
    twins.check()


def texts(number: int) -> str:
    """Return a text of one to four bytes per character, of any length."""
    return chr((97, 233, 0x6C34, 0x1F600)[number % 4]) * (number % 23) + str(number)


def test_objects_by_str() -> None:
    twins = Twins(texts, str, capacity=CAPACITY, keys="str")
    for _ in range(CALLS):
        twins.step()
    twins.check()


def test_objects_by_bytes() -> None:
    twins = Twins(lambda n: b"key" * (n % 9) + b"%d" % n, str, capacity=CAPACITY, keys="bytes")
    for _ in range(CALLS):
        twins.step()
    twins.check()


def test_objects_by_int64() -> None:
    twins = Twins(lambda n: n * 2**40 - 2**45, str, capacity=CAPACITY, keys="int64")
    for _ in range(CALLS):
        twins.step()
    twins.check()


@pytest.mark.parametrize("kind", ["int64", "any"])
def test_blobs(kind: Any) -> None:
    twins = Twins(
        lambda n: n,
        lambda n: b"%d" % n * (n % 40) if n % 50 else b"x" * 20_000,  # which never fits
        capacity=CAPACITY,
        keys=kind,
        value=predis.Blobs(),
        memory=40_000,
    )
    for _ in range(CALLS):
        twins.step()
    twins.check()


def test_rows_by_int64() -> None:
    rows = predis.Rows("int64", ())
    twins = Twins(lambda n: n - 90, lambda n: n, capacity=CAPACITY, value=rows)
    for _ in range(CALLS):
        twins.step()
    twins.check()


def test_sampled_lookups_are_noted() -> None:
    twins = Twins(any_key, str, capacity=CAPACITY)
    for cache in twins.caches:
        cache._table.sample_keys(0.5, 1 << 12)
    for _ in range(CALLS):
        twins.step()
    noted = [cache._table.drain_sampled(0)[0] for cache in twins.caches]
    for one, other in zip(*noted, strict=True):
        assert one.tolist() == other.tolist()
        assert len(one)


def test_parameters_that_were_replaced_count_at_once() -> None:
    twins = Twins(any_key, str, capacity=CAPACITY)
    for round_ in range(4):
        for _ in range(CALLS // 4):
            twins.step()
        for cache in twins.caches:
            cache._table.set_parameters((10 * (round_ + 1),))
    twins.check()


def test_entries_that_moved_are_the_same() -> None:
    twins = Twins(any_key, str, capacity=CAPACITY)
    for capacity in (CAPACITY, 90, 40, 200):
        for cache in twins.caches:
            cache.resize(capacity)
        for _ in range(CALLS // 4):
            twins.step()
    twins.check()
