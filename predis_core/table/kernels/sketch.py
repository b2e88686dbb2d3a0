"""The count-min sketch in machine code (see `predis_core.table.sketch`)."""

from __future__ import annotations

import numpy as np

from predis_core.policies.contract import MAX_FREQUENCY
from predis_core.table import header as H
from predis_core.table.intrinsics import address, atomic_add, called, inlined, load8, store8
from predis_core.table.machine_code import njit
from predis_core.table.sketch import MULTIPLIERS, ROWS

from .constants import CACHED, HAS_SKETCH, HOLDS_GIL
from .lock import lock_exclusive, unlock_exclusive
from .places import get, hash_of

_MULTIPLIER_0, _MULTIPLIER_1, _MULTIPLIER_2, _MULTIPLIER_3 = (np.uint64(m) for m in MULTIPLIERS)


@inlined
def cell_of(head, hashed, row):
    multiplier = _MULTIPLIER_0
    if row == 1:
        multiplier = _MULTIPLIER_1
    elif row == 2:
        multiplier = _MULTIPLIER_2
    elif row == 3:
        multiplier = _MULTIPLIER_3
    bits = get(head, H.SKETCH_BITS)
    place = np.int64((hashed * multiplier) >> np.uint64(64 - bits))
    return get(head, H.SKETCH) + (row << bits) + place


@inlined
def frequency_of(head, word):
    return frequency_at(head, hash_of(head, word)) if HAS_SKETCH else 0


@inlined
def frequency_at(head, hashed):
    """As `frequency_of`, of a word's hash."""
    if not HAS_SKETCH:
        return 0
    count = MAX_FREQUENCY
    for row in range(ROWS):
        count = min(count, load8(cell_of(head, hashed, row)))
    return count


@njit(nogil=not HOLDS_GIL, cache=CACHED)
def count_in_sketch(header, words, counted):
    """Count the words at which `counted` (bool[n]) is set; halve all counts when it is time."""
    head = address(header)
    additions = 0
    for i in range(words.size):
        if counted[i]:
            additions += 1
            increment(head, words[i])
    if atomic_add(head + 8 * H.ADDITIONS, additions) + additions >= get(head, H.SKETCH_LIMIT):
        lock_exclusive(head)
        halve(head)
        unlock_exclusive(head)


@inlined
def increment(head, word):
    hashed = hash_of(head, word)
    for row in range(ROWS):
        cell = cell_of(head, hashed, row)
        store8(cell, min(MAX_FREQUENCY, load8(cell) + 1))


@called
def halve(head):
    """Halve all counts, unless another thread just did."""
    total = get(head, H.ADDITIONS)
    if total < get(head, H.SKETCH_LIMIT):
        return
    for place in range(ROWS << get(head, H.SKETCH_BITS)):
        cell = get(head, H.SKETCH) + place
        store8(cell, load8(cell) >> 1)
    atomic_add(head + 8 * H.ADDITIONS, (total >> 1) - total)
