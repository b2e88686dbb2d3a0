"""check_invariants() finds each kind of damage."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import predis_core as predis
from predis_core.errors import InvariantError
from predis_core.table import header
from predis_core.table.cpu import CpuTable
from predis_core.table.layout import LINE_BYTES

pytestmark = pytest.mark.breaks_invariants


def flag_bytes(table: CpuTable) -> np.ndarray:
    return table._lines.view(np.uint8).reshape(-1, LINE_BYTES)[:, 56:]


def forget_a_live_bit(table: CpuTable) -> None:
    flags = flag_bytes(table)
    line = np.flatnonzero(flags[:, 0])[0]
    flags[line, 0] &= flags[line, 0] - 1


def miscount(table: CpuTable) -> None:
    table._header[header.REGIONS + header.COUNTERS] += 1


def move_a_key_to_a_foreign_set(table: CpuTable) -> None:
    words = table._lines.reshape(-1, 4, 8)
    words[0, 0, 0], words[1, 0, 0] = words[1, 0, 0], words[0, 0, 0]


def repeat_a_key(table: CpuTable) -> None:
    words = table._lines.reshape(-1, 4, 8)
    words[0, 0, 1] = words[0, 0, 0]


def guess_too_much(table: CpuTable) -> None:
    flag_bytes(table)[:, 1:] |= 0x80


def tear_the_ghosts(table: CpuTable) -> None:
    ghosts = table._records.reshape(-1, table._record.stride)[:, table._record.ghosts :]
    ghosts[0, 0:2] = 0


DAMAGE: dict[str, Callable[[CpuTable], None]] = {
    "counts 56 entries but holds 55": forget_a_live_bit,
    "counts 57 entries but holds 56": miscount,
    "holds a key of another set": move_a_key_to_a_foreign_set,
    "hold the same key": repeat_a_key,
    "are unused guesses": guess_too_much,
    "its ghosts have gaps": tear_the_ghosts,
}


@pytest.mark.parametrize("said", DAMAGE)
def test_damage_is_named(said: str) -> None:
    cache: predis.Cache[int, int] = predis.Cache(56, value=predis.Rows("int64"), seed=1)
    keys = np.arange(5_000)
    cache.set_many(keys, keys)
    cache.check_invariants()
    DAMAGE[said](cache._table)
    with pytest.raises(InvariantError, match=said):
        cache.check_invariants()


def test_a_free_slot_that_holds_a_value_is_named() -> None:
    cache: predis.Cache[str, object] = predis.Cache(10)
    cache["here"] = object()
    assert cache._table._values is not None
    free = next(slot for slot in range(10) if cache._table._values[slot] is None)
    cache._table._values[free] = "lingers"
    with pytest.raises(InvariantError, match="still hold a value"):
        cache.check_invariants()
