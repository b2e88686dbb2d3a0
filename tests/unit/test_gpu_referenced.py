"""Keys of a GPU table that have one hash: each is itself, with a place of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from predis_core import policies
from predis_core.table.cuda.host import HostArray, HostDevice
from predis_core.table.cuda.moving import Transfer
from predis_core.table.cuda.referenced import ReferencedTable
from predis_core.table.cuda.table import GpuTable
from predis_core.table.interface import Counter, Keys, Reason, Status
from predis_core.table.keys import objects
from predis_core.table.layout import Layout
from tests.support.counterparts import counterpart

ROW = np.dtype(np.int64)


@pytest.fixture
def device() -> HostDevice:
    return HostDevice(compiler=counterpart("g++"))


@pytest.fixture(params=["host", "device"])
def table(device: HostDevice, request: pytest.FixtureRequest) -> ReferencedTable:
    """A table that holds "a" by 5, and whose words come from the host or from the device."""
    found = ReferencedTable(device, Layout.build(100), policies.get("lru"), 3, ROW)
    found.words_lie = request.param  # type: ignore[attr-defined]
    found.insert(keys(found, a=5), np.array([1]), 0)
    return found


def keys(table: Any, *pairs: tuple[str, int], **named: int) -> Keys:
    """Return keys with words that a test has chosen."""
    names, chosen = zip(*(*pairs, *named.items()), strict=True)
    words: Any = np.array(chosen, np.int64)
    if table.words_lie == "device":
        words = table._device.take(words, np.int64)
    return Keys(words, objects(list(names)))


def held(table: ReferencedTable) -> dict[str, int]:
    entries = table.export(0)
    assert entries.keys.refs is not None
    return dict(zip(entries.keys.refs.tolist(), entries.values.tolist(), strict=True))


def test_a_key_is_not_taken_for_another_one(table: ReferencedTable) -> None:
    both = keys(table, b=5, a=5)
    out = np.array([7, 7])
    assert table.fetch(both, 0, out, zero=False).tolist() == [False, True]
    assert out.tolist() == [7, 1]
    assert table.fetch(both, 0, out, zero=True).tolist() == [False, True]
    assert out.tolist() == [0, 1]
    assert (table.lookup(both, 0) >= 0).tolist() == [False, True]
    assert table.contains(both, 0).tolist() == [False, True]
    assert table.touch(both, 0).tolist() == [False, True]
    assert table.deadlines(both, 0).tolist() == [-1, 0]
    slots = table.pin(both, 0)
    assert (slots >= 0).tolist() == [False, True]
    table.unpin(both, slots)
    assert table.counters()[Counter.MISSES] == 3
    kind = HostArray if table.words_lie == "device" else np.ndarray  # type: ignore[attr-defined]
    assert type(table.contains(both, 0)) is kind


def test_keys_with_one_hash_are_there_side_by_side(table: ReferencedTable) -> None:
    done = table.insert(keys(table, b=5, c=6), np.array([2, 3]), 0, want_removed=True)
    assert done.status.tolist() == [Status.INSERTED, Status.INSERTED]
    assert done.removed is not None
    assert len(done.removed.reasons) == 0
    assert held(table) == {"a": 1, "b": 2, "c": 3}
    done = table.insert(keys(table, b=5, a=5), np.array([4, 5]), 0, want_removed=True)
    assert done.status.tolist() == [Status.UPDATED, Status.UPDATED]
    assert held(table) == {"a": 5, "b": 4, "c": 3}
    gone = table.delete(keys(table, x=5, a=5), 0, want_removed=True)
    assert gone.deleted.tolist() == [False, True]
    assert gone.removed is not None
    assert gone.removed.reasons.tolist() == [Reason.DELETED]
    assert gone.removed.keys.refs is not None
    assert gone.removed.keys.refs.tolist() == ["a"]
    assert held(table) == {"b": 4, "c": 3}
    table.insert(keys(table, a=5), np.array([6]), 0)
    assert held(table) == {"a": 6, "b": 4, "c": 3}


def test_of_one_batch_the_last_of_each_key_is_stored(table: ReferencedTable) -> None:
    given = keys(table, ("x", 9), ("y", 9), ("x", 9), ("z", 8), ("y", 9), ("a", 5), ("y", 5))
    done = table.insert(given, np.arange(7), 0, veto=np.array([0, 0, 0, 1, 0, 0, 0], np.uint8))
    inserted, updated = Status.INSERTED, Status.UPDATED
    expected = [inserted, inserted, inserted, Status.VETOED, inserted, updated, inserted]
    assert done.status.tolist() == expected
    entries = table.export(0)
    assert sorted(entries.values.tolist()) == [2, 4, 5, 6]


def test_more_keys_of_one_hash_than_a_set_has_ways(table: ReferencedTable) -> None:
    """The oldest leave, and it is told which."""
    names = [f"n{number}" for number in range(40)]
    given = keys(table, *((name, 5) for name in names))
    done = table.insert(given, np.arange(40), 0, want_removed=True)
    assert done.stored.all()
    removed = done.removed
    assert removed is not None
    assert removed.keys.refs is not None
    left = removed.keys.refs.tolist()
    assert left[:3] == ["a", "n0", "n1"]
    assert removed.values.tolist() == [1, *range(len(left) - 1)]
    assert held(table) == {name: number for number, name in enumerate(names) if name not in left}
    found = table.contains(given, 0).tolist()
    assert found == [name not in left for name in names]


def test_what_expires_is_told_by_its_own_key(table: ReferencedTable) -> None:
    table.insert(keys(table, b=5, c=5), np.array([2, 3]), 0, deadlines=np.array([10, 10]))
    done = table.insert(keys(table, c=5), np.array([4]), 20, want_removed=True)
    assert done.removed is not None
    assert done.removed.keys.refs is not None
    assert done.removed.keys.refs.tolist() == ["c"]
    assert done.removed.values.tolist() == [3]
    assert table.delete(keys(table, b=5), 20).deleted.tolist() == [False]
    assert held(table) == {"a": 1, "c": 4}


FINALISERS: dict[str, tuple[Callable[[ReferencedTable], Any], dict[str, int]]] = {
    "sets the same": (lambda table: table.insert(keys(table, b=5), np.array([9]), 0), {"a": 1}),
    "sets another": (lambda table: table.insert(keys(table, c=5), np.array([9]), 0), {"a": 1}),
    "deletes another": (lambda table: table.delete(keys(table, a=5), 0), {}),
    "clears": (lambda table: table.clear(0), {}),
}


@pytest.mark.parametrize("at", ["before", "after"])
@pytest.mark.parametrize("what", FINALISERS)
def test_a_finaliser_in_the_midst_of_an_insert(
    table: ReferencedTable, what: str, at: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it stores is refused, what it removes is gone, and nobody has another one's key."""
    finaliser, before = FINALISERS[what]
    store, refused = GpuTable._store, []

    def disturbed(self: GpuTable, batch: Any) -> None:
        monkeypatch.setattr(GpuTable, "_store", store)
        if at == "before":
            refused.append(finaliser(table))
        store(self, batch)
        if at == "after":
            refused.append(finaliser(table))

    monkeypatch.setattr(GpuTable, "_store", disturbed)
    table.insert(keys(table, b=5), np.array([2]), 0)
    after = {} if (what, at) == ("clears", "after") else before | {"b": 2}
    assert held(table) == after
    if what.startswith("sets"):
        assert refused[0].status.tolist() == [Status.VETOED]
    dump = table.dump()
    assert dump.refs is not None
    assert [ref is not None for ref in dump.refs] == dump.live.tolist()
    table.insert(keys(table, b=5, c=5), np.array([3, 4]), 0)
    assert held(table) == after | {"b": 3, "c": 4}


def test_a_move_brings_over_what_is_asked_for_and_not_another(table: ReferencedTable) -> None:
    table.insert(keys(table, c=5), np.array([3]), 0)
    newer: Any = table.like(Layout.build(200))
    newer.words_lie = table.words_lie  # type: ignore[attr-defined]
    transfer = Transfer(table, newer, True)
    transfer.carry(keys(table, b=5), 0)
    assert (held(table), held(newer)) == ({"a": 1, "c": 3}, {})
    transfer.carry(keys(table, ("b", 5), ("a", 5), ("a", 5)), 0)
    assert (held(table), held(newer)) == ({"c": 3}, {"a": 1})
    newer.insert(keys(table, d=5), np.array([4]), 0)
    transfer.carry_sets(range(table.layout.sets), 0)
    assert (held(table), held(newer)) == ({}, {"a": 1, "c": 3, "d": 4})
    assert newer.contains(keys(table, ("b", 5), ("a", 5), ("c", 5)), 0).tolist() == [0, 1, 1]
    assert table.dump().refs.tolist() == [None] * 100  # type: ignore[union-attr]
