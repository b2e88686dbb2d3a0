"""Byte strings into one buffer and back, in machine code and in Python."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from predis_core.packed import Packed
from predis_core.stores import Blobs
from predis_core.table import packing
from tests.support.depth import search

pytestmark = pytest.mark.usefixtures("way")


def given_back(some: Packed, found: list[bool]) -> list[Any]:
    out = np.empty(len(found), object)
    packing.give(some, np.array(found, np.bool_), out)
    return out.tolist()


@given(items=st.lists(st.binary(max_size=70)), data=st.data())
@search(examples=60)
def test_byte_strings_go_in_and_come_back(items: list[bytes], data: st.DataObject) -> None:
    stored = Blobs().admit(items, len(items))
    assert stored.tolist() == items
    assert stored.offsets.tolist() == Packed.of(items).offsets.tolist()
    assert stored.data.flags.writeable
    n = len(items)
    found = data.draw(st.lists(st.booleans(), min_size=n, max_size=n))
    back = given_back(stored, found)
    assert back == [item if there else None for item, there in zip(items, found, strict=True)]
    assert all(type(item) is bytes for item in back if item is not None)


class Data(bytes):
    """A subclass of bytes."""


@pytest.mark.parametrize("at", [0, 1, 4_096, 5_000])
@pytest.mark.parametrize("other", [Data(b"other"), bytearray(b"other"), memoryview(b"other")])
def test_whatever_has_a_buffer_may_be_among_them(at: int, other: Any) -> None:
    items: list[Any] = [b"%d" % number for number in range(5_000)]
    items.insert(at, other)
    assert packing.packed(items) is None
    stored = Blobs().admit(items, len(items))
    assert stored.tolist() == [bytes(item) for item in items]


def test_only_lists_and_tuples_are_read_in_place(way: str) -> None:
    for items in ([b"a", b"bc"], (b"a", b"bc")):
        stored = packing.packed(items)
        if way == "in Python":
            assert stored is None
        else:
            assert stored is not None
            assert stored.tolist() == [b"a", b"bc"]
    assert packing.packed({1: b"a"}.values()) is None
    assert Blobs().admit({1: b"a"}.values(), 1).tolist() == [b"a"]


def test_references_are_as_before() -> None:
    items = [b"item %d" % number for number in range(300)]  # Python has one object per single byte
    before = list(map(sys.getrefcount, items))
    stored = Blobs().admit(items, len(items))
    assert list(map(sys.getrefcount, items)) == before
    out = np.empty(300, object)
    packing.give(stored, np.ones(300, np.bool_), out)
    twin = out[299]
    assert sys.getrefcount(twin) == 3  # the array's, the name's and the call's
    assert twin is not items[299]


@pytest.mark.parametrize("length", [0, 1, 63, 4_096, 1 << 20, 3 << 20])
def test_long_ones_are_given_a_few_at_a_time(length: int) -> None:
    items = [bytes([number]) * length for number in range(5)]
    assert given_back(Packed.of(items), [True, True, False, True, True]) == [
        *items[:2],
        None,
        *items[3:],
    ]


def test_memory_that_cannot_be_had_is_an_error(way: str) -> None:
    if way == "in Python":
        pytest.skip("Python raises it by itself")
    endless = Packed.filled(np.zeros(8, np.uint8), np.array([0, 4, 1 << 62], np.int64))
    out = np.empty(2, object)
    with pytest.raises(MemoryError):
        packing.give(endless, np.ones(2, np.bool_), out)
    assert out.tolist() == [bytes(4), None]
