"""Who leaves: the ways of a set as the policy sees them, and its choice."""

from __future__ import annotations

import numpy as np

from predis_core.policies.contract import HOT_BITS
from predis_core.table import header as H
from predis_core.table.intrinsics import (
    called,
    count_bits,
    equal_pairs,
    equal_to,
    inlined,
    item,
    load32,
    load64,
    lowest_bit,
    mix,
    narrow0,
    narrow8,
    narrow16,
    narrow32,
    narrow64,
    put_item,
    store8,
    store32,
    store64,
    widen0,
    widen8,
    widen16,
    widen32,
    widen64,
)
from predis_core.table.layout import (
    FINGERPRINT_BITS,
    GUESS_SHARE,
    LINE_BYTES,
    LINES,
    SET_BYTES,
    WAYS,
    WAYS_PER_LINE,
)

from .constants import (
    COLUMN,
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
from .metadata import GUESS, HOT, load_state, store_column, store_state
from .orders import is_settled, settle
from .places import (
    CONFLICTS_COUNT,
    EVICTIONS,
    EXPIRATIONS,
    FLAGS,
    HAS_DEADLINE,
    LIVE,
    add,
    fingerprint_of,
    get,
    hot_of,
    is_expired,
    pinned_ways,
    ways_and_slot,
    word_of,
)
from .policy import admit, on_evict, on_insert, on_pass, rank, segment, tally
from .removals import EVICTED, EXPIRED, has_room_for_any, remove
from .sketch import frequency_of

_WIDENERS = {0: widen0, 1: widen8, 2: widen16, 4: widen32, 8: widen64}
_NARROWERS = {0: narrow0, 1: narrow8, 2: narrow16, 4: narrow32, 8: narrow64}
_widen, _narrow = _WIDENERS[COLUMN_BYTES], _NARROWERS[COLUMN_BYTES]
_LANES = 32
"""Ways that loops go over: as many as fill vectors, of which those after WAYS mean nothing."""
_VIEW = 8 + _LANES
_ALL = (1 << WAYS) - 1
_HIGHEST = (1 << 63) - 1
_GUESSES = sum(GUESS << (8 * w + 8) for w in range(WAYS_PER_LINE)) - (1 << 64)
"""Of a line's flags, as int64: which ways hold a guess."""


@inlined
def scratch():
    """Memory for the metadata of a set's ways and for what is made of them; see `_views`."""
    return np.zeros(2 * _VIEW, np.int64)


@inlined
def _views(room):
    """Return the addresses of the metadata and of room for as many words, _LANES each.

    The word before either is `_gather`'s and `_scatter`'s.
    """
    return room + 8, room + 8 * (1 + _VIEW)


@inlined
def _gather(group, record, metas):
    """Collect the set's metadata."""
    # A line's flags come as an eighth way before its seven, over what is written next.
    for step in range(LINES):
        line = LINES - 1 - step
        first = line * WAYS_PER_LINE - 1
        flags = group + line * LINE_BYTES + FLAGS
        _widen(metas + 8 * first, flags, record + COLUMN + COLUMN_BYTES * first)


@inlined
def _scatter(group, record, metas):
    """Write back the set's metadata."""
    for line in range(LINES):
        first = line * WAYS_PER_LINE - 1
        flags = group + line * LINE_BYTES + FLAGS
        _narrow(metas + 8 * first, flags, record + COLUMN + COLUMN_BYTES * first)


@inlined
def _masks(group):
    """Return bit masks of live ways, of guesses among them, and whether one may expire."""
    live = flags = 0
    for line in range(LINES):
        word = load64(group + line * LINE_BYTES + FLAGS)
        live |= (word & LIVE) << (line * WAYS_PER_LINE)
        flags |= word
    guesses = _guesses(group) & live if flags & _GUESSES else 0
    return live, guesses, flags & HAS_DEADLINE


@called
def _guesses(group):
    """Bit mask of the ways that hold guesses, live or not."""
    guesses = 0
    for line in range(LINES):
        word = load64(group + line * LINE_BYTES + FLAGS)
        for w in range(WAYS_PER_LINE):
            guesses |= ((word >> (8 * w + 15)) & 1) << (line * WAYS_PER_LINE + w)
    return guesses


@inlined
def _lowest(metas, ranks, among, tick, state, total, parameters):
    """Return the lowest-ranked way of a mask, ties by lowest way; -1 for an empty mask."""
    lowest = np.int64(_HIGHEST)
    for way in range(_LANES):
        ranked = np.int64(rank(item(metas, way), tick, state, total, parameters))
        ranked = ranked if (among >> way) & 1 else np.int64(_HIGHEST)
        put_item(ranks, way, ranked)
        lowest = min(lowest, ranked)
    return lowest_bit(equal_to(ranks, lowest) & among) if among else -1


@inlined
def _choose(head, group, metas, ranks, among, whole, tick, state, total, parameters):
    """The policy's victim among the ways of a mask, regardless of segments if it is `whole`."""
    ones = 0
    if HAS_SEGMENT and not whole:
        for way in range(_LANES):
            put_item(ranks, way, np.int64(segment(item(metas, way))) & 1)
        ones = equal_to(ranks, 1) & among
    zero = _lowest(metas, ranks, among & ~ones, tick, state, total, parameters)
    if not HAS_SEGMENT:
        return zero
    one = _lowest(metas, ranks, ones, tick, state, total, parameters)
    if zero < 0 or one < 0:
        return max(zero, one)
    frequency_0 = frequency_of(head, word_of(group, zero))
    frequency_1 = frequency_of(head, word_of(group, one))
    return one if admit(frequency_0, frequency_1) & 1 else zero


@inlined
def _depart(head, group, record, metas, passed, live, victim, tick, total, parameters):
    """Tell the policy that its victim leaves."""
    state = load_state(record)
    if HAS_ON_PASS:
        meta = item(metas, victim)
        for way in range(_LANES):
            new = on_pass(item(metas, way), meta, tick, state, total, parameters)
            put_item(passed, way, np.int64(new) & SLOT_MASK)
        # What comes in overwrites what is written for the victim; nobody reads what is not live.
        if ~equal_pairs(passed, metas) & live & ~(1 << victim):
            _scatter(group, record, passed)
    if HAS_ON_EVICT:
        state, tag = on_evict(item(metas, victim), tick, state)
        store_state(record, state)
        if HAS_GHOSTS and tag & 3:
            hashed = mix(word_of(group, victim), get(head, H.SEED))
            add_ghost(record, (tag & 3) << FINGERPRINT_BITS | fingerprint_of(hashed))


@inlined
def _first_from(line, ways):
    """The first way of a mask that is not empty, from a home line on, around the set."""
    after = ways & -(1 << (line * WAYS_PER_LINE))
    return lowest_bit(after if after else ways)


@called
def _expired(head, group, slot, ways, now):
    """Bit mask of those of some ways that have expired."""
    expired = 0
    while ways:
        way = lowest_bit(ways)
        if is_expired(head, group, slot, way, now):
            expired |= 1 << way
        ways &= ways - 1
    return expired


@inlined
def _total(metas, live):
    total = 0
    if HAS_TALLY and live == _ALL:
        for way in range(WAYS):
            total += np.int64(tally(item(metas, way)))
    elif HAS_TALLY:
        while live:
            total += np.int64(tally(item(metas, lowest_bit(live))))
            live &= live - 1
    return total


@inlined
def _victim(
    head, group, record, metas, ranks, live, among, guesses, tick, total, parameters
):  # fmt: skip
    """Choose who leaves among the ways of a mask; a guess, of which there is one, does silently."""
    state, may = load_state(record), guesses if guesses else among
    way = _choose(head, group, metas, ranks, may, guesses != 0, tick, state, total, parameters)
    if not guesses:
        _depart(head, group, record, metas, ranks, live, way, tick, total, parameters)
    return way


@inlined
def make_place(
    head, block, region_full, word, group, record, ways, slot, line, fingerprint, own_way, now,
    tick, guess, parameters, room, log, i,
):  # fmt: skip
    """Make room for a new key and note it; return its way, or -1 if all that could leave is pinned.

    `own_way` is free, and goes before others; or it is -1.
    """
    metas, ranks = _views(room)
    pinned = pinned_ways(head, slot, ways)
    live, guesses, deadlines = _masks(group)
    _gather(group, record, metas)
    total = _total(metas, live)
    way = expired = -1
    among, silent = live & ~guesses & ~pinned, guesses & ~pinned
    if guess and count_bits(guesses) >= ways // GUESS_SHARE:
        among = 0
    else:
        free = ((1 << ways) - 1) & ~(live | pinned)
        if own_way >= 0:
            way = own_way
        elif free:
            way = _first_from(line, free)
        elif deadlines:
            gone = _expired(head, group, slot, live & ~pinned, now)
            if gone:
                way = expired = _first_from(line, gone)
        if guess:
            silent = 0
    if way < 0 and among | silent == 0:
        return -1
    tag = take_ghost(record, fingerprint)
    meta, state = on_insert(
        tick, frequency_of(head, word), tag, load_state(record), total, parameters
    )
    store_state(record, state & SET_MASK)
    if expired >= 0:
        remove(head, block, group, slot, expired, EXPIRED, EXPIRATIONS, log, i)
    elif way < 0:
        way = _victim(
            head, group, record, metas, ranks, live, among, silent, tick, total, parameters
        )
        remove(head, block, group, slot, way, EVICTED, EVICTIONS, log, i)
        if not region_full:
            add(block, CONFLICTS_COUNT, 1)
            store32(record + CONFLICTS, load32(record + CONFLICTS) + 1)
    store8(hot_of(group, way), (meta & HOT) | (GUESS if guess else 0))
    if COLUMN_BYTES:
        store_column(record, way, (meta & SLOT_MASK) >> HOT_BITS)
    return way


@called
def relieve(head, block, spared, now, tick, parameters, room, log, i):
    """Have an entry leave because values weigh too much: of the next set with one that may.

    The entry at slot `spared` may not. Returns 1 if one left, 0 if none may, -1 if the log is full.
    """
    metas, ranks = _views(room)
    for _ in range(get(block, H.SETS)):
        index = get(head, H.HAND)
        number = get(block, H.BASE) + index
        group = get(head, H.LINES) + number * SET_BYTES
        record = get(head, H.RECORDS) + number * STRIDE
        ways, slot = ways_and_slot(block, index)
        live, guesses, deadlines = _masks(group)
        may = live & ~pinned_ways(head, slot, ways)
        if slot <= spared < slot + ways:
            may &= ~(1 << (spared - slot))
        if may:
            gone = _expired(head, group, slot, may, now) if deadlines else 0
            if not has_room_for_any(log, head, slot, ways):
                return -1
            store64(head + 8 * H.HAND, index + 1 if index + 1 < get(block, H.SETS) else 0)
            if gone:
                way = lowest_bit(gone)
                remove(head, block, group, slot, way, EXPIRED, EXPIRATIONS, log, i)
                return 1
            if not is_settled(head, number):
                settle(head, number, group, record, ways, slot, parameters)
            _gather(group, record, metas)
            total = _total(metas, live)
            way = _victim(
                head, group, record, metas, ranks, live, may & ~guesses, may & guesses, tick, total,
                parameters,
            )  # fmt: skip
            remove(head, block, group, slot, way, EVICTED, EVICTIONS, log, i)
            return 1
        store64(head + 8 * H.HAND, index + 1 if index + 1 < get(block, H.SETS) else 0)
    return 0
