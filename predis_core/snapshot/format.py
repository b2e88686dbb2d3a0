"""The bytes of a snapshot: a prefix, then sections. All numbers are little-endian.

::

    prefix     8s  magic
               I   version of the format
    section    4s  kind
               Q   length of the payload
               I   CRC-32 of kind, length and payload
               …   payload

The sections are `HEAD` (JSON of `Header`), any number of `ENTR`, any number of `STAT` (what plugins
keep; see `sections`), and `DONE`, with which the file ends. Sections of other kinds are verified
and skipped. `DONE` has the number of sections before it, the number of entries, and the BLAKE2b-128
of the prefix and of the heads (the first 16 bytes) of all these sections: their checksums included,
in their order.

`ENTR` holds entries of one level, that is, which as many others of their set were to outlive::

    I   level
    I   n, the number of entries
    Q   bytes of the lifetimes: 0 if none of them ends, else 8 n
    Q   bytes of the keys
    …   lifetimes: n int64, nanoseconds that were left at `Header.wall`, 0 for no end
    …   keys: n int64, or a MessagePack array of n
    …   values: n rows in C order, or a MessagePack array of n

What MessagePack has no type for is an extension; `packing` has their codes.
"""

from __future__ import annotations

import hashlib
import struct
import sys
import zlib
from importlib.metadata import version
from typing import NamedTuple

import msgspec

from predis_core.snapshot.files import Sink

MAGIC = b"\x89PREDIS\n"
VERSION = 1
PREFIX = struct.Struct("<8sI")
HEAD = struct.Struct("<4sQI")
PART_HEAD = struct.Struct("<IIQQ")
DONE = struct.Struct("<QQ16s")
HEADER_KIND, ENTRIES_KIND, DONE_KIND = b"HEAD", b"ENTR", b"DONE"
HEADER_BYTES_AT_MOST = 1 << 20

_CHECKED = struct.Struct("<4sQ")


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """What a snapshot says about the cache that it was taken of.

    Attributes:
        library: version of predis-core.
        name: the cache's.
        keys: its kind of keys.
        value: its store.
        row_bytes: bytes of a row; 0 for Python objects.
        byteorder: "little" or "big", that of rows.
        policy: name of its policy.
        capacity: entries that it had room for.
        wall: when it was taken, in nanoseconds since the Unix epoch.
    """

    library: str = version("predis-core")
    name: str
    keys: str
    value: str
    row_bytes: int
    byteorder: str = sys.byteorder
    policy: str
    capacity: int
    wall: int


class Description(msgspec.Struct, frozen=True, kw_only=True):
    """What is in a snapshot, which is whole.

    Attributes:
        header: what it says about the cache.
        entries: how many it holds.
        bytes: size of the file.
    """

    header: Header
    entries: int
    bytes: int


class Part(NamedTuple):
    """The beginning of an `ENTR` section's payload, and where that is in the file."""

    offset: int
    length: int
    level: int
    entries: int
    lifetime_bytes: int
    key_bytes: int

    @property
    def value_bytes(self) -> int:
        """Bytes of the values."""
        return self.length - PART_HEAD.size - self.lifetime_bytes - self.key_bytes


class Chain:
    """The checksum over all sections, of which `DONE` is the end.

    Attributes:
        sections: how many.
    """

    def __init__(self, prefix: bytes) -> None:
        self._digest = hashlib.blake2b(prefix, digest_size=16)
        self.sections = 0

    def add(self, head: bytes) -> None:
        """Take in the head of a section."""
        self._digest.update(head)
        self.sections += 1

    def end(self, entries: int) -> bytes:
        """Return the payload of `DONE`."""
        return DONE.pack(self.sections, entries, self._digest.digest())


def checksum(kind: bytes, length: int) -> int:
    """Return the CRC-32 of a section as it is before its payload."""
    return zlib.crc32(_CHECKED.pack(kind, length))


class SectionWriter:
    """Writes the prefix and sections."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        prefix = PREFIX.pack(MAGIC, VERSION)
        self._chain = Chain(prefix)
        sink.write(prefix)

    def add(self, kind: bytes, payload: bytes) -> None:
        """Write a section."""
        crc = zlib.crc32(payload, checksum(kind, len(payload)))
        head = HEAD.pack(kind, len(payload), crc)
        self._chain.add(head)
        self._sink.write(head)
        self._sink.write(payload)

    def end(self, entries: int) -> None:
        """Write the section that says that all is there."""
        self.add(DONE_KIND, self._chain.end(entries))
