"""The other verbs: delete, clear, export, and a trace's requests one at a time."""

from __future__ import annotations

import numpy as np
from numba import njit

from predis_core.table import header as H
from predis_core.table.intrinsics import (
    address,
    atomic_add,
    atomic_swap_if,
    load8,
    load64,
    store64,
    zero_bytes,
)
from predis_core.table.layout import LINE_BYTES, SET_BYTES, WAYS

from .constants import (
    CACHED,
    GHOSTS,
    HAS_GHOSTS,
    HAS_SKETCH,
    HOLDS_GIL,
    KEY_REFS,
    ROW_BYTES,
    STRIDE,
    VALUE_REFS,
)
from .inserts import insert_one
from .lock import lock_exclusive, lock_shared, unlock_exclusive, unlock_shared
from .metadata import GUESS, load_meta, note_hit, replay_insert, store_state
from .places import (
    BLOCK,
    DELETIONS,
    EXPIRATIONS,
    FLAGS,
    HITS,
    MISSES,
    SIZE,
    add,
    advance_tick,
    bit_of,
    deadline_of,
    find,
    flags_of,
    free,
    get,
    hot_of,
    is_expired,
    locate,
    region_block,
    word_of,
)
from .sketch import halve, increment
from .values import address_of, give_reference, read_value, swap


@njit(nogil=not HOLDS_GIL, cache=CACHED)
def delete(header, region, words, refs, now, out, gone_refs, deleted):
    """Remove keys; their values move to `out`, unless they are rows and it is empty."""
    head = address(header)
    block = region_block(head, region)
    target = address_of(out)
    for first in range(0, words.size, BLOCK):
        lock_exclusive(head)
        for i in range(first, min(first + BLOCK, words.size)):
            deleted[i] = False
            number, ways, slot, line, _ = locate(head, block, words[i])
            group = get(head, H.LINES) + number * SET_BYTES
            ref = load64(refs + 8 * i) if KEY_REFS else 0
            way = find(head, group, ways, slot, line, words[i], ref)
            if way < 0:
                continue
            deleted[i] = not is_expired(head, group, slot, way, now)
            free(head, block, group, way, DELETIONS if deleted[i] else EXPIRATIONS)
            if KEY_REFS:
                swap(get(head, H.REFS) + 8 * (slot + way), gone_refs + 8 * i)
            if VALUE_REFS:
                swap(get(head, H.VALUES) + 8 * (slot + way), target + 8 * i)
            elif target and deleted[i] and ROW_BYTES:
                read_value(get(head, H.VALUES), slot + way, target, i)
        unlock_exclusive(head)


@njit(nogil=not HOLDS_GIL, cache=CACHED)
def clear(header, region, gone_values, gone_refs):
    """Empty a region; references move to arrays (addresses) as long as its capacity."""
    head = address(header)
    block = region_block(head, region)
    slot = get(block, H.FIRST_SLOT)
    lock_exclusive(head)
    for index in range(get(block, H.SETS)):
        number = get(block, H.BASE) + index
        group = get(head, H.LINES) + number * SET_BYTES
        record = get(head, H.RECORDS) + number * STRIDE
        for line in range(SET_BYTES // LINE_BYTES):
            store64(group + line * LINE_BYTES + FLAGS, 0)
        store_state(record, 0)
        if HAS_GHOSTS:
            zero_bytes(record + GHOSTS, 2 * WAYS)
    if KEY_REFS or VALUE_REFS:
        for i in range(get(block, H.CAPACITY)):
            if KEY_REFS:
                swap(get(head, H.REFS) + 8 * (slot + i), gone_refs + 8 * i)
            if VALUE_REFS:
                swap(get(head, H.VALUES) + 8 * (slot + i), gone_values + 8 * i)
    add(block, DELETIONS, get(block, SIZE))
    add(block, SIZE, -get(block, SIZE))
    unlock_exclusive(head)


@njit(nogil=not HOLDS_GIL, cache=CACHED)
def export(header, region, now, words, refs, slots, metas, guesses, deadlines, values):
    """Copy out the live entries that have not expired, by slot; return how many."""
    head = address(header)
    block = region_block(head, region)
    target = address_of(values)
    count = 0
    slot = get(block, H.FIRST_SLOT)
    for first in range(0, get(block, H.SETS), BLOCK):
        lock_shared(head)
        for index in range(first, min(first + BLOCK, get(block, H.SETS))):
            number = get(block, H.BASE) + index
            group = get(head, H.LINES) + number * SET_BYTES
            record = get(head, H.RECORDS) + number * STRIDE
            ways = get(block, H.QUOTIENT) + (1 if index < get(block, H.REMAINDER) else 0)
            for way in range(ways):
                live = load8(flags_of(group, way)) & bit_of(way)
                if not live or is_expired(head, group, slot, way, now):
                    continue
                words[count] = word_of(group, way)
                slots[count] = slot + way
                metas[count] = load_meta(group, record, way)
                guesses[count] = load8(hot_of(group, way)) & GUESS != 0
                deadlines[count] = deadline_of(head, group, slot, way)
                if KEY_REFS:
                    give_reference(refs + 8 * count, get(head, H.REFS) + 8 * (slot + way))
                if VALUE_REFS or ROW_BYTES:
                    read_value(get(head, H.VALUES), slot + way, target, count)
                count += 1
            slot += ways
        unlock_shared(head)
    return count


@njit(nogil=not HOLDS_GIL, cache=CACHED)
def replay_trace(header, parameters, region, words, hits):
    """Get, then insert if absent, one request at a time: a trace through a table without values."""
    head = address(header)
    block = region_block(head, region)
    metas = np.empty(WAYS, np.int64)
    none = np.empty(1, np.int64)
    gone = np.empty(1, np.int64)
    evicted = np.empty(1, np.bool_)
    found = 0
    lock_exclusive(head)
    for i in range(words.size):
        word = words[i]
        tick = advance_tick(head, 1)
        number, ways, slot, line, _ = locate(head, block, word)
        group = get(head, H.LINES) + number * SET_BYTES
        record = get(head, H.RECORDS) + number * STRIDE
        way = find(head, group, ways, slot, line, word, 0)
        hits[i] = way >= 0
        if way >= 0:
            found += 1
            if load8(hot_of(group, way)) & GUESS:
                replay_insert(head, group, record, way, tick, word, parameters)
            else:
                note_hit(hot_of(group, way), record, way, tick, parameters)
        else:
            full = get(block, SIZE) >= get(block, H.CAPACITY)
            insert_one(
                head, block, parameters, word, 0, 0, 0, 0, advance_tick(head, 1), full, 0, 0, 0,
                0, 0, none, evicted, gone, 0, 0, metas,
            )  # fmt: skip
        if HAS_SKETCH:
            # Both outcomes count once: a hit is a hit, a miss is stored.
            increment(head, word)
            atomic_add(head + 8 * H.ADDITIONS, 1)
            halve(head)
    unlock_exclusive(head)
    add(block, HITS, found)
    add(block, MISSES, words.size - found)


@njit(cache=CACHED)
def advance(header, n):
    """Take the ticks of a batch of n keys; return the first."""
    return advance_tick(address(header), n)


@njit(cache=CACHED)
def publish(header, word, value):
    """Set a word of the header unless another thread was first; return whether it was us."""
    return atomic_swap_if(address(header) + 8 * word, 0, value)
