"""What the values of a trace take and cost: said by the trace, or an amount for every key."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from predis_lab import amounts
from predis_lab.amounts import Amounts
from predis_lab.traces import CHUNK, Chunk, Keys, Trace, rechunk, with_sizes

Source = Trace | npt.ArrayLike | Iterable[Keys]
_COLUMN = "column:"


class Requests(NamedTuple):
    """Some requests of a trace: keys, bytes and nanoseconds of their values, if they have any."""

    keys: Keys
    sizes: npt.NDArray[np.int64] | None
    costs: npt.NDArray[np.int64] | None

    def among(self, where: Any) -> Requests:
        """Return some of them, by a slice or a mask."""
        sizes = None if self.sizes is None else self.sizes[where]
        return Requests(self.keys[where], sizes, None if self.costs is None else self.costs[where])


@dataclass(frozen=True, slots=True)
class Values:
    """What values take and cost.

    sizes: bytes by key; None: values take nothing, or what a column says
    column: of a trace, with the bytes
    costs: nanoseconds by key; None: nobody knows
    """

    sizes: Amounts | None = None
    column: str | int | None = None
    costs: Amounts | None = None

    @classmethod
    def read(cls, sizes: str | Amounts | None, costs: str | Amounts | None) -> Values:
        """Read what `replay` takes as `value_sizes` and `costs`. Raises ValueError."""
        column: str | int | None = None
        if isinstance(sizes, str) and sizes.startswith(_COLUMN):
            name = sizes.removeprefix(_COLUMN)
            column = int(name) if name.removeprefix("-").isdecimal() else name
            sizes = None
        elif isinstance(sizes, str):
            sizes = amounts.sizes(sizes)
        return cls(sizes, column, amounts.costs(costs) if isinstance(costs, str) else costs)

    @property
    def have_sizes(self) -> bool:
        """Whether values take anything."""
        return self.sizes is not None or self.column is not None

    def chunks(self, source: Source, batch: int) -> Iterator[Chunk]:
        """Chunks of a source that end where batches do, so that chunking changes no result."""
        size = -(-CHUNK // batch) * batch
        if self.column is not None:
            if not isinstance(source, Trace):
                raise TypeError("value_sizes: only a trace in a file has columns")
            yield from source.sized_chunks(self.column, size)
            return
        for keys in _chunks(source, size):
            yield keys if self.sizes is None else with_sizes(keys, self.sizes(keys))

    def requests(self, chunk: Chunk) -> Requests:
        """Return a chunk as what caches are asked for."""
        if not chunk.dtype.names:
            return Requests(chunk, None, self._costs(chunk))
        keys, sizes = (np.ascontiguousarray(chunk[name]) for name in ("key", "size"))
        return Requests(keys, sizes, self._costs(keys))

    def _costs(self, keys: Keys) -> npt.NDArray[np.int64] | None:
        return None if self.costs is None else np.ascontiguousarray(self.costs(keys), np.int64)


def _chunks(source: Any, size: int) -> Iterator[Keys]:
    if isinstance(source, Trace):
        yield from source.chunks(size)
    elif isinstance(source, Iterable) and not isinstance(source, np.ndarray | Sequence):
        yield from rechunk(map(_as_keys, source), size)
    else:
        whole = _as_keys(source)
        for low in range(0, len(whole), size):
            yield whole[low : low + size]


def _as_keys(keys: npt.ArrayLike) -> Keys:
    array = np.asarray(keys)
    if array.ndim != 1 or (array.dtype.kind not in "iu" and len(array)):
        raise TypeError(
            f"keys: {array.dtype} of shape {array.shape}; a trace is one dimension of integers"
        )
    return np.require(array, np.int64, ["C_CONTIGUOUS", "WRITEABLE"])
