"""The bytes of a trace file, decompressed while they are read.

The readers of the standard library and of `zstandard` differ in what they make of a file that
ends too early (gzip raises, zstandard returns what there is). Here both go through the same few
lines, so that a truncated file is always an error.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Protocol

import zstandard

from predis_lab.traces.errors import TraceError

BUFFER = 1 << 20
# A zstd block of 4 bytes may stand for 128 KiB: small pieces bound what one piece can grow to.
PIECE = 512


class Decompressor(Protocol):
    """One compressed frame: `decompress` until `eof`, then `unused_data` belongs to the next."""

    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, /) -> bytes: ...


def _gzip() -> Decompressor:
    return zlib.decompressobj(wbits=31)


def _zstd() -> Decompressor:
    return zstandard.ZstdDecompressor().decompressobj()


COMPRESSIONS: dict[str, Callable[[], Decompressor]] = {".gz": _gzip, ".zst": _zstd}


class Decompressed(io.RawIOBase):
    """The content of a file made of any number of compressed frames, as a raw stream."""

    def __init__(self, path: Path, make: Callable[[], Decompressor]) -> None:
        self._path = path
        self._make = make
        self._file = path.open("rb", buffering=BUFFER)
        self._frame: Decompressor | None = None
        self._ready = b""
        self._at = 0

    def readable(self) -> bool:
        return True

    def close(self) -> None:
        self._file.close()
        super().close()

    def readinto(self, buffer: object) -> int:
        """Fill `buffer` with the next bytes; 0 at the end. Raises `TraceError`."""
        view = memoryview(buffer).cast("B")  # type: ignore[arg-type]
        while self._at == len(self._ready):
            data = self._file.read(PIECE)
            if not data:
                if self._frame is not None:
                    raise TraceError(
                        self._path,
                        f"the compressed data ends too early (after {self._file.tell():,} bytes): "
                        "the file is truncated; copy it again",
                    )
                return 0
            self._ready, self._at = self._decompress(data), 0
        count = min(len(view), len(self._ready) - self._at)
        view[:count] = self._ready[self._at : self._at + count]
        self._at += count
        return count

    def _decompress(self, data: bytes) -> bytes:
        parts = []
        try:
            while data:
                frame = self._frame or self._make()
                parts.append(frame.decompress(data))
                self._frame, data = (None, frame.unused_data) if frame.eof else (frame, b"")
        except (zlib.error, zstandard.ZstdError) as error:
            raise TraceError(
                self._path,
                f"is not valid {self._path.suffix} data ({error}); "
                "copy it again, or rename it if it is not compressed",
            ) from error
        return parts[0] if len(parts) == 1 else b"".join(parts)


def open_bytes(path: Path) -> BinaryIO:
    """Open `path` for reading; names that end in .gz or .zst are decompressed on the way."""
    make = COMPRESSIONS.get(path.suffix.lower())
    if make is None:
        return path.open("rb", buffering=BUFFER)
    return io.BufferedReader(Decompressed(path, make), buffer_size=BUFFER)
