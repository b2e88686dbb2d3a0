"""The insert: duplicates, updates, placing, writing."""

from __future__ import annotations

import numpy as np
from numba import njit

from predis_core.table import header as H
from predis_core.table.interface import Status
from predis_core.table.intrinsics import (
    address,
    called,
    disown,
    inlined,
    load8,
    load64,
    mix,
    own,
    prefetch,
    store8,
    store64,
)
from predis_core.table.layout import GUESS_SHARE, LINE_BYTES, SET_BYTES, WAYS

from .constants import CACHED, HOLDS_GIL, KEY_REFS, STRIDE, VALUE_REFS
from .lock import lock_exclusive, unlock_exclusive
from .lookups import signature_of
from .metadata import GUESS, note_hit, replay_insert
from .places import (
    BLOCK,
    EXPIRATIONS,
    HAS_DEADLINE,
    INSERTIONS,
    REFUSALS,
    SIZE,
    UPDATES,
    add,
    advance_tick,
    bit_of,
    find,
    flags_of,
    free,
    get,
    hot_of,
    is_expired,
    locate,
    region_block,
    word_address,
    word_of,
)
from .values import address_of, swap, write_value
from .victims import make_place

REFUSED, INSERTED, UPDATED, PRESENT, VETOED = (int(status) for status in Status)
STALE = len(Status)


@called
def mark_duplicates(words, last):
    """Write for each position the last one that holds the same word."""
    n = words.size
    if n == 1:
        last[0] = 0
        return
    size = 4
    while size < 2 * n:
        size *= 2
    places = np.zeros(size, np.int64)
    for i in range(n - 1, -1, -1):
        place = np.int64(mix(words[i], 0) & np.uint64(size - 1))
        while places[place] and words[places[place] - 1] != words[i]:
            place = (place + 1) & (size - 1)
        if places[place]:
            last[i] = places[place] - 1
        else:
            places[place] = i + 1
            last[i] = i


@njit(nogil=not HOLDS_GIL, cache=CACHED)
def insert(
    header, parameters, region, words, refs, given, signatures, start, stop, last, now, tick,
    region_full, deadlines, veto, mode, values, displaced, status, slots, evicted, gone_words,
    gone_refs, trash,
):  # fmt: skip
    """Store positions start to stop, each at the last position of its key.

    Returns (tick, where it stopped): before `stop` only if keys are references and one of them has
    come or gone since `signatures` were taken; `refs` are the table's own where it holds an equal
    key, `given` the batch's. `mode`: bit 0 leaves residents alone, bit 1 marks
    guesses. `last`, `status`, `slots`, `evicted`, `gone_words` are written. References that leave
    end up in `values` (address), `gone_refs` and `trash`, displaced rows in `displaced`.
    """
    head = address(header)
    block = region_block(head, region)
    n = words.size
    if tick < 0:
        tick = advance_tick(head, n)
        region_full = get(block, SIZE) >= get(block, H.CAPACITY)
    if not KEY_REFS and start == 0:
        mark_duplicates(words, last)
    metas = np.empty(WAYS, np.int64)
    source, removed = address_of(values), address_of(displaced)
    for first in range(start, stop, BLOCK):
        end = min(first + BLOCK, stop)
        for i in range(first, end):
            number, _, _, line, _ = locate(head, block, words[i])
            prefetch(get(head, H.LINES) + number * SET_BYTES + line * LINE_BYTES)
            prefetch(get(head, H.RECORDS) + number * STRIDE)
        lock_exclusive(head)
        for i in range(first, end):
            evicted[i] = False
            slots[i] = -1
            if last[i] != i:
                continue
            if veto.size and veto[i]:
                status[i] = VETOED
                continue
            deadline = deadlines[i] if deadlines.size else 0
            status[i] = insert_one(
                head, block, parameters, words[i], load64(refs + 8 * i) if KEY_REFS else 0, given,
                signatures[i] if KEY_REFS else 0, now, tick + i, region_full, deadline, mode, i,
                source, removed, slots, evicted, gone_words, gone_refs, trash, metas,
            )  # fmt: skip
            if KEY_REFS and status[i] == STALE:
                return tick, i
        unlock_exclusive(head)
    if stop == n:
        for i in range(n):
            status[i], slots[i] = status[last[i]], slots[last[i]]
    return tick, stop


@called
def insert_one(
    head, block, parameters, word, ref, given, signature, now, tick, region_full, deadline, mode, i,
    values, displaced, slots, evicted, gone_words, gone_refs, trash, metas,
):  # fmt: skip
    number, ways, slot, line, _ = locate(head, block, word)
    group = get(head, H.LINES) + number * SET_BYTES
    record = get(head, H.RECORDS) + number * STRIDE
    own_way = find(head, group, ways, slot, line, word, ref)
    if KEY_REFS and own_way < 0 and signature_of(head, group, ways, slot, word) != signature:
        return STALE
    if own_way >= 0 and is_expired(head, group, slot, own_way, now):
        free(head, block, group, own_way, EXPIRATIONS)
    elif own_way >= 0:
        slots[i] = slot + own_way
        if mode & 1:
            return PRESENT
        if load8(hot_of(group, own_way)) & GUESS:
            replay_insert(head, group, record, own_way, tick, word, parameters)
        else:
            note_hit(hot_of(group, own_way), record, own_way, tick, parameters)
        write_entry(head, group, slot, own_way, word, deadline)
        write_value(head, slots[i], values, i, displaced)
        add(block, UPDATES, 1)
        return UPDATED
    guess = mode & 2 != 0
    way = -1
    left = False
    if not guess or ways >= GUESS_SHARE:
        way, left = make_place(
            head, block, region_full, word, own_way, now, tick, guess, parameters, metas
        )
    if own_way >= 0 and own_way != way:
        # The key expired here and does not come back here: what it held must not linger.
        if KEY_REFS:
            swap(get(head, H.REFS) + 8 * (slot + own_way), trash + 16 * i)
        if VALUE_REFS:
            swap(get(head, H.VALUES) + 8 * (slot + own_way), trash + 16 * i + 8)
    if way < 0:
        add(block, REFUSALS, 1)
        return REFUSED
    slots[i] = slot + way
    if left:
        evicted[i] = True
        gone_words[i] = word_of(group, way)
    if KEY_REFS:
        # What the slot held goes out, in place of the None that lies there.
        target, gone = get(head, H.REFS) + 8 * (slot + way), gone_refs + 8 * i
        none = load64(gone)
        store64(gone, load64(target))
        # Not `ref`: a key that expired comes back as the batch has it.
        own(load64(given + 8 * i))
        store64(target, load64(given + 8 * i))
        disown(none)
    write_entry(head, group, slot, way, word, deadline)
    write_value(head, slots[i], values, i, displaced)
    add(block, SIZE, 1)
    add(block, INSERTIONS, 1)
    return INSERTED


@inlined
def write_entry(head, group, slot, way, word, deadline):
    flags = flags_of(group, way)
    store64(word_address(group, way), word)
    store8(flags, load8(flags) | bit_of(way) | (HAS_DEADLINE if deadline else 0))
    if get(head, H.DEADLINES):
        store64(get(head, H.DEADLINES) + 8 * (slot + way), deadline)
