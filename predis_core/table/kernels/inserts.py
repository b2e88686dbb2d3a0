"""The insert: duplicates, updates, room, placing, writing."""

from __future__ import annotations

import numpy as np

from predis_core.table import header as H
from predis_core.table.interface import Status
from predis_core.table.intrinsics import (
    address,
    any_word,
    called,
    disown,
    inlined,
    load8,
    load32,
    load64,
    own,
    prefetch,
    store8,
    store32,
    store64,
)
from predis_core.table.layout import GUESS_SHARE, LINE_BYTES, LINES, SET_BYTES
from predis_core.table.machine_code import njit

from .blobs import can_ever_fit, fits, release_blob, write_blob
from .constants import BLOBS, CACHED, HOLDS_GIL, KEY_REFS, STRIDE, WEIGHED
from .lock import lock_exclusive, unlock_exclusive
from .lookups import signature_of
from .metadata import GUESS, fixed, note_hit, replay_insert
from .orders import is_ours, is_settled, settle
from .places import (
    BLOCK,
    BYTES,
    EVICTIONS,
    EXPIRATIONS,
    HAS_DEADLINE,
    INSERTED_BYTES,
    INSERTIONS,
    REFUSALS,
    SIZE,
    UPDATES,
    add,
    advance_tick,
    bit_of,
    find,
    flags_of,
    get,
    hash_of,
    home_of,
    hot_of,
    is_expired,
    is_pinned,
    region_block,
    word_address,
)
from .removals import (
    EVICTED,
    EXPIRED,
    REPLACED,
    has_room_for_any,
    note,
    remove,
    size_at,
)
from .values import address_of, write_value
from .victims import make_place, relieve, scratch
from .worth import note_value

REFUSED, INSERTED, UPDATED, PRESENT, VETOED = (int(status) for status in Status)
_SPREAD = np.uint64(0x9E3779B97F4A7C15)
"""A word's product with it has upper bits that differ where words do: 2**64 by the golden ratio."""
_AHEAD = 8
"""Keys whose sets are on their way while one is inserted, a power of two: they have 80 lines."""
UNKNOWN = -1
DONE = 0
STALE, LOG_FULL, SEALED, OTHER_POLICY = (len(Status) + number for number in range(4))
"""Why an insert stopped: a key has come or gone; the log is full; the table takes nothing more; or
it has another policy now, and so other kernels."""


@called
def mark_duplicates(words, last):
    """Write for each position the last one that holds the same word; return how many are not it."""
    n, word_at, last_at = words.size, address(words), address(last)
    if n == 1:
        last[0] = 0
        return 0
    bits = 2
    while 1 << bits < 2 * n:
        bits += 1
    places = np.zeros(1 << bits, np.int32)
    place_at, repeated = address(places), 0
    for i in range(n - 1, -1, -1):
        word = load64(word_at + 8 * i)
        place = np.int64((np.uint64(word) * _SPREAD) >> np.uint64(64 - bits))
        found = load32(place_at + 4 * place)
        while found and load64(word_at + 8 * found - 8) != word:
            place = (place + 1) & ((1 << bits) - 1)
            found = load32(place_at + 4 * place)
        if found:
            repeated += 1
        else:
            found = i + 1
            store32(place_at + 4 * place, found)
        store64(last_at + 8 * i, found - 1)
    # Numba frees an array after its last use, and does not see uses by address.
    places[0] = 0
    return repeated


@njit(nogil=not HOLDS_GIL, cache=CACHED)
def insert(
    header, parameters, region, words, refs, given, signatures, start, stop, last, now, tick,
    region_full, deadlines, costs, sizes, veto, mode, values, log, status, slots,
):  # fmt: skip
    """Store positions start to stop, each at the last position of its key.

    `refs` are the table's own references where it holds an equal key, `given` the batch's;
    `signatures` are those of what `refs` was compared with. `sizes` are what values weigh, or the
    offsets of blobs. `mode`: bit 0 leaves residents alone, bit 1 marks guesses. `last`, `status`
    and `slots` are written; what leaves goes to `log`.

    Returns (tick, region_full, where it stopped, why): before `stop`, it is to be called again from
    there with these, once what stopped it is dealt with.
    """
    head, log_at = address(header), address(log)
    settings = fixed(parameters)
    block = region_block(head, region)
    n = words.size
    if tick < 0:
        tick = advance_tick(head, n)
        region_full = get(block, SIZE) >= get(block, H.CAPACITY)
    # Where an earlier part marked them, there may be some.
    repeated = 1
    if not KEY_REFS and start == 0:
        repeated = mark_duplicates(words, last)
    room, ahead = scratch(), np.empty(_AHEAD, np.int64)
    # Addresses, because a function that is given arrays counts references to them.
    source, weights = address_of(values), address(sizes)
    slot_at, room_at = address(slots), address(room)
    word_at, last_at, ahead_at = address(words), address(last), address(ahead)
    for first in range(start, stop, BLOCK):
        end = min(first + BLOCK, stop)
        if first == start:
            for i in range(first, min(first + _AHEAD, stop)):
                ask_for(head, block, load64(word_at + 8 * i), ahead_at + 8 * (i & (_AHEAD - 1)))
        lock_exclusive(head)
        if get(head, H.SEALED):
            unlock_exclusive(head)
            return tick, region_full, first, SEALED
        if not is_ours(head):
            unlock_exclusive(head)
            return tick, region_full, first, OTHER_POLICY
        for i in range(first, end):
            word, asked = load64(word_at + 8 * i), ahead_at + 8 * (i & (_AHEAD - 1))
            hashed = np.uint64(load64(asked))
            home = home_of(block, hashed)
            if i + _AHEAD < stop:
                ask_for(head, block, load64(word_at + 8 * (i + _AHEAD)), asked)
            store64(slot_at + 8 * i, -1)
            if load64(last_at + 8 * i) != i:
                continue
            if veto.size and veto[i]:
                status[i] = VETOED
                continue
            status[i] = insert_one(
                head, block, settings, word, hashed, home, UNKNOWN,
                load64(refs + 8 * i) if KEY_REFS else 0, given, signatures[i] if KEY_REFS else 0,
                now, tick + i, region_full, deadlines[i] if deadlines.size else 0,
                costs[i] if costs.size else 0, weights, mode, i, source, log_at, slot_at, room_at,
            )  # fmt: skip
            if status[i] >= STALE:
                unlock_exclusive(head)
                return tick, region_full, i, status[i]
        unlock_exclusive(head)
    if stop == n and repeated and not KEY_REFS:
        for i in range(n):
            status[i], slots[i] = status[last[i]], slots[last[i]]
    # Numba frees an array after its last use, and does not see uses by address.
    log[0] += 0
    room[0] = ahead[0] = 0
    return tick, region_full, stop, DONE


@inlined
def ask_for(head, block, word, hashed_at):
    """Ask for all that an insert looks at: the lines of a word's set, its record; keep its hash."""
    hashed = hash_of(head, word)
    store64(hashed_at, np.int64(hashed))
    number, _, _, _, _ = home_of(block, hashed)
    ask_for_set(head, number)


@inlined
def ask_for_set(head, number):
    """Ask for the lines and the record of a set."""
    group, record = get(head, H.LINES) + number * SET_BYTES, get(head, H.RECORDS) + number * STRIDE
    for line in range(LINES):
        prefetch(group + line * LINE_BYTES)
    for start in range(0, STRIDE + LINE_BYTES - 8, LINE_BYTES):
        prefetch(record + min(start, STRIDE - 8))


@inlined
def insert_one(
    head, block, parameters, word, hashed, home, found, ref, given, signature, now, tick,
    region_full, deadline, cost, sizes, mode, i, values, log, slots, room,
):  # fmt: skip
    """Insert a key whose `home` is that of its hash; return a status.

    `found` says whether its set has its word: 1, 0 or UNKNOWN.
    """
    number, ways, slot, line, fingerprint = home
    group = get(head, H.LINES) + number * SET_BYTES
    record = get(head, H.RECORDS) + number * STRIDE
    if not is_settled(head, number):
        settle(head, number, group, record, ways, slot, parameters)
    if found == UNKNOWN:
        found = np.int64(any_word(group, word))
    own_way = find(head, group, slot, word, ref) if found else -1
    if KEY_REFS and own_way < 0:
        present = signature_of(head, group, ways, slot, word) if found else 0
        if present != signature:
            return STALE
    expired_way = -1
    if own_way >= 0 and is_expired(head, group, slot, own_way, now):
        expired_way, own_way = own_way, -1
    if own_way >= 0 and mode & 1:
        store64(slots + 8 * i, slot + own_way)
        return PRESENT
    guess = mode & 2 != 0
    size = size_of(sizes, i)
    refused = guess and ways < GUESS_SHARE
    if (BLOBS or WEIGHED) and not refused:
        spared = slot + max(own_way, expired_way) if own_way + expired_way > -2 else -1
        instead = size_at(head, spared) if spared >= 0 else -1
        if BLOBS and expired_way >= 0 and is_pinned(head, spared):
            instead = -1
        made = make_room(head, block, spared, instead, size, now, tick, parameters, room, log, i)
        if made < 0:
            return LOG_FULL
        refused = made == 0
    if not has_room_for_any(log, head, slot, ways):
        return LOG_FULL
    if expired_way >= 0:
        remove(head, block, group, slot, expired_way, EXPIRED, EXPIRATIONS, log, i)
        if is_pinned(head, slot + expired_way):
            expired_way = -1
    if refused:
        if own_way >= 0:
            # What was to be replaced must not be found any more.
            remove(head, block, group, slot, own_way, EVICTED, EVICTIONS, log, i)
        add(block, REFUSALS, 1)
        return REFUSED
    if own_way >= 0:
        if load8(hot_of(group, own_way)) & GUESS:
            replay_insert(head, group, record, own_way, tick, word, parameters)
        else:
            note_hit(hot_of(group, own_way), record, own_way, tick, parameters)
        note(head, group, slot, own_way, REPLACED, log, i)
        if BLOBS or WEIGHED:
            add(block, BYTES, -size_at(head, slot + own_way))
        if BLOBS:
            release_blob(head, slot + own_way)
        store64(slots + 8 * i, slot + own_way)
        write_entry(head, group, slot, own_way, word, deadline, cost)
        put_value(head, block, slot + own_way, values, sizes, size, i)
        note_value(head, group, record, slot, own_way, parameters)
        add(block, UPDATES, 1)
        return UPDATED
    way = make_place(
        head, block, region_full, hashed, group, record, ways, slot, line, fingerprint, expired_way,
        now, tick, guess, parameters, room, log, i,
    )  # fmt: skip
    if way < 0:
        add(block, REFUSALS, 1)
        return REFUSED
    store64(slots + 8 * i, slot + way)
    if KEY_REFS:
        # Not `ref`: a key that expired comes back as the batch has it. A free slot holds None.
        target = get(head, H.REFS) + 8 * (slot + way)
        none = load64(target)
        own(load64(given + 8 * i))
        store64(target, load64(given + 8 * i))
        disown(none)
    write_entry(head, group, slot, way, word, deadline, cost)
    put_value(head, block, slot + way, values, sizes, size, i)
    note_value(head, group, record, slot, way, parameters)
    add(block, SIZE, 1)
    add(block, INSERTIONS, 1)
    if BLOBS or WEIGHED:
        add(block, INSERTED_BYTES, size)
    return INSERTED


@inlined
def size_of(sizes, i):
    """What the value at a position of the batch weighs."""
    if BLOBS:
        return load64(sizes + 8 * i + 8) - load64(sizes + 8 * i)
    if WEIGHED:
        return load64(sizes + 8 * i)
    return 0


@called
def make_room(head, block, spared, instead, size, now, tick, parameters, room, log, i):
    """Have others than the one at slot `spared` leave until a value of this size fits.

    One of the size `instead` will be gone by then, or none (-1). Returns 1; or 0 if it never will
    fit; or -1 if the log is full.
    """
    if BLOBS:
        if not can_ever_fit(head, size):
            return 0
    elif size > get(head, H.LIMIT):
        return 0
    while True:
        if BLOBS:
            if fits(head, size, instead):
                return 1
        elif get(block, BYTES) - max(instead, 0) + size <= get(head, H.LIMIT):
            return 1
        left = relieve(head, block, spared, now, tick, parameters, room, log, i)
        if left <= 0:
            return left


@inlined
def put_value(head, block, slot, values, sizes, size, i):
    """Store a value at a slot that has none."""
    if BLOBS:
        write_blob(head, slot, values + load64(sizes + 8 * i), size)
    else:
        write_value(head, slot, values, i)
    if WEIGHED:
        store64(get(head, H.SIZES) + 8 * slot, size)
    if BLOBS or WEIGHED:
        add(block, BYTES, size)


@inlined
def write_entry(head, group, slot, way, word, deadline, cost):
    flags = flags_of(group, way)
    store64(word_address(group, way), word)
    store8(flags, load8(flags) | bit_of(way) | (HAS_DEADLINE if deadline else 0))
    if get(head, H.DEADLINES):
        store64(get(head, H.DEADLINES) + 8 * (slot + way), deadline)
    if get(head, H.COSTS):
        store64(get(head, H.COSTS) + 8 * (slot + way), cost)
