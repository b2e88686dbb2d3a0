"""Verbs that move no entry: lookup, replay of used guesses, peek, candidates."""

from __future__ import annotations

import numpy as np

from predis_core.table import header as H
from predis_core.table.intrinsics import (
    address,
    atomic_add,
    called,
    equal_words,
    fence,
    inlined,
    load8,
    load64,
    lowest_bit,
    mix,
    multiply_high,
    prefetch,
    store8,
    store64,
    zero_bytes,
)
from predis_core.table.layout import LINE_BYTES, LINES, SET_BYTES, WAYS_PER_LINE
from predis_core.table.machine_code import njit

from .blobs import copy_blob
from .constants import BLOBS, CACHED, HOLDS_GIL, KEY_REFS, ROW_BYTES, STRIDE, WEIGHED
from .lock import lock_shared, unlock_shared
from .metadata import GUESS, fixed, note_hit, replay_insert
from .orders import is_steady
from .places import (
    BLOCK,
    FLAGS,
    HAS_DEADLINE,
    HIT_BYTES,
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
    place_among,
    region_block,
    sample_of,
    way_at,
)
from .removals import size_at
from .values import (
    AHEAD,
    IS_WIDE,
    address_of,
    ask_for_row,
    bytes_of,
    give_reference,
    read_value,
    stream_row,
)
from .worth import note_value

CHUNK = 4 * BLOCK
"""Keys that are handled under one lock."""
SEAT = 3
"""Words of a seat: see `aim`."""
STREAMED = 1 << 20
"""Bytes of rows from which on a batch writes them past the caches: it would push out more."""


@njit(nogil=not HOLDS_GIL, cache=CACHED)
def lookup(
    header, parameters, region, words, refs, now, tick, out, offsets, zero, counted, slots, found
):  # fmt: skip
    """Find keys, note their use, copy their values; return (tick, guesses found, where it stopped).

    `tick` is the batch's, or -1 to take one. `out` takes the values; with `zero`, rows of misses
    are cleared; `counted` adds to the counters. `slots` int64[n] and `found` bool[n] are written.
    Guesses found wait for `replay`. Blobs lie in `out` one after the other, from `offsets[0]` on,
    and `offsets` int64[n + 1] is written; if `out` is too short, that is where this stops.
    """
    head = address(header)
    settings = fixed(parameters)
    block = region_block(head, region)
    n = words.size
    if tick < 0:
        tick = advance_tick(head, n)
    target = address_of(out)
    seats = np.empty(SEAT * BLOCK + BLOCK, np.int64)
    # Addresses, because indexing an array checks for negative indices.
    word_at, slot_at, found_at = address(words), address(slots), address(found)
    seat_at = address(seats)
    streams = ROW_BYTES % LINE_BYTES == 0 and n * ROW_BYTES >= STREAMED and target % 16 == 0
    hits = guesses = size = 0
    stopped = n
    for first in range(0, n, CHUNK):
        count = min(CHUNK, n - first)
        hits_before, guesses_before = hits, guesses
        lock_shared(head)
        for start in range(first, first + count, BLOCK):
            some, unused = find_block(
                head, block, word_at + 8 * start, refs + 8 * start if KEY_REFS else 0,
                min(BLOCK, first + count - start), seat_at, now, tick, settings, target,
                slot_at + 8 * start, found_at + start,
            )  # fmt: skip
            hits += some
            guesses += unused
        if BLOBS and offsets.size:
            if not give_blobs(head, first, count, slot_at, target, bytes_of(out), offsets):
                unlock_shared(head)
                hits, guesses, stopped = hits_before, guesses_before, first
                break
        elif target:
            give(head, first, count, slot_at, target, zero, streams)
        if (BLOBS or WEIGHED) and counted:
            size += size_of_block(head, first, count, slot_at)
        unlock_shared(head)
        if counted and get(head, H.SAMPLE_BELOW):
            sample(head, count, word_at + 8 * first, found_at + first, tick)
    if streams:
        fence()
    if counted:
        atomic_add(block + 8 * HITS, hits)
        atomic_add(block + 8 * MISSES, stopped - hits)
        if BLOBS or WEIGHED:
            atomic_add(block + 8 * HIT_BYTES, size)
    # Numba frees an array after its last use, and does not see uses by address.
    seats[0] = 0
    return tick, guesses, stopped


@inlined
def find_block(
    head, block, words, refs, count, seats, now, tick, parameters, target, slots, found
):  # fmt: skip
    """Find a block of keys and note their use; return (hits, guesses among them)."""
    aim(head, block, words, count, seats)
    probe(head, words, refs, count, seats)
    if is_steady(head):
        return use(head, count, seats, now, tick, parameters, target, slots, found, True)
    return use_unnoted(head, count, seats, now, tick, parameters, target, slots, found)


@inlined
def aim(head, block, words, count, seats):
    """Take a seat for each word of a block of keys, and ask for the line it is probably in.

    A seat is the address of its set, the set's first slot, and the address of the home line.
    """
    # Into locals, because what is stored below may be the header for all that the compiler knows.
    seed, sets = get(head, H.SEED), np.uint64(get(block, H.SETS))
    quotient, remainder = get(block, H.QUOTIENT), get(block, H.REMAINDER)
    fewer, more = lines_of(quotient), lines_of(quotient + 1)
    groups = get(head, H.LINES) + get(block, H.BASE) * SET_BYTES
    first_slot = get(block, H.FIRST_SLOT)
    for j in range(count):
        hashed = mix(load64(words + 8 * j), seed)
        index = np.int64(multiply_high(hashed, sets))
        lines = more if index < remainder else fewer
        line = (np.int64(hashed & np.uint64(0xFFFF)) * lines) >> 16
        group = groups + index * SET_BYTES
        home = group + line * LINE_BYTES
        prefetch(home)
        seat = seats + 8 * SEAT * j
        store64(seat, group)
        store64(seat + 8, first_slot + index * quotient + min(index, remainder))
        store64(seat + 16, home)


@inlined
def probe(head, words, refs, count, seats):
    """Write in place of each seat's home line the key's place in its set, or -1.

    Home lines first, all of them, and then whole sets of those that were not at home: where a
    branch depended on where a key is, the processor would guess wrong every other time.
    """
    others = seats + 8 * SEAT * BLOCK
    left = 0
    for j in range(count):
        seat = seats + 8 * SEAT * j
        group, home = load64(seat), load64(seat + 16)
        equal = equal_words(home, load64(words + 8 * j)) & load8(home + FLAGS) & LIVE
        first = (home - group) >> 3
        ref = load64(refs + 8 * j) if KEY_REFS else 0
        place = place_among(head, load64(seat + 8), equal << first, ref)
        store64(seat + 16, place)
        store64(others + 8 * left, j)
        left += place < 0
    for other in range(left):
        group = load64(seats + 8 * SEAT * load64(others + 8 * other))
        for line in range(LINES):
            prefetch(group + line * LINE_BYTES)
    for other in range(left):
        j = load64(others + 8 * other)
        seat = seats + 8 * SEAT * j
        ref = load64(refs + 8 * j) if KEY_REFS else 0
        word = load64(words + 8 * j)
        store64(seat + 16, find_place(head, load64(seat), load64(seat + 8), word, ref))


@called
def use_unnoted(head, count, seats, now, tick, parameters, target, slots, found):
    """Do as `use` does, but for the policy: the table is on its way to another."""
    return use(head, count, seats, now, tick, parameters, target, slots, found, False)


@inlined
def use(head, count, seats, now, tick, parameters, target, slots, found, noted):
    """Note hits, write where they are, ask for their values; return (hits, guesses among them)."""
    lines, records = get(head, H.LINES), get(head, H.RECORDS)
    values = get(head, H.SIZES if BLOBS else H.VALUES)
    hits = guesses = 0
    for j in range(count):
        seat = seats + 8 * SEAT * j
        group, slot, place = load64(seat), load64(seat + 8), load64(seat + 16)
        way = way_at(place)
        here = group + ((place & ~7) << 3) + FLAGS
        hit = place >= 0
        if hit and load8(here) & HAS_DEADLINE:
            hit = not is_expired(head, group, slot, way, now)
        store8(found + j, hit)
        store64(slots + 8 * j, slot + way if hit else -1)
        if not hit:
            continue
        hits += 1
        if target and not IS_WIDE:
            prefetch(values + (ROW_BYTES or (16 if BLOBS else 8)) * (slot + way))
        hot_address = here + 1 + (place & 7)
        if load8(hot_address) & GUESS:
            guesses += 1
        elif noted:
            record = records + (group - lines) // SET_BYTES * STRIDE
            note_hit(hot_address, record, way, tick, parameters)
    return hits, guesses


@inlined
def give(head, first, count, slots, target, zero, streams):
    """Give out the values of a chunk of keys, of which wide ones are asked for a while before."""
    values = get(head, H.VALUES)
    if IS_WIDE:
        for i in range(first, first + min(count, AHEAD)):
            ask_for_row(values, load64(slots + 8 * i))
    for i in range(first, first + count):
        if IS_WIDE and i + AHEAD < first + count:
            ask_for_row(values, load64(slots + 8 * (i + AHEAD)))
        slot = load64(slots + 8 * i)
        if slot >= 0:
            if streams:
                stream_row(values, slot, target, i)
            else:
                read_value(values, slot, target, i)
        elif zero and ROW_BYTES:
            zero_bytes(target + ROW_BYTES * i, ROW_BYTES)


@called
def give_blobs(head, first, count, slot_at, target, room, offsets):
    """Copy the blobs of a block of keys to where the last ones ended; return whether there is room.

    Without room, `offsets` says at the end of the block how long `out` had to be.
    """
    end = offsets[first]
    for i in range(first, first + count):
        slot = load64(slot_at + 8 * i)
        end += size_at(head, slot) if slot >= 0 else 0
        offsets[i + 1] = end
    if end > room:
        return False
    for i in range(first, first + count):
        slot = load64(slot_at + 8 * i)
        if slot >= 0:
            copy_blob(head, slot, target + offsets[i])
    return True


@called
def size_of_block(head, first, count, slot_at):
    """What the values that were found weigh together."""
    size = 0
    for i in range(first, first + count):
        slot = load64(slot_at + 8 * i)
        size += size_at(head, slot) if slot >= 0 else 0
    return size


@called
def sample(head, count, words, found, tick):
    """Note the accesses of a chunk's keys that are sampled."""
    seed, below = get(head, H.SEED), get(head, H.SAMPLE_BELOW)
    for first in range(0, count, BLOCK):
        sampled = 0
        # Without a branch: most keys are not.
        for j in range(min(BLOCK, count - first)):
            some = sample_of(mix(load64(words + 8 * (first + j)), seed)) < below
            sampled |= np.int64(some) << j
        while sampled:
            i = first + lowest_bit(sampled)
            note_access(head, load64(words + 8 * i), load8(found + i), tick)
            sampled &= sampled - 1


@inlined
def note_access(head, word, found, tick):
    """Note an access in the ring, where the oldest ones make room."""
    place = atomic_add(head + 8 * H.SAMPLED, 1) & get(head, H.SAMPLES_MASK)
    entry = get(head, H.SAMPLES) + 16 * place
    store64(entry, word)
    store64(entry + 8, tick << 1 | found)


@njit(nogil=not HOLDS_GIL, cache=CACHED)
def replay(header, parameters, region, words, tick, slots):
    """Replay `on_insert` for the guesses that a batch's lookup found at `slots`."""
    head = address(header)
    settings = fixed(parameters)
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
        if same and is_steady(head) and load8(hot_of(group, way)) & GUESS:
            record = get(head, H.RECORDS) + number * STRIDE
            replay_insert(head, group, record, way, tick, words[i], settings)
            note_value(head, group, record, slot, way, settings)
        unlock_shared(head)


@njit(nogil=not HOLDS_GIL, cache=CACHED)
def contains(header, region, words, refs, now, found):
    """Write which keys are present (bool[n]), noting nothing."""
    head = address(header)
    block = region_block(head, region)
    seats = np.empty(SEAT * BLOCK + BLOCK, np.int64)
    word_at, found_at, seat_at = address(words), address(found), address(seats)
    for first in range(0, words.size, BLOCK):
        count = min(BLOCK, words.size - first)
        aim(head, block, word_at + 8 * first, count, seat_at)
        lock_shared(head)
        probe(head, word_at + 8 * first, refs + 8 * first if KEY_REFS else 0, count, seat_at)
        for j in range(count):
            seat = seat_at + 8 * SEAT * j
            place = load64(seat + 16)
            hit = place >= 0
            if get(head, H.DEADLINES) and hit:
                hit = not is_expired(head, load64(seat), load64(seat + 8), way_at(place), now)
            store8(found_at + first + j, hit)
        unlock_shared(head)
    # Numba frees an array after its last use, and does not see uses by address.
    seats[0] = 0


@njit(nogil=not HOLDS_GIL, cache=CACHED)
def peek(header, region, words, refs, now, deadlines):
    """Write each key's deadline (0 for none, -1 for an absent key), noting nothing."""
    head = address(header)
    block = region_block(head, region)
    for first in range(0, words.size, BLOCK):
        lock_shared(head)
        for i in range(first, min(first + BLOCK, words.size)):
            number, _, slot, _, _ = locate(head, block, words[i])
            group = get(head, H.LINES) + number * SET_BYTES
            ref = load64(refs + 8 * i) if KEY_REFS else 0
            way = find(head, group, slot, words[i], ref)
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
