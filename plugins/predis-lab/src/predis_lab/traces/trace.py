"""A trace file: its format, and its keys in chunks that fit into memory whatever its size."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from predis_lab.traces import binary, delimited, text
from predis_lab.traces.binary import Keys, Sized
from predis_lab.traces.errors import TraceError
from predis_lab.traces.streams import COMPRESSIONS, open_bytes

CHUNK = 1 << 20

Reader = Callable[[BinaryIO, Path, int], Iterator[Keys]]

READERS: dict[str, Reader] = {
    "npy": binary.npy,
    "text": text.text,
    "arc": text.arc,
    "arc-io": text.arc_requests,
    "lirs": text.lirs,
    "oracle": binary.oracle_general,
}
DELIMITERS = {"csv": ",", "tsv": "\t"}
FORMATS = tuple(sorted((*READERS, *DELIMITERS)))
EXTENSIONS = {
    ".npy": "npy",
    ".csv": "csv",
    ".tsv": "tsv",
    ".txt": "text",
    ".keys": "text",
    ".lis": "arc",
    ".arc": "arc",
    ".trc": "lirs",
    ".lirs": "lirs",
    ".oracle": "oracle",
    ".oraclegeneral": "oracle",
}


@dataclass(frozen=True, slots=True)
class Trace:
    """A trace file. Nothing is read before `chunks`, and nothing is kept after it.

    path: the file; a name in .gz or .zst is decompressed on the way
    format: one of FORMATS
    column: csv and tsv only: the key's column, a name or an index from 0
    """

    path: Path
    format: str
    column: str | int | None = None

    @property
    def name(self) -> str:
        """The file's name without the endings that say how it is stored."""
        parts = self.path.name.split(".")
        while len(parts) > 1 and _is_storage(f".{parts[-1].lower()}"):
            parts.pop()
        return ".".join(parts)

    def chunks(self, size: int = CHUNK) -> Iterator[Keys]:
        """The keys in order, int64[size] at a time, the last chunk shorter. Raises TraceError."""
        if size < 1:
            raise ValueError(f"size is {size}: a chunk has at least 1 key")
        with open_bytes(self.path) as stream:
            yield from rechunk(self._read_from(stream, size), size)

    def sized_chunks(self, column: str | int, size: int = CHUNK) -> Iterator[Sized]:
        """The keys and the bytes of their values, `size` requests at a time. Raises TraceError.

        column: csv and tsv: the one with the bytes, a name or an index; oracle: "size"
        """
        with open_bytes(self.path) as stream:
            if self.format in DELIMITERS:
                delimiter = DELIMITERS[self.format]
                requests = delimited.delimited(
                    stream, self.path, size, self.column, delimiter, column
                )
            elif self.format == "oracle" and column == "size":
                requests = binary.oracle_general_with_sizes(stream, self.path, size)
            else:
                raise TraceError(
                    self.path,
                    f"has no column {column!r} with sizes: csv and tsv may have one, oracle has "
                    "'size'; for others give a distribution of sizes",
                )
            yield from rechunk(requests, size)

    def read(self) -> Keys:
        """All keys at once, int64[requests]: for traces that fit into memory."""
        return np.concatenate([*self.chunks(), np.empty(0, dtype=np.int64)])

    def _read_from(self, stream: BinaryIO, size: int) -> Iterator[Keys]:
        if self.format in DELIMITERS:
            delimiter = DELIMITERS[self.format]
            return delimited.delimited(stream, self.path, size, self.column, delimiter)
        return READERS[self.format](stream, self.path, size)


def open_trace(
    path: str | Path, format: str | None = None, *, column: str | int | None = None
) -> Trace:
    """Name a trace file; its format follows from its extension unless `format` says it.

    Formats: npy, csv, tsv, text (one key per line), arc (every block of each request), arc-io
    (the first block of each request), lirs, oracle (libCacheSim's oracleGeneral). `column` names
    the key's column of csv and tsv. Raises FileNotFoundError, or TraceError if the format is
    unknown or cannot be told.
    """
    path = Path(path)
    if path.is_dir():
        raise TraceError(path, "is a directory: name the files in it")
    path.stat()
    known = format or _format_of(path)
    if known not in FORMATS:
        near = get_close_matches(known, FORMATS, 1, cutoff=0.5)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise TraceError(
            path, f"there is no format {known!r}.{hint} The formats are {', '.join(FORMATS)}"
        )
    if column is not None and known not in DELIMITERS:
        raise TraceError(path, f"column is for csv and tsv: a {known} trace has none")
    return Trace(path, known, column)


def rechunk(arrays: Iterable[Any], size: int) -> Iterator[Any]:
    """The same keys in arrays of exactly `size`, the last one shorter; holds about one of each."""
    parts: list[Any] = []
    held = 0
    for array in arrays:
        at = 0
        while held + len(array) - at >= size:
            cut = at + size - held
            yield np.concatenate([*parts, array[at:cut]])
            parts, held, at = [], 0, cut
        if at < len(array):
            parts.append(array[at:])
            held += len(array) - at
    if held:
        yield np.concatenate(parts)


def _is_storage(suffix: str) -> bool:
    return suffix in EXTENSIONS or suffix in COMPRESSIONS


def _format_of(path: Path) -> str:
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] in COMPRESSIONS:
        suffixes.pop()
    # libCacheSim puts more after it: cluster52.oracleGeneral.sample10.zst
    if ".oraclegeneral" in suffixes:
        return "oracle"
    if not suffixes or suffixes[-1] not in EXTENSIONS:
        ending = repr(suffixes[-1]) if suffixes else "no ending"
        raise TraceError(
            path, f"{ending} does not tell the format: pass format=, one of {', '.join(FORMATS)}"
        )
    return EXTENSIONS[suffixes[-1]]
