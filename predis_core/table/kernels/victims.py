"""Who leaves: the ways of a set as the policy sees them, and its choice."""

from __future__ import annotations

import numpy as np

from predis_core.policies.contract import HOT_BITS
from predis_core.table import header as H
from predis_core.table.intrinsics import called, load8, load32, load64, lowest_bit, store8, store32
from predis_core.table.layout import (
    FINGERPRINT_BITS,
    GUESS_SHARE,
    LINE_BYTES,
    SET_BYTES,
    WAYS_PER_LINE,
)

from .constants import (
    COLUMN_BYTES,
    CONFLICTS,
    HAS_GHOSTS,
    HAS_ON_EVICT,
    HAS_ON_PASS,
    HAS_SEGMENT,
    HAS_TALLY,
    SET_MASK,
    SLOT_MASK,
    STRIDE,
)
from .ghosts import add_ghost, take_ghost
from .metadata import GUESS, HOT, load_column, load_state, store_column, store_meta, store_state
from .places import (
    CONFLICTS_COUNT,
    EVICTIONS,
    EXPIRATIONS,
    FLAGS,
    HAS_DEADLINE,
    LIVE,
    add,
    free,
    get,
    hot_of,
    is_expired,
    lines_of,
    locate,
    next_line,
    word_of,
)
from .policy import admit, on_evict, on_insert, on_pass, rank, segment, tally
from .sketch import frequency_of


@called
def _gather(group, record, ways, metas):
    """Collect the set's metadata; return bit masks of live ways and of guesses."""
    live = guesses = 0
    for line in range(lines_of(ways)):
        word = load64(group + line * LINE_BYTES + FLAGS)
        first = line * WAYS_PER_LINE
        live |= (word & LIVE) << first
        for w in range(WAYS_PER_LINE):
            hot = word >> (8 * w + 8)
            metas[first + w] = hot & HOT
            guesses |= ((hot >> 7) & 1) << (first + w)
    if COLUMN_BYTES:
        for way in range(ways):
            metas[way] |= load_column(record, way) << HOT_BITS
    return live, guesses & live


@called
def _lowest(metas, among, ways, tick, state, total, parameters):
    """Return the lowest-ranked way of a mask, ties by lowest way; -1 for an empty mask."""
    best_way, best = -1, 0
    for way in range(ways):
        if (among >> way) & 1:
            ranked = np.int64(rank(metas[way], tick, state, total, parameters))
            if best_way < 0 or ranked < best:
                best_way, best = way, ranked
    return best_way


@called
def _choose(head, group, metas, among, ways, tick, state, total, parameters):
    """The policy's victim among the ways of a mask."""
    if not HAS_SEGMENT:
        return _lowest(metas, among, ways, tick, state, total, parameters)
    ones = 0
    for way in range(ways):
        if (among >> way) & 1 and segment(metas[way]) & 1:
            ones |= 1 << way
    zero = _lowest(metas, among & ~ones, ways, tick, state, total, parameters)
    one = _lowest(metas, ones, ways, tick, state, total, parameters)
    if zero < 0 or one < 0:
        return max(zero, one)
    frequency_0 = frequency_of(head, word_of(group, zero))
    frequency_1 = frequency_of(head, word_of(group, one))
    return one if admit(frequency_0, frequency_1) & 1 else zero


@called
def _depart(head, block, group, record, metas, live, victim, ways, tick, total, parameters):
    """Tell the policy that its victim leaves."""
    state = load_state(record)
    if HAS_ON_PASS:
        for way in range(ways):
            if way != victim and (live >> way) & 1:
                new = on_pass(metas[way], metas[victim], tick, state, total, parameters)
                guess = load8(hot_of(group, way)) & GUESS
                store_meta(group, record, way, metas[way], new & SLOT_MASK, guess)
    if HAS_ON_EVICT:
        state, tag = on_evict(metas[victim], tick, state)
        store_state(record, state)
        if HAS_GHOSTS and tag & 3:
            _, _, _, _, fingerprint = locate(head, block, word_of(group, victim))
            add_ghost(record, (tag & 3) << FINGERPRINT_BITS | fingerprint)


@called
def _first_free(group, ways, line):
    """The first free way from a home line on, or -1."""
    for _ in range(lines_of(ways)):
        rest = min(WAYS_PER_LINE, ways - line * WAYS_PER_LINE)
        free = ~load8(group + line * LINE_BYTES + FLAGS) & ((1 << rest) - 1)
        if free:
            return line * WAYS_PER_LINE + lowest_bit(free)
        line = next_line(line, ways)
    return -1


@called
def _first_expired(head, group, slot, ways, line, now):
    """The first expired way of a full set from a home line on, or -1."""
    for _ in range(lines_of(ways)):
        first = line * WAYS_PER_LINE
        if load8(group + line * LINE_BYTES + FLAGS) & HAS_DEADLINE:
            for way in range(first, min(first + WAYS_PER_LINE, ways)):
                if is_expired(head, group, slot, way, now):
                    return way
        line = next_line(line, ways)
    return -1


@called
def make_place(head, block, region_full, word, own_way, now, tick, guess, parameters, metas):
    """Make room for a new key and note it; return (way or -1, evicted?)."""
    number, ways, slot, line, fingerprint = locate(head, block, word)
    group = get(head, H.LINES) + number * SET_BYTES
    record = get(head, H.RECORDS) + number * STRIDE
    tag = take_ghost(record, fingerprint)
    live, guesses = _gather(group, record, ways, metas)
    total = 0
    if HAS_TALLY:
        for way in range(ways):
            if (live >> way) & 1:
                total += np.int64(tally(metas[way]))
    meta, state = on_insert(
        tick, frequency_of(head, word), tag, load_state(record), total, parameters
    )
    state &= SET_MASK
    store_state(record, state)
    held = 0
    for way in range(ways):
        held += (guesses >> way) & 1
    evict_guess = guess and held >= ways // GUESS_SHARE
    way = -1
    evicted = False
    if not evict_guess:
        way = own_way if own_way >= 0 else _first_free(group, ways, line)
        if way < 0:
            way = _first_expired(head, group, slot, ways, line, now)
            if way >= 0:
                free(head, block, group, way, EXPIRATIONS)
        evict_guess = way < 0 and held > 0 and not guess
    if way < 0:
        if evict_guess:
            way = _lowest(metas, guesses, ways, tick, state, total, parameters)
        else:
            way = _choose(head, group, metas, live & ~guesses, ways, tick, state, total, parameters)
            _depart(head, block, group, record, metas, live, way, ways, tick, total, parameters)
        free(head, block, group, way, EVICTIONS)
        evicted = True
        if not region_full:
            add(block, CONFLICTS_COUNT, 1)
            store32(record + CONFLICTS, load32(record + CONFLICTS) + 1)
    store8(hot_of(group, way), (meta & HOT) | (GUESS if guess else 0))
    if COLUMN_BYTES:
        store_column(record, way, (meta & SLOT_MASK) >> HOT_BITS)
    return way, evicted
