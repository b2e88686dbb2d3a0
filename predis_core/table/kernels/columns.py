"""Keys made from columns of strings: from NumPy's `S` and `U`, and from Arrow's.

What is made is hashed in place, so this is only for interpreters that `cpython.is_known` knows.
"""

from __future__ import annotations

import numpy as np

from predis_core.table.columns import FIXED, OFFSETS_32, OFFSETS_64
from predis_core.table.cpython import ARRAY_DATA, LENGTH
from predis_core.table.intrinsics import (
    called,
    clear_error,
    disown,
    inlined,
    load8,
    load32,
    load64,
    new_bytes,
    new_text,
    new_text_of,
    python_hash,
    store64,
)
from predis_core.table.machine_code import njit

from .constants import CACHED
from .hashing import LONG_ENOUGH, hash_object

_INLINE = 12
"""Bytes that a view holds itself."""


@called
def _stripped(start, width, count):
    """How many of `count` characters there are without the zeros that they end with."""
    if width == 1:
        while count and load8(start + count - 1) == 0:
            count -= 1
    else:
        while count and load32(start + 4 * count - 4) == 0:
            count -= 1
    return count


@inlined
def _place_of(form, base, step, more, width, i):
    """Return where the i-th string of a column begins, and how many characters it has."""
    if form == FIXED:
        start = base + step * i
        return start, _stripped(start, width, more)
    if form == OFFSETS_32:
        begin = load32(base + 4 * i)
        return more + begin, load32(base + 4 * i + 4) - begin
    if form == OFFSETS_64:
        begin = load64(base + 8 * i)
        return more + begin, load64(base + 8 * i + 8) - begin
    view = base + 16 * i
    length = load32(view)
    if length <= _INLINE:
        return view + 4, length
    return load64(more + 8 * load32(view + 8)) + load32(view + 12), length


@inlined
def _made(start, width, is_text, count):
    if width == 4:
        return new_text_of(4, start, count)
    if is_text:
        return new_text(start, count, 0)
    return new_bytes(start, count)


@njit(cache=CACHED)
def make_keys(form, base, step, more, width, is_text, first, stop, own_hash, seed, words, refs, at):
    """Make the keys of strings `first` to `stop` of a column: words, and references.

    `form` to `is_text` are a `columns.Column`; with `own_hash`, words are Python's hashes. `words`
    and `refs` are the addresses of array objects, int64[n] and object[n] with None, which are
    written from `at` on. Returns where it stopped: after enough characters, or where a string could
    not be made.
    """
    words, refs = load64(words + ARRAY_DATA), load64(refs + ARRAY_DATA)
    left = LONG_ENOUGH
    for i in range(first, stop):
        start, count = _place_of(form, base, step, more, width, i)
        made = np.int64(0) if left < 0 else _made(start, width, is_text, count)
        if made == 0:
            if left >= 0:
                clear_error()
            return i
        there = at + i - first
        word = python_hash(made) if own_hash else hash_object(made, seed)[0]
        store64(words + 8 * there, word)
        none = load64(refs + 8 * there)
        store64(refs + 8 * there, made)
        disown(none)
        left -= load64(made + LENGTH)
    return stop
