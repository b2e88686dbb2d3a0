"""Traces of text: one key per line, LIRS and ARC.

A key that is not a decimal integer of 64 bits becomes one: the first 8 bytes of its BLAKE2b, the
same on every machine and in every run.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path
from typing import BinaryIO

import numpy as np

from predis_lab.traces.binary import Keys
from predis_lab.traces.errors import TraceError

BLOCK = 1 << 18
INTEGER = re.compile(rb"[+-]?[0-9]+")
INT64 = range(-(1 << 63), 1 << 63)


def integer(field: bytes) -> int | None:
    """The decimal integer that `field` spells, or None if it spells none that fits int64."""
    if INTEGER.fullmatch(field) and (value := int(field)) in INT64:
        return value
    return None


def key_of(field: bytes) -> int:
    """An int64 key for any field: the integer it spells, else its hash."""
    value = integer(field)
    if value is not None:
        return value
    return int.from_bytes(blake2b(field, digest_size=8).digest(), "little", signed=True)


def keys_of(fields: list[bytes]) -> Keys:
    """`key_of` of many stripped fields, in one go where all of them are plain integers."""
    try:
        # int() also reads "1_0", which is a name here and not the number ten.
        if not any(b"_" in field for field in fields):
            return np.array(list(map(int, fields)), dtype=np.int64)
    except (ValueError, OverflowError):
        pass
    return np.array(list(map(key_of, fields)), dtype=np.int64)


def _lines(stream: BinaryIO, path: Path) -> Iterator[tuple[int, list[bytes]]]:
    """Blocks of whole lines with the number of their first line, a quarter MiB at a time."""
    number, rest = 1, b""
    while data := stream.read(BLOCK):
        if b"\0" in data:
            raise TraceError(
                path,
                "holds zero bytes, so it is not text: pass the format= it has",
                where=f"after line {number:,}",
            )
        *lines, rest = (rest + data).split(b"\n")
        if not lines and len(rest) > BLOCK:
            raise TraceError(
                path,
                f"the line is longer than {BLOCK:,} bytes: a trace of text has "
                "one request per line",
                where=f"line {number:,}",
            )
        yield number, lines
        number += len(lines)
    if rest:
        yield number, [rest]


def text(stream: BinaryIO, path: Path, size: int) -> Iterator[Keys]:
    """One key per line; blank lines and the space around a key do not count."""
    for _, lines in _lines(stream, path):
        yield keys_of([field for line in lines if (field := line.strip())])


def lirs(stream: BinaryIO, path: Path, size: int) -> Iterator[Keys]:
    """One block number per line; lines that begin with an asterisk are comments."""
    for first, lines in _lines(stream, path):
        fields = [line.strip() for line in lines]
        numbers = [field for field in fields if field and not field.startswith(b"*")]
        try:
            yield np.array(list(map(int, numbers)), dtype=np.int64)
        except (ValueError, OverflowError):
            for at, field in enumerate(fields, first):
                if field and not field.startswith(b"*"):
                    _integer_at(field, path, at, "a block number")
            raise


def _integer_at(field: bytes, path: Path, line: int, what: str) -> int:
    value = integer(field)
    if value is None:
        shown = field[:40].decode("utf-8", "backslashreplace")
        raise TraceError(
            path,
            f"expected {what}, found {shown!r}: correct the line, or read the "
            "file with format='text' if its keys are names",
            where=f"line {line:,}",
        )
    return value


def _extents(stream: BinaryIO, path: Path) -> Iterator[tuple[Keys, Keys]]:
    """First blocks and lengths of an ARC file's requests: `start blocks ignored request`."""
    for first, lines in _lines(stream, path):
        rows = [fields for line in lines if (fields := line.split(None, 2))]
        try:
            starts = np.array([int(fields[0]) for fields in rows], dtype=np.int64)
            counts = np.array([int(fields[1]) for fields in rows], dtype=np.int64)
        except (IndexError, ValueError, OverflowError):
            _explain_extents(first, lines, path)
            raise
        if (counts < 1).any():
            _explain_extents(first, lines, path)
        yield starts, counts


def _explain_extents(first: int, lines: list[bytes], path: Path) -> None:
    """Raise TraceError for the first line that is no request."""
    for at, line in enumerate(lines, first):
        fields = line.split(None, 2)
        if len(fields) == 1:
            raise TraceError(
                path,
                "expected a start block and a number of blocks, found one field",
                where=f"line {at:,}",
            )
        if fields:
            _integer_at(fields[0], path, at, "a start block")
            if (count := _integer_at(fields[1], path, at, "a number of blocks")) < 1:
                raise TraceError(
                    path,
                    f"asks for {count} blocks: a request has at least one",
                    where=f"line {at:,}",
                )


def arc(stream: BinaryIO, path: Path, size: int) -> Iterator[Keys]:
    """Every block that an ARC trace touches, in order, at most `size` at a time."""
    for starts, counts in _extents(stream, path):
        ends = np.cumsum(counts)
        total = int(ends[-1]) if len(ends) else 0
        for low in range(0, total, size):
            at = np.arange(low, min(low + size, total))
            request = np.searchsorted(ends, at, side="right")
            yield starts[request] + at - (ends - counts)[request]


def arc_requests(stream: BinaryIO, path: Path, size: int) -> Iterator[Keys]:
    """The first block of each request of an ARC trace: one key per I/O, however long it is."""
    for starts, _ in _extents(stream, path):
        yield starts
