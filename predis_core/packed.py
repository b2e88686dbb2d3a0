"""Byte strings one after the other in one buffer, and where each begins and ends."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any, overload

import numpy as np
import numpy.typing as npt

from predis_core.errors import ValueShapeError

_NONE = (0,)


class Packed(Sequence[memoryview]):
    """n byte strings in one buffer: what a cache of Blobs takes and gives without a copy of each.

    `Packed()` is empty; as `out=` of `get_many` it is filled, and its memory is used again the next
    time if it is enough.

    Args:
        data: uint8[m], or anything with a buffer of bytes.
        offsets: int64[n + 1], ascending: the i-th byte string is `data[offsets[i]:offsets[i + 1]]`.

    Raises:
        ValueShapeError: if offsets do not ascend within the data.
    """

    __slots__ = ("_room", "data", "offsets")

    def __init__(self, data: Any = b"", offsets: Any = _NONE) -> None:
        self.data: npt.NDArray[np.uint8] = np.frombuffer(data, np.uint8)
        # Writeable, as all here: read-only arrays are another type to Numba, and another kernel.
        self.offsets: npt.NDArray[np.int64] = np.array(offsets, np.int64)
        self._room: npt.NDArray[np.uint8] = np.empty(0, np.uint8)
        if offsets is not _NONE:
            self.check()

    def check(self) -> None:
        """Raise ValueShapeError if offsets do not ascend within the data."""
        if self.offsets.ndim != 1 or len(self.offsets) == 0:
            raise ValueShapeError(
                "offsets: expected n + 1 of them, the first of which is where the data begins"
            )
        steps = np.diff(self.offsets)
        if self.offsets[0] < 0 or (steps < 0).any() or self.offsets[-1] > len(self.data):
            raise ValueShapeError(
                f"offsets: expected them to ascend from 0 to at most {len(self.data)}, the length "
                "of the data"
            )

    @classmethod
    def of(cls, items: Iterable[Any]) -> Packed:
        """Return byte strings packed. Args: items, n of anything with a buffer of bytes."""
        listed = list(items)
        sizes = (len(b) if type(b) is bytes else memoryview(b).nbytes for b in listed)
        lengths = np.fromiter(sizes, np.int64, len(listed))
        return cls(bytearray().join(listed), np.concatenate(((0,), np.cumsum(lengths))))

    @classmethod
    def filled(cls, data: npt.NDArray[np.uint8], offsets: npt.NDArray[np.int64]) -> Packed:
        """Return byte strings that are packed already, which is not checked."""
        packed = cls()
        packed.fill(data, offsets)
        return packed

    @property
    def room(self) -> npt.NDArray[np.uint8]:
        """The memory that was last filled, to be filled again."""
        return self._room

    def grow(self, size: int, keep: int) -> npt.NDArray[np.uint8]:
        """Return more memory, `size` bytes; it begins with the first `keep` bytes of the last."""
        larger = np.empty(size, np.uint8)
        larger[:keep] = self._room[:keep]
        self._room = larger
        return larger

    def fill(self, data: npt.NDArray[np.uint8], offsets: npt.NDArray[np.int64]) -> None:
        """Take other contents, which are not checked."""
        self.data, self.offsets = data, offsets

    def copy(self) -> Packed:
        """Return the same byte strings in memory of their own."""
        return Packed(self.data.copy(), self.offsets.copy())

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @overload
    def __getitem__(self, index: int) -> memoryview: ...

    @overload
    def __getitem__(self, index: slice) -> Packed: ...

    def __getitem__(self, index: int | slice) -> memoryview | Packed:
        if isinstance(index, slice):
            start, stop, step = index.indices(len(self))
            if step != 1:
                raise ValueError("a step other than 1 is not packed; use tolist()[i:j:k]")
            part = Packed()
            part.fill(self.data, self.offsets[start : max(start, stop) + 1])
            return part
        at = range(len(self))[index]
        return self.data.data[self.offsets[at] : self.offsets[at + 1]]

    def __iter__(self) -> Iterator[memoryview]:
        bounds, data = self.offsets.tolist(), self.data.data
        return (data[a:b] for a, b in pairwise(bounds))

    def tolist(self) -> list[bytes]:
        """Return a copy of each byte string."""
        bounds, data = self.offsets.tolist(), self.data[: self.offsets[-1]].tobytes()
        return [data[a:b] for a, b in pairwise(bounds)]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Packed) and self.tolist() == other.tolist()

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        size = int(self.offsets[-1] - self.offsets[0])
        return f"<Packed: {len(self)} byte strings, {size} bytes>"
