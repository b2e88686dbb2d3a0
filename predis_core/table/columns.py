"""Columns of strings that machine code reads without an object for each: NumPy's and Arrow's.

Arrow's are recognised by what they offer; nothing is imported for it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

FIXED, OFFSETS_32, OFFSETS_64, VIEWS = range(4)
"""How strings lie: at equal distances, padded with zeros; one after the other, from offset to
offset; or each where its view says."""

_ARROW = {
    "string": (OFFSETS_32, str),
    "binary": (OFFSETS_32, bytes),
    "large_string": (OFFSETS_64, str),
    "large_binary": (OFFSETS_64, bytes),
    "string_view": (VIEWS, str),
    "binary_view": (VIEWS, bytes),
}
_STEPS = {OFFSETS_32: 4, OFFSETS_64: 8, VIEWS: 16}


class Column(NamedTuple):
    """n strings in memory.

    Attributes:
        n: how many.
        kind: str or bytes.
        form: one of the above.
        base: address of the first string, of the first offset, or of the first view.
        step: bytes from one string to the next, where they are FIXED.
        more: characters of each at most, where they are FIXED; else the address of the data, or of
            the addresses of the buffers that views are about.
        width: bytes of a character: 4 for UCS-4, else 1.
        owners: what keeps the memory.
    """

    n: int
    kind: type
    form: int
    base: int
    step: int
    more: int
    width: int
    owners: Any


def columns(keys: Any) -> list[Column] | None:
    """Return an array of strings as columns; None for any other, and for one that has nulls."""
    if isinstance(keys, np.ndarray):
        fits = keys.ndim == 1 and keys.dtype.kind in "SU" and keys.dtype.isnative
        return [_of_numpy(keys)] if fits else None
    chunks = getattr(keys, "chunks", None) if hasattr(keys, "__arrow_c_stream__") else [keys]
    if not isinstance(chunks, list) or not all(map(_is_arrow, chunks)):
        return None
    return [_of_arrow(chunk) for chunk in chunks]


def _of_numpy(array: Any) -> Column:
    is_text = array.dtype.kind == "U"
    width = 4 if is_text else 1
    base, length = array.__array_interface__["data"][0], array.dtype.itemsize // width
    kind = str if is_text else bytes
    return Column(len(array), kind, FIXED, base, array.strides[0], length, width, array)


def _is_arrow(chunk: Any) -> bool:
    return (
        all(hasattr(chunk, name) for name in ("__arrow_c_array__", "buffers", "offset", "type"))
        and str(chunk.type) in _ARROW
        and chunk.null_count == 0
    )


def _of_arrow(chunk: Any) -> Column:
    form, kind = _ARROW[str(chunk.type)]
    _, places, *data = chunk.buffers()
    addresses = np.array([0 if part is None else part.address for part in data], np.int64)
    base = 0 if places is None else places.address + _STEPS[form] * chunk.offset
    more = addresses.ctypes.data if form == VIEWS else int(addresses[0])
    return Column(len(chunk), kind, form, base, 0, more, 1, (chunk, addresses))
