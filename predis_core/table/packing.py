"""Byte strings from Python objects into one buffer and back: in machine code where that is known.

Where it is not (see `cpython.is_known`), Python does it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from predis_core.packed import Packed
from predis_core.table import codegen, cpython
from predis_core.table.equality import chunks
from predis_core.table.interface import Bools, Objects


def packed(listed: Any) -> Packed | None:
    """Return the bytes in a list or tuple packed, in memory that can be written.

    None if that takes Python: if it is of another type, or something in it is not exactly bytes.
    """
    if type(listed) not in (list, tuple) or not cpython.is_known():
        return None
    kernels, n = codegen.shared(), len(listed)
    offsets, refs = np.zeros(n + 1, np.int64), np.empty(n, object)
    for part in chunks(0, n):
        reached = kernels.take_bytes(id(listed), part.start, part.stop, id(offsets), id(refs))
        if reached < part.stop:
            return None
    data = np.empty(int(offsets[n]), np.uint8)
    kernels.join_bytes(id(refs), id(offsets), id(data), n)
    return Packed.filled(data, offsets)


def give(some: Packed, found: Bools, out: Objects) -> None:
    """Put the byte strings at the positions found into object[n] that holds None, as bytes."""
    if not cpython.is_known():
        blank = np.empty(len(out), object)
        blank[:] = some.tolist()
        out[found] = blank[found]
        return
    kernel, start = codegen.shared().give_bytes, 0
    for part in chunks(0, len(out)):
        while start < part.stop:
            arrays = (id(some.data), id(some.offsets), id(found), id(out))
            reached = kernel(*arrays, start, part.stop)
            if reached == start:
                raise MemoryError
            start = reached
