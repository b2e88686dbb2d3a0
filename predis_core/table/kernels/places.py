"""Where a word belongs, where its bytes are, and whether it is there."""

from __future__ import annotations

import numpy as np

from predis_core.table import header as H
from predis_core.table.interface import Counter
from predis_core.table.intrinsics import (
    as_narrow,
    atomic_add,
    called,
    equal_set,
    inlined,
    load8,
    load32,
    load64,
    lowest_bit,
    mix,
    multiply_high,
    store8,
    store64,
)
from predis_core.table.keys import SAMPLE_SHIFT, SAMPLE_SPACE
from predis_core.table.layout import FINGERPRINT_BITS, LINE_BYTES, LINES, WAYS_PER_LINE

from .constants import KEY_REFS

FLAGS = WAYS_PER_LINE * 8
LIVE = (1 << WAYS_PER_LINE) - 1
HAS_DEADLINE = 1 << WAYS_PER_LINE
FINGERPRINTS = (1 << FINGERPRINT_BITS) - 1
BLOCK = 64
(
    SIZE,
    HITS,
    MISSES,
    INSERTIONS,
    UPDATES,
    EVICTIONS,
    CONFLICTS_COUNT,
    EXPIRATIONS,
    DELETIONS,
    REFUSALS,
    BYTES,
    HIT_BYTES,
    INSERTED_BYTES,
) = (H.COUNTERS + counter for counter in Counter)


@inlined
def region_block(head, region):
    return head + 8 * (H.REGIONS + region * H.REGION_WORDS)


@inlined
def get(head, word):
    return load64(head + 8 * word)


@inlined
def add(head, word, amount):
    store64(head + 8 * word, load64(head + 8 * word) + amount)


@inlined
def advance_tick(head, n):
    """Take the ticks of a batch."""
    return atomic_add(head + 8 * H.TICK, max(n, 1))


@inlined
def hash_of(head, word):
    return mix(word, get(head, H.SEED))


@inlined
def locate(head, block, word):
    """Return a word's set (number in the table), its ways, first slot, home line, fingerprint."""
    return home_of(block, hash_of(head, word))


@inlined
def home_of(block, hashed):
    """As `locate`, of a word's hash."""
    index = np.int64(multiply_high(hashed, np.uint64(get(block, H.SETS))))
    ways, slot = ways_and_slot(block, index)
    line = (np.int64(hashed & np.uint64(0xFFFF)) * lines_of(ways)) >> 16
    return get(block, H.BASE) + index, ways, slot, line, fingerprint_of(hashed)


@inlined
def fingerprint_of(hashed):
    """What ghosts remember of a word's hash."""
    return np.int64(hashed >> np.uint64(16)) & FINGERPRINTS


@inlined
def ways_and_slot(block, index):
    """Return how many ways the set at `index` of a region has, and its first slot."""
    quotient = get(block, H.QUOTIENT)
    remainder = get(block, H.REMAINDER)
    ways = quotient + (1 if index < remainder else 0)
    return ways, get(block, H.FIRST_SLOT) + index * quotient + min(index, remainder)


@inlined
def sample_of(hashed):
    """The bits of a hash that decide whether it is sampled; `keys.sample_bits` names them."""
    return np.int64((hashed >> np.uint64(SAMPLE_SHIFT)) & np.uint64(SAMPLE_SPACE - 1))


@inlined
def seventh(number):
    """Number // WAYS_PER_LINE, for numbers up to WAYS + WAYS_PER_LINE."""
    return (number * 37) >> 8


@inlined
def lines_of(ways):
    return seventh(ways + WAYS_PER_LINE - 1)


@inlined
def next_line(line, ways):
    """The line after a line, around the set."""
    return line + 1 if line + 1 < lines_of(ways) else 0


@inlined
def live_in(group):
    """Bit mask of the places of a set that are live.

    A place numbers the set's words: lines have eight, the last of each its flags.
    """
    live = 0
    for line in range(LINES):
        live |= (load8(group + line * LINE_BYTES + FLAGS) & LIVE) << (8 * line)
    return live


@inlined
def place_among(head, slot, places, ref):
    """Return the place of a key among those that hold its word, a bit mask, or -1."""
    if not KEY_REFS:
        # Without a branch, which would be taken for one key in six, or for three in four; the
        # compiler makes one unless it knows nothing of the number.
        lowest = as_narrow(lowest_bit(places))
        return lowest | -(lowest >> 6)
    while places:
        place = lowest_bit(places)
        if load64(get(head, H.REFS) + 8 * (slot + way_at(place))) == ref:
            return place
        places &= places - 1
    return -1


@inlined
def find_place(head, group, slot, word, ref):
    """Return the place of a key in the set at address `group`, or -1; it looks at every line."""
    return place_among(head, slot, equal_set(group, word) & live_in(group), ref)


@inlined
def way_at(place):
    return place - (place >> 3)


@inlined
def find(head, group, slot, word, ref):
    """Return the way of a key in the set at address `group`, or -1."""
    place = find_place(head, group, slot, word, ref)
    return way_at(place) if place >= 0 else -1


@inlined
def flags_of(group, way):
    """Address of the flags of a way's line."""
    return group + seventh(way) * LINE_BYTES + FLAGS


@inlined
def hot_of(group, way):
    """Address of a way's hot byte."""
    line = seventh(way)
    return group + line * LINE_BYTES + FLAGS + 1 + way - line * WAYS_PER_LINE


@inlined
def bit_of(way):
    return 1 << (way - seventh(way) * WAYS_PER_LINE)


@inlined
def deadline_of(head, group, slot, way):
    """A live way's deadline; most lines say that they have none."""
    if load8(flags_of(group, way)) & HAS_DEADLINE:
        return load64(get(head, H.DEADLINES) + 8 * (slot + way))
    return 0


@inlined
def is_expired(head, group, slot, way, now):
    deadline = deadline_of(head, group, slot, way)
    return 0 < deadline <= now


@inlined
def is_pinned(head, slot):
    return get(head, H.PINNED) != 0 and load32(get(head, H.PINS) + 4 * slot) != 0


@called
def pinned_ways(head, slot, ways):
    """Bit mask of the ways of a set that are pinned, live or not."""
    pinned = 0
    if get(head, H.PINNED):
        for way in range(ways):
            if is_pinned(head, slot + way):
                pinned |= 1 << way
    return pinned


@inlined
def word_address(group, way):
    return group + 8 * (way + seventh(way))


@inlined
def word_of(group, way):
    return load64(word_address(group, way))


@inlined
def free(head, block, group, way, counter):
    flags = flags_of(group, way)
    store8(flags, load8(flags) & ~bit_of(way))
    add(block, SIZE, -1)
    add(block, counter, 1)
