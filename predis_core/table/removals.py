"""The log of an operation on a CPU table: what leaves goes here; see `kernels.removals`."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from predis_core.arrays import address
from predis_core.packed import Packed
from predis_core.table.interface import Int64s, Keys, Objects, Reason, Removed

_COUNT, _CAPACITY, _OBJECTS, _DATA, _DATA_BYTES, _DATA_USED = range(6)
_HEAD = 8
_KIND, _AT, _WORD, _COST, _START, _LENGTH = range(6)
_ENTRY = 8
_DATA_AT_LEAST = 1 << 16

NO_LOG: Int64s = np.zeros(_HEAD, np.int64)
"""Takes nothing: for tables of rows, which lose nothing by that."""


class Log:
    """A log that begins a new segment whenever one is full.

    Args:
        entries: how many probably leave.
        has_refs: whether keys are references.
        values: the table's column of values; None for one without values.
        is_blobs: whether that column says where blobs lie.
        data_bytes: how many bytes of blobs probably leave.
    """

    def __init__(
        self,
        entries: int,
        has_refs: bool,
        values: npt.NDArray[Any] | None,
        is_blobs: bool = False,
        data_bytes: int = 0,
    ) -> None:
        self._entries = entries + 2
        self._has_refs = has_refs
        self._values = values
        self._is_blobs = is_blobs
        self._has_objects = has_refs or (values is not None and values.dtype == object)
        self._data_bytes = max(data_bytes, _DATA_AT_LEAST)
        self._full: list[tuple[Int64s, Objects | None, npt.NDArray[Any] | None]] = []
        self._begin()

    def _begin(self) -> None:
        self.words: Int64s = np.zeros(_HEAD + _ENTRY * self._entries, np.int64)
        self.words[_CAPACITY] = self._entries
        self._objects: Objects | None = None
        self._data: npt.NDArray[Any] | None = None
        if self._has_objects:
            self._objects = np.empty(2 * self._entries, object)
            self.words[_OBJECTS] = address(self._objects)
        if self._is_blobs:
            self._data = np.empty(self._data_bytes, np.uint8)
            self.words[_DATA_BYTES] = self._data_bytes
        elif self._values is not None and self._values.dtype != object:
            self._data = np.empty((self._entries, *self._values.shape[1:]), self._values.dtype)
        if self._data is not None:
            self.words[_DATA] = address(self._data)

    def __len__(self) -> int:
        """Return how many entries the current segment has."""
        return int(self.words[_COUNT])

    def extend(self) -> None:
        """Begin a new segment, for the current one is full."""
        if len(self):
            self._full.append((self.words, self._objects, self._data))
        else:
            # Not even one value has room.
            self._data_bytes *= 4
        self._begin()

    def removed(self, keys: Keys) -> Removed:
        """Return all that left, the batch having been `keys`."""
        segments = [*self._full, (self.words, self._objects, self._data)]
        found = [self._read(keys, *segment) for segment in segments]
        return found[0] if len(found) == 1 else _joined(found)

    def _read(
        self, keys: Keys, words: Int64s, objects: Objects | None, data: npt.NDArray[Any] | None
    ) -> Removed:
        count = int(words[_COUNT])
        entries = words[_HEAD : _HEAD + _ENTRY * count].reshape(count, _ENTRY)
        reasons, at = entries[:, _KIND], entries[:, _AT]
        refs: Objects | None = None
        if self._has_refs:
            assert objects is not None and keys.refs is not None
            refs = objects[0 : 2 * count : 2]
            replaced = reasons == Reason.REPLACED
            refs[replaced] = keys.refs[at[replaced]]
        values: Any = None
        if self._is_blobs:
            assert data is not None
            values = Packed()
            ends = entries[:, _START] + entries[:, _LENGTH]
            values.fill(data, np.concatenate(((0,), ends)))
        elif data is not None:
            values = data[:count]
        elif objects is not None and self._values is not None:
            values = objects[1 : 2 * count : 2]
        return Removed(reasons, at, Keys(entries[:, _WORD], refs), values, entries[:, _COST])


def joined(first: Removed | None, second: Removed | None) -> Removed | None:
    """Return what left two tables, one after the other."""
    if first is None or second is None:
        return second if first is None else first
    return _joined([first, second])


def _joined(some: list[Removed]) -> Removed:
    reasons, at, keys, values, costs = zip(*some, strict=True)
    words, refs = zip(*keys, strict=True)
    whole: Any = None
    if isinstance(values[0], Packed):
        whole = _one_packed(values)
    elif values[0] is not None:
        whole = np.concatenate(values)
    return Removed(
        np.concatenate(reasons),
        np.concatenate(at),
        Keys(np.concatenate(words), None if refs[0] is None else np.concatenate(refs)),
        whole,
        np.concatenate(costs),
    )


def _one_packed(some: tuple[Packed, ...]) -> Packed:
    """Return the byte strings of several, each of which begins at 0, in one."""
    ends, start = [np.zeros(1, np.int64)], 0
    for each in some:
        ends.append(each.offsets[1:] + start)
        start += int(each.offsets[-1])
    whole = Packed()
    whole.fill(
        np.concatenate([each.data[: each.offsets[-1]] for each in some]), np.concatenate(ends)
    )
    return whole
