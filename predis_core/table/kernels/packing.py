"""Byte strings from the objects that hold them into one buffer, and from there into new ones.

Objects are read in place, so this is only for interpreters that `cpython.is_known` knows. Arrays
come as the addresses of array objects.
"""

from __future__ import annotations

from predis_core.table.cpython import ARRAY_DATA, BYTES_DATA, LENGTH, TYPE
from predis_core.table.intrinsics import (
    bytes_type,
    clear_error,
    copy_bytes,
    disown,
    load8,
    load64,
    new_bytes,
    store64,
)
from predis_core.table.machine_code import njit

from .constants import CACHED
from .hashing import LONG_ENOUGH, ask_ahead, give_back_none, items_of, take


@njit(cache=CACHED)
def take_bytes(listed, start, stop, offsets, refs):
    """Take bytes of a list or tuple: where each ends, and references into object[n].

    `listed` is its address; `offsets` int64[n + 1] has where the first to be taken begins. Returns
    where it stopped: at an item that is not exactly bytes, or at the end of what is there.
    """
    items, count = items_of(listed)
    stop = min(stop, count)
    offsets, refs = load64(offsets + ARRAY_DATA), load64(refs + ARRAY_DATA)
    end = load64(offsets + 8 * start)
    reached = start
    while reached < stop:
        ask_ahead(items, reached, stop)
        item = load64(items + 8 * reached)
        if load64(item + TYPE) != bytes_type():
            break
        end += load64(item + LENGTH)
        store64(offsets + 8 * reached + 8, end)
        take(item, reached, refs)
        reached += 1
    give_back_none(reached - start)
    return reached


@njit(nogil=True, cache=CACHED)
def join_bytes(refs, offsets, data, n):
    """Copy what n bytes objects hold to `data`, at their offsets: owned, they do not change."""
    refs, offsets = load64(refs + ARRAY_DATA), load64(offsets + ARRAY_DATA)
    data = load64(data + ARRAY_DATA)
    for i in range(n):
        ask_ahead(refs, i, n)
        item = load64(refs + 8 * i)
        copy_bytes(data + load64(offsets + 8 * i), item + BYTES_DATA, load64(item + LENGTH))


@njit(cache=CACHED)
def give_bytes(data, offsets, found, out, start, stop):
    """Put a new bytes object into object[n] `out`, where None is, wherever `found` bool[n] is set.

    Returns where it stopped: after enough bytes, or where memory for one of them could not be had.
    """
    data, offsets = load64(data + ARRAY_DATA), load64(offsets + ARRAY_DATA)
    found, out = load64(found + ARRAY_DATA), load64(out + ARRAY_DATA)
    enough = load64(offsets + 8 * start) + LONG_ENOUGH
    for i in range(start, stop):
        if load8(found + i) == 0:
            continue
        begin = load64(offsets + 8 * i)
        made = new_bytes(data + begin, load64(offsets + 8 * i + 8) - begin)
        if made == 0:
            clear_error()
            return i
        none = load64(out + 8 * i)
        store64(out + 8 * i, made)
        disown(none)
        if begin > enough:
            return i + 1
    return stop
