"""The section `[plugins.prefetch]`."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from predis_core.plugin import ByteSize

Share = Annotated[float, Meta(gt=0, lt=1)]


class AssociationConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What follows what.

    Attributes:
        memory: bytes for what is known of a cache's keys, and as much again for each namespace: 48
            for each key, rounded down to a power of two of keys; taken as it is needed.
        confidence: how probable a key has to be to be proposed.
    """

    memory: ByteSize = ByteSize(16 << 20)
    confidence: Share = 0.5

    def __post_init__(self) -> None:
        if self.memory < SMALLEST:
            raise ValueError(f"memory: expected at least {SMALLEST}, got {self.memory}")


class ReadaheadConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Scans.

    Attributes:
        streams: scans that are followed at a time; of more, those that were asked for the longest
            time ago are forgotten.
        window: keys ahead of a scan, at most.
        stride: the largest distance between two keys of a scan.
        confidence: how probable it has to be that a scan gets as far as a key.
    """

    streams: Annotated[int, Meta(ge=1, le=4_096)] = 64
    window: Annotated[int, Meta(ge=1, le=65_536)] = 1_024
    stride: Annotated[int, Meta(ge=1, le=1 << 40)] = 65_536
    confidence: Share = 0.5


class PrefetchersConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which prefetchers there are, and their limits.

    Attributes:
        prefetchers: the ones that are used.
        association: what follows what.
        readahead: scans, of caches with int64 keys.
    """

    prefetchers: tuple[Literal["association", "readahead"], ...] = ("association", "readahead")
    association: AssociationConfig = msgspec.field(default_factory=AssociationConfig)
    readahead: ReadaheadConfig = msgspec.field(default_factory=ReadaheadConfig)


SMALLEST = ByteSize.parse("4KiB")
