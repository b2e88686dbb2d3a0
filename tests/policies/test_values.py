"""`on_value`: a policy is told what a value takes and cost, whenever it comes in."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import predis_core as predis
from predis_core import policies
from predis_core.packed import Packed
from predis_core.policies import Policy, auto
from predis_core.table import header
from predis_core.table.arena import Arena
from predis_core.table.cpu import CpuTable
from predis_core.table.interface import Keys
from predis_core.table.layout import Layout

_SIZE_BITS = 24
_COST_SHIFT = 1 + _SIZE_BITS


def on_insert(
    tick: int, frequency: int, tag: int, state: int, total: int, parameters: Any
) -> tuple[int, int]:
    return 0, state


def on_hit(meta: int, tick: int, state: int, parameters: Any) -> int:
    return meta | 1


def on_value(meta: int, size: int, cost: int, parameters: Any) -> int:
    return (cost << _COST_SHIFT) + (size << 1) + (meta & 1)


def rank(meta: int, tick: int, state: int, total: int, parameters: Any) -> int:
    return meta


NOTING = Policy(
    "noting", slot_bits=63, on_insert=on_insert, rank=rank, on_hit=on_hit, on_value=on_value
)
"""Keeps what it is told, and whether the entry was hit."""

OTHER = dataclasses.replace(policies.get("fifo"), name="other")


def told(table: CpuTable) -> dict[int, tuple[int, int, bool]]:
    """Return by key of a table, or by hash: size, cost, whether it was hit."""
    entries = table.export(0)
    sizes = entries.metas >> 1 & (1 << _SIZE_BITS) - 1
    costs, hits = entries.metas >> _COST_SHIFT, (entries.metas & 1).astype(bool)
    listed = zip(sizes.tolist(), costs.tolist(), hits.tolist(), strict=True)
    return dict(zip(entries.keys.words.tolist(), listed, strict=True))


def keys(*numbers: int) -> Keys:
    return Keys(np.array(numbers, np.int64))


def blobs(policy: Policy) -> CpuTable:
    return CpuTable(Layout.build(60), policy, 7, arena=Arena(50_000))


def costs(*numbers: int) -> Any:
    return np.array(numbers, np.int64)


def test_a_set_tells_the_size_and_the_cost_of_what_it_writes() -> None:
    table = blobs(NOTING)
    table.insert(keys(1, 2), Packed.of([b"", b"x" * 300]), 0, costs=costs(5, 10**11))
    table.insert(keys(3), Packed.of([b"abc"]), 0)
    assert told(table) == {1: (0, 5, False), 2: (300, 10**11, False), 3: (3, 0, False)}


def test_overwriting_is_a_use_and_then_a_value() -> None:
    table = blobs(NOTING)
    table.insert(keys(1), Packed.of([b"abc"]), 0, costs=costs(5))
    table.insert(keys(1), Packed.of([b"abcdef"]), 0, costs=costs(9))
    assert told(table) == {1: (6, 9, True)}
    table.insert(keys(1), Packed.of([b"a"]), 0)
    assert told(table) == {1: (1, 0, True)}


def test_what_is_not_written_is_not_told() -> None:
    table = blobs(NOTING)
    table.insert(keys(1), Packed.of([b"abc"]), 0, costs=costs(5))
    table.insert(keys(1), Packed.of([b"abcdef"]), 0, costs=costs(9), absent_only=True)
    assert told(table) == {1: (3, 5, False)}


def test_the_first_use_of_a_guess_tells_its_value_again() -> None:
    table = blobs(NOTING)
    table.insert(keys(1, 2), Packed.of([b"abc", b"de"]), 0, costs=costs(5, 6), guess=True)
    table.lookup(keys(1), 0)
    assert told(table) == {1: (3, 5, False), 2: (2, 6, False)}
    assert table.dump().guesses.sum() == 1
    table.insert(keys(2), Packed.of([b"defg"]), 0, costs=costs(8))
    assert told(table)[2] == (4, 8, False)


def test_a_change_of_policy_tells_all_values() -> None:
    table = blobs(auto(OTHER, NOTING))
    table.insert(keys(1, 2), Packed.of([b"abc", b"de"]), 0, costs=costs(5, 6))
    for _ in table.switch(NOTING):
        pass
    assert told(table) == {1: (3, 5, False), 2: (2, 6, False)}


def test_a_move_to_another_table_tells_all_values() -> None:
    with predis.Cache(60, policy=NOTING, keys="int64", value=predis.Blobs(), memory="1MiB") as c:
        c.set_many([1, 2], [b"abc", b"de"])
        c.resize(90)
        assert told(c._table) == {1: (3, 0, False), 2: (2, 0, False)}


def test_a_snapshot_tells_sizes_but_no_costs(tmp_path: Path) -> None:
    caches = [
        predis.Cache[int, bytes](
            60, policy=NOTING, keys="int64", value=predis.Blobs(), memory="1MiB", seed=1
        )
        for _ in range(2)
    ]
    caches[0].get_or_load_many([1, 2], lambda ids: [b"x" * (10 * n) for n in ids])
    caches[0].snapshot(tmp_path / "cache")
    caches[1].restore(tmp_path / "cache")
    assert told(caches[1]._table) == {1: (10, 0, False), 2: (20, 0, False)}


@pytest.mark.parametrize("policy", [NOTING, auto(OTHER, NOTING)], ids=["alone", "among others"])
def test_a_cache_keeps_what_its_loader_took_if_the_policy_asks_for_it(policy: Policy) -> None:
    options = {"keys": "int64", "value": predis.Blobs(), "memory": "1MiB", "seed": 1}
    with predis.Cache[int, bytes](60, policy=policy, **options) as cache:
        assert cache.get_or_load_many([1, 2], lambda ids: [b"x" * 10 for _ in ids])
        assert (cache._table._columns[header.COSTS] > 0).sum() == 2
    with predis.Cache[int, bytes](60, policy=OTHER, **options) as cache:
        assert cache.get_or_load_many([1], lambda ids: [b"x" * 10 for _ in ids])
        assert header.COSTS not in cache._table._columns


def test_a_policy_is_told_what_the_weigher_said_and_what_the_loader_took() -> None:
    def weigher(key: int, value: str) -> int:
        return 100 * len(value)

    with predis.Cache[int, str](
        60, policy=NOTING, keys="int64", memory="1MiB", weigher=weigher, seed=1
    ) as cache:
        cache[1] = "abc"
        cache.set(2, "de")
        assert told(cache._table) == {1: (300, 0, False), 2: (200, 0, False)}
        cache.get_or_load(3, lambda key: "a")
        size, cost, _ = told(cache._table)[3]
        assert size == 100
        assert 0 < cost < 10**10
