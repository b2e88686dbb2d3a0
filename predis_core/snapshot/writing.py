"""From a cache to a file: a few sets at a time, so that little memory is needed."""

from __future__ import annotations

import reprlib
from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np

from predis_core.clock import stopwatch
from predis_core.errors import SnapshotError
from predis_core.packed import Packed
from predis_core.snapshot import files
from predis_core.snapshot.format import ENTRIES_KIND, HEADER_KIND, PART_HEAD, Header, SectionWriter
from predis_core.snapshot.packing import Codec, Packing, Unpackable, joined
from predis_core.snapshot.sections import SECTION_KIND, payload_of
from predis_core.snapshot.subject import Subject
from predis_core.table.interface import Counter, Entries
from predis_core.table.layout import WAYS

SECTION_BYTES = 512 << 10
"""A section is written once it holds this much."""

_WINDOW_BYTES = 4 << 20
_ENTRY_BYTES = 64  # what looking at an entry takes besides its value
_SETS_WITH_GIL = 128  # the kernel holds it for well under half a millisecond


class SnapshotReport(msgspec.Struct, frozen=True):
    """What a snapshot wrote.

    Attributes:
        entries: how many.
        bytes: size of the file.
        seconds: how long it took.
    """

    entries: int
    bytes: int
    seconds: float


def write(subject: Subject, path: files.AnyPath, codec: Codec | None = None) -> SnapshotReport:
    """Write the entries of a cache to a file, which appears under its name when it is whole.

    Raises:
        SnapshotError: naming the key and the type that cannot be written.
        OSError: as the system says. In either case, what was at `path` is still there.
    """
    begin = stopwatch()
    now, wall = subject.clock.monotonic(), subject.clock.wall()
    header = Header(
        name=subject.name,
        keys=subject.codec.kind,
        value=str(subject.store),
        row_bytes=subject.row_bytes,
        policy=subject.table.policy.name,
        capacity=subject.table.layout.slots,
        wall=wall,
    )
    with files.replacing(path) as sink:
        sections = SectionWriter(sink)
        sections.add(HEADER_KIND, msgspec.json.encode(header))
        writing = _Writing(subject, sections, Packing(codec), now)
        writing.run()
        if subject.keeper is not None:
            for section in subject.keeper.save():
                sections.add(SECTION_KIND, payload_of(section))
        sections.end(writing.entries)
    return SnapshotReport(writing.entries, sink.written, (stopwatch() - begin) / 1e9)


class _Pending:
    """Entries of one level that wait for their section to be worth its while."""

    def __init__(self) -> None:
        self.entries = self.size = 0
        self.lifetimes: list[bytes] = []
        self.keys: list[bytes] = []
        self.values: list[bytes] = []

    def add(self, count: int, lifetimes: bytes, keys: bytes, values: bytes) -> None:
        self.entries += count
        self.size += len(lifetimes) + len(keys) + len(values)
        self.lifetimes.append(lifetimes)
        self.keys.append(keys)
        self.values.append(values)


class _Writing:
    """One pass through a cache."""

    def __init__(
        self, subject: Subject, sections: SectionWriter, packing: Packing, now: int
    ) -> None:
        self._subject, self._sections, self._packing, self._now = subject, sections, packing, now
        self._row_bytes = subject.row_bytes
        self._pending = [_Pending() for _ in range(WAYS)]
        self.entries = 0

    def run(self) -> None:
        """Write every entry."""
        for sets in self._windows():
            entries = self._subject.table.export(self._now, sets=sets)
            if isinstance(entries.values, Packed):
                blobs = np.fromiter(map(bytes, entries.values), object, len(entries.values))
                entries = entries._replace(values=blobs)
            levels = self._subject.table.levels(entries)
            for level in np.unique(levels).tolist():
                self._add(level, entries, np.flatnonzero(levels == level))
        for level in range(WAYS):
            self._flush(level)
        self._subject.check()

    def _windows(self) -> Iterator[range]:
        (region,) = self._subject.table.layout.regions
        counters = self._subject.table.counters()
        value_bytes = self._row_bytes or counters[Counter.BYTES] // max(1, counters[Counter.SIZE])
        step = max(1, _WINDOW_BYTES // (WAYS * (value_bytes + _ENTRY_BYTES)))
        if self._subject.codec.has_refs or not self._row_bytes:
            step = min(step, _SETS_WITH_GIL)
        for start in range(0, region.sets, step):
            yield range(start, min(start + step, region.sets))

    def _add(self, level: int, entries: Entries, at: Any) -> None:
        deadlines = entries.deadlines[at]
        lifetimes = np.where(deadlines, deadlines - self._now, 0).astype("<i8").tobytes()
        keys, values = entries.keys, entries.values[at]
        if keys.refs is None and self._row_bytes:
            words = keys.words[at].astype("<i8").tobytes()
            self._pending[level].add(len(at), lifetimes, words, values.tobytes())
            self._flush_if_large(level)
            return
        listed = (keys.words if keys.refs is None else keys.refs)[at].tolist()
        rows, width = values.tobytes() if self._row_bytes else b"", self._row_bytes
        for i, key in enumerate(listed):
            self._pending[level].add(
                1,
                lifetimes[8 * i : 8 * i + 8],
                self._key_bytes(key),
                rows[width * i : width * i + width] or self._packed(key, "value", values[i]),
            )
            self._flush_if_large(level)

    def _key_bytes(self, key: Any) -> bytes:
        if self._subject.codec.has_refs:
            return self._packed(key, "key itself", key)
        return int(key).to_bytes(8, "little", signed=True)

    def _packed(self, key: Any, what: str, thing: Any) -> bytes:
        try:
            return self._packing.pack(thing)
        except Unpackable as error:
            raise SnapshotError(f"key {reprlib.repr(key)}: its {what} holds {error}") from error

    def _flush_if_large(self, level: int) -> None:
        if self._pending[level].size >= SECTION_BYTES:
            self._flush(level)

    def _flush(self, level: int) -> None:
        pending, self._pending[level] = self._pending[level], _Pending()
        n = pending.entries
        if n == 0:
            return
        lifetimes = b"".join(pending.lifetimes)
        if lifetimes.count(0) == len(lifetimes):
            lifetimes = b""
        has_words = not self._subject.codec.has_refs
        keys = b"".join(pending.keys) if has_words else joined(pending.keys, n)
        values = b"".join(pending.values) if self._row_bytes else joined(pending.values, n)
        start = PART_HEAD.pack(level, n, len(lifetimes), len(keys))
        self._sections.add(ENTRIES_KIND, b"".join((start, lifetimes, keys, values)))
        self.entries += n
