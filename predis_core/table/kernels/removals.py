"""What leaves: where there is a log, it is noted there, and the references in it are handed over.

A log is an int64 array: `HEAD` words, then an entry of `ENTRY` words for each that left. Tables of
references always have one, for a kernel must not drop references; others only if somebody asked.
"""

from __future__ import annotations

from predis_core.table import header as H
from predis_core.table.interface import Reason
from predis_core.table.intrinsics import called, copy_bytes, inlined, load64, store64

from .blobs import copy_blob, release_blob
from .constants import BLOBS, KEY_REFS, ROW_BYTES, VALUE_REFS, WEIGHED
from .places import BYTES, add, free, get, is_pinned, word_of
from .values import swap

COUNT, CAPACITY, OBJECTS, DATA, DATA_BYTES, DATA_USED = range(6)
HEAD = 8
KIND, AT, WORD, COST, START, LENGTH = range(6)
ENTRY = 8
MOST = 2
"""Entries of its set that may leave for one that comes."""

REPLACED, EXPIRED, EVICTED, DELETED, CLEARED = (int(reason) for reason in Reason)


@inlined
def has_room(log, count):
    """Whether a log takes `count` entries more; one without a capacity takes nothing, gladly."""
    capacity = get(log, CAPACITY)
    return capacity == 0 or get(log, COUNT) + count <= capacity


@inlined
def has_room_for(log, head, slot):
    """Whether a log takes the entry at a slot."""
    if not has_room(log, 1):
        return False
    if BLOBS and get(log, CAPACITY):
        return get(log, DATA_USED) + size_at(head, slot) <= get(log, DATA_BYTES)
    return True


@called
def has_room_for_any(log, head, slot, ways):
    """Whether a log takes whatever may leave a set for one key that comes."""
    if not has_room(log, MOST):
        return False
    if BLOBS and get(log, CAPACITY):
        most = 0
        for way in range(ways):
            most = max(most, size_at(head, slot + way))
        return get(log, DATA_USED) + MOST * most <= get(log, DATA_BYTES)
    return True


@inlined
def size_at(head, slot):
    """What the value at a slot weighs."""
    if BLOBS:
        return load64(get(head, H.SIZES) + 16 * slot + 8)
    if WEIGHED:
        return load64(get(head, H.SIZES) + 8 * slot)
    return 0


@called
def remove(head, block, group, slot, way, reason, counter, log, i):
    """Take an entry out of its way, and note that."""
    note(head, group, slot, way, reason, log, i)
    if BLOBS or WEIGHED:
        add(block, BYTES, -size_at(head, slot + way))
    # What is pinned keeps its memory until the last pin is gone.
    if BLOBS and not is_pinned(head, slot + way):
        release_blob(head, slot + way)
    free(head, block, group, way, counter)


@called
def note(head, group, slot, way, reason, log, i):
    """Note what a way holds; of references, those that leave move into the log."""
    if get(log, CAPACITY) == 0:
        return
    here, count = slot + way, get(log, COUNT)
    entry = log + 8 * (HEAD + ENTRY * count)
    store64(entry + 8 * KIND, reason)
    store64(entry + 8 * AT, i)
    store64(entry + 8 * WORD, word_of(group, way))
    store64(entry + 8 * COST, load64(get(head, H.COSTS) + 8 * here) if get(head, H.COSTS) else 0)
    objects, data = get(log, OBJECTS), get(log, DATA)
    if KEY_REFS and reason != REPLACED:
        swap(get(head, H.REFS) + 8 * here, objects + 16 * count)
    if VALUE_REFS:
        swap(get(head, H.VALUES) + 8 * here, objects + 16 * count + 8)
    elif ROW_BYTES:
        copy_bytes(data + ROW_BYTES * count, get(head, H.VALUES) + ROW_BYTES * here, ROW_BYTES)
    elif BLOBS:
        start, length = get(log, DATA_USED), size_at(head, here)
        store64(entry + 8 * START, start)
        store64(entry + 8 * LENGTH, length)
        copy_blob(head, here, data + start)
        store64(log + 8 * DATA_USED, start + length)
    store64(log + 8 * COUNT, count + 1)
