"""Hashing a packed batch of strings or byte strings in one pass."""

from __future__ import annotations

import numpy as np
from numba import njit

from predis_core.table.intrinsics import address, called, load8, load64, multiply_high
from predis_core.table.keys import FOLD_FACTOR

from .constants import CACHED

_FACTOR = np.uint64(FOLD_FACTOR)


@called
def _big_endian(start, count):
    value = 0
    for i in range(count):
        value = value << 8 | load8(start + i)
    return value


@called
def _fold(hashed, block):
    mixed = hashed ^ np.uint64(block)
    return (multiply_high(mixed, _FACTOR) ^ (mixed * _FACTOR)) + _FACTOR


@called
def _hash_bytes(data, length, seed):
    hashed = np.uint64(seed) ^ (np.uint64(length) * _FACTOR)
    whole = length & ~7
    for start in range(0, whole, 8):
        hashed = _fold(hashed, load64(data + start))
    if whole < length:
        block = 0
        for i in range(length - whole):
            block |= load8(data + whole + i) << (8 * i)
        hashed = _fold(hashed, block)
    return np.int64(hashed)


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
        words[i] = _hash_bytes(at, length, seed)
        at += length
