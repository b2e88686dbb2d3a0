"""Verbs that move no entry: lookup, replay of used guesses, peek, candidates."""

from __future__ import annotations

import numpy as np
from numba import njit

from predis_core.table import header as H
from predis_core.table.intrinsics import (
    address,
    atomic_add,
    called,
    equal_words,
    inlined,
    load8,
    load64,
    lowest_bit,
    mix,
    prefetch,
    store8,
    store64,
    zero_bytes,
)
from predis_core.table.layout import LINE_BYTES, SET_BYTES, WAYS_PER_LINE

from .constants import CACHED, HOLDS_GIL, KEY_REFS, ROW_BYTES, STRIDE
from .lock import lock_shared, unlock_shared
from .metadata import GUESS, note_hit, replay_insert
from .places import (
    BLOCK,
    FLAGS,
    HAS_DEADLINE,
    HITS,
    LIVE,
    MISSES,
    advance_tick,
    bit_of,
    deadline_of,
    find,
    find_place,
    flags_of,
    get,
    hot_of,
    is_expired,
    lines_of,
    locate,
    next_line,
    region_block,
    way_at,
)
from .values import address_of, give_reference, read_value


@njit(nogil=not HOLDS_GIL, cache=CACHED)
def lookup(header, parameters, region, words, refs, now, tick, out, zero, counted, slots, found):
    """Find keys, note their use, copy their values; return (tick, guesses found).

    `tick` is the batch's, or -1 to take one. `out` takes the values; with `zero`, rows of misses
    are cleared; `counted` adds to the counters. `slots` int64[n] and `found` bool[n] are written.
    Guesses found wait for `replay`.
    """
    head = address(header)
    block = region_block(head, region)
    n = words.size
    if tick < 0:
        tick = advance_tick(head, n)
    lines = get(head, H.LINES)
    records, values = get(head, H.RECORDS), get(head, H.VALUES)
    target = address_of(out)
    homes = np.empty(4 * BLOCK, np.int64)
    # Addresses, because indexing an array checks for negative indices.
    word_at, slot_at, found_at = address(words), address(slots), address(found)
    home_at = address(homes)
    hits = guesses = 0
    for first in range(0, n, BLOCK):
        count = min(BLOCK, n - first)
        for j in range(count):
            number, ways, slot, line, _ = locate(head, block, load64(word_at + 8 * (first + j)))
            group = lines + number * SET_BYTES
            prefetch(group + line * LINE_BYTES)
            store64(home_at + 32 * j, group)
            store64(home_at + 32 * j + 8, ways)
            store64(home_at + 32 * j + 16, slot)
            store64(home_at + 32 * j + 24, line)
        lock_shared(head)
        for j in range(count):
            i = first + j
            group, ways = load64(home_at + 32 * j), load64(home_at + 32 * j + 8)
            slot, line = load64(home_at + 32 * j + 16), load64(home_at + 32 * j + 24)
            ref = load64(refs + 8 * i) if KEY_REFS else 0
            place = find_place(head, group, ways, slot, line, load64(word_at + 8 * i), ref)
            way = way_at(place)
            here = group + ((place & ~7) << 3) + FLAGS
            hit = place >= 0
            if hit and load8(here) & HAS_DEADLINE:
                hit = not is_expired(head, group, slot, way, now)
            store8(found_at + i, hit)
            store64(slot_at + 8 * i, slot + way if hit else -1)
            if not hit:
                continue
            hits += 1
            hot_address = here + 1 + (place & 7)
            if load8(hot_address) & GUESS:
                guesses += 1
            else:
                record = records + (group - lines) // SET_BYTES * STRIDE
                note_hit(hot_address, record, way, tick, parameters)
            if target:
                prefetch(values + (ROW_BYTES or 8) * (slot + way))
        if target:
            for i in range(first, first + count):
                if load8(found_at + i):
                    read_value(values, load64(slot_at + 8 * i), target, i)
                elif zero and ROW_BYTES:
                    zero_bytes(target + ROW_BYTES * i, ROW_BYTES)
        unlock_shared(head)
    if counted:
        atomic_add(block + 8 * HITS, hits)
        atomic_add(block + 8 * MISSES, n - hits)
    # Numba frees an array after its last use, and does not see uses by address.
    homes[0] = 0
    return tick, guesses


@njit(nogil=not HOLDS_GIL, cache=CACHED)
def replay(header, parameters, region, words, tick, slots):
    """Replay `on_insert` for the guesses that a batch's lookup found at `slots`."""
    head = address(header)
    block = region_block(head, region)
    for i in range(words.size):
        if slots[i] < 0:
            continue
        number, _, slot, _, _ = locate(head, block, words[i])
        group = get(head, H.LINES) + number * SET_BYTES
        way = slots[i] - slot
        lock_shared(head)
        live = load8(flags_of(group, way)) & bit_of(way)
        here = group + way // WAYS_PER_LINE * LINE_BYTES
        same = live and load64(here + 8 * (way % WAYS_PER_LINE)) == words[i]
        if same and load8(hot_of(group, way)) & GUESS:
            record = get(head, H.RECORDS) + number * STRIDE
            replay_insert(head, group, record, way, tick, words[i], parameters)
        unlock_shared(head)


@njit(nogil=not HOLDS_GIL, cache=CACHED)
def peek(header, region, words, refs, now, deadlines):
    """Write each key's deadline (0 for none, -1 for an absent key), noting nothing."""
    head = address(header)
    block = region_block(head, region)
    for first in range(0, words.size, BLOCK):
        lock_shared(head)
        for i in range(first, min(first + BLOCK, words.size)):
            number, ways, slot, line, _ = locate(head, block, words[i])
            group = get(head, H.LINES) + number * SET_BYTES
            ref = load64(refs + 8 * i) if KEY_REFS else 0
            way = find(head, group, ways, slot, line, words[i], ref)
            deadlines[i] = -1
            if way >= 0:
                deadline = deadline_of(head, group, slot, way)
                if not 0 < deadline <= now:
                    deadlines[i] = deadline
        unlock_shared(head)


@njit(cache=CACHED)
def candidates(header, region, words, skip, out, found, signatures):
    """For keys that are references: hand out, for each word, the key of the `skip`-th equal word.

    `out` is the address of object[n] filled with None; `found` bool[n] says where it was replaced.
    `signatures` int64[n] names the keys that share the word now: it changes when one comes or goes.
    """
    head = address(header)
    block = region_block(head, region)
    for i in range(words.size):
        number, ways, slot, line, _ = locate(head, block, words[i])
        group = get(head, H.LINES) + number * SET_BYTES
        signature = seen = 0
        found[i] = False
        for _ in range(lines_of(ways)):
            here = group + line * LINE_BYTES
            equal = equal_words(here, words[i]) & load8(here + FLAGS) & LIVE
            while equal:
                way = line * WAYS_PER_LINE + lowest_bit(equal)
                source = get(head, H.REFS) + 8 * (slot + way)
                signature += _sign(load64(source), slot + way)
                if seen == skip[i]:
                    give_reference(out + 8 * i, source)
                    found[i] = True
                seen += 1
                equal &= equal - 1
            line = next_line(line, ways)
        signatures[i] = signature


@inlined
def _sign(pointer, slot):
    """What a key adds to a signature: who it is and where."""
    return np.int64(mix(pointer ^ np.int64(mix(slot, 0)), 0))


@called
def signature_of(head, group, ways, slot, word):
    signature = 0
    for line in range(lines_of(ways)):
        here = group + line * LINE_BYTES
        equal = equal_words(here, word) & load8(here + FLAGS) & LIVE
        while equal:
            way = line * WAYS_PER_LINE + lowest_bit(equal)
            signature += _sign(load64(get(head, H.REFS) + 8 * (slot + way)), slot + way)
            equal &= equal - 1
    return signature
