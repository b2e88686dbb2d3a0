"""Where a word belongs, where its bytes are, and whether it is there."""

from __future__ import annotations

import numpy as np

from predis_core.table import header as H
from predis_core.table.interface import Counter
from predis_core.table.intrinsics import (
    atomic_add,
    equal_words,
    inlined,
    load8,
    load64,
    lowest_bit,
    mix,
    multiply_high,
    store8,
    store64,
)
from predis_core.table.layout import FINGERPRINT_BITS, LINE_BYTES, WAYS_PER_LINE

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
def locate(head, block, word):
    """Return a word's set (number in the table), its ways, first slot, home line, fingerprint."""
    hashed = mix(word, get(head, H.SEED))
    index = np.int64(multiply_high(hashed, np.uint64(get(block, H.SETS))))
    quotient = get(block, H.QUOTIENT)
    remainder = get(block, H.REMAINDER)
    ways = quotient + (1 if index < remainder else 0)
    slot = get(block, H.FIRST_SLOT) + index * quotient + min(index, remainder)
    low = np.int64(hashed & np.uint64(0xFFFFFFFF))
    line = ((low & 0xFFFF) * lines_of(ways)) >> 16
    return get(block, H.BASE) + index, ways, slot, line, (low >> 16) & FINGERPRINTS


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
def find_place(head, group, ways, slot, line, word, ref):
    """Return the place of a key in the set at address `group`, or -1.

    A place numbers the set's words: lines have eight, the last of each its flags.
    """
    for _ in range(lines_of(ways)):
        here = group + line * LINE_BYTES
        equal = equal_words(here, word) & load8(here + FLAGS) & LIVE
        while equal:
            place = (line << 3) + lowest_bit(equal)
            if not KEY_REFS or load64(get(head, H.REFS) + 8 * (slot + way_at(place))) == ref:
                return place
            equal &= equal - 1
        line = next_line(line, ways)
    return -1


@inlined
def way_at(place):
    return place - (place >> 3)


@inlined
def find(head, group, ways, slot, line, word, ref):
    """Return the way of a key in the set at address `group`, or -1."""
    place = find_place(head, group, ways, slot, line, word, ref)
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
