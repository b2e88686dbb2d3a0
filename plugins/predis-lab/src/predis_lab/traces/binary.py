"""Binary traces: NumPy's .npy and libCacheSim's oracleGeneral, read record by record."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from predis_lab.traces.errors import TraceError

Keys = npt.NDArray[np.int64]
Sized = npt.NDArray[np.void]
"""Requests of `SIZED`: keys, and the bytes of their values."""
Chunk = npt.NDArray[Any]
"""Requests: either of the two."""

SIZED = np.dtype([("key", "i8"), ("size", "i8")])

# One request of libCacheSim's oracleGeneral: seconds, object, bytes, index of its next request.
ORACLE_RECORD = np.dtype([("time", "<u4"), ("id", "<u8"), ("size", "<u4"), ("next", "<i8")])


def as_int64(values: npt.NDArray[np.integer[Any]]) -> Keys:
    """Integers of any width as int64; uint64 keeps its bits, so that distinct stay distinct."""
    if values.dtype.kind == "u":
        return values.astype(np.uint64).view(np.int64)
    return values.astype(np.int64, copy=False)


def with_sizes(keys: Keys, sizes: npt.ArrayLike) -> Sized:
    """Put n keys and n sizes together."""
    both = np.empty(len(keys), SIZED)
    both["key"], both["size"] = keys, sizes
    return both


def _records(
    stream: BinaryIO, path: Path, dtype: np.dtype[Any], size: int, count: int | None
) -> Iterator[npt.NDArray[Any]]:
    """Arrays of at most `size` records until `count` are read, or the end when it is None."""
    done = 0
    while count is None or done < count:
        wanted = size if count is None else min(size, count - done)
        data = stream.read(wanted * dtype.itemsize)
        whole = len(data) // dtype.itemsize
        if len(data) % dtype.itemsize or (count is not None and whole < wanted):
            promised = "" if count is None else f" of the {count:,} that its header announces"
            raise TraceError(
                path,
                f"the file ends inside this record or before it{promised}: it is truncated; "
                "copy it again",
                where=f"record {done + whole + 1:,}",
            )
        if not whole:
            return
        done += whole
        yield np.frombuffer(data, dtype)


def npy(stream: BinaryIO, path: Path, size: int) -> Iterator[Keys]:
    """Keys of a one-dimensional integer .npy file of any byte order and version.

    The file is streamed, not mapped, so that compressed and plain files go the same way.
    """
    try:
        version = np.lib.format.read_magic(stream)
        read_header = (
            np.lib.format.read_array_header_1_0
            if version == (1, 0)
            else np.lib.format.read_array_header_2_0
        )
        shape, _, dtype = read_header(stream)
    except ValueError as error:
        raise TraceError(
            path, f"is not a .npy file ({error}); pass format= if it is something else"
        ) from error
    if dtype.kind not in "iu" or len(shape) != 1:
        raise TraceError(
            path,
            f"holds {dtype} of shape {shape}; a trace is one dimension of integer keys: "
            "save it with np.save(path, keys.astype(np.int64).ravel())",
        )
    for records in _records(stream, path, dtype, size, shape[0]):
        yield as_int64(records)
    if stream.read(1):
        raise TraceError(
            path,
            f"goes on after the {shape[0]:,} keys that its header announces: "
            "save each array in a file of its own",
        )


def oracle_general(stream: BinaryIO, path: Path, size: int) -> Iterator[Keys]:
    """Object ids of a libCacheSim oracleGeneral file: packed records of 24 bytes, <IQIq."""
    for requests in oracle_general_with_sizes(stream, path, size):
        yield np.ascontiguousarray(requests["key"])


def oracle_general_with_sizes(stream: BinaryIO, path: Path, size: int) -> Iterator[Sized]:
    """Object ids and their bytes, of the same files."""
    for records in _records(stream, path, ORACLE_RECORD, size, None):
        yield with_sizes(as_int64(records["id"]), records["size"])
