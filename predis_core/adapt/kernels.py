"""Machine code of the curve: reuse distances of a stream of keys, by an order that is counted.

`machine.load` copies this module under a name that is a hash of all that it depends on, and only
there is what Numba compiles kept. Each key followed has a *place*: the number of its latest access.
`marks` has a bit per place that is some key's latest, `sums` is a Fenwick tree (Fenwick, 1994) of
the bits per word of it, and so the keys that came after a place are counted in a few steps within a
few kilobytes.
"""

from __future__ import annotations

import numpy as np

from predis_core.table.intrinsics import called, count_bits, inlined, mix
from predis_core.table.keys import SAMPLE_SHIFT, SAMPLE_SPACE
from predis_core.table.machine_code import njit

CACHED = not __name__.startswith("predis_core.")

SIZE, NEXT, SAMPLED = range(3)
"""Words of a follower's state: keys followed, the next place, accesses taken."""

GROUPS = 32
"""Parts of the sampled keys, by hash, whose differences tell how far the whole may be off."""

STEPS, OCTAVES = 8, 40
BINS = 2 * STEPS + STEPS * OCTAVES
"""Bins of the distances that are counted by group: exact at first, then STEPS to an octave."""

COLD, MISSED = BINS, BINS + 1
"""What stands behind them: first accesses, and those that the live cache missed."""

EMPTY = -1

_BELOW = np.uint64(SAMPLE_SPACE - 1)
_SHIFT = np.uint64(SAMPLE_SHIFT)
_HIGH, _LOW = np.uint64(SAMPLE_SHIFT + 20), np.uint64(20)


@inlined
def is_below(hashed, limit):
    """Whether the key of a hash is among those sampled; `keys.sample_bits` names the bits."""
    return np.int64((hashed >> _SHIFT) & _BELOW) < limit


@inlined
def first_slot(hashed, mask):
    """Where a key is looked for first: by bits that do not decide on sampling."""
    return np.int64((hashed >> _HIGH) | (hashed << _LOW)) & mask


@inlined
def group_of(hashed):
    """The part of the sampled keys that a key belongs to."""
    return np.int64(hashed >> _HIGH) & (GROUPS - 1)


@inlined
def add_mark(marks, sums, place, amount):
    """Set (1) or clear (-1) the mark of a place."""
    marks[place >> 6] ^= np.int64(1) << (place & 63)
    node = (place >> 6) + 1
    while node < sums.size:
        sums[node] += amount
        node += node & -node


@inlined
def marks_until(marks, sums, place):
    """How many marks there are at a place and before."""
    below = marks[place >> 6] & ((np.int64(2) << (place & 63)) - 1)
    found = count_bits(below)
    node = place >> 6
    while node:
        found += sums[node]
        node &= node - 1
    return found


@called
def bin_of(distance):
    """The bin of a distance >= 0."""
    if distance < 2 * STEPS:
        return distance
    octave = np.int64(1)
    while distance >= 2 * STEPS << octave:
        octave += 1
    return octave * STEPS + (distance >> octave)


@njit(nogil=True, cache=CACHED)
def follow(
    words, hits, start, seed, limit, scale, bound, keys, places, marks, sums, state, distances,
    by_group,
):  # fmt: skip
    """Note accesses from `start` on; return where room, or places, ran out, else their number.

    Args:
        words, hits: int64[n], and bool[n], which of them the live cache had; what is not below the
            limit is left out.
        start: the first of them.
        seed, limit: of the hash, and of its sample bits.
        scale: keys, and accesses, that one sampled stands for.
        bound: keys that may be followed.
        keys, places: the hash table: int64[slots], int32[slots] with EMPTY where there is none.
        marks, sums: int64[places / 64] and int32[places / 64 + 1].
        state: int64[3].
        distances: float64[bound at least]; gets an access for each that came again, by how many
            sampled keys came between.
        by_group: float64[GROUPS, BINS + 2] of the same in real units, by `bin_of` of the distance.
    """
    mask = keys.size - 1
    for i in range(start, words.size):
        hashed = mix(words[i], seed)
        if not is_below(hashed, limit):
            continue
        if state[NEXT] == marks.size * 64:
            return i
        slot = first_slot(hashed, mask)
        while places[slot] != EMPTY and keys[slot] != words[i]:
            slot = (slot + 1) & mask
        place, group = np.int64(places[slot]), group_of(hashed)
        if place == EMPTY:
            if state[SIZE] == bound:
                return i
            state[SIZE] += 1
            keys[slot] = words[i]
            by_group[group, COLD] += scale
        else:
            distance = state[SIZE] - marks_until(marks, sums, place)
            add_mark(marks, sums, place, -1)
            distances[distance] += 1.0
            by_group[group, bin_of(np.int64(distance * scale))] += scale
        place = state[NEXT]
        add_mark(marks, sums, place, 1)
        places[slot] = place
        state[NEXT] = place + 1
        state[SAMPLED] += 1
        if not hits[i]:
            by_group[group, MISSED] += scale
    return words.size


@njit(nogil=True, cache=CACHED)
def carry_over(seed, limit, keys, places, marks, sums, new_keys, new_places, new_marks, new_sums):
    """Take the keys below a limit into larger arrays (empty), or as large ones, in their order.

    Their places become 0, 1, 2 …; returns how many there are.
    """
    mask = new_keys.size - 1
    for slot in range(keys.size):
        if places[slot] != EMPTY and not is_below(mix(keys[slot], seed), limit):
            add_mark(marks, sums, np.int64(places[slot]), -1)
    kept = 0
    for slot in range(keys.size):
        if places[slot] == EMPTY:
            continue
        hashed = mix(keys[slot], seed)
        if not is_below(hashed, limit):
            continue
        target = first_slot(hashed, mask)
        while new_places[target] != EMPTY:
            target = (target + 1) & mask
        new_keys[target] = keys[slot]
        new_places[target] = marks_until(marks, sums, np.int64(places[slot])) - 1
        kept += 1
    for place in range(kept):
        add_mark(new_marks, new_sums, place, 1)
    return kept


@njit(nogil=True, cache=CACHED)
def sift(words, hits, seed, limit, below, found):
    """Put what is below a limit into int64[n] and bool[n]; return how many that are."""
    kept = 0
    for i in range(words.size):
        if is_below(mix(words[i], seed), limit):
            below[kept] = words[i]
            found[kept] = hits[i]
            kept += 1
    return kept


@njit(nogil=True, cache=CACHED)
def count_misses(words, hits, seed, misses):
    """Count what missed by the group of its key: int64[n], bool[n] -> float64[GROUPS]."""
    for i in range(words.size):
        if not hits[i]:
            misses[group_of(mix(words[i], seed))] += 1.0
