"""What plugins keep in a snapshot: named sections of bytes, whose meaning is theirs.

A section of the kind `STAT` holds one of them::

    H   bytes of the plugin's name
    H   bytes of the section's name
    …   both names, UTF-8
    …   its data
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol

SECTION_KIND = b"STAT"
LARGEST = 64 << 20
"""Bytes of data that a section may have."""

_LENGTHS = struct.Struct("<HH")


class Section(NamedTuple):
    """What a plugin wants to have kept."""

    plugin: str
    name: str
    data: bytes


class Keeper(Protocol):
    """Who has the plugins."""

    def save(self) -> Iterable[Section]:
        """Return what plugins want to have kept."""
        ...

    def restore(self, sections: Sequence[Section]) -> None:
        """Give plugins what was kept."""
        ...


def payload_of(section: Section) -> bytes:
    """Return a section as bytes."""
    plugin, name = section.plugin.encode(), section.name.encode()
    return _LENGTHS.pack(len(plugin), len(name)) + plugin + name + section.data


def section_of(payload: bytes) -> Section:
    """Return the section that bytes stand for.

    Raises:
        ValueError: if they stand for none.
    """
    if len(payload) < _LENGTHS.size:
        raise ValueError(f"{len(payload)} bytes")
    plugin, name = _LENGTHS.unpack_from(payload)
    middle, end = _LENGTHS.size + plugin, _LENGTHS.size + plugin + name
    if end > len(payload):
        raise ValueError(f"names of {plugin} and {name} bytes in {len(payload)}")
    return Section(
        payload[_LENGTHS.size : middle].decode(), payload[middle:end].decode(), payload[end:]
    )
