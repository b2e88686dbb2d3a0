"""Regions, sets, ways, slots, records: every slot and every byte has exactly one place."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from predis_core import policies
from predis_core.errors import ConfigurationError
from predis_core.policies.contract import HOT_BITS, MAX_SLOT_BITS, Policy
from predis_core.table.layout import MAX_CAPACITY, WAYS, WAYS_PER_LINE, Layout, record_of
from tests.support.depth import search

CAPACITIES = [1, 2, 10, 31, 33, 95, 1000]
CAPACITY = st.sampled_from(CAPACITIES) | st.integers(1, 5000)


@pytest.mark.parametrize("capacity", CAPACITIES)
def test_the_ways_of_the_sets_are_the_capacity(capacity: int) -> None:
    region = Layout.build(capacity).regions[0]
    assert sum(region.ways(number) for number in range(region.sets)) == capacity


@given(st.lists(CAPACITY, min_size=1, max_size=4))
@search(examples=60)
def test_ways_are_spread_evenly_and_slots_have_no_gap(capacities: list[int]) -> None:
    layout = Layout.build(*capacities)
    slots: list[int] = []
    sets = 0
    for region, capacity in zip(layout.regions, capacities, strict=True):
        assert (region.base, region.first_slot, region.capacity) == (sets, len(slots), capacity)
        ways = [region.ways(number) for number in range(region.sets)]
        assert region.sets == -(-capacity // WAYS)
        assert sum(ways) == capacity
        assert 1 <= min(ways) <= max(ways) <= min(WAYS, min(ways) + 1)
        assert ways == sorted(ways, reverse=True)
        slots += [region.slot(i, way) for i in range(region.sets) for way in range(ways[i])]
        sets += region.sets
    assert slots == list(range(sum(capacities)))
    assert (layout.sets, layout.slots) == (sets, len(slots))


@given(CAPACITY, st.integers(0, 2**64 - 1))
@search(examples=100)
def test_a_home_lies_inside_and_every_way_is_tried_once(capacity: int, hashed: int) -> None:
    region = Layout.build(capacity).regions[0]
    home = region.home(hashed)
    assert 0 <= home.number < region.sets
    assert 0 <= home.fingerprint < 2**14
    order = region.line_order(home.number, home.line)
    assert sorted(order) == list(range(region.ways(home.number)))
    assert order[0] == home.line * WAYS_PER_LINE
    assert all(b == a + 1 for a, b in itertools.pairwise(order) if b % WAYS_PER_LINE)
    lines = list(dict.fromkeys(way // WAYS_PER_LINE for way in order))
    assert lines == [(home.line + step) % len(lines) for step in range(len(lines))]


@pytest.mark.parametrize("capacity", [1, 10, 33, 280, 1000])
def test_homes_are_uniform(capacity: int) -> None:
    region = Layout.build(capacity).regions[0]
    hashes = np.random.default_rng(0).integers(0, 2**64, 20_000, np.uint64)
    homes = [region.home(int(hashed)) for hashed in hashes]
    sets = np.bincount([home.number for home in homes], minlength=region.sets)
    lines = np.bincount([home.line for home in homes if home.number == 0])
    for counts in (sets, lines):
        expected = counts.sum() / len(counts)
        assert abs(counts - expected).max() < 6 * expected**0.5 + 1


@pytest.mark.parametrize("capacity", [0, -1, MAX_CAPACITY + 1])
def test_a_capacity_out_of_range_is_refused(capacity: int) -> None:
    with pytest.raises(ConfigurationError, match=rf"capacity: expected 1 to .*, got {capacity}"):
        Layout.build(10, capacity)


@pytest.mark.parametrize("capacity", [1.5, "10", True, None, [10]])
def test_a_capacity_that_is_no_int_is_refused(capacity: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"capacity: expected an int \(entries\), got"):
        Layout.build(capacity)


def test_the_largest_capacity_is_laid_out_at_once() -> None:
    assert Layout.build(MAX_CAPACITY).slots == MAX_CAPACITY


def test_numpys_ints_are_capacities() -> None:
    assert type(Layout.build(np.int32(10)).slots) is int  # type: ignore[arg-type]


def keep(tick: int, frequency: int, tag: int, state: int, total: int, parameters: Any) -> Any:
    return 0, state


def lowest(meta: int, tick: int, state: int, total: int, parameters: Any) -> int:
    return meta


@given(st.integers(0, MAX_SLOT_BITS), st.integers(0, 63), st.booleans())
@search(examples=100)
def test_parts_of_a_record_do_not_overlap(slot_bits: int, set_bits: int, ghosts: bool) -> None:
    policy = Policy("p", slot_bits, keep, lowest, set_bits=set_bits, ghosts=ghosts)
    record = record_of(policy)
    assert slot_bits <= HOT_BITS + 8 * record.column_bytes
    assert (record.state >= 0, record.ghosts >= 0) == (set_bits > 0, ghosts)
    parts = [(record.conflicts, 4, 4)]
    if record.state >= 0:
        parts.append((record.state, 8, 8))
    if record.column_bytes:
        parts.append((record.column, WAYS * record.column_bytes, record.column_bytes))
    if record.ghosts >= 0:
        parts.append((record.ghosts, 2 * WAYS, 2))
    taken = [byte for start, length, _ in parts for byte in range(start, start + length)]
    assert len(set(taken)) == len(taken)
    assert max(taken) < record.stride
    assert record.stride % 8 == 0
    assert all(start % alignment == 0 for start, _, alignment in parts)


def test_an_entry_of_the_default_policy_takes_at_most_24_bytes() -> None:
    lines, value = 256 / WAYS, 8
    assert lines + value + record_of(policies.get("s3fifo")).stride / WAYS <= 24
