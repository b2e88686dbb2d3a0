"""Comparing all that two tables hold."""

from __future__ import annotations

from typing import Any

import numpy as np

from predis_core.packed import Packed
from predis_core.table.interface import Dump, Removed


def assert_same_dump(a: Dump, b: Dump) -> None:
    """Fail unless two tables hold the same, bit for bit; values count where a slot is live."""
    for field in Dump._fields:
        left, right = getattr(a, field), getattr(b, field)
        if field == "values" and left is not None and right is not None:
            left, right = left[a.live], right[b.live]
            if any(isinstance(value, bytes) for value in left):
                left, right = Packed.of(left), Packed.of(right)
        assert_same(left, right, field)


def assert_same_removed(a: Removed | None, b: Removed | None) -> None:
    """Fail unless the same left two tables, in the same order."""
    if a is None or b is None:
        assert a is b, "removed"
        return
    for field in Removed._fields:
        left, right = getattr(a, field), getattr(b, field)
        if field == "keys":
            assert_same(left.refs, right.refs, "removed refs")
            left, right = left.words, right.words
        assert_same(left, right, f"removed {field}")


def assert_same(a: Any, b: Any, field: str) -> None:
    """Fail unless two arrays are alike, bit for bit; objects must be the very same.

    None stands for an array of None: a table without references has no array of them.
    """
    if isinstance(a, Packed) and isinstance(b, Packed):
        assert a.tolist() == b.tolist(), field
        return
    if a is None or b is None:
        rest = b if a is None else a
        assert rest is None or all(item is None for item in np.asarray(rest).flat), field
        return
    a, b = np.asarray(a), np.asarray(b)
    assert a.shape == b.shape, f"{field}: shapes {a.shape} and {b.shape}"
    if a.dtype == object or b.dtype == object:
        differ = [i for i, (x, y) in enumerate(zip(a.flat, b.flat, strict=True)) if x is not y]
    else:
        assert a.dtype == b.dtype, f"{field}: {a.dtype} and {b.dtype}"
        width = a.dtype.itemsize * (a[0].size if a.ndim > 1 and len(a) else 1)
        left, right = (np.frombuffer(x.tobytes(), np.uint8).reshape(-1, width) for x in (a, b))
        differ = np.flatnonzero((left != right).any(axis=1)).tolist()
    shown = [(i, a[i], b[i]) for i in differ[:5]]
    assert not differ, f"{field}: {len(differ)} differ, first (position, one, other): {shown}"
