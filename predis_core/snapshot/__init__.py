"""Snapshots: a cache's entries in one file, written whole or not at all, verified before use."""

from __future__ import annotations

from predis_core.snapshot.files import AnyPath
from predis_core.snapshot.format import Description, Header
from predis_core.snapshot.packing import Codec
from predis_core.snapshot.reading import RestoreReport, describe, restore
from predis_core.snapshot.subject import Subject
from predis_core.snapshot.writing import SnapshotReport, write

__all__ = [
    "AnyPath",
    "Codec",
    "Description",
    "Header",
    "RestoreReport",
    "SnapshotReport",
    "Subject",
    "describe",
    "restore",
    "write",
]
