"""Hashing strings and byte strings: where they lie in their objects, or packed.

What reads objects in place is only for interpreters that `cpython.is_known` knows, and holds the
GIL.
"""

from __future__ import annotations

import numpy as np

from predis_core.table.cpython import (
    ARRAY_DATA,
    ASCII,
    ASCII_DATA,
    BYTES_DATA,
    COMPACT,
    HASH,
    KIND_MASK,
    KIND_SHIFT,
    LENGTH,
    LIST_ITEMS,
    NONE_IS_IMMORTAL,
    PLAIN_COUNTS,
    STATE,
    TUPLE_ITEMS,
    TYPE,
    WIDE_DATA,
)
from predis_core.table.intrinsics import (
    address,
    bytes_type,
    called,
    disown,
    inlined,
    int_type,
    list_type,
    load8,
    load16,
    load32,
    load64,
    multiply_high,
    none_object,
    own,
    prefetch,
    python_hash,
    store64,
    str_type,
)
from predis_core.table.keys import FOLD_FACTOR
from predis_core.table.layout import LINE_BYTES
from predis_core.table.machine_code import njit

from .constants import CACHED

_FACTOR = np.uint64(FOLD_FACTOR)
_AHEAD = 16
"""How many items before its turn an object is asked for."""

LONG_ENOUGH = 1 << 20
"""Characters that are hashed while others wait for the GIL."""


@called
def _big_endian(start, count):
    value = 0
    for i in range(count):
        value = value << 8 | load8(start + i)
    return value


@inlined
def _fold(hashed, block):
    mixed = hashed ^ np.uint64(block)
    return (multiply_high(mixed, _FACTOR) ^ (mixed * _FACTOR)) + _FACTOR


@inlined
def _last_bytes(data, length, rest):
    """The `rest` bytes, 1 to 7, that end a string of some length, padded with zeros."""
    if length >= 8:
        return np.uint64(load64(data + length - 8)) >> np.uint64(64 - 8 * rest)
    if rest >= 4:
        return np.uint64(load32(data) | load32(data + rest - 4) << (8 * rest - 32))
    middle = rest >> 1
    ends = load8(data) | load8(data + rest - 1) << (8 * rest - 8)
    return np.uint64(ends | load8(data + middle) << (8 * middle))


@inlined
def hash_content(data, length, seed):
    """keys.hash_bytes of the bytes at an address."""
    hashed = np.uint64(seed) ^ (np.uint64(length) * _FACTOR)
    at, rest = data, length
    # Two blocks at a time: of a loop over one, the compiler makes more than it is worth.
    while rest >= 16:
        hashed = _fold(_fold(hashed, load64(at)), load64(at + 8))
        at += 16
        rest -= 16
    if rest >= 8:
        hashed = _fold(hashed, load64(at))
        at += 8
        rest -= 8
    if rest:
        hashed = _fold(hashed, _last_bytes(data, length, rest))
    return np.int64(hashed)


@inlined
def _character(data, width, i):
    if width == 1:
        return load8(data + i)
    if width == 2:
        return load16(data + 2 * i)
    return load32(data + 4 * i)


@called
def _utf8_length(data, width, count):
    length = count
    for i in range(count):
        c = _character(data, width, i)
        length += (c > 0x7F) + (c > 0x7FF) + (c > 0xFFFF)
    return length


@called
def _hash_wide(data, width, count, seed):
    """The hash of the UTF-8 of `count` characters, `width` bytes each; surrogates have theirs."""
    hashed = np.uint64(seed) ^ (np.uint64(_utf8_length(data, width, count)) * _FACTOR)
    block = np.uint64(0)
    filled = 0
    for i in range(count):
        c = _character(data, width, i)
        if c <= 0x7F:
            unit, bits = c, 8
        elif c <= 0x7FF:
            unit, bits = 0x80C0 | c >> 6 | (c & 0x3F) << 8, 16
        elif c <= 0xFFFF:
            unit = 0x8080E0 | c >> 12 | (c >> 6 & 0x3F) << 8 | (c & 0x3F) << 16
            bits = 24
        else:
            unit = 0x808080F0 | c >> 18 | (c >> 12 & 0x3F) << 8
            unit |= (c >> 6 & 0x3F) << 16 | (c & 0x3F) << 24
            bits = 32
        block |= np.uint64(unit) << np.uint64(filled)
        filled += bits
        if filled >= 64:
            hashed = _fold(hashed, block)
            filled -= 64
            # What did not fit: none of it if nothing is left over, and shifts end at 63.
            block = np.uint64(unit) >> np.uint64(bits - filled) if filled else np.uint64(0)
    if filled:
        hashed = _fold(hashed, block)
    return np.int64(hashed)


@inlined
def hash_object(pointer, seed):
    """Return (keys.hash_bytes of a str's UTF-8 or of a bytes object, True), or (0, False) for what
    is of another type, a subclass as well.
    """
    kind = load64(pointer + TYPE)
    length = load64(pointer + LENGTH)
    if kind == str_type():
        state = load32(pointer + STATE)
        if state & (COMPACT | ASCII) == COMPACT | ASCII:
            return hash_content(pointer + ASCII_DATA, length, seed), True
        if state & COMPACT:
            width = state >> KIND_SHIFT & KIND_MASK
            return _hash_wide(pointer + WIDE_DATA, width, length, seed), True
    elif kind == bytes_type():
        return hash_content(pointer + BYTES_DATA, length, seed), True
    return np.int64(0), False


@inlined
def items_of(listed):
    """Return where a list or tuple has its items, and how many."""
    if load64(listed + TYPE) == list_type():
        return load64(listed + LIST_ITEMS), load64(listed + LENGTH)
    return listed + TUPLE_ITEMS, load64(listed + LENGTH)


@inlined
def ask_ahead(items, i, stop):
    if i + _AHEAD < stop:
        item = load64(items + 8 * (i + _AHEAD))
        prefetch(item)
        prefetch(item + LINE_BYTES - 1)


@inlined
def take(item, i, refs):
    """Put a new reference to an item into object[n] at an address, over that to None."""
    own(item)
    store64(refs + 8 * i, item)


@inlined
def give_back_none(count):
    """Give back as many references to None as `take` wrote over."""
    if PLAIN_COUNTS:
        store64(none_object(), load64(none_object()) - count)
    elif not NONE_IS_IMMORTAL:
        for _ in range(count):
            disown(none_object())


@njit(cache=CACHED)
def take_contents(listed, kind, start, stop, seed, words, refs):
    """Take items of a list or tuple, str or bytes: words, and references into object[n].

    `listed` is its address, `kind` that of the type, `words` and `refs` those of array objects.
    Returns where it stopped: at an item that is not exactly of that type, at the end of what is
    there, or where it was long enough.
    """
    items, count = items_of(listed)
    stop = min(stop, count)
    words, refs = load64(words + ARRAY_DATA), load64(refs + ARRAY_DATA)
    left = LONG_ENOUGH
    reached = start
    while reached < stop and left >= 0:
        ask_ahead(items, reached, stop)
        item = load64(items + 8 * reached)
        word, fits = hash_object(item, seed)
        if not fits or load64(item + TYPE) != kind:
            break
        store64(words + 8 * reached, word)
        take(item, reached, refs)
        left -= load64(item + LENGTH)
        reached += 1
    give_back_none(reached - start)
    return reached


@njit(cache=CACHED)
def take_any(listed, start, stop, words, refs):
    """The same with Python's hashes, of str, bytes and int: no Python code runs."""
    items, count = items_of(listed)
    stop = min(stop, count)
    words, refs = load64(words + ARRAY_DATA), load64(refs + ARRAY_DATA)
    reached = start
    while reached < stop:
        ask_ahead(items, reached, stop)
        item = load64(items + 8 * reached)
        kind = load64(item + TYPE)
        if kind != str_type() and kind != bytes_type() and kind != int_type():
            break
        word = load64(item + HASH) if kind == str_type() else -1
        store64(words + 8 * reached, python_hash(item) if word == -1 else word)
        take(item, reached, refs)
        reached += 1
    give_back_none(reached - start)
    return reached


@njit(nogil=True, cache=CACHED)
def hash_packed(packed, seed, words):
    """Hash each str or bin of a MessagePack array: uint8[m], int64 seed -> words int64[n]."""
    at = address(packed)
    head = load8(at)
    at += 1 if head & 0xF0 == 0x90 else 3 if head == 0xDC else 5
    for i in range(words.size):
        head = load8(at)
        at += 1
        if head & 0xE0 == 0xA0:
            length = head & 0x1F
        else:
            # str8, bin8: one byte of length; str16, bin16: two; str32, bin32: four.
            width = 1 << (head - 0xD9 if head >= 0xD9 else head - 0xC4)
            length = _big_endian(at, width)
            at += width
        words[i] = hash_content(at, length, seed)
        at += length
