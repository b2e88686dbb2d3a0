"""Who leaves: the ways of a set as the policy sees them, and its choice."""

from __future__ import annotations

from typing import Any

import numpy as np

from predis_core.policies.contract import HOT_BITS
from predis_core.table import header as H
from predis_core.table.intrinsics import (
    NARROWERS,
    WIDENERS,
    as_narrow,
    called,
    count_bits,
    either32,
    either64,
    inlined,
    item32,
    item64,
    least32,
    least64,
    load32,
    load64,
    lowest_bit,
    plus32,
    plus64,
    put_item32,
    put_item64,
    store8,
    store32,
    store64,
)
from predis_core.table.layout import (
    FINGERPRINT_BITS,
    GUESS_SHARE,
    LINE_BYTES,
    LINES,
    SET_BYTES,
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
    hash_of,
    hot_of,
    is_expired,
    pinned_ways,
    seventh,
    ways_and_slot,
    word_of,
)
from .policy import admit, on_evict, on_insert, on_pass, passes, rank, segment, tally
from .removals import EVICTED, EXPIRED, has_room_for_any, remove
from .sketch import frequency_at, frequency_of

_LANES = LINES * (1 + WAYS_PER_LINE)
"""What loops over a set go over, in vectors: its bytes of flags, as memory has them.

A line's first lane stands before its ways, and means nothing.
"""
_ALL = sum(1 << lane for lane in range(_LANES) if lane % (1 + WAYS_PER_LINE))
"""All lanes that mean something: where a set's ways are all live, masks are constants."""
_LANE_BITS = 5
_ALIGNMENT = LINE_BYTES
_NARROW = SLOT_MASK < 1 << 31
"""Whether a lane has 32 bits in place of 64, and so an operation on all of them half as many
instructions. Metadata fit; what the policy makes of them is looked at."""
_WIDTH = 32 if _NARROW else 64
_widen, _narrow = WIDENERS[8 * COLUMN_BYTES, _WIDTH], NARROWERS[8 * COLUMN_BYTES, _WIDTH]
if _NARROW:
    _item, _put_item, _least, _plus, _either = item32, put_item32, least32, plus32, either32
    _lane_word: Any = np.int32
else:
    _item, _put_item, _least, _plus, _either = item64, put_item64, least64, plus64, either64
    _lane_word = np.int64
_NOTHING = _lane_word(0)
_NOT_COUNTED = -1 << (_WIDTH - 1 - _LANE_BITS) if _NARROW else 0
"""Bits of a tally that the sum over a narrow set has no room for."""
_HIGHEST = (1 << (_WIDTH - 1)) - 1
_GUESSES = sum(GUESS << (8 * w + 8) for w in range(WAYS_PER_LINE)) - (1 << 64)
"""Of a line's flags, as int64: which ways hold a guess."""


@inlined
def scratch():
    """Memory for the metadata of a set and for what is made of them; see `_views`."""
    return np.zeros(2 * _LANES + (_ALIGNMENT >> 3), np.int64)


@inlined
def _views(room):
    """Return the addresses of _LANES words of metadata and of room for as many words."""
    start = (room + _ALIGNMENT - 1) & -_ALIGNMENT
    return start, start + 8 * _LANES


@inlined
def _lanes_of(ways):
    """A bit mask of ways as one of lanes."""
    lanes = 0
    for line in range(LINES):
        lanes |= (ways & (LIVE << (line * WAYS_PER_LINE))) << (line + 1)
    return lanes


@inlined
def _lane_of(way):
    return way + seventh(way) + 1


@inlined
def _way_at(lane):
    return lane - 1 - (lane >> 3)


@inlined
def _pinned(head, slot, ways):
    """Bit mask of the lanes of a set that are pinned, live or not."""
    return _lanes_of(pinned_ways(head, slot, ways)) if get(head, H.PINNED) else 0


@inlined
def _gather(group, record, metas):
    """Collect the set's metadata."""
    for line in range(LINES):
        before = record + COLUMN + COLUMN_BYTES * (line * WAYS_PER_LINE - 1)
        _widen(metas + _WIDTH * line, group + line * LINE_BYTES + FLAGS, before)


@inlined
def _scatter(group, record, metas):
    """Write back the set's metadata."""
    for line in range(LINES):
        before = record + COLUMN + COLUMN_BYTES * (line * WAYS_PER_LINE - 1)
        _narrow(metas + _WIDTH * line, group + line * LINE_BYTES + FLAGS, before)


@inlined
def _masks(group):
    """Return bit masks of live lanes, of guesses among them, and whether one may expire."""
    live = flags = 0
    for line in range(LINES):
        word = load64(group + line * LINE_BYTES + FLAGS)
        live |= (word & LIVE) << (8 * line + 1)
        flags |= word
    guesses = _guesses(group) & live if flags & _GUESSES else 0
    return live, guesses, flags & HAS_DEADLINE


@called
def _guesses(group):
    """Bit mask of the lanes that hold guesses, live or not."""
    guesses = 0
    for line in range(LINES):
        word = load64(group + line * LINE_BYTES + FLAGS)
        for lane in range(1, 1 + WAYS_PER_LINE):
            guesses |= ((word >> (8 * lane + 7)) & 1) << (8 * line + lane)
    return guesses


@inlined
def _lowest(group, metas, among, tick, state, total, parameters):
    """Return the lowest-ranked lane of a mask, ties by lowest lane; -1 for an empty mask.

    A rank and its lane are one word, of which the lowest is both, as long as ranks leave it the
    bits; for most policies the compiler sees that they do.
    """
    # An address is even, which the compiler does not know: of words that it knew to be positive, it
    # would make unsigned ones, whose minimum takes AVX2 twice the instructions.
    if _NARROW and SET_MASK < 1 << 31:
        state = as_narrow(state)
    nobody = np.int64(_HIGHEST) if _NARROW else np.int64(_HIGHEST) ^ (group << 63)
    lowest, lost = _lane_word(nobody), np.int64(0)
    for lane in range(_LANES):
        ranked = np.int64(rank(_item(metas, lane), tick, state, total, parameters))
        word = np.int64(_lane_word(ranked << _LANE_BITS))
        lost |= (word >> _LANE_BITS) ^ ranked
        lowest = _least(lowest, (word | lane) if (among >> lane) & 1 else nobody)
    if lost:
        return _lowest_of_any(metas, among, tick, state, total, parameters)
    return np.int64(lowest) & (_LANES - 1) if among else -1


@called
def _lowest_of_any(metas, among, tick, state, total, parameters):
    """As `_lowest`, one lane after the other, for ranks that take all bits of a word."""
    found, lowest = -1, np.int64(0)
    while among:
        lane = lowest_bit(among)
        ranked = np.int64(rank(_item(metas, lane), tick, state, total, parameters))
        if found < 0 or ranked < lowest:
            found, lowest = lane, ranked
        among &= among - 1
    return found


@inlined
def _choose(head, group, metas, among, whole, tick, state, total, parameters):
    """The lane of the policy's victim among those of a mask; if it is `whole`, of any segment."""
    ones = 0
    if HAS_SEGMENT and not whole:
        for lane in range(_LANES):
            ones |= (np.int64(segment(_item(metas, lane))) & 1) << lane
        ones &= among
    zero = _lowest(group, metas, among & ~ones, tick, state, total, parameters)
    if not HAS_SEGMENT:
        return zero
    one = _lowest(group, metas, ones, tick, state, total, parameters)
    if zero < 0 or one < 0:
        return max(zero, one)
    frequency_0 = frequency_of(head, word_of(group, _way_at(zero)))
    frequency_1 = frequency_of(head, word_of(group, _way_at(one)))
    return one if admit(frequency_0, frequency_1) & 1 else zero


@inlined
def _depart(head, group, record, metas, passed, live, victim, tick, total, parameters):
    """Tell the policy that its victim, at a lane, leaves."""
    state = load_state(record)
    meta = _item(metas, victim)
    if HAS_ON_PASS and passes(meta, tick, state, total, parameters) & 1:
        # To leave the victim out costs more than it is worth where masks are constants.
        others, changed = live if _NARROW else live & ~(1 << victim), _NOTHING
        for lane in range(_LANES):
            old = _item(metas, lane)
            new = np.int64(on_pass(old, meta, tick, state, total, parameters))
            if not _NARROW:
                _put_item(passed, lane, new & SLOT_MASK)
            different = (new ^ old) & SLOT_MASK
            changed = _either(changed, different if (others >> lane) & 1 else np.int64(0))
        # What comes in overwrites what is written for the victim; nobody reads what is not live.
        if changed and _NARROW:
            _pass(group, record, metas, passed, meta, tick, state, total, parameters)
        elif changed:
            _scatter(group, record, passed)
    if HAS_ON_EVICT:
        state, tag = on_evict(meta, tick, state)
        store_state(record, state)
        if HAS_GHOSTS and tag & 3:
            hashed = hash_of(head, word_of(group, _way_at(victim)))
            add_ghost(record, (tag & 3) << FINGERPRINT_BITS | fingerprint_of(hashed))


@called
def _pass(group, record, metas, passed, meta, tick, state, total, parameters):
    """Write what the policy makes of the ways that stay: anew, for mostly it changes nothing."""
    for lane in range(_LANES):
        new = np.int64(on_pass(_item(metas, lane), meta, tick, state, total, parameters))
        _put_item(passed, lane, new & SLOT_MASK)
    _scatter(group, record, passed)


@inlined
def _first_from(line, lanes):
    """The first way of a mask of lanes that is not empty, from a home line on, around the set."""
    after = lanes & -(1 << (8 * line))
    return _way_at(lowest_bit(after if after else lanes))


@called
def _expired(head, group, slot, lanes, now):
    """Bit mask of those of some lanes that have expired."""
    expired = 0
    while lanes:
        lane = lowest_bit(lanes)
        if is_expired(head, group, slot, _way_at(lane), now):
            expired |= 1 << lane
        lanes &= lanes - 1
    return expired


@inlined
def _total_of(metas, live):
    """What the policy tallies of the lanes of a mask."""
    if not HAS_TALLY:
        return np.int64(0)
    total, lost = _NOTHING, np.int64(0)
    for lane in range(_LANES):
        counted = np.int64(tally(_item(metas, lane)))
        lost |= counted & _NOT_COUNTED
        total = _plus(total, counted if (live >> lane) & 1 else np.int64(0))
    return _total_of_any(metas, live) if lost else np.int64(total)


@called
def _total_of_any(metas, live):
    """As `_total_of`, one lane after the other, for tallies that take all bits of a word."""
    total = np.int64(0)
    while live:
        total += np.int64(tally(_item(metas, lowest_bit(live))))
        live &= live - 1
    return total


@called
def _total_of_some(metas, live):
    return _total_of(metas, live)


@inlined
def _total(metas, live):
    """As `_total_of`, for a mask that mostly is that of a set without a free way."""
    return _total_of(metas, _ALL) if live == _ALL else _total_of_some(metas, live)


@inlined
def _victim_of(
    head, group, record, metas, passed, live, among, guesses, tick, total, parameters
):  # fmt: skip
    """Choose the way that leaves, of masks of lanes; a guess, if there is one, does silently."""
    state, may = load_state(record), guesses if guesses else among
    lane = _choose(head, group, metas, may, guesses != 0, tick, state, total, parameters)
    if not guesses:
        _depart(head, group, record, metas, passed, live, lane, tick, total, parameters)
    return _way_at(lane)


@called
def _victim_of_some(
    head, group, record, metas, passed, live, among, guesses, tick, total, parameters
):  # fmt: skip
    return _victim_of(
        head, group, record, metas, passed, live, among, guesses, tick, total, parameters
    )


@inlined
def _victim(
    head, group, record, metas, passed, live, among, guesses, tick, total, parameters
):  # fmt: skip
    """As `_victim_of`, for masks that mostly are those of a set any of whose ways may leave."""
    if among == _ALL:
        return _victim_of(
            head, group, record, metas, passed, _ALL, _ALL, 0, tick, total, parameters
        )
    return _victim_of_some(
        head, group, record, metas, passed, live, among, guesses, tick, total, parameters
    )


@inlined
def make_place(
    head, block, region_full, hashed, group, record, ways, slot, line, fingerprint, own_way, now,
    tick, guess, parameters, room, log, i,
):  # fmt: skip
    """Make room for a new key and note it; return its way, or -1 if all that could leave is pinned.

    `hashed` is the key's hash. `own_way` is free, and goes before others; or it is -1.
    """
    metas, passed = _views(room)
    pinned = _pinned(head, slot, ways)
    live, guesses, deadlines = _masks(group)
    _gather(group, record, metas)
    total = _total(metas, live)
    way = expired = -1
    among, silent = live & ~guesses & ~pinned, guesses & ~pinned
    if guess and count_bits(guesses) >= ways // GUESS_SHARE:
        among = 0
    else:
        free = 0
        if count_bits(live) < ways:
            free = _lanes_of((1 << ways) - 1) & ~(live | pinned)
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
        tick, frequency_at(head, hashed), tag, load_state(record), total, parameters
    )
    store_state(record, state & SET_MASK)
    if expired >= 0:
        remove(head, block, group, slot, expired, EXPIRED, EXPIRATIONS, log, i)
    elif way < 0:
        way = _victim(
            head, group, record, metas, passed, live, among, silent, tick, total, parameters
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
    metas, passed = _views(room)
    for _ in range(get(block, H.SETS)):
        index = get(head, H.HAND)
        number = get(block, H.BASE) + index
        group = get(head, H.LINES) + number * SET_BYTES
        record = get(head, H.RECORDS) + number * STRIDE
        ways, slot = ways_and_slot(block, index)
        live, guesses, deadlines = _masks(group)
        may = live & ~_pinned(head, slot, ways)
        if slot <= spared < slot + ways:
            may &= ~(1 << _lane_of(spared - slot))
        if may:
            gone = _expired(head, group, slot, may, now) if deadlines else 0
            if not has_room_for_any(log, head, slot, ways):
                return -1
            store64(head + 8 * H.HAND, index + 1 if index + 1 < get(block, H.SETS) else 0)
            if gone:
                way = _way_at(lowest_bit(gone))
                remove(head, block, group, slot, way, EXPIRED, EXPIRATIONS, log, i)
                return 1
            if not is_settled(head, number):
                settle(head, number, group, record, ways, slot, parameters)
            _gather(group, record, metas)
            total = _total(metas, live)
            way = _victim(
                head, group, record, metas, passed, live, may & ~guesses, may & guesses, tick,
                total, parameters,
            )  # fmt: skip
            remove(head, block, group, slot, way, EVICTED, EVICTIONS, log, i)
            return 1
        store64(head + 8 * H.HAND, index + 1 if index + 1 < get(block, H.SETS) else 0)
    return 0
