"""A table that gets another policy again and again while threads use it."""

from __future__ import annotations

import functools
import threading
from typing import Any

import pytest

import predis_core as predis
from predis_core import policies
from predis_core.policies.choice import auto
from tests.support.combinations import Combination
from tests.support.crew import Crew
from tests.support.tiers import Tiered
from tests.support.traffic import Traffic

CAPACITY = 300
CHANGES, THREADS = 20, 3
CHOICE = auto(*(policies.get(name) for name in ("s3fifo", "lru")))
COMBINATIONS = [
    Combination("rows", "int64"),
    Combination("objects", "any"),
    Combination("blobs", "int64"),
    Tiered("rows", "int64"),
]


@pytest.mark.parametrize(
    "combination", COMBINATIONS, ids=lambda each: f"{type(each).__name__}-{each}"
)
def test_every_verb_is_right_while_the_policy_changes(combination: Combination, crew: Crew) -> None:
    cache: predis.Cache[Any, Any] = combination.open(CAPACITY, policy=CHOICE)
    cache._chosen()
    entries = combination.entries(range(3 * CAPACITY))
    for candidate in CHOICE.candidates:  # so that none is compiled among threads
        cache._change_policy(candidate)
        for step in Traffic(cache, entries, seed=0).steps:
            step()
    changed = threading.Event()

    def work(seed: int) -> None:
        traffic = Traffic(cache, entries, seed)
        while not changed.is_set():
            traffic.step()

    def change() -> None:
        try:
            for number in range(CHANGES):
                cache._change_policy(CHOICE.candidates[number % 2])
        finally:
            changed.set()

    crew.run(change, *(functools.partial(work, seed) for seed in range(THREADS)))
    cache.check_invariants()
    assert all(value == entries[key] for key, value in cache.items())
    for table in (getattr(cache._table, side, cache._table) for side in ("lower", "upper")):
        assert table._switch is None
