"""The other verbs: delete, clear, export, and a trace's requests one at a time."""

from __future__ import annotations

import numpy as np

from predis_core.table import header as H
from predis_core.table.intrinsics import (
    address,
    atomic_add,
    atomic_swap_if,
    load8,
    load32,
    load64,
    store32,
    store64,
    zero_bytes,
)
from predis_core.table.layout import LINE_BYTES, SET_BYTES, WAYS
from predis_core.table.machine_code import njit

from .blobs import copy_blob, release_blob
from .constants import (
    BLOBS,
    CACHED,
    GHOSTS,
    HAS_GHOSTS,
    HAS_ON_VALUE,
    HAS_SKETCH,
    HOLDS_GIL,
    KEY_REFS,
    ROW_BYTES,
    STRIDE,
    VALUE_REFS,
    WEIGHED,
)
from .inserts import INSERTED, insert_one
from .lock import lock_exclusive, lock_shared, unlock_exclusive, unlock_shared
from .metadata import GUESS, fixed, load_meta, note_hit, replay_insert, store_state
from .orders import is_settled, settle
from .places import (
    BLOCK,
    DELETIONS,
    EXPIRATIONS,
    FLAGS,
    HIT_BYTES,
    HITS,
    MISSES,
    SIZE,
    add,
    advance_tick,
    bit_of,
    deadline_of,
    find,
    flags_of,
    get,
    hash_of,
    home_of,
    hot_of,
    is_expired,
    locate,
    region_block,
    ways_and_slot,
    word_of,
)
from .removals import CLEARED, DELETED, EXPIRED, has_room_for, remove, size_at
from .removals import HEAD as LOG_HEAD
from .sketch import halve, increment
from .values import address_of, bytes_of, give_reference, read_value
from .victims import scratch
from .worth import note_value


@njit(nogil=not HOLDS_GIL, cache=CACHED)
def delete(header, region, words, refs, now, start, log, deleted):
    """Remove keys from position `start` on; what leaves goes to `log`; return where it stopped.

    Before the end only if the log is full.
    """
    head, log_at = address(header), address(log)
    block = region_block(head, region)
    for first in range(start, words.size, BLOCK):
        lock_exclusive(head)
        for i in range(first, min(first + BLOCK, words.size)):
            deleted[i] = False
            number, _, slot, _, _ = locate(head, block, words[i])
            group = get(head, H.LINES) + number * SET_BYTES
            ref = load64(refs + 8 * i) if KEY_REFS else 0
            way = find(head, group, slot, words[i], ref)
            if way < 0:
                continue
            if not has_room_for(log_at, head, slot + way):
                unlock_exclusive(head)
                return i
            deleted[i] = not is_expired(head, group, slot, way, now)
            reason = DELETED if deleted[i] else EXPIRED
            counter = DELETIONS if deleted[i] else EXPIRATIONS
            remove(head, block, group, slot, way, reason, counter, log_at, i)
        unlock_exclusive(head)
    log[0] += 0  # it is used by address until here
    return words.size


@njit(nogil=not HOLDS_GIL, cache=CACHED)
def clear(header, region, first, stop, now, log):
    """Empty the sets first to stop of a region; what leaves goes to `log`; return where it stopped.

    Before `stop` only if the log is full.
    """
    head, log_at = address(header), address(log)
    block = region_block(head, region)
    lock_exclusive(head)
    for index in range(first, stop):
        number = get(block, H.BASE) + index
        group = get(head, H.LINES) + number * SET_BYTES
        record = get(head, H.RECORDS) + number * STRIDE
        ways, slot = ways_and_slot(block, index)
        for way in range(ways):
            if load8(flags_of(group, way)) & bit_of(way):
                if not has_room_for(log_at, head, slot + way):
                    unlock_exclusive(head)
                    return index
                reason = EXPIRED if is_expired(head, group, slot, way, now) else CLEARED
                remove(head, block, group, slot, way, reason, DELETIONS, log_at, 0)
        for line in range(SET_BYTES // LINE_BYTES):
            store64(group + line * LINE_BYTES + FLAGS, 0)
        store_state(record, 0)
        if HAS_GHOSTS:
            zero_bytes(record + GHOSTS, 2 * WAYS)
    unlock_exclusive(head)
    log[0] += 0  # it is used by address until here
    return stop


@njit(nogil=not HOLDS_GIL, cache=CACHED)
def pin(header, region, words, refs, now, slots):
    """Pin the entries of keys once more; `slots` are where they are, -1 for absent ones.

    Returns False if the table is sealed, and nothing is pinned.
    """
    head = address(header)
    block = region_block(head, region)
    lock_exclusive(head)
    if get(head, H.SEALED):
        unlock_exclusive(head)
        return False
    for i in range(words.size):
        number, _, slot, _, _ = locate(head, block, words[i])
        group = get(head, H.LINES) + number * SET_BYTES
        ref = load64(refs + 8 * i) if KEY_REFS else 0
        way = find(head, group, slot, words[i], ref)
        slots[i] = -1
        if way >= 0 and not is_expired(head, group, slot, way, now):
            slots[i] = slot + way
            pins = get(head, H.PINS) + 4 * (slot + way)
            if load32(pins) == 0:
                add(head, H.PINNED, 1)
            store32(pins, load32(pins) + 1)
    unlock_exclusive(head)
    return True


@njit(nogil=not HOLDS_GIL, cache=CACHED)
def unpin(header, region, words, slots):
    """Take back what `pin` did; entries that left meanwhile give up their memory with the last."""
    head = address(header)
    block = region_block(head, region)
    lock_exclusive(head)
    for i in range(words.size):
        if slots[i] < 0:
            continue
        pins = get(head, H.PINS) + 4 * slots[i]
        store32(pins, load32(pins) - 1)
        if load32(pins) == 0:
            add(head, H.PINNED, -1)
            if BLOBS:
                number, _, slot, _, _ = locate(head, block, words[i])
                group = get(head, H.LINES) + number * SET_BYTES
                way = slots[i] - slot
                if not load8(flags_of(group, way)) & bit_of(way):
                    release_blob(head, slots[i])
    unlock_exclusive(head)


@njit(nogil=not HOLDS_GIL, cache=CACHED)
def export(header, region, now, words, refs, slots, metas, guesses, deadlines, values, offsets):
    """Copy out the live entries that have not expired, by slot; return how many.

    Blobs lie in `values` one after the other, and `offsets` int64[capacity + 1] is written. If they
    do not fit, this returns -1 - the bytes that they need.
    """
    head = address(header)
    block = region_block(head, region)
    target = address_of(values)
    count = size = 0
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
                if BLOBS:
                    offsets[count] = size
                    size += size_at(head, slot + way)
                    if size <= bytes_of(values):
                        copy_blob(head, slot + way, target + offsets[count])
                count += 1
            slot += ways
        unlock_shared(head)
    if BLOBS:
        offsets[count] = size
        if size > bytes_of(values):
            return -1 - size
    return count


@njit(nogil=not HOLDS_GIL, cache=CACHED)
def replay_trace(header, parameters, region, words, sizes, costs, hits):
    """Get, then insert if absent, one request at a time: a trace through a table without values.

    `sizes` (int64[n]) are what values would weigh in a table that is bounded by that, `costs` what
    they cost; each is empty if there are none.
    """
    head = address(header)
    settings = fixed(parameters)
    block = region_block(head, region)
    room = scratch()
    none = np.empty(1, np.int64)
    log = np.zeros(LOG_HEAD, np.int64)
    found = 0
    lock_exclusive(head)
    for i in range(words.size):
        word = words[i]
        tick = advance_tick(head, 1)
        hashed = hash_of(head, word)
        home = home_of(block, hashed)
        number, ways, slot, _, _ = home
        group = get(head, H.LINES) + number * SET_BYTES
        record = get(head, H.RECORDS) + number * STRIDE
        way = find(head, group, slot, word, 0)
        hits[i] = way >= 0
        status = INSERTED
        if not is_settled(head, number):
            settle(head, number, group, record, ways, slot, settings)
        if way >= 0:
            found += 1
            if load8(hot_of(group, way)) & GUESS:
                replay_insert(head, group, record, way, tick, word, settings)
                note_value(head, group, record, slot, way, settings)
            else:
                note_hit(hot_of(group, way), record, way, tick, settings)
            if WEIGHED:
                add(block, HIT_BYTES, size_at(head, slot + way))
        else:
            full = get(block, SIZE) >= get(block, H.CAPACITY)
            status = insert_one(
                head, block, settings, word, hashed, home, 0, 0, 0, 0, 0, advance_tick(head, 1),
                full, 0, costs[i] if HAS_ON_VALUE and costs.size else 0, address(sizes) + 8 * i, 0,
                0, 0, address(log), address(none), address(room),
            )  # fmt: skip
        if HAS_SKETCH and (not WEIGHED or status == INSERTED):
            # Both outcomes count once: a hit is a hit, a miss is stored, unless it weighs too much.
            increment(head, word)
            atomic_add(head + 8 * H.ADDITIONS, 1)
            halve(head)
    unlock_exclusive(head)
    log[0] = none[0] = room[0] = 0  # they are used by address until here
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
