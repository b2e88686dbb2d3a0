"""What snapshots ask of a table: some sets at a time, the order of leaving, homes and room."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from predis_core import policies
from predis_core.policies import Policy
from predis_core.table import ranking
from predis_core.table.cpu import CpuTable
from predis_core.table.cuda.host import HostDevice
from predis_core.table.cuda.table import GpuTable
from predis_core.table.interface import Keys, Reason
from predis_core.table.keys import mix
from predis_core.table.layout import Layout
from predis_core.table.reference import ReferenceTable
from tests.support.counterparts import counterpart

CAPACITIES = (1, 5, 28, 29, 57, 1_000)
SEED = 12345


def gpu(layout: Layout, policy: Policy, seed: int, row: Any) -> GpuTable:
    return GpuTable(HostDevice(compiler=counterpart("g++")), layout, policy, seed, row)


KINDS = pytest.mark.parametrize("kind", [CpuTable, gpu], ids=["cpu", "gpu"])


def words(*numbers: int) -> Keys:
    return Keys(np.array(numbers, np.int64))


def filled(layout: Layout, policy: str = "lru", kind: Any = CpuTable, n: int | None = None) -> Any:
    values = np.zeros(layout.slots, np.int64)
    given: Any = values if kind is CpuTable else values.dtype
    table = kind(layout, policies.get(policy), SEED, given)
    for number, region in enumerate(layout.regions):
        count = region.capacity if n is None else n
        keys = np.arange(count, dtype=np.int64) * 7
        deadlines = np.where(keys % 3 == 1, 50 + keys, 0)
        table.insert(Keys(keys), keys * 11, 0, deadlines=deadlines, region=number)
    return table


@KINDS
@pytest.mark.parametrize("step", [1, 2, 7, 1_000])
@pytest.mark.parametrize("capacity", CAPACITIES)
def test_sets_are_exported_a_few_at_a_time(capacity: int, step: int, kind: Any) -> None:
    table = filled(Layout.build(capacity, 100), kind=kind)
    for region in (0, 1):
        whole = table.export(60, region=region)
        sets = table.layout.regions[region].sets
        parts = [
            table.export(60, sets=range(start, min(start + step, sets)), region=region)
            for start in range(0, sets, step)
        ]
        for field in ("slots", "metas", "guesses", "deadlines", "values"):
            joined = np.concatenate([getattr(part, field) for part in parts])
            assert joined.tolist() == getattr(whole, field).tolist()
        assert np.concatenate([p.keys.words for p in parts]).tolist() == whole.keys.words.tolist()
        assert len(whole.slots) > 0


@KINDS
@pytest.mark.parametrize("capacity", CAPACITIES)
def test_homes_and_room_are_those_of_the_layout(capacity: int, kind: Any) -> None:
    layout = Layout.build(100, capacity)
    table = filled(layout, kind=kind, n=max(1, capacity // 2))
    region = layout.regions[1]
    keys = np.random.default_rng(1).integers(-(2**63), 2**63, 200)
    expected = [region.home(mix(word, SEED)).number for word in keys.tolist()]
    assert table.homes(Keys(keys), region=1).tolist() == expected

    slots = [region.slot(index, way) for index in range(region.sets)
             for way in range(region.ways(index))]  # fmt: skip
    numbers = [index for index in range(region.sets) for _ in range(region.ways(index))]
    assert ranking.sets_of_slots(region, np.array(slots)).tolist() == numbers

    live = table.dump().live
    room = [
        sum(not live[region.slot(index, way)] for way in range(region.ways(index)))
        for index in range(region.sets)
    ]
    assert table.room(region=1).tolist() == room


@KINDS
@pytest.mark.parametrize("policy", ["fifo", "lru", "sieve", "s3fifo"])
def test_levels_are_the_order_in_which_entries_would_leave(policy: str, kind: Any) -> None:
    table = filled(Layout.build(28), policy, kind)
    keys = np.arange(28, dtype=np.int64) * 7
    for number in (3, 3, 3, 20, 20, 5, 11):
        table.lookup(words(int(keys[number])), 0)
    entries = table.export(0)
    levels = table.levels(entries)
    assert sorted(levels.tolist()) == list(range(28))

    # The first that leaves is the highest level, whichever policy says so.
    first = int(entries.keys.words[np.argmax(levels)])
    newcomer = words(999_999_999)
    removed = table.insert(newcomer, np.zeros(1, np.int64), 0, want_removed=True).removed
    assert removed is not None
    assert removed.reasons.tolist() == [Reason.EVICTED]
    assert removed.keys.words.tolist() == [first]


def test_levels_of_lru_and_fifo_are_the_order_of_all() -> None:
    for policy, used in (("lru", [6, 2]), ("fifo", [])):
        table = filled(Layout.build(10), policy)
        for number in (6, 2):
            table.lookup(words(7 * number), 0)
        entries = table.export(0)
        order = entries.keys.words[np.argsort(-table.levels(entries))] // 7
        assert order.tolist() == [n for n in range(10) if n not in used] + used


def test_guesses_that_were_not_used_leave_first() -> None:
    table = filled(Layout.build(28), "lru", n=10)
    table.insert(words(1_001, 1_002), np.zeros(2, np.int64), 0, guess=True)
    entries = table.export(0)
    order = entries.keys.words[np.argsort(-table.levels(entries))].tolist()
    assert order == [1_001, 1_002, *(7 * n for n in range(10))]


@KINDS
def test_levels_count_within_each_set(kind: Any) -> None:
    table = filled(Layout.build(1_000), "s3fifo", kind)
    entries = table.export(0)
    levels = table.levels(entries)
    sets = ranking.sets_of_slots(table.layout.regions[0], entries.slots)
    for number in range(table.layout.regions[0].sets):
        mine = sorted(levels[sets == number].tolist())
        assert mine == list(range(len(mine)))


@KINDS
def test_a_table_that_is_empty_has_no_levels(kind: Any) -> None:
    table = filled(Layout.build(10), "s3fifo", kind, n=0)
    assert table.levels(table.export(0)).tolist() == []


def test_the_reference_exports_what_the_parts_hold() -> None:
    layout = Layout.build(100)
    reference, table = (filled(layout, kind=kind) for kind in (ReferenceTable, CpuTable))
    parts = [table.export(0, sets=range(n, n + 1)) for n in range(layout.sets)]
    expected = reference.export(0)
    assert np.concatenate([p.keys.words for p in parts]).tolist() == expected.keys.words.tolist()
    slots = [part.slots.tolist() for part in parts]
    assert all(one[-1] < other[0] for one, other in pairwise(slots))
