"""Equality of keys that are references, as far as it is seen without Python.

Objects are read in place, so this is only for interpreters that `cpython.is_known` knows, and holds
the GIL. Equal is what is identical, or of one built-in type and alike. What is not so may be equal
still: whoever asks has to compare in Python, where keys that were found unequal are kept alive, so
that none takes the address of another.
"""

from __future__ import annotations

import numpy as np

from predis_core.table import header as H
from predis_core.table.cpython import (
    ARRAY_DATA,
    ASCII,
    ASCII_DATA,
    BYTES_DATA,
    COMPACT,
    INT_COUNT_SHIFT,
    INT_DIGITS,
    INT_MASK,
    KIND_MASK,
    KIND_SHIFT,
    LENGTH,
    STATE,
    TYPE,
    WIDE_DATA,
)
from predis_core.table.intrinsics import (
    address,
    bytes_type,
    called,
    equal_words,
    inlined,
    int_type,
    load8,
    load32,
    load64,
    lowest_bit,
    prefetch,
    store8,
    store64,
    str_type,
)
from predis_core.table.layout import LINE_BYTES, SET_BYTES, WAYS_PER_LINE
from predis_core.table.machine_code import njit

from .constants import CACHED
from .inserts import mark_duplicates
from .lookups import signature_of
from .places import BLOCK, FLAGS, LIVE, get, lines_of, locate, next_line, region_block
from .values import give_reference

_GROUP, _WAYS, _SLOT, _LINE, _WAY, _POINTER = range(0, 48, 8)
_HOME = 48
"""What is noted of a key on its way, and how many bytes that takes."""


@inlined
def _same_bytes(a, b, count):
    """Whether bytes of two objects are the same; before them are at least eight others."""
    at = 0
    while at + 8 <= count:
        if load64(a + at) != load64(b + at):
            return False
        at += 8
    rest = count - at
    if rest == 0:
        return True
    differing = np.uint64(load64(a + count - 8) ^ load64(b + count - 8))
    return differing >> np.uint64(64 - 8 * rest) == np.uint64(0)


@inlined
def _characters(pointer, state):
    return pointer + (ASCII_DATA if state & ASCII else WIDE_DATA)


@called
def _alike(a, b):
    kind = load64(a + TYPE)
    size = load64(a + LENGTH)
    if load64(b + TYPE) != kind:
        return False
    if kind == int_type():
        if (size ^ load64(b + LENGTH)) & INT_MASK:
            return False
        count = (size & INT_MASK) >> INT_COUNT_SHIFT
        return _same_bytes(a + INT_DIGITS, b + INT_DIGITS, 4 * abs(count))
    if kind != str_type() and kind != bytes_type():
        return False
    if load64(b + LENGTH) != size:
        return False
    if kind == bytes_type():
        return _same_bytes(a + BYTES_DATA, b + BYTES_DATA, size)
    state, other = load32(a + STATE), load32(b + STATE)
    width = (state >> KIND_SHIFT) & KIND_MASK
    if not state & other & COMPACT or (other >> KIND_SHIFT) & KIND_MASK != width:
        return False
    return _same_bytes(_characters(a, state), _characters(b, other), width * size)


@inlined
def surely_equal(a, b):
    """Whether two objects are seen to be equal; False says nothing."""
    return a == b or _alike(a, b)


@inlined
def _first_way(group, line, word):
    """Return a way of the line that has a word, or -1."""
    here = group + line * LINE_BYTES
    equal = equal_words(here, word) & load8(here + FLAGS) & LIVE
    return line * WAYS_PER_LINE + lowest_bit(equal) if equal else -1


@called
def _find_ways(head, block, word_at, count, homes):
    """Write for each word where its set is, and the first way that has it with the key's address.

    Every step asks for what the next one looks at: lines, references, objects.
    """
    lines, held = get(head, H.LINES), get(head, H.REFS)
    for j in range(count):
        home = homes + _HOME * j
        number, ways, slot, line, _ = locate(head, block, load64(word_at + 8 * j))
        group = lines + number * SET_BYTES
        prefetch(group + line * LINE_BYTES)
        store64(home + _GROUP, group)
        store64(home + _WAYS, ways)
        store64(home + _SLOT, slot)
        store64(home + _LINE, line)
    for j in range(count):
        home = homes + _HOME * j
        group, line = load64(home + _GROUP), load64(home + _LINE)
        way = _first_way(group, line, load64(word_at + 8 * j))
        store64(home + _WAY, way)
        if way >= 0:
            prefetch(held + 8 * (load64(home + _SLOT) + way))
        else:
            for other in range(lines_of(load64(home + _WAYS))):
                prefetch(group + other * LINE_BYTES)
    for j in range(count):
        home = homes + _HOME * j
        if load64(home + _WAY) >= 0:
            continue
        line, ways = load64(home + _LINE), load64(home + _WAYS)
        way = -1
        for _ in range(lines_of(ways) - 1):
            line = next_line(line, ways)
            way = _first_way(load64(home + _GROUP), line, load64(word_at + 8 * j))
            if way >= 0:
                store64(home + _WAY, way)
                prefetch(held + 8 * (load64(home + _SLOT) + way))
                break
    for j in range(count):
        home = homes + _HOME * j
        way = load64(home + _WAY)
        if way >= 0:
            pointer = load64(held + 8 * (load64(home + _SLOT) + way))
            store64(home + _POINTER, pointer)
            prefetch(pointer)
            prefetch(pointer + LINE_BYTES - 1)


@njit(cache=CACHED)
def match(header, region, words, asked, refs, signatures, undecided, start, stop):
    """Find, for positions start to stop, the key in the table that equals the one asked for.

    `asked` and `refs` are the addresses of array objects, object[n]; `refs` has None there. It gets
    the table's own reference, or the batch's where no key has its word. `undecided` bool[n] says
    where there is a key with its word that is not surely equal: Python has to compare them. There,
    too, `refs` gets the batch's. `signatures` int64[n], if not empty, are as for `candidates`.

    Returns how many are undecided.
    """
    head = address(header)
    block = region_block(head, region)
    held = get(head, H.REFS)
    asked_at, refs_at = load64(asked + ARRAY_DATA), load64(refs + ARRAY_DATA)
    word_at, undecided_at = address(words), address(undecided)
    homes = np.empty(BLOCK * (_HOME >> 3), np.int64)
    home_at = address(homes)
    left = 0
    for first in range(start, stop, BLOCK):
        count = min(BLOCK, stop - first)
        _find_ways(head, block, word_at + 8 * first, count, home_at)
        for j in range(count):
            i, home = first + j, home_at + _HOME * j
            source = asked_at + 8 * i
            way = load64(home + _WAY)
            sure = way < 0 or surely_equal(load64(source), load64(home + _POINTER))
            store8(undecided_at + i, not sure)
            left += not sure
            group, ways = load64(home + _GROUP), load64(home + _WAYS)
            slot = load64(home + _SLOT)
            if sure and way >= 0:
                source = held + 8 * (slot + way)
            give_reference(refs_at + 8 * i, source)
            if signatures.size:
                word = load64(word_at + 8 * i)
                signatures[i] = signature_of(head, group, ways, slot, word) if way >= 0 else 0
    # Numba frees an array after its last use, and does not see uses by address.
    homes[0] += 0
    return left


@njit(nogil=True, cache=CACHED)
def mark_same_words(words, last):
    """Write for each position the last one with the same word; return how many are not the last."""
    mark_duplicates(words, last)
    earlier = 0
    for i in range(words.size):
        earlier += last[i] != i
    return earlier


@njit(cache=CACHED)
def are_same_keys(asked, last, start, stop):
    """Whether, of positions start to stop, each key is surely equal to that at its `last`.

    `asked` is the address of an array object, object[n].
    """
    asked_at = load64(asked + ARRAY_DATA)
    for i in range(start, stop):
        if not surely_equal(load64(asked_at + 8 * i), load64(asked_at + 8 * last[i])):
            return False
    return True
