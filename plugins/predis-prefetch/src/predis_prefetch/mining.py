"""Which keys follow which: kernels over the memory of one `Association`.

Sequences repeat: the rows of a join, the files of a build, the blocks of a file. For each key a few
*successors* are remembered, keys that were asked for within a short window after it, each with a
count of how steadily it was (Mithril, Yang et al., SoCC 2017, mines such pairs; Joseph and
Grunwald, ISCA 1997, keep a few successors per entry).

How far a successor is to be trusted is measured, not assumed. Whenever a key's window has passed,
each of its successors was either in it or not, so for each class of successors (how often the key
was seen, how steady the successor is) the share that came is known. That share is the confidence of
the next one of its class, so that one occurrence is enough where sequences always repeat, and ten
are not where they never do.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import typeof, types

from predis_prefetch.compiling import compiled

Int64s = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

SUCCESSORS = 4
"""Successors per key."""

WINDOW = 8
"""Look-ups after a key in which its successors are looked for."""

WAYS = 8
"""Keys per bucket: a line of a processor's cache."""

ENTRY_BYTES = 8 * (1 + 1 + SUCCESSORS)
"""Bytes per key: itself, what is known of it, and its successors."""

OFTEN, STEADY = 8, 16
"""Classes of successors: by how often the key was seen, and by how steady the successor is."""

# What is known of a key, in one word: steadiness of each successor (4 bits each), how often the
# key was seen (8 bits), and how much it is worth keeping (8 bits, not 0 where there is a key).
_SEEN_AT, _WORTH_AT = 4 * SUCCESSORS, 4 * SUCCESSORS + 8
_BYTE, _NIBBLE = 255, 15

_FORGET = 256.0
"""Windows of one class after which its counts are halved, so that old ones count less."""

# The positions of the log's counters.
WRITTEN, MINED = 0, 1


class Log(NamedTuple):
    """The last look-ups, in order: rings of a power of two of places.

    Attributes:
        keys: what was asked for.
        entries: where that key is in the memory.
        leads: how many look-ups later its successors begin: as many as there were in its batch,
            for what was asked for at the same time need not be loaded ahead.
        counters: look-ups written so far, and how many of them have been mined.
    """

    keys: Int64s
    entries: Int64s
    leads: Int64s
    counters: Int64s


class Memory(NamedTuple):
    """What is known of keys: buckets of `WAYS` keys, a power of two of them.

    Attributes:
        keys: int64[buckets, WAYS].
        known: int64[buckets * WAYS], 0 where there is no key.
        successors: int64[buckets * WAYS, SUCCESSORS].
        left: int64[1], how many keys have left to make room for others.
    """

    keys: Int64s
    known: Int64s
    successors: Int64s
    left: Int64s


class Trust(NamedTuple):
    """How often successors came, by class.

    Attributes:
        came: float64[OFTEN, STEADY].
        asked: float64[OFTEN, STEADY], how often it could be told.
    """

    came: Floats
    asked: Floats


class Expected(NamedTuple):
    """Keys, and how probable each is: arrays of one length.

    Attributes:
        keys: int64[m].
        confidences: float64[m].
    """

    keys: Int64s
    confidences: Floats


def new_log(places: int) -> Log:
    """Return an empty log of a power of two of places."""
    rings = [np.zeros(places, np.int64) for _ in range(3)]
    return Log(rings[0], rings[1], rings[2], np.zeros(2, np.int64))


def new_memory(entries: int) -> Memory:
    """Return an empty memory of a power of two of entries, at least `WAYS`."""
    return Memory(
        np.zeros((entries // WAYS, WAYS), np.int64),
        np.zeros(entries, np.int64),
        np.zeros((entries, SUCCESSORS), np.int64),
        np.zeros(1, np.int64),
    )


def new_expected(most: int) -> Expected:
    """Return room for so many keys."""
    return Expected(np.zeros(most, np.int64), np.zeros(most))


def new_trust() -> Trust:
    """Return the trust that there is before anything is known.

    A successor that came once is trusted less than the half that it takes to be proposed, and one
    that came twice is tried.
    """
    came = np.ones((OFTEN, STEADY))
    came[:, :2] = 0.5
    return Trust(came, np.full((OFTEN, STEADY), 2.0))


_I8, _F8, _B1 = types.int64, types.float64, types.boolean
_RING, _WORDS = types.Array(_I8, 1, "C"), types.Array(_I8, 1, "C", readonly=True)
_LOG, _MEMORY, _TRUST = typeof(new_log(1)), typeof(new_memory(WAYS)), typeof(new_trust())
_EXPECTED = typeof(new_expected(0))


@compiled(_I8(_I8, _I8))
def _bucket(key: Any, buckets: Any) -> Any:
    """Mix the bits of a key (the finaliser of MurmurHash3), and take some."""
    mixed = np.uint64(key)
    mixed = (mixed ^ (mixed >> np.uint64(33))) * np.uint64(0xFF51AFD7ED558CCD)
    mixed = (mixed ^ (mixed >> np.uint64(33))) * np.uint64(0xC4CEB9FE1A85EC53)
    return np.int64((mixed >> np.uint64(20)) & np.uint64(buckets - 1))


@compiled(_I8(_MEMORY, _I8))
def find(memory: Memory, key: int) -> int:
    """Return the entry of a key; -1 if it has none."""
    bucket = _bucket(key, memory.keys.shape[0])
    for way in range(WAYS):
        entry = bucket * WAYS + way
        if memory.keys[bucket, way] == key and memory.known[entry]:
            return int(entry)
    return -1


@compiled(types.void(_MEMORY, _WORDS, _RING))
def find_all(memory: Memory, words: Int64s, entries: Int64s) -> None:
    """Write the entry of each key; -1 if it has none."""
    for at in range(len(words)):
        entries[at] = find(memory, words[at])


@compiled(_I8(_MEMORY, _I8))
def claim(memory: Memory, key: int) -> int:
    """Return the entry of a key, which may have to take the place of the least worthy one.

    An entry is worth as many look-ups as it had; whenever one leaves, the others of its bucket lose
    what it was worth, so that those that were asked for long ago leave, too (as in LFU with aging,
    Arlitt et al., 2000).
    """
    known = memory.known
    bucket = _bucket(key, memory.keys.shape[0])
    least, worth = 0, 1 << 30
    for way in range(WAYS):
        entry = bucket * WAYS + way
        if not known[entry]:
            least, worth = way, 0
            break
        if memory.keys[bucket, way] == key:
            if (known[entry] >> _WORTH_AT) & _BYTE < _BYTE:
                known[entry] += 1 << _WORTH_AT
            return int(entry)
        its = (known[entry] >> _WORTH_AT) & _BYTE
        if its < worth:
            least, worth = way, its
    if worth > 1:
        for way in range(WAYS):
            known[bucket * WAYS + way] -= (worth - 1) << _WORTH_AT
    entry = bucket * WAYS + least
    memory.left[0] += known[entry] != 0
    memory.keys[bucket, least] = key
    known[entry] = 2 << _WORTH_AT  # down to 1 as others leave, for 0 says that there is no key
    return int(entry)


@compiled(_I8(_I8))
def _often(known: Any) -> Any:
    """Return the class of how often a key was seen: 0 to 4 times, to 8, to 16, and more."""
    seen = (known >> _SEEN_AT) & _BYTE
    if seen <= 4:
        return seen
    return 5 if seen <= 8 else 6 if seen <= 16 else 7


@compiled(types.void(_MEMORY, _TRUST, _LOG, _I8))
def _mine(memory: Memory, trust: Trust, log: Log, position: int) -> None:
    """Learn from the window of one look-up, which has passed."""
    mask = len(log.keys) - 1
    key, entry = log.keys[position & mask], log.entries[position & mask]
    known = memory.known[entry]
    if not known or memory.keys[entry // WAYS, entry % WAYS] != key:
        return  # it left meanwhile
    begin = position + log.leads[position & mask]
    often = _often(known)
    matched = 0  # one bit for each look-up of the window that is a successor already
    for number in range(SUCCESSORS):
        shift = 4 * number
        steady = (known >> shift) & _NIBBLE
        if not steady:
            continue
        successor = memory.successors[entry, number]
        came = 0
        for offset in range(WINDOW):
            if log.keys[(begin + offset) & mask] == successor:
                came |= 1 << offset
        matched |= came
        asked = trust.asked[often, steady] + 1
        if asked > _FORGET:
            asked *= 0.5
            trust.came[often, steady] *= 0.5
        trust.asked[often, steady] = asked
        if came:
            trust.came[often, steady] += 1
            if steady < _NIBBLE:
                known += 1 << shift
        else:
            known -= 1 << shift
    if (known >> _SEEN_AT) & _BYTE < _BYTE:
        known += 1 << _SEEN_AT
    number = 0
    for offset in range(WINDOW):
        if matched >> offset & 1:
            continue
        successor = log.keys[(begin + offset) & mask]
        if successor == key:
            continue
        again = False  # twice in the window
        for before in range(offset):
            again |= log.keys[(begin + before) & mask] == successor
        if again:
            continue
        while number < SUCCESSORS and (known >> (4 * number)) & _NIBBLE:
            number += 1
        if number == SUCCESSORS:
            break
        memory.successors[entry, number] = successor
        known += 1 << (4 * number)
    memory.known[entry] = known


@compiled(types.void(_MEMORY, _TRUST, _LOG, _WORDS, _RING))
def learn(memory: Memory, trust: Trust, log: Log, words: Int64s, entries: Int64s) -> None:
    """Take note of a batch of look-ups, and learn from those whose window has passed by it.

    Args:
        memory: what is known; changed.
        trust: changed.
        log: at least four times as long as the batch and the window; changed.
        words: int64[n], what was asked for.
        entries: int64[n], set to where each key is.
    """
    mask = len(log.keys) - 1
    for at in range(len(words)):
        entry = claim(memory, words[at])
        entries[at] = entry
        place = log.counters[WRITTEN] & mask
        log.keys[place] = words[at]
        log.entries[place] = entry
        log.leads[place] = len(words)
        log.counters[WRITTEN] += 1
        oldest = log.counters[MINED]
        while oldest + log.leads[oldest & mask] + WINDOW <= log.counters[WRITTEN]:
            _mine(memory, trust, log, oldest)
            oldest += 1
        log.counters[MINED] = oldest


@compiled(_B1(_LOG, _I8, _RING, _I8, _I8))
def _is_at_hand(log: Log, key: int, keys: Int64s, begin: int, end: int) -> bool:
    """Return whether a key was asked for a moment ago, or is expected already."""
    mask = len(log.keys) - 1
    at_hand = False
    for before in range(1, WINDOW + 1):
        at_hand |= log.keys[(log.counters[WRITTEN] - before) & mask] == key
    for other in range(begin, end):
        at_hand |= keys[other] == key
    return at_hand


@compiled(_I8(_MEMORY, _TRUST, _LOG, _I8, _F8, _F8, _EXPECTED, _I8, _I8))
def _expect(
    memory: Memory,
    trust: Trust,
    log: Log,
    key: int,
    confidence: float,
    least: float,
    expected: Expected,
    begin: int,
    end: int,
) -> int:
    """Write what follows a key, which is expected with a confidence; return where that ends."""
    entry = find(memory, key)
    known = memory.known[entry] if entry >= 0 else 0
    often = _often(known)
    for number in range(SUCCESSORS):
        steady = (known >> (4 * number)) & _NIBBLE
        if not steady or end == len(expected.keys):
            continue
        probable = confidence * (trust.came[often, steady] / trust.asked[often, steady])
        if probable < least:
            continue
        successor = memory.successors[entry, number]
        if not _is_at_hand(log, successor, expected.keys, begin, end):
            expected.keys[end], expected.confidences[end] = successor, probable
            end += 1
    return end


@compiled(_I8(_MEMORY, _TRUST, _LOG, _WORDS, _I8, _F8, _EXPECTED, _I8))
def propose(
    memory: Memory,
    trust: Trust,
    log: Log,
    words: Int64s,
    depth: int,
    least: float,
    expected: Expected,
    end: int,
) -> int:
    """Write what is expected after look-ups; return how many keys are expected then.

    The successors' successors are expected too, as far as `depth`, with the product of the
    confidences on the way (as along the paths of SPP, Kim et al., MICRO 2016).

    Args:
        memory: what is known.
        trust: how far.
        log: what was asked for a moment ago is left out.
        words: int64[n], look-ups.
        depth: steps.
        least: confidences below are left out.
        expected: written; when it is full, the rest is left out.
        end: how many keys were expected before.
    """
    for at in range(len(words)):
        begin = end
        end = _expect(memory, trust, log, words[at], 1.0, least, expected, begin, end)
        cursor, step, step_ends = begin, 1, end
        while cursor < end and step < depth:
            key, confidence = expected.keys[cursor], expected.confidences[cursor]
            end = _expect(memory, trust, log, key, confidence, least, expected, begin, end)
            cursor += 1
            if cursor == step_ends:
                step, step_ends = step + 1, end
    return end


@compiled(types.void(_MEMORY, _MEMORY, _RING))
def move(old: Memory, new: Memory, places: Int64s) -> None:
    """Copy all that is known into a larger memory; `places` is set to where each entry went."""
    for entry in range(len(old.known)):
        places[entry] = -1
        if old.known[entry]:
            place = claim(new, old.keys[entry // WAYS, entry % WAYS])
            new.known[place] = old.known[entry]
            new.successors[place] = old.successors[entry]
            places[entry] = place
