"""check_invariants() finds each kind of damage, and says what it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import predis_core as predis
from predis_core.errors import InvariantError
from predis_core.table import header
from predis_core.table.cpu import CpuTable
from predis_core.table.interface import Counter
from predis_core.table.layout import LINE_BYTES, WAYS

pytestmark = pytest.mark.breaks_invariants

CAPACITY = 56
LAST = WAYS - 1


def flags_of(table: CpuTable) -> Any:
    return table._lines.view(np.uint8).reshape(-1, LINE_BYTES)[:, 56:]


def words_of(table: CpuTable) -> Any:
    return table._lines.reshape(-1, 4, 8)


def ghosts_of(table: CpuTable) -> Any:
    records = table._records.reshape(-1, table._record.stride)
    ghosts = records[:, table._record.ghosts : table._record.ghosts + 2 * WAYS].copy()
    return ghosts.view(np.uint16)


def set_ghosts(table: CpuTable, ghosts: Any) -> None:
    records = table._records.reshape(-1, table._record.stride)
    records[:, table._record.ghosts : table._record.ghosts + 2 * WAYS] = ghosts.view(np.uint8)


def add_to(table: CpuTable, counter: Counter, amount: int) -> None:
    table._header[header.REGIONS + header.COUNTERS + counter] += amount


def forget_a_live_bit(table: CpuTable) -> None:
    flags = flags_of(table)
    line = np.flatnonzero(flags[:, 0])[0]
    flags[line, 0] &= flags[line, 0] - 1


def miscount(table: CpuTable) -> None:
    add_to(table, Counter.SIZE, 1)


def lose_an_eviction(table: CpuTable) -> None:
    add_to(table, Counter.EVICTIONS, -1)


def count_down_to_below_zero(table: CpuTable) -> None:
    add_to(table, Counter.REFUSALS, -1)


def move_a_key_to_a_foreign_set(table: CpuTable) -> None:
    words = words_of(table)
    words[0, 0, 0], words[1, 0, 0] = words[1, 0, 0], words[0, 0, 0]


def repeat_a_key(table: CpuTable) -> None:
    words = words_of(table)
    words[0, 0, 1] = words[0, 0, 0]


def guess_too_much(table: CpuTable) -> None:
    flags_of(table)[:, 1:] |= 0x80


def tear_the_ghosts(table: CpuTable) -> None:
    ghosts = ghosts_of(table)
    ghosts[0, :2] = 0
    set_ghosts(table, ghosts)


def take_a_ghosts_tag(table: CpuTable) -> None:
    ghosts = ghosts_of(table)
    ghosts[0, 0] = 1
    set_ghosts(table, ghosts)


def end_before_time_began(table: CpuTable) -> None:
    table._columns[header.DEADLINES][3] = -1


DAMAGE: dict[str, Callable[[CpuTable], None]] = {
    "counts 56 entries but holds 55": forget_a_live_bit,
    "counts 57 entries but holds 56": miscount,
    "holds 57 of 56 entries": miscount,
    "insertions less what left is not its size": lose_an_eviction,
    "region 0 has a negative counter": count_down_to_below_zero,
    "set [01]: slot .* holds a key of another set": move_a_key_to_a_foreign_set,
    "set 0: slots 0 and 1 hold the same key": repeat_a_key,
    "set 1: 28 of 28 ways are unused guesses": guess_too_much,
    "set 0: its ghosts have gaps": tear_the_ghosts,
    "set 0: a ghost has no tag": take_a_ghosts_tag,
    "a deadline is negative": end_before_time_began,
}


def full_cache() -> predis.Cache[int, int]:
    cache: predis.Cache[int, int] = predis.Cache(CAPACITY, value=predis.Rows("int64"), seed=1)
    keys = np.arange(5_000)
    cache.set_many(keys, keys, ttl=1000)
    cache.check_invariants()
    return cache


@pytest.mark.parametrize("said", DAMAGE)
def test_damage_is_named(said: str) -> None:
    cache = full_cache()
    DAMAGE[said](cache._table)
    with pytest.raises(InvariantError, match=f"cache 'default': .*{said}"):
        cache.check_invariants()


def test_all_damage_is_listed() -> None:
    cache = full_cache()
    for damage in (miscount, repeat_a_key, end_before_time_began):
        damage(cache._table)
    with pytest.raises(InvariantError) as caught:
        cache.check_invariants()
    for said in ("counts 57 entries", "hold the same key", "a deadline is negative"):
        assert said in str(caught.value)


@pytest.mark.parametrize("column", ["value", "key"])
def test_a_free_slot_that_holds_something_is_named(column: str) -> None:
    cache: predis.Cache[str, object] = predis.Cache(10)
    cache["here"] = object()
    held = cache._table._values if column == "value" else cache._table._refs
    assert held is not None
    free = next(slot for slot in range(10) if held[slot] is None)
    held[free] = "lingers"
    with pytest.raises(InvariantError, match=rf"free slots \[.*\] still hold a {column}"):
        cache.check_invariants()


def test_equal_keys_that_are_different_objects_are_one_key() -> None:
    cache: predis.Cache[object, int] = predis.Cache(7, seed=1)
    cache.set_many([(1, 1), (2, 2)], [1, 2])
    table = cache._table
    assert table._refs is not None
    first, second = (slot for slot in range(7) if table._refs[slot] is not None)
    table._refs[second] = (*table._refs[first],)
    words = words_of(table)
    words[0, 0, second] = words[0, 0, first]
    with pytest.raises(InvariantError, match=f"slots {first} and {second} hold the same key"):
        cache.check_invariants()
