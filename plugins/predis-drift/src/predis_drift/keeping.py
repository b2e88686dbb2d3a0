"""What was learned, in a file of its own: whole or not at all, so that a kill loses one window."""

from __future__ import annotations

import contextlib
import os
import zlib
from pathlib import Path

MAGIC = b"predis-drift 1\n"


class StateError(ValueError):
    """A file that does not hold what was learned; says why."""


def write(path: Path, data: bytes) -> None:
    """Replace a file in one step.

    Raises:
        OSError: if it cannot be written; the old one is still there.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(MAGIC + zlib.crc32(data).to_bytes(4, "little") + data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except BaseException:
        with contextlib.suppress(OSError):
            beside.unlink()
        raise


def read(path: Path) -> bytes | None:
    """Return what `write` wrote; None if there is no file.

    Raises:
        StateError: if it is another file, or damaged.
        OSError: if it cannot be read.
    """
    try:
        found = path.read_bytes()
    except FileNotFoundError:
        return None
    if not found.startswith(MAGIC):
        raise StateError(f"{path} holds no state of predis-drift; name another file")
    crc, data = found[len(MAGIC) : len(MAGIC) + 4], found[len(MAGIC) + 4 :]
    if zlib.crc32(data).to_bytes(4, "little") != crc:
        raise StateError(f"{path} is damaged; remove it, and the reference is learned anew")
    return data
