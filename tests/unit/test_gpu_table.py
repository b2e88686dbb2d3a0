"""What the GPU table says beyond parity: where results lie, and what it refuses."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from predis_core import policies
from predis_core.errors import PolicyError, ValueShapeError
from predis_core.table.cpu import CpuTable
from predis_core.table.cuda.host import HostArray, HostDevice
from predis_core.table.cuda.source import TABLE, words_of
from predis_core.table.cuda.table import GpuTable
from predis_core.table.interface import Counter, Keys, Status, Table
from predis_core.table.layout import Layout
from tests.support.counterparts import counterpart

ROW = np.dtype(("float32", (4,)))


def table(device: HostDevice) -> GpuTable:
    return GpuTable(device, Layout.build(100), policies.get("lru"), 5, ROW)


@pytest.fixture
def device() -> HostDevice:
    return HostDevice(compiler=counterpart("g++"))


def rows(n: int) -> Any:
    return np.arange(4 * n, dtype=np.float32).reshape(n, 4)


def test_results_lie_where_the_keys_are(device: HostDevice) -> None:
    found: Table = table(device)
    for words in (np.arange(10), device.take(np.arange(10), np.int64)):
        keys, kind = Keys(words), HostArray if device.holds(words) else np.ndarray
        inserted = found.insert(keys, rows(10), 0)
        slots = found.pin(keys, 0)
        results = [
            inserted.status, inserted.slots, inserted.stored, slots, found.lookup(keys, 0),
            found.contains(keys, 0), found.touch(keys, 0), found.deadlines(keys, 0),
            found.delete(keys, 0).deleted,
        ]  # fmt: skip
        assert [type(each) for each in results] == [kind] * len(results)
        found.unpin(keys, slots)
        assert found.insert(keys, rows(10), 0).status.tolist() == [Status.INSERTED] * 10


def test_rows_come_to_an_array_of_the_device_or_of_the_host(device: HostDevice) -> None:
    found = table(device)
    found.insert(Keys(np.arange(0, 10, 2)), device.take(rows(5), np.uint8), 0)
    there = device.take(np.full((10, 4), -1, np.float32), np.float32).reshape(10, 4)
    here = np.full((10, 4), -1, np.float32)
    for out in (there, here):
        found.lookup(Keys(np.arange(10)), 0, out=out)
        assert np.array_equal(out[::2], rows(5))
        assert (out[1::2] == -1).all()


def test_fetched_rows_of_misses_are_cleared_or_left_alone(device: HostDevice) -> None:
    found = table(device)
    found.insert(Keys(np.arange(0, 10, 2)), rows(5), 0)
    for zero in (True, False):
        there = device.take(np.full((10, 4), -1, np.float32), np.float32).reshape(10, 4)
        here = np.full((10, 4), -1, np.float32)
        for out in (there, here):
            mask = found.fetch(Keys(np.arange(10)), 0, out, zero=zero)
            assert mask.tolist() == [True, False] * 5
            assert np.array_equal(out[::2], rows(5))
            assert (out[1::2] == (0 if zero else -1)).all()
    assert found.counters()[Counter.HITS] == 20


@pytest.mark.parametrize("n", [0, 1, 31, 1024, 1025, 5000])
@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_misses_are_compacted_in_their_order(device: HostDevice, n: int, share: float) -> None:
    mask = np.random.default_rng(n).random(n) < share
    positions, missed = table(device).misses(device.take(mask, np.bool_))
    expected = np.flatnonzero(~mask)
    assert missed.tolist() == [len(expected)]
    assert np.array_equal(positions[: len(expected)], expected)


@pytest.mark.parametrize("capacity", [1, 100, 4_000])
@pytest.mark.parametrize("n", [0, 1, 31, 1024, 1025, 5000])
def test_sampled_lookups_are_noted_as_on_the_cpu(device: HostDevice, n: int, capacity: int) -> None:
    layout, policy = Layout.build(3_000), policies.get("lru")
    tables = (
        CpuTable(layout, policy, 5, np.zeros(3_000, np.int64)),
        GpuTable(device, layout, policy, 5, np.dtype(np.int64)),
    )
    keys = Keys(np.arange(0, 2 * n, 2))
    found: list[Any] = []
    for each in tables:
        each.sample_keys(0.3, capacity)
        each.insert(keys, keys.words, 0)
        for words in (np.arange(n), keys.words):
            each.lookup(Keys(words), 0)
            each.lookup(Keys(words), 0, count=False)
            each.touch(Keys(words), 0)
        read = [each.drain_sampled(0)]
        each.sample_keys(0, capacity)
        each.lookup(keys, 0)
        found.append([*read, each.drain_sampled(read[0][1])])
    for one, other in zip(*found, strict=True):
        assert one[1:] == other[1:]
        for left, right in zip(one[0], other[0], strict=True):
            assert left.tolist() == right.tolist()
    (noted, until, lost), (rest, _, _) = found[1]
    assert len(noted.words) + lost == until
    assert len(noted.words) >= min(capacity, until)
    assert len(rest.words) == 0


@pytest.mark.parametrize("part", [np.s_[::2], np.s_[1:]], ids=["strided", "unaligned"])
def test_rows_do_not_come_to_an_array_that_would_have_to_be_copied(
    device: HostDevice, part: slice
) -> None:
    room = device.zeros(24, np.float32)
    out = room.reshape(6, 4)[part] if part.step else room[1:21].reshape(5, 4)
    message = (
        "out: rows cannot be copied to this array of the device; pass one in C order that begins "
        "at a multiple of 16 bytes"
    )
    with pytest.raises(ValueShapeError, match=f"^{re.escape(message)}$"):
        table(device).lookup(Keys(np.arange(len(out))), 0, out=out)


def test_a_policy_that_is_no_candidate_is_refused(device: HostDevice) -> None:
    given = policies.auto(policies.get("lru"), policies.get("fifo"))
    found = GpuTable(device, Layout.build(100), given, 5, ROW)
    found.insert(Keys(np.arange(10)), rows(10), 0)
    message = "policy: the table has room for lru, fifo, not for s3fifo"
    with pytest.raises(PolicyError, match=f"^{re.escape(message)}$"):
        found.switch(policies.get("s3fifo"))
    assert found.policy.name == "lru"
    found.switch(policies.get("fifo"))
    assert found.policy.name == "fifo"
    assert found.contains(Keys(np.arange(10)), 0).all()


def test_a_word_that_no_struct_has_is_an_error() -> None:
    with pytest.raises(KeyError, match="linse"):
        words_of(TABLE, linse=1)
