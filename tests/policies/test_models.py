"""Every policy, shipped or not, keeps and evicts exactly what its paper's structures would.

`table.reference` with one set against `set_models.py`, in batches of one: get, then insert if
absent.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from predis_core.table.interface import Counter, Keys
from predis_core.table.layout import Layout
from predis_core.table.reference import ReferenceTable
from tests.support import streams
from tests.support.contract import ALL
from tests.support.set_models import (
    MODELS,
    GdsfModel,
    LinearModel,
    S3FifoModel,
    one_set,
)

SEED = 42
WAYS = (1, 2, 6, 7, 10, 28)
NAMES = sorted(ALL)


class Pair:
    """A table with one set and its model, asked the same."""

    def __init__(self, name: str, ways: int, *, tick: int = 0, state: int = 0) -> None:
        self.table = ReferenceTable(Layout.build(ways), ALL[name], SEED)
        self.table._tick = tick
        self.table._sets[0].state = state
        self.model = MODELS[name](one_set(ways, SEED))

    def request(self, key: int) -> bool:
        """Get a key, insert it if it is not there, and compare."""
        keys = Keys(np.array([key], np.int64))
        hit = self.model.get(key, self.table._tick)
        assert (self.table.lookup(keys, 0)[0] >= 0) == hit
        if not hit:
            victim = self.model.insert(key, self.table._tick)
            removed = self.table.insert(keys, None, 0, want_removed=True).removed
            assert removed is not None
            left = int(removed.keys.words[0]) if len(removed.at) else None
            assert left == victim
        self.compare()
        return hit

    def delete(self, key: int) -> None:
        """Remove a key if it is there, and compare."""
        deleted = self.table.delete(Keys(np.array([key], np.int64)), 0).deleted[0]
        assert deleted == (key in self.model.seats)
        if deleted:
            self.model.delete(key)
        self.compare()

    def compare(self) -> None:
        found = self.table._sets[0].live()
        assert {entry.word: way for way, entry in found} == self.model.seats


def test_every_policy_has_a_model() -> None:
    assert sorted(MODELS) == NAMES


@pytest.mark.parametrize("ways", WAYS)
@pytest.mark.parametrize("name", NAMES)
def test_streams(name: str, ways: int) -> None:
    hits = evicted = 0
    for seed, kind in enumerate(streams.KINDS.values()):
        pair = Pair(name, ways)
        for distinct in (ways + 1, 2 * ways + 3):
            for key in kind(60 + 8 * ways, distinct, seed).tolist():
                hits += pair.request(key)
        evicted += int(pair.table.counters()[Counter.EVICTIONS])
    assert hits
    assert evicted


@pytest.mark.parametrize("name", NAMES)
@given(
    ways=st.sampled_from(WAYS[:-1]),
    steps=st.lists(st.tuples(st.integers(0, 15), st.integers(0, 5)), min_size=10, max_size=120),
)
@settings(max_examples=40)
def test_gets_inserts_and_deletes(name: str, ways: int, steps: list[tuple[int, int]]) -> None:
    pair = Pair(name, ways)
    for key, kind in steps:
        if kind:
            pair.request(key)
        else:
            pair.delete(key)


@pytest.mark.parametrize("bits", [31, 32, 36, 38, 39, 40, 48])
@pytest.mark.parametrize("name", NAMES)
def test_ticks_that_wrap_around(name: str, bits: int) -> None:
    pair = Pair(name, 7, tick=2**bits - 150)
    for key in streams.mix(160, 15, bits).tolist():
        pair.request(key)
    assert pair.table._tick > 2**bits + 50


@pytest.mark.parametrize("name", ["arc", "density", "lru", "slru", "wtinylfu"])
def test_an_entry_that_waits_for_long_stays_the_least_recent(name: str) -> None:
    pair = Pair(name, 2)
    pair.request(0)
    pair.table._tick += 3 * 2**31 + 1_000
    pair.request(1)
    pair.request(2)
    assert pair.model.seats.keys() == {1, 2}


@pytest.mark.parametrize("quarters", [4, 3, 0])
def test_gdsf_with_sizes_and_costs(quarters: int) -> None:
    """Values that differ by many orders of magnitude, and that are overwritten by others."""
    pair = Pair("gdsf", 7)
    pair.table = ReferenceTable(Layout.build(7), ALL["gdsf"], SEED, limit=2**62)
    pair.table.set_parameters((quarters,))
    assert isinstance(pair.model, GdsfModel)
    pair.model.size_counts = Fraction(quarters, 4)
    rng, overwritten = np.random.default_rng(quarters), 0
    for key in streams.mix(1_500, 20, quarters).tolist():
        batch = Keys(np.array([key], np.int64))
        resident = pair.model.get(key, pair.table._tick)
        assert (pair.table.lookup(batch, 0)[0] >= 0) == resident
        if resident and rng.random() < 0.8:
            continue
        size, cost = (int(2.0 ** rng.uniform(0, most)) for most in (40, 50))
        pair.model.values[key] = size, cost
        if resident:
            overwritten += 1
            pair.model.overwrite(key, pair.table._tick)
        else:
            pair.model.insert(key, pair.table._tick)
        pair.table.insert(batch, None, 0, sizes=np.array([size]), costs=np.array([cost]))
        pair.compare()
    assert overwritten > 100
    assert pair.table.counters()[Counter.EVICTIONS] > 200


STATES = {
    "fifo": 2**32 - 40,
    "sieve": (2**31 - 40) * (2**31 + 1),  # the hand, and what comes next
    "s3fifo": (2**22 - 40) * 2,
    "clock": 2**32 - 40,
    "gdsf": 2**44 - 40,
    "lfu": 2**12 - 40,
}


@pytest.mark.parametrize("name", STATES)
def test_sequences_that_wrap_around(name: str) -> None:
    pair = Pair(name, 7, state=STATES[name])
    for key in streams.mix(300, 15, 1).tolist():
        pair.request(key)
    assert pair.table.counters()[Counter.INSERTIONS] > 80
    assert pair.table._sets[0].state & (2**31 - 1) < 2**30


def test_the_hand_starts_anew_after_the_newest_entry_left() -> None:
    """Also if the next key comes into a way that a deletion freed."""
    pair = Pair("sieve", 2)
    for key in (0, 1, 0, 2):
        pair.request(key)
    assert pair.model.seats.keys() == {0, 2}
    pair.delete(2)
    pair.request(3)
    pair.request(4)
    assert pair.model.seats.keys() == {3, 4}


def test_one_choice_makes_entries_equally_new() -> None:
    """S3-FIFO: what one choice moves to the tail leaves by lowest way, and with the new key."""
    pair = Pair("s3fifo", 28)
    assert isinstance(pair.model, S3FifoModel)
    for key in (*range(28), *range(28)):
        pair.request(key)
    for key in [*pair.model.small] * 4:
        pair.request(key)
    pair.request(28)
    moved = list(pair.model.main)
    assert len(moved) == 28
    assert len({pair.model.entries[key].tick for key in moved}) == 1
    seats = dict(pair.model.seats)
    pair.request(29)
    (left,) = seats.keys() - pair.model.seats.keys()
    assert left == min(moved, key=seats.__getitem__) != moved[0]


def test_weights_may_change_while_the_table_runs() -> None:
    pair = Pair("linear", 7)
    assert isinstance(pair.model, LinearModel)
    for step, weights in enumerate([(1, 0), (0, 1), (1, 100), (-1, 0), (3, -5)]):
        pair.table.set_parameters(weights)
        pair.model.weights = weights
        for key in streams.zipf(80, 15, step).tolist():
            pair.request(key)
