"""Values going out and coming in: rows and blobs are copied, references are handed over."""

from __future__ import annotations

from predis_core.table import header as H
from predis_core.table.intrinsics import (
    address,
    copy_bytes,
    disown,
    inlined,
    load64,
    own,
    prefetch,
    store64,
    stream_bytes,
)
from predis_core.table.layout import LINE_BYTES

from .constants import ROW_BYTES, VALUE_REFS
from .places import get

IS_WIDE = ROW_BYTES > LINE_BYTES
"""Whether to ask for a row is work for several lines."""
ASKED = 512
"""Bytes of a wide row that are asked for; what follows, the processor sees coming."""
AHEAD = max(2, 4096 // max(ROW_BYTES, LINE_BYTES))
"""Wide rows that are on their way while one is copied: about as much as can be."""


if VALUE_REFS:

    @inlined
    def address_of(values):
        """Values that are references come as an address: Numba knows no arrays of objects."""
        return values

    @inlined
    def bytes_of(values):
        return 0

else:

    @inlined
    def address_of(values):
        """Rows come as bytes, uint8[m]; an empty array stands for none."""
        return address(values) if values.size else 0

    @inlined
    def bytes_of(values):
        return values.size


@inlined
def give_reference(target, source):
    """Put a new reference to the object at `source` into an array that holds None at `target`."""
    none = load64(target)
    pointer = load64(source)
    own(pointer)
    store64(target, pointer)
    disown(none)


@inlined
def swap(a, b):
    held = load64(a)
    store64(a, load64(b))
    store64(b, held)


@inlined
def read_value(values, slot, out, i):
    """Give out a row or a reference."""
    if VALUE_REFS:
        give_reference(out + 8 * i, values + 8 * slot)
    else:
        copy_bytes(out + ROW_BYTES * i, values + ROW_BYTES * slot, ROW_BYTES)


@inlined
def write_value(head, slot, values, i):
    """Store a row, or a reference in place of the None that lies there."""
    if VALUE_REFS:
        swap(get(head, H.VALUES) + 8 * slot, values + 8 * i)
    elif ROW_BYTES:
        copy_bytes(get(head, H.VALUES) + ROW_BYTES * slot, values + ROW_BYTES * i, ROW_BYTES)


@inlined
def ask_for_row(values, slot):
    """Ask for a wide row, or for the first lines of it."""
    if slot >= 0:
        for line in range(0, min(ROW_BYTES, ASKED), LINE_BYTES):
            prefetch(values + ROW_BYTES * slot + line)


@inlined
def stream_row(values, slot, out, i):
    """Give out a row of whole lines past the caches."""
    for line in range(0, ROW_BYTES, LINE_BYTES):
        stream_bytes(out + ROW_BYTES * i + line, values + ROW_BYTES * slot + line)
