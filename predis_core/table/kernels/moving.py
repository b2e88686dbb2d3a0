"""From a sealed table to its successor: entries, and what both have counted.

Where both tables are locked, the older one comes first.
"""

from __future__ import annotations

import numpy as np

from predis_core.table import header as H
from predis_core.table.intrinsics import address, atomic_add, load8, load64, store8, store64
from predis_core.table.layout import SET_BYTES
from predis_core.table.machine_code import njit

from .blobs import copy_blob, release_blob
from .constants import BLOBS, CACHED, HOLDS_GIL, KEY_REFS, ROW_BYTES, VALUE_REFS, WEIGHED
from .inserts import INSERTED, LOG_FULL, UNKNOWN, insert_one
from .lock import lock_exclusive, lock_shared, unlock_exclusive, unlock_shared
from .lookups import signature_of
from .metadata import GUESS, fixed
from .places import (
    BLOCK,
    BYTES,
    EVICTIONS,
    EXPIRATIONS,
    HITS,
    INSERTED_BYTES,
    INSERTIONS,
    MISSES,
    REFUSALS,
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
)
from .removals import EVICTED, EXPIRED, has_room_for, remove, size_at
from .values import address_of, bytes_of, give_reference, read_value, swap
from .victims import scratch


@njit(nogil=not HOLDS_GIL, cache=CACHED)
def carry(older, newer, parameters, words, refs, start, now, values, sizes, old_refs, log, carried):
    """Move those of n keys that the sealed table `older` holds to its successor, in their order.

    Each is in one of the two at any time, and not in `newer` while it is in `older`. Counters say
    that it was inserted into `newer` and never into `older`. What finds no place there, or has
    expired, leaves, and so do those that leave `newer` for others.

    `refs` are the older table's own references, `old_refs` takes them. Values pass through
    `values`: addresses, or memory for rows or for one blob; `sizes` int64[n + 1] is for what they
    weigh. `carried` int64[2] is added to: how many came over, and how many were evicted for it.

    Returns where it stopped: before the end if the log is full, or a blob does not fit `values`;
    then `sizes[0]` is how long it is.
    """
    source, target, log_at = address(older), address(newer), address(log)
    settings = fixed(parameters)
    source_block, target_block = region_block(source, 0), region_block(target, 0)
    n = words.size
    tick = advance_tick(target, n)
    room = scratch()
    slots = np.empty(n + 1, np.int64)
    place = address_of(values)
    for first in range(start, n, BLOCK):
        lock_exclusive(source)
        lock_exclusive(target)
        for i in range(first, min(first + BLOCK, n)):
            word = words[i]
            number, _, slot, _, _ = locate(source, source_block, word)
            group = get(source, H.LINES) + number * SET_BYTES
            ref = load64(refs + 8 * i) if KEY_REFS else 0
            way = find(source, group, slot, word, ref)
            if way < 0:
                continue
            here = slot + way
            size = size_at(source, here)
            sizes[0] = size
            if not has_room_for(log_at, source, here) or (BLOBS and size > bytes_of(values)):
                unlock_exclusive(target)
                unlock_exclusive(source)
                return i
            if is_expired(source, group, slot, way, now):
                remove(source, source_block, group, slot, way, EXPIRED, EXPIRATIONS, log_at, i)
                continue
            deadline = deadline_of(source, group, slot, way)
            cost = load64(get(source, H.COSTS) + 8 * here) if get(source, H.COSTS) else 0
            guess = load8(hot_of(group, way)) & GUESS
            if VALUE_REFS:
                give_reference(place + 8 * i, get(source, H.VALUES) + 8 * here)
            elif ROW_BYTES:
                read_value(get(source, H.VALUES), here, place, i)
            elif BLOBS:
                copy_blob(source, here, place)
                sizes[i], sizes[i + 1] = 0, size
            if WEIGHED:
                sizes[i] = size
            hashed = hash_of(target, word)
            home = home_of(target_block, hashed)
            number, ways, slot_there, _, _ = home
            there = get(target, H.LINES) + number * SET_BYTES
            signature = signature_of(target, there, ways, slot_there, word) if KEY_REFS else 0
            full = get(target_block, SIZE) >= get(target_block, H.CAPACITY)
            evictions = get(target_block, EVICTIONS)
            status = insert_one(
                target, target_block, settings, word, hashed, home, UNKNOWN, ref, refs,
                signature, now, tick + i, full, deadline, cost, address(sizes),
                3 if guess else 1, i, place, log_at, address(slots), address(room),
            )  # fmt: skip
            carried[1] += get(target_block, EVICTIONS) - evictions
            if status == LOG_FULL or (
                status != INSERTED and not has_room_for(log_at, source, here)
            ):
                unlock_exclusive(target)
                unlock_exclusive(source)
                sizes[0] = 0
                return i
            if status != INSERTED:
                add(target_block, REFUSALS, -1)
                remove(source, source_block, group, slot, way, EVICTED, EVICTIONS, log_at, i)
                carried[1] += 1
                continue
            if KEY_REFS:
                swap(get(source, H.REFS) + 8 * here, old_refs + 8 * i)
            if VALUE_REFS:
                # The successor has its own reference by now; the older table's goes where None is.
                swap(get(source, H.VALUES) + 8 * here, place + 8 * i)
            if BLOBS:
                release_blob(source, here)
            flags = flags_of(group, way)
            store8(flags, load8(flags) & ~bit_of(way))
            add(source_block, SIZE, -1)
            add(source_block, INSERTIONS, -1)
            if BLOBS or WEIGHED:
                add(source_block, BYTES, -size)
                add(source_block, INSERTED_BYTES, -size)
            carried[0] += 1
        unlock_exclusive(target)
        unlock_exclusive(source)
    # Numba frees an array after its last use, and does not see uses by address.
    log[0] += 0
    room[0] = slots[0] = 0
    return n


@njit(nogil=not HOLDS_GIL, cache=CACHED)
def sum_counters(older, newer, sums):
    """Add to `sums` (int64, by counter) what two tables have counted, no move being half done."""
    first, second = address(older), address(newer)
    lock_shared(first)
    lock_shared(second)
    for counter in range(sums.size):
        at = H.COUNTERS + counter
        sums[counter] += get(region_block(first, 0), at) + get(region_block(second, 0), at)
    unlock_shared(second)
    unlock_shared(first)


@njit(cache=CACHED)
def count_lookups(header, hits, misses):
    """Count keys that were looked up in several tables."""
    block = region_block(address(header), 0)
    atomic_add(block + 8 * HITS, hits)
    atomic_add(block + 8 * MISSES, misses)


@njit(nogil=not HOLDS_GIL, cache=CACHED)
def seal(header, unless_pinned):
    """Have the table store nothing more, unless something is pinned; return whether it is so."""
    head = address(header)
    lock_exclusive(head)
    sealed = not unless_pinned or get(head, H.PINNED) == 0
    if sealed:
        store64(head + 8 * H.SEALED, 1)
    unlock_exclusive(head)
    return sealed
