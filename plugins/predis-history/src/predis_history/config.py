"""The section `[plugins.history]`."""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct

from predis_core.plugin import ByteSize, Duration

SMALLEST = ByteSize.parse("1MiB")


class HistoryConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where snapshots are kept, and how many.

    Attributes:
        path: the file, made if it is not there; caches and processes may share it.
        interval: the time from one snapshot to the next.
        keep: how long a snapshot is kept.
        max_size: bytes that the file may take, with those that SQLite puts beside it; the oldest
            snapshots leave first. At least 1MiB.
    """

    path: Path
    interval: Duration = Duration(10)
    keep: Duration = Duration(7 * 86_400)
    max_size: ByteSize = ByteSize(64 << 20)

    def __post_init__(self) -> None:
        if self.max_size < SMALLEST:
            raise ValueError(f"max_size: expected at least {SMALLEST}, got {self.max_size}")
