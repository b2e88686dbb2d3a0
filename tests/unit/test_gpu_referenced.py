"""Keys of a GPU table that have one hash: each is itself, or absent, and never another."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from predis_core import policies
from predis_core.table.cuda.host import HostArray, HostDevice
from predis_core.table.cuda.moving import Transfer
from predis_core.table.cuda.referenced import _ODD, ReferencedTable
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


def test_what_is_there_stays(table: ReferencedTable) -> None:
    done = table.insert(keys(table, b=5, c=6), np.array([2, 3]), 0, want_removed=True)
    assert done.status.tolist() == [Status.VETOED, Status.INSERTED]
    assert done.stored.tolist() == [False, True]
    assert done.removed is not None
    assert len(done.removed.reasons) == 0
    assert held(table) == {"a": 1, "c": 3}
    gone = table.delete(keys(table, b=5, a=5), 0, want_removed=True)
    assert gone.deleted.tolist() == [False, True]
    assert gone.removed is not None
    assert gone.removed.reasons.tolist() == [Reason.DELETED]
    assert gone.removed.keys.refs is not None
    assert gone.removed.keys.refs.tolist() == ["a"]
    assert held(table) == {"c": 3}


def test_of_one_batch_the_last_one_is_stored(table: ReferencedTable) -> None:
    given = keys(table, ("x", 9), ("y", 9), ("x", 9), ("z", 8), ("y", 9))
    done = table.insert(given, np.arange(5), 0, veto=np.array([0, 0, 0, 1, 0], np.uint8))
    vetoed, inserted = Status.VETOED, Status.INSERTED
    assert done.status.tolist() == [vetoed, inserted, vetoed, vetoed, inserted]
    assert held(table) == {"a": 1, "y": 4}


def test_another_word_is_one_that_nobody_has(table: ReferencedTable) -> None:
    """Not even where a key has the word that would be taken first."""
    with np.errstate(over="ignore"):
        taken = int((np.int64(5) + 1) * _ODD)
    table.insert(keys(table, t=taken), np.array([4]), 0)
    asked = keys(table, ("b", 5), ("t", taken), ("c", 5), ("a", 5))
    assert table.contains(asked, 0).tolist() == [False, True, False, True]
    done = table.insert(asked, np.array([9, 5, 9, 6]), 0)
    assert done.stored.tolist() == [False, True, False, True]
    assert held(table) == {"a": 6, "t": 5}


def test_a_move_brings_over_what_is_asked_for_and_not_another(table: ReferencedTable) -> None:
    newer: Any = table.like(Layout.build(200))
    newer.words_lie = table.words_lie  # type: ignore[attr-defined]
    transfer = Transfer(table, newer, True)
    transfer.carry(keys(table, b=5), 0)
    assert (held(table), held(newer)) == ({"a": 1}, {})
    transfer.carry(keys(table, ("b", 5), ("a", 5), ("a", 5)), 0)
    assert (held(table), held(newer)) == ({}, {"a": 1})
    assert table.dump().refs.tolist() == [None] * 100  # type: ignore[union-attr]
