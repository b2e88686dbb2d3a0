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
from hypothesis.stateful import initialize, run_state_machine_as_test

from predis_core.cache import Cache
from predis_core.stores import Objects, Rows, Store
from predis_core.testing import CacheMachine
from tests.support.depth import search
from tests.support.pools import pool

CAPACITIES = (1, 2, 10, 33, 95)
SCALARS, VECTORS = ("int64", ()), ("float32", (3,))


class Value:
    """An object that only equals itself: a cache of objects returns the very one."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __repr__(self) -> str:
        return f"Value({self.number})"


@dataclass(frozen=True)
class Combination:
    """What is cached, under which keys, and who leaves."""

    rows: tuple[str, tuple[int, ...]] | None
    keys: str
    policy: str

    def store(self) -> Store:
        return Objects() if self.rows is None else Rows(*self.rows)

    def __str__(self) -> str:
        kept = "objects" if self.rows is None else f"{self.rows[0]}{list(self.rows[1])}"
        return f"{kept}-{self.keys}-{self.policy}"


COMBINATIONS = [
    Combination(None, "any", "s3fifo"),
    Combination(None, "any", "sieve"),
    Combination(None, "str", "lru"),
    Combination(None, "bytes", "fifo"),
    Combination(None, "int64", "s3fifo"),
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
]


class Machine(CacheMachine):
    """The machine of a combination, at a capacity, seed and default time to live that are drawn."""

    combination: Combination

    def __init__(self) -> None:
        super().__init__()
        self.numbers = itertools.count(1)
        self.pool: list[Any] = []

    @initialize(
        capacity=st.sampled_from(CAPACITIES),
        seed=st.integers(0, 3),
        ttl=st.sampled_from((None, None, 2.0)),
    )
    def begin(self, capacity: int, seed: int, ttl: float | None) -> None:
        mix = self.combination
        self.pool = pool(mix.keys, 2 * capacity + 8)
        cache: Cache[Any, Any] = Cache(
            capacity,
            policy=mix.policy,
            value=mix.store(),
            keys=mix.keys,
            ttl=ttl,
            seed=seed,
            clock=self.clock,
        )
        self.check(cache, ttl)

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
        if self.combination.rows is None:
            return None if number % 7 == 0 else Value(number)
        if self.combination.rows == SCALARS:
            return np.int64(0 if number % 7 == 0 else number - 2**62)
        return np.array([number, np.nan if number % 7 == 0 else 0.5, -number], np.float32)

    def as_keys(self, keys: list[Any]) -> Any:
        return np.array(keys, np.int64) if self.combination.keys == "int64" else keys

    def as_values(self, values: list[Any]) -> Any:
        if self.combination.rows is None:
            return values
        dtype, shape = self.combination.rows
        return np.array(values, dtype).reshape(len(values), *shape)

    def blank(self) -> Any:
        if self.combination.rows is None:
            return None
        return np.zeros(self.combination.rows[1], self.combination.rows[0])

    def make_out(self, n: int) -> Any:
        if self.combination.rows is None:
            return None
        dtype, shape = self.combination.rows
        return np.full((n, *shape), 77, dtype)


def machine_of(combination: Combination) -> type[Machine]:
    return type("Machine", (Machine,), {"combination": combination})


@pytest.mark.parametrize("combination", COMBINATIONS, ids=str)
def test_a_cache_owes_nothing_to_its_model(combination: Combination) -> None:
    run_state_machine_as_test(machine_of(combination), settings=search(examples=15, steps=25))


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
