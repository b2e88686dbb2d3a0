"""Where CPython keeps what kernels read of its objects in place, and whether it is so here.

Offsets are bytes from an object's address. They follow from what the interpreter says of the sizes
of objects; the bits of a string's state are looked for in strings whose state is known. Before a
kernel reads any object, `is_known` reads some of known content back. Where that fails, no kernel
does, and callers go a way that needs none of this.
"""

from __future__ import annotations

import ctypes
import functools
import sys

import numpy as np

_OLDEST, _NEWEST = (3, 11), (3, 14)

TYPE = object.__basicsize__ - 8
LENGTH = object.__basicsize__
"""Of a str, bytes, list or tuple: how long it is. Of an int: sign and number of digits."""

HASH = LENGTH + 8
"""Of a str: its `hash()`, -1 before it is known."""

STATE = LENGTH + 16
"""Of a str: the bits below, in an uint32."""

ASCII_DATA = sys.getsizeof("") - 1
WIDE_DATA = sys.getsizeof(chr(256) * 2) - 6
"""Where the characters of a str begin: of one that is ASCII, and of any other."""

BYTES_DATA = bytes.__basicsize__ - 1
LIST_ITEMS = LENGTH + 8
"""Of a list: the address of its items."""

TUPLE_ITEMS = tuple.__basicsize__
ARRAY_DATA = object.__basicsize__
"""Of a NumPy array: the address of its data."""

NONE_IS_IMMORTAL = sys.version_info >= (3, 12)
PLAIN_COUNTS = not NONE_IS_IMMORTAL and not hasattr(sys, "gettotalrefcount")
"""Whether to count a reference is to add to what lies at an object's address, and no more."""

INT_DIGITS = int.__basicsize__
INT_COUNT_SHIFT = 0 if sys.version_info < (3, 12) else 3
INT_MASK = -1 if sys.version_info < (3, 12) else ~4
"""Of what lies at an int's LENGTH: what is the same in equal ones. Some small ones are marked."""


def _read(address: int, size: int) -> int:
    return int.from_bytes(ctypes.string_at(address, size), "little")


def _strings() -> tuple[tuple[str, int, bool], ...]:
    """Fresh strings, how many bytes a character of each takes, and whether it is ASCII."""
    samples = [(chr(97 + at) * (2 + at), 1, True) for at in range(8)]
    samples += [(chr(233 + at) * (2 + at), 1, False) for at in range(8)]
    samples += [(chr(0x6C34 + at) * (2 + at), 2, False) for at in range(8)]
    samples += [(chr(0x1D11E + at) * (2 + at), 4, False) for at in range(8)]
    return tuple(samples)


def _find_kind_shift() -> int:
    """Return where a str's state says how wide its characters are; -1 if that is not found."""
    states = [(_read(id(text) + STATE, 4), width, ascii) for text, width, ascii in _strings()]
    for shift in (2, 8, 16):
        if all(state >> shift & 31 == width | 8 | 16 * ascii for state, width, ascii in states):
            return shift
    return -1


KIND_SHIFT = _find_kind_shift()
KIND_MASK = 7
COMPACT = 8 << max(KIND_SHIFT, 0)
"""Set if the characters lie in the object itself."""

ASCII = 16 << max(KIND_SHIFT, 0)


@functools.cache
def is_known() -> bool:
    """Return whether kernels may read objects in place: those of known content read back right."""
    supported = (
        sys.implementation.name == "cpython"
        and _OLDEST <= sys.version_info[:2] <= _NEWEST
        and sys.byteorder == "little"
        and ctypes.sizeof(ctypes.c_void_p) == 8
        and sys.int_info[:2] == (30, 4)
        and KIND_SHIFT >= 0
    )
    return supported and _reads_strings() and _reads_sequences() and _reads_ints()


def _reads_strings() -> bool:
    for text, width, ascii in _strings():
        data = id(text) + (ASCII_DATA if ascii else WIDE_DATA)
        content = text.encode(f"utf-{8 * width}-le" if width > 1 else "latin-1")
        known = (_type_of(text), _read(id(text) + LENGTH, 8)) == (id(str), len(text))
        hashed = hash(text) & (1 << 64) - 1
        if not known or ctypes.string_at(data, len(content)) != content:
            return False
        if _read(id(text) + HASH, 8) != hashed:
            return False
    some = bytes(range(1, 40))
    known = (_type_of(some), _read(id(some) + LENGTH, 8)) == (id(bytes), len(some))
    return known and ctypes.string_at(id(some) + BYTES_DATA, len(some)) == some


def _reads_sequences() -> bool:
    items: list[object] = [object() for _ in range(5)]
    pointers = b"".join(id(item).to_bytes(8, "little") for item in items)
    packed = tuple(items)
    if _type_of(items) != id(list) or _type_of(packed) != id(tuple):
        return False
    if _read(id(items) + LENGTH, 8) != 5 or _read(id(packed) + LENGTH, 8) != 5:
        return False
    listed = ctypes.string_at(_read(id(items) + LIST_ITEMS, 8), len(pointers))
    if not listed == pointers == ctypes.string_at(id(packed) + TUPLE_ITEMS, len(pointers)):
        return False
    blank = np.empty(3, object)
    nones = 3 * id(None).to_bytes(8, "little")
    data = blank.ctypes.data
    is_there = _read(id(blank) + ARRAY_DATA, 8) == data
    return is_there and ctypes.string_at(data, len(nones)) == nones


def _reads_ints() -> bool:
    tags: dict[int, int] = {}
    for number in (1, 7, 1 << 29, 1 << 30, 12345678901, (1 << 61) - 1, 1 << 100):
        for signed in (number, -number):
            tag = _read(id(signed) + LENGTH, 8) & INT_MASK & (1 << 64) - 1
            sized = tag if signed > 0 or INT_COUNT_SHIFT else (1 << 64) - tag
            count = sized >> INT_COUNT_SHIFT
            digits = _digits(id(signed), count) if count < 8 else ()
            if sum(digit << 30 * place for place, digit in enumerate(digits)) != number:
                return False
            # What is not the digits tells signs apart.
            if tags.setdefault(tag, signed) * signed < 0:
                return False
    return True


def _digits(address: int, count: int) -> tuple[int, ...]:
    return tuple(_read(address + INT_DIGITS + 4 * place, 4) for place in range(count))


def _type_of(thing: object) -> int:
    return _read(id(thing) + TYPE, 8)
