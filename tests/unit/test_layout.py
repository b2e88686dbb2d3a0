"""The layout: even spread, slots without gaps, home lines, records."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from predis_core import policies
from predis_core.errors import ConfigurationError
from predis_core.table.layout import WAYS, WAYS_PER_LINE, Layout, record_of


@given(st.lists(st.integers(1, 400), min_size=1, max_size=4))
def test_ways_are_spread_evenly_and_slots_have_no_gap(capacities: list[int]) -> None:
    layout = Layout.build(*capacities)
    slots = []
    for region, capacity in zip(layout.regions, capacities, strict=True):
        ways = [region.ways(index) for index in range(region.sets)]
        assert sum(ways) == capacity
        assert max(ways) - min(ways) <= 1
        assert max(ways) <= WAYS
        assert region.sets == -(-capacity // WAYS)
        slots += [region.slot(i, way) for i in range(region.sets) for way in range(ways[i])]
    assert slots == list(range(sum(capacities)))
    assert layout.slots == sum(capacities)


@given(st.integers(1, 400), st.integers(0, 2**64 - 1))
def test_a_home_lies_inside_and_every_way_is_tried_once(capacity: int, hashed: int) -> None:
    region = Layout.build(capacity).regions[0]
    home = region.home(hashed)
    assert 0 <= home.number < region.sets
    order = region.line_order(home.number, home.line)
    assert sorted(order) == list(range(region.ways(home.number)))
    assert order[0] == home.line * WAYS_PER_LINE


def test_homes_are_uniform() -> None:
    region = Layout.build(280).regions[0]
    hashes = np.random.default_rng(0).integers(0, 2**64, 20_000, np.uint64)
    sets = np.bincount([region.home(int(h)).number for h in hashes], minlength=10)
    lines = np.bincount([region.home(int(h)).line for h in hashes], minlength=4)
    assert sets.min() > 1_800
    assert lines.min() > 4_700


@pytest.mark.parametrize("capacity", [0, -1, 2**40 + 1, 1.5, "10", True, None])
def test_a_capacity_that_makes_no_sense_is_refused(capacity: object) -> None:
    with pytest.raises(ConfigurationError, match="capacity: expected"):
        Layout.build(capacity)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", policies.names())
def test_parts_of_a_record_do_not_overlap(name: str) -> None:
    record = record_of(policies.get(name))
    parts = [(record.conflicts, 4), (record.column, WAYS * record.column_bytes)]
    if record.state >= 0:
        parts.append((record.state, 8))
    if record.ghosts >= 0:
        parts.append((record.ghosts, 2 * WAYS))
    taken = [byte for start, length in parts for byte in range(start, start + length)]
    assert len(set(taken)) == len(taken)
    assert max(taken) < record.stride
    assert record.stride % 8 == 0


def test_an_entry_of_the_default_policy_takes_at_most_24_bytes() -> None:
    lines, value = 256 / WAYS, 8
    assert lines + value + record_of(policies.get("s3fifo")).stride / WAYS <= 24
