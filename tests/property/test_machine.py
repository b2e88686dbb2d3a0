"""The state machine on every store and key kind, with every policy, in small caches."""

from __future__ import annotations

import itertools
import os
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, run_state_machine_as_test

from predis_core import native, planning, policies
from predis_core.cache import Cache
from predis_core.stores import Blobs, Objects, Rows, Store
from predis_core.table.arena import ARENA_BYTES_AT_LEAST, Arena, Ledger
from predis_core.testing import CacheMachine, CacheModel
from tests.support.depth import search
from tests.support.pools import pool

CAPACITIES = (1, 2, 10, 33, 95)
SCALARS, VECTORS = ("int64", ()), ("float32", (3,))
WEIGHT_AT_MOST = 300
SIZES = (0, 1, 24, 100, 100, 700)
TOO_MUCH = 1 << 16
"""Bytes that no cache here holds."""


class Value:
    """An object that only equals itself: a cache of objects returns the very one."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __repr__(self) -> str:
        return f"Value({self.number})"


class Registry:
    """A codec whose files name what is in them by numbers: it decodes to the very same things."""

    def __init__(self) -> None:
        self._things: list[Any] = []

    def encode(self, thing: Any) -> bytes:
        self._things.append(thing)
        return b"%d" % (len(self._things) - 1)

    def decode(self, data: bytes) -> Any:
        return self._things[int(data)]


def weight_of(key: Any, value: Any) -> int:
    """Return what a value weighs: sometimes nothing, seldom too much."""
    if value is None:
        return 0
    return TOO_MUCH if value.number % 50 == 0 else value.number * 37 % WEIGHT_AT_MOST


def length_of(key: Any, value: Any) -> int:
    return len(value)


@dataclass(frozen=True)
class Combination:
    """What is cached, under which keys, who leaves, and whether values are bounded by bytes.

    `kept` is "objects", "weighed" objects, "blobs", or the dtype and shape of rows.
    """

    kept: str | tuple[str, tuple[int, ...]]
    keys: Any
    policy: str

    def store(self) -> Store:
        if isinstance(self.kept, tuple):
            return Rows(*self.kept)
        return Blobs() if self.kept == "blobs" else Objects()

    @property
    def is_bounded(self) -> bool:
        """Whether values weigh something."""
        return self.kept in ("weighed", "blobs")

    def fixed_bytes(self, capacity: int) -> int:
        """Return what all but the values of a bounded cache takes."""
        plan = planning.plan(
            policies.get(self.policy),
            self.store(),
            key_refs=self.keys != "int64",
            capacity=capacity,
            memory=1 << 30,
        )
        return plan.total - (plan.values or 0)

    def __str__(self) -> str:
        named = self.kept
        if isinstance(named, tuple):
            named = f"{named[0]}{list(named[1])}"
        return f"{named}-{self.keys}-{self.policy}"


COMBINATIONS = [
    Combination("objects", "any", "s3fifo"),
    Combination("objects", "any", "sieve"),
    Combination("objects", "str", "lru"),
    Combination("objects", "bytes", "fifo"),
    Combination("objects", "int64", "s3fifo"),
    Combination(SCALARS, "int64", "fifo"),
    Combination(SCALARS, "int64", "lru"),
    Combination(SCALARS, "int64", "sieve"),
    Combination(SCALARS, "int64", "s3fifo"),
    Combination(SCALARS, "any", "sieve"),
    Combination(SCALARS, "str", "sieve"),
    Combination(SCALARS, "bytes", "sieve"),
    Combination(VECTORS, "int64", "lru"),
    Combination(VECTORS, "any", "s3fifo"),
    Combination(VECTORS, "str", "s3fifo"),
    Combination(VECTORS, "bytes", "s3fifo"),
    Combination("weighed", "any", "s3fifo"),
    Combination("blobs", "int64", "lru"),
    Combination("blobs", "any", "s3fifo"),
    Combination("blobs", "int64", "gdsf"),
]


class Machine(CacheMachine):
    """The machine of a combination, at a capacity, seed and default time to live that are drawn."""

    combination: Combination

    def __init__(self) -> None:
        super().__init__()
        self.numbers = itertools.count(1)
        self.pool: list[Any] = []
        self.seed = 0
        self.registry = Registry()
        # A table of another size holds other bytes: which entries go is not for the model to say.
        self.can_resize = not self.combination.is_bounded

    @initialize(
        capacity=st.sampled_from(CAPACITIES),
        seed=st.integers(0, 3),
        ttl=st.sampled_from((None, None, 2.0)),
        listening=st.booleans(),
    )
    def begin(self, capacity: int, seed: int, ttl: float | None, listening: bool) -> None:
        self.pool = pool(self.combination.keys, 2 * capacity + 8)
        self.seed = seed
        self.check(self.open(capacity, ttl), ttl, listening=listening)

    def open(self, capacity: int, ttl: float | None = None) -> Cache[Any, Any]:
        mix, memory = self.combination, None
        if mix.is_bounded:
            memory = mix.fixed_bytes(capacity) + self.bytes_of(capacity)
        return Cache(
            capacity,
            policy=mix.policy,
            value=mix.store(),
            keys=mix.keys,
            memory=memory,
            weigher=weight_of if mix.kept == "weighed" else None,
            ttl=ttl,
            seed=self.seed,
            clock=self.clock,
        )

    def bytes_of(self, capacity: int) -> int:
        """What values may take: so little that it is often the bytes that are full."""
        if self.combination.kept == "weighed":
            return capacity * WEIGHT_AT_MOST // 3 + 1
        return ARENA_BYTES_AT_LEAST + capacity * 100

    def make_another(self, capacity: int) -> Cache[Any, Any]:
        return self.open(capacity)

    def make_model(self, cache: Cache[Any, Any], ttl: Any) -> CacheModel:
        model = super().make_model(cache, ttl)
        if not self.combination.is_bounded:
            return model
        limit = self.bytes_of(cache.capacity)
        if self.combination.kept == "weighed":
            weigh, fits = weight_of, None
        else:
            ledger = Ledger(Arena(limit))
            weigh, fits = length_of, lambda key, value: ledger.can_ever_fit(len(value))
        return CacheModel(
            cache.capacity,
            clock=self.clock,
            ttl=ttl,
            ways=model.ways,
            weigh=weigh,
            limit=limit,
            fits=fits,
        )

    def codec(self) -> Registry:
        return self.registry

    def keys(self) -> st.SearchStrategy[Any]:
        return st.sampled_from(self.pool)

    def batches(self) -> st.SearchStrategy[Any]:
        n = len(self.pool)
        runs = st.builds(self.run, st.integers(0, n - 1), st.integers(0, 3), st.integers(0, n))
        return st.lists(self.keys(), max_size=8) | runs

    def run(self, start: int, step: int, count: int) -> list[Any]:
        return [self.pool[(start + step * at) % len(self.pool)] for at in range(count)]

    def values(self) -> st.SearchStrategy[Any]:
        return st.builds(self.fresh)

    def fresh(self) -> Any:
        """A value that this cache has not held before; now and then one that looks like a miss."""
        number = next(self.numbers)
        if self.combination.kept == "blobs":
            size = TOO_MUCH if number % 50 == 0 else SIZES[number % len(SIZES)]
            return b"%d " % number + bytes(size)
        if not isinstance(self.combination.kept, tuple):
            return None if number % 7 == 0 else Value(number)
        if self.combination.kept == SCALARS:
            return np.int64(0 if number % 7 == 0 else number - 2**62)
        return np.array([number, np.nan if number % 7 == 0 else 0.5, -number], np.float32)

    def as_keys(self, keys: list[Any]) -> Any:
        return np.array(keys, np.int64) if self.combination.keys == "int64" else keys

    def as_values(self, values: list[Any]) -> Any:
        if not isinstance(self.combination.kept, tuple):
            return values
        dtype, shape = self.combination.kept
        return np.array(values, dtype).reshape(len(values), *shape)

    def blank(self) -> Any:
        if not isinstance(self.combination.kept, tuple):
            return None
        return np.zeros(self.combination.kept[1], self.combination.kept[0])

    def make_out(self, n: int) -> Any:
        if not isinstance(self.combination.kept, tuple):
            return None
        dtype, shape = self.combination.kept
        return np.full((n, *shape), 77, dtype)


def machine_of(combination: Combination) -> type[Machine]:
    return type("Machine", (Machine,), {"combination": combination})


@pytest.mark.parametrize("combination", COMBINATIONS, ids=str)
def test_a_cache_owes_nothing_to_its_model(combination: Combination) -> None:
    run_state_machine_as_test(machine_of(combination), settings=search(examples=15, steps=25))


@pytest.mark.parametrize(
    "combination",
    [
        Combination("objects", "any", "s3fifo"),
        Combination("objects", "int64", "s3fifo"),
        Combination("blobs", "int64", "lru"),
    ],
    ids=str,
)
def test_nor_does_one_whose_scalar_methods_are_machine_code_from_the_start(
    combination: Combination, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(native, "CALLS", 0)
    run_state_machine_as_test(machine_of(combination), settings=search(examples=15, steps=50))


STEPS = int(os.environ.get("SOAK_STEPS", "100000"))
STEPS_PER_EXAMPLE = 50


class Counting(Machine):
    """Counts the steps of all its machines."""

    taken = 0

    @invariant()
    def owes_nothing(self) -> None:
        super().owes_nothing()
        Counting.taken += 1


@pytest.mark.soak
@pytest.mark.timeout(0)
@pytest.mark.parametrize("combination", COMBINATIONS, ids=str)
def test_a_long_search_finds_no_difference(combination: Combination) -> None:
    """SOAK_STEPS over all combinations, the same each time."""
    Counting.taken = 0
    # A tenth of the steps is not taken: some examples end early.
    examples = STEPS * 6 // (5 * STEPS_PER_EXAMPLE * len(COMBINATIONS))
    same = settings(search(examples, STEPS_PER_EXAMPLE), derandomize=True, database=None)
    run_state_machine_as_test(
        type("Machine", (Counting,), {"combination": combination}), settings=same
    )
    assert Counting.taken >= STEPS // len(COMBINATIONS)


@pytest.mark.soak
@pytest.mark.timeout(0)
def test_no_breach_is_found_however_long_one_looks() -> None:
    """SOAK_SECONDS in all, at other random examples each time."""
    until = time.monotonic() + float(os.environ.get("SOAK_SECONDS", "60"))
    deep = settings(search(examples=5, steps=60), derandomize=False, database=None)
    for combination in itertools.cycle(COMBINATIONS):
        run_state_machine_as_test(machine_of(combination), settings=deep)
        if time.monotonic() > until:
            break
