"""One key at a time, as the interpreter calls it: `set`. See `scalars`."""

from __future__ import annotations

import numpy as np
from numba import types

from predis_core.table import context as C
from predis_core.table import header as H
from predis_core.table.intrinsics import (
    any_word,
    called,
    load64,
    own,
    release,
    store64,
)
from predis_core.table.layout import SET_BYTES
from predis_core.table.machine_code import cfunc

from .constants import BLOBS, CACHED, HAS_SKETCH, KEY_REFS, VALUE_REFS
from .inserts import INSERTED, UPDATED, ask_for_set, insert_one
from .lock import lock_exclusive, unlock_exclusive
from .lookups import signature_of
from .orders import is_ours
from .places import (
    SIZE,
    get,
    hash_of,
    home_of,
    region_block,
    way_at,
)
from .removals import COUNT
from .removals import OBJECTS as LOG_OBJECTS
from .scalars import (
    ABSENT,
    advance,
    begin,
    bytes_at,
    count_use,
    parameters_of,
    seek,
    status_of,
    type_of,
)

_size_of = types.ExternalFunction("PyDict_Size", types.int64(types.int64))
_length_of = types.ExternalFunction("PyBytes_Size", types.int64(types.int64))


@called
def _may_set(context, value):
    """Whether nobody but the table has a part in storing a value."""
    head = get(context, C.HEADER)
    if _size_of(get(context, C.FLIGHTS)) or _size_of(get(context, C.LISTENERS)):
        return False
    if get(head, H.SEALED) or get(head, H.PINNED):
        return False
    if get(context, C.LIFETIME) and not get(head, H.DEADLINES):
        return False
    return VALUE_REFS or type_of(value) == get(context, C.BYTES)


@called
def _insert(context, head, word, hashed, home, found, ref, signature, now, key, value):
    """Insert as `inserts.insert` does for one key; return its status."""
    block = region_block(head, 0)
    lifetime = get(context, C.LIFETIME)
    values = context + 8 * C.VALUE
    if VALUE_REFS:
        own(value)
        store64(values, value)
    else:
        values = bytes_at(value)
        store64(context + 8 * (C.SIZES + 1), _length_of(value))
    store64(context + 8 * C.GIVEN, key)
    full = get(block, SIZE) >= get(block, H.CAPACITY)
    tick = advance(head + 8 * H.TICK, 1)
    return insert_one(
        head, block, parameters_of(head), word, hashed, home, found, ref, context + 8 * C.GIVEN,
        signature, now, tick, full, now + lifetime if lifetime else 0, 0, context + 8 * C.SIZES, 0,
        0, values, context + 8 * C.LOG, context + 8 * C.SLOT, context + 8 * C.SCRATCH,
    )  # fmt: skip


@called
def _swap_for_none(context, address):
    """Take the reference at an address, and leave one to None there."""
    taken, none = load64(address), get(context, C.NONE)
    own(none)
    store64(address, none)
    return taken


@called
def _drop_displaced(context):
    """Give up what left the table: last of all, for any code may run, and use the context anew."""
    log = context + 8 * C.LOG
    objects, count = get(log, LOG_OBJECTS), get(log, COUNT)
    store64(log + 8 * COUNT, 0)
    swapped = load64(context + 8 * C.VALUE)
    if count == 0:
        release(swapped)
        return
    key, value = _swap_for_none(context, objects), _swap_for_none(context, objects + 8)
    if count == 1:
        release(swapped)
        release(key)
        release(value)
        return
    second = _swap_for_none(context, objects + 16)
    other = _swap_for_none(context, objects + 24)
    release(swapped)
    release(key)
    release(value)
    release(second)
    release(other)


if VALUE_REFS or (BLOBS and not KEY_REFS):

    @cfunc(types.int64(types.int64, types.int64, types.int64), cache=CACHED)
    def set_one(holder, key, value):
        """Store a value; return DONE, MISSING if there was no room, or another status."""
        context, word, now, status = begin(holder, key)
        if status != C.DONE:
            return status
        head = get(context, C.HEADER)
        hashed = hash_of(head, word)
        home = home_of(region_block(head, 0), hashed)
        number, ways, slot, line, _ = home
        group = get(head, H.LINES) + number * SET_BYTES
        ask_for_set(head, number)
        ref, signature, found = key, 0, 0
        if KEY_REFS:
            # No key comes or goes between this and the insert: no other code runs.
            found = np.int64(any_word(group, word))
            place = ABSENT
            if found:
                place = seek(holder, context, head, group, ways, slot, line, word, key)
            if place < ABSENT:
                return status_of(place)
            if place >= 0:
                ref = load64(get(head, H.REFS) + 8 * (slot + way_at(place)))
            elif found:
                signature = signature_of(head, group, ways, slot, word)
        if not _may_set(context, value):
            return C.SLOW
        lock_exclusive(head)
        if get(head, H.SEALED) or not is_ours(head):
            unlock_exclusive(head)
            return C.SLOW
        if not KEY_REFS:
            found = np.int64(any_word(group, word))
        status = _insert(context, head, word, hashed, home, found, ref, signature, now, key, value)
        unlock_exclusive(head)
        stored = status in (INSERTED, UPDATED)
        if HAS_SKETCH and stored:
            count_use(head, word)
        if VALUE_REFS:
            _drop_displaced(context)
        return C.DONE if stored else C.MISSING
