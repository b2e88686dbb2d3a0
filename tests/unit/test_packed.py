"""Byte strings one after the other: what Packed takes, gives and refuses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from predis_core.errors import ValueShapeError
from predis_core.packed import Packed

NONE = "offsets: expected n + 1 of them, the first of which is where the data begins"
WRONG = "offsets: expected them to ascend from 0 to at most 3, the length of the data"
WORDS = [b"one", b"", b"three", b"fo"]


def test_byte_strings_come_back_as_they_were() -> None:
    packed = Packed.of(WORDS)
    assert len(packed) == 4
    assert packed.offsets.tolist() == [0, 3, 3, 8, 10]
    assert packed.data.tobytes() == b"onethreefo"
    assert packed.tolist() == WORDS
    assert [bytes(item) for item in packed] == WORDS
    assert [bytes(packed[i]) for i in (0, 1, -1)] == [b"one", b"", b"fo"]
    assert repr(packed) == "<Packed: 4 byte strings, 10 bytes>"


def test_items_are_views_of_the_one_buffer() -> None:
    packed = Packed.of(WORDS)
    packed.data[0] = ord("O")
    assert bytes(packed[0]) == b"One"
    assert np.shares_memory(np.frombuffer(packed[2], np.uint8), packed.data)


def test_whatever_has_a_buffer_is_packed() -> None:
    some = [bytearray(b"ab"), memoryview(b"cde"), np.frombuffer(b"f", np.uint8)]
    assert Packed.of(iter(some)).tolist() == [b"ab", b"cde", b"f"]


def test_slices_are_packed_too_and_copy_nothing() -> None:
    packed = Packed.of(WORDS)
    part = packed[1:3]
    assert part.tolist() == [b"", b"three"]
    assert np.shares_memory(part.data, packed.data)
    assert repr(part) == "<Packed: 2 byte strings, 5 bytes>"
    assert packed[3:1].tolist() == []
    assert packed[-2:].tolist() == WORDS[-2:]
    with pytest.raises(ValueError, match=r"a step other than 1 is not packed; use tolist\(\)"):
        packed[::2]
    with pytest.raises(IndexError):
        packed[4]


def test_equality_is_that_of_the_byte_strings() -> None:
    packed = Packed.of(WORDS)
    assert packed == Packed(b"..onethreefo", [2, 5, 5, 10, 12])
    assert packed != Packed.of(reversed(WORDS))
    assert packed != WORDS
    assert Packed() == Packed.of([])
    with pytest.raises(TypeError, match="unhashable"):
        hash(packed)


def test_a_copy_has_memory_of_its_own_that_can_be_written() -> None:
    packed = Packed(b"abc", np.array([0, 1, 3]))
    assert not packed.data.flags.writeable
    own = packed.copy()
    assert own == packed
    assert own.data.flags.writeable
    assert not np.shares_memory(own.offsets, packed.offsets)


@pytest.mark.parametrize(
    ("data", "offsets", "message"),
    [
        (b"abc", [], NONE),
        (b"abc", [[0]], NONE),
        (b"abc", [0, 2, 1], WRONG),
        (b"abc", [0, 4], WRONG),
        (b"abc", [-1, 2], WRONG),
    ],
)
def test_offsets_that_do_not_fit(data: bytes, offsets: Any, message: str) -> None:
    with pytest.raises(ValueShapeError) as caught:
        Packed(data, offsets)
    assert str(caught.value) == message


def test_memory_is_used_again_if_it_is_enough() -> None:
    packed = Packed()
    assert packed.room.size == 0
    room = packed.grow(10, 0)
    room[:3] = (1, 2, 3)
    assert packed.room is room
    larger = packed.grow(20, 3)
    assert larger[:3].tolist() == [1, 2, 3]
    packed.fill(larger, np.array([0, 3]))
    assert packed.tolist() == [b"\x01\x02\x03"]
