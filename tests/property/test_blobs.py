"""Blobs of random sizes against a dict: what is found is right, and memory is never exceeded."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import predis_core as predis

KEYS = st.lists(st.integers(0, 79), min_size=1, max_size=30)
LENGTHS = st.one_of(st.integers(0, 64), st.integers(0, 1_500), st.integers(0, 40_000))
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("set"), KEYS, LENGTHS),
        st.tuples(st.just("get"), KEYS, st.just(0)),
        st.tuples(st.just("delete"), KEYS, st.just(0)),
        st.tuples(st.just("pin"), KEYS, st.just(0)),
        st.tuples(st.just("unpin"), st.just([]), st.just(0)),
    ),
    max_size=40,
)


class Run:
    """A cache of blobs beside the dict that it may forget from."""

    def __init__(self, memory: int) -> None:
        self.memory = memory
        self.cache: predis.Cache[int, bytes] = predis.Cache(
            60, memory=memory, value=predis.Blobs(), policy="lru", seed=1
        )
        self.told: dict[int, bytes] = {}
        self.pins: list[Any] = []

    def set(self, keys: list[int], length: int, seed: int) -> None:
        random = np.random.default_rng(seed)
        values = [random.bytes(int(random.integers(0, length + 1))) for _ in keys]
        stored = self.cache.set_many(keys, values)
        for key, value, kept in zip(keys, values, stored.tolist(), strict=True):
            self.told.pop(key, None)
            if kept:
                self.told[key] = value

    def get(self, keys: list[int], length: int, seed: int) -> None:
        out = predis.Packed()
        _, hit = self.cache.get_many(keys, out=out)
        for key, value, found in zip(keys, out, hit.tolist(), strict=True):
            assert value == (self.told[key] if found else b"")

    def delete(self, keys: list[int], length: int, seed: int) -> None:
        self.cache.delete_many(keys)
        for key in keys:
            self.told.pop(key, None)

    def pin(self, keys: list[int], length: int, seed: int) -> None:
        self.pins.append(self.cache.pinned(keys))
        self.pins[-1].__enter__()

    def unpin(self, keys: list[int], length: int, seed: int) -> None:
        if self.pins:
            self.pins.pop(0).__exit__(None, None, None)

    def check(self) -> None:
        self.cache.check_invariants()
        held = dict(self.cache.items())
        assert held.items() <= self.told.items()
        assert self.cache.stats().bytes == sum(map(len, held.values()))
        assert self.cache._table.memory <= self.memory


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from([20_000, 60_000, 200_000]), STEPS)
def test_a_cache_of_blobs_is_a_dict_that_forgets(memory: int, steps: Any) -> None:
    run = Run(memory)
    for number, (name, keys, length) in enumerate(steps):
        getattr(run, name)(keys, length, number)
        run.check()
    while run.pins:
        run.unpin([], 0, 0)
    run.check()
