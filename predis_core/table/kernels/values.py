"""Values going out and coming in: rows are copied, references are handed over."""

from __future__ import annotations

from predis_core.table import header as H
from predis_core.table.intrinsics import address, copy_bytes, disown, inlined, load64, own, store64

from .constants import ROW_BYTES, VALUE_REFS
from .places import get

if VALUE_REFS:

    @inlined
    def address_of(values):
        """Values that are references come as an address: Numba knows no arrays of objects."""
        return values

else:

    @inlined
    def address_of(values):
        """Rows come as bytes, uint8[m]; an empty array stands for none."""
        return address(values) if values.size else 0


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
    if VALUE_REFS:
        give_reference(out + 8 * i, values + 8 * slot)
    else:
        copy_bytes(out + ROW_BYTES * i, values + ROW_BYTES * slot, ROW_BYTES)


@inlined
def write_value(head, slot, values, i, displaced):
    """Store a value; what was there moves to `values` (references) or `displaced` (rows)."""
    if VALUE_REFS:
        swap(get(head, H.VALUES) + 8 * slot, values + 8 * i)
    elif ROW_BYTES:
        target = get(head, H.VALUES) + ROW_BYTES * slot
        if displaced:
            copy_bytes(displaced + ROW_BYTES * i, target, ROW_BYTES)
        copy_bytes(target, values + ROW_BYTES * i, ROW_BYTES)
