"""From a file to a cache: nothing is believed before all of it was verified, and nothing is changed
before all of it was understood.
"""

from __future__ import annotations

import contextlib
import logging
import sys
import zlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from predis_core.clock import MAX_DURATION, stopwatch
from predis_core.errors import SnapshotError
from predis_core.snapshot import files
from predis_core.snapshot.format import (
    DONE,
    DONE_KIND,
    ENTRIES_KIND,
    HEAD,
    HEADER_BYTES_AT_MOST,
    HEADER_KIND,
    MAGIC,
    PART_HEAD,
    PREFIX,
    VERSION,
    Chain,
    Description,
    Header,
    Part,
    checksum,
)
from predis_core.snapshot.packing import Codec, Packing
from predis_core.snapshot.sections import SECTION_KIND, Section, section_of
from predis_core.snapshot.subject import Subject
from predis_core.stores import Blobs
from predis_core.table.arena import Ledger
from predis_core.table.batches import part_of
from predis_core.table.interface import Bools, Bytes, Int64s, Keys, Status

logger = logging.getLogger("predis")

_PIECE = 1 << 20


class RestoreReport(msgspec.Struct, frozen=True):
    """What became of a snapshot's entries: the other counts add up to `entries`.

    Attributes:
        entries: how many the file holds.
        restored: stored in the cache.
        present: not stored, because the cache holds their key; it keeps its own value.
        expired: not stored, because their time to live has ended.
        did_not_fit: not stored, because all places of their set or all memory is taken, by entries
            that the cache held or by restored ones that the policy would have kept longer.
        seconds: how long it took.
    """

    entries: int
    restored: int
    present: int
    expired: int
    did_not_fit: int
    seconds: float


class _Content(NamedTuple):
    header: Header
    parts: list[Part]
    sections: list[Section]
    entries: int


def describe(path: files.AnyPath) -> Description:
    """Verify a snapshot and return what is in it; no cache is needed.

    Raises:
        SnapshotError: if it is no snapshot, damaged, cut off, or of a newer Predis.
        OSError: if it cannot be read.
    """
    with files.opened(path) as reader:
        content = _Verifying(reader).run()
        return Description(header=content.header, entries=content.entries, bytes=reader.size)


def restore(subject: Subject, path: files.AnyPath, codec: Codec | None = None) -> RestoreReport:
    """Store the entries of a snapshot in the free places of a cache.

    Raises:
        SnapshotError: as `describe`, and if the cache holds other kinds of keys or values, or the
            codec does not fit; the cache is as it was before.
        OSError: if it cannot be read; likewise.
    """
    begin = stopwatch()
    with files.opened(path) as reader:
        content = _Verifying(reader).run()
        _check_alike(reader.path, content.header, subject)
        restoring = _Restoring(subject, reader, content, Packing(codec))
        restoring.plan()
        restoring.store()
        if subject.keeper is not None:
            subject.keeper.restore(content.sections)
        elif content.sections:
            _warn_of(reader.path, subject.name, content.sections)
    return RestoreReport(
        content.entries,
        restoring.restored,
        restoring.present,
        restoring.expired,
        restoring.did_not_fit,
        (stopwatch() - begin) / 1e9,
    )


class _Verifying:
    """One pass through a file that may hold anything."""

    def __init__(self, reader: files.Reader) -> None:
        self._reader = reader
        self._buffer = memoryview(bytearray(_PIECE))
        self._at = 0

    def run(self) -> _Content:
        """Return what is in a file that is whole."""
        chain = Chain(self._prefix())
        head, kind, length = self._section()
        if kind != HEADER_KIND:
            raise self._damaged("its first section is not its header")
        header = self._header(self._at - length, length)
        parts: list[Part] = []
        sections: list[Section] = []
        entries = 0
        while kind != DONE_KIND:
            chain.add(head)
            head, kind, length = self._section()
            if kind == ENTRIES_KIND:
                parts.append(self._part(header, self._at - length, length))
                entries += parts[-1].entries
            elif kind == SECTION_KIND:
                sections.append(self._plugins_section(self._at - length, length))
        if length != DONE.size or self._bytes(self._at - length, length) != chain.end(entries):
            raise self._damaged("its sections are not those that were written")
        if self._at != self._reader.size:
            raise self._damaged(f"something follows its end at byte {self._at}")
        return _Content(header, parts, sections, entries)

    def _prefix(self) -> bytes:
        prefix = self._bytes(0, min(PREFIX.size, self._reader.size))
        if not prefix or prefix[: len(MAGIC)] != MAGIC[: len(prefix)]:
            raise SnapshotError(f"{self._reader.path} is not a snapshot of Predis")
        if len(prefix) < PREFIX.size:
            raise self._cut_off()
        _, found = PREFIX.unpack(prefix)
        if found > VERSION:
            raise SnapshotError(
                f"{self._reader.path} has format {found}, and this version of Predis reads up to "
                f"{VERSION}; restore it with a newer predis-core"
            )
        if found < 1:
            raise self._damaged(f"there is no format {found}")
        self._at = PREFIX.size
        return prefix

    def _section(self) -> tuple[bytes, bytes, int]:
        """Verify a section; return its head, kind and length, and stand behind it."""
        start = self._at
        if self._reader.size - start < HEAD.size:
            raise self._cut_off()
        head = self._bytes(start, HEAD.size)
        kind, length, crc = HEAD.unpack(head)
        self._at += HEAD.size
        if length > self._reader.size - self._at:
            raise self._cut_off()
        found = checksum(kind, length)
        end = self._at + length
        while self._at < end:
            piece = self._buffer[: min(_PIECE, end - self._at)]
            self._reader.read(self._at, piece)
            found = zlib.crc32(piece, found)
            self._at += len(piece)
        if found != crc:
            raise self._damaged(f"the section at byte {start} does not have its checksum")
        return head, kind, length

    def _header(self, start: int, length: int) -> Header:
        try:
            if length > HEADER_BYTES_AT_MOST:
                raise ValueError(f"{length} bytes")
            return msgspec.json.decode(self._bytes(start, length), type=Header)
        except ValueError as error:
            raise self._damaged(f"its header does not fit: {error}") from error

    def _plugins_section(self, start: int, length: int) -> Section:
        try:
            return section_of(self._bytes(start, length))
        except ValueError as error:
            raise self._damaged(f"the section at byte {start} names no plugin: {error}") from error

    def _part(self, header: Header, start: int, length: int) -> Part:
        if length >= PART_HEAD.size:
            head = self._bytes(start, PART_HEAD.size)
            part = Part(start + PART_HEAD.size, length, *PART_HEAD.unpack(head))
            n = part.entries
            fits = part.lifetime_bytes in (0, 8 * n) and part.value_bytes >= n
            fits &= part.key_bytes >= n if header.keys != "int64" else part.key_bytes == 8 * n
            fits &= not header.row_bytes or part.value_bytes == header.row_bytes * n
            if fits:
                return part
        raise self._damaged(f"the lengths in the section at byte {start} contradict each other")

    def _bytes(self, offset: int, count: int) -> bytes:
        found = bytearray(count)
        self._reader.read(offset, memoryview(found))
        return bytes(found)

    def _damaged(self, what: str) -> SnapshotError:
        return SnapshotError(f"{self._reader.path} is damaged: {what}; take another copy of it")

    def _cut_off(self) -> SnapshotError:
        return SnapshotError(
            f"{self._reader.path} is cut off after {self._reader.size} bytes; take another copy "
            "of it"
        )


def _warn_of(path: str, cache: str, sections: Sequence[Section]) -> None:
    plugins = sorted({section.plugin for section in sections})
    logger.warning(
        "cache %r: what %s keeps of plugins %s was not restored: it has no plugins of its own",
        cache,
        path,
        ", ".join(plugins),
    )


def _check_alike(path: str, header: Header, subject: Subject) -> None:
    row_bytes = subject.row_bytes
    if header.keys != subject.codec.kind:
        raise SnapshotError(
            f"keys: {path} holds {header.keys} keys, cache {subject.name!r} takes "
            f"{subject.codec.kind}; restore it into one with keys={header.keys!r}"
        )
    if (header.value, header.row_bytes) != (str(subject.store), row_bytes):
        raise SnapshotError(
            f"value: {path} holds {header.value}, cache {subject.name!r} holds {subject.store}; "
            f"restore it into one with value={header.value}"
        )
    if row_bytes and header.byteorder != sys.byteorder:
        raise SnapshotError(
            f"value: {path} holds rows of a {header.byteorder}-endian machine, and this one is "
            f"{sys.byteorder}-endian; send the entries instead"
        )


class _Restoring:
    """A file that was verified, on its way into a cache.

    Which entries fit is decided before the first is stored, from the one that the policy would
    keep longest downwards. Those that fit are stored in the opposite order: as if the others had
    come earlier, and had left.
    """

    def __init__(
        self, subject: Subject, reader: files.Reader, content: _Content, packing: Packing
    ) -> None:
        self._subject, self._reader, self._packing = subject, reader, packing
        self._parts = sorted(content.parts, key=lambda part: part.level)
        self._rows = content.header.row_bytes > 0
        self._now = subject.clock.monotonic()
        downtime = subject.clock.wall() - content.header.wall
        # A wall clock that was set back may not prolong a life.
        self._downtime = min(max(downtime, 0), MAX_DURATION)
        self._chosen: list[npt.NDArray[np.uint8]] = []
        self._weights: list[Int64s | None] = []
        self.restored = self.present = self.expired = self.did_not_fit = 0

    def plan(self) -> None:
        """Choose what will be stored, and read whatever might turn out not to be readable.

        Raises:
            SnapshotError: if keys or values cannot be made of the bytes.
            Exception: what the weigher raises.
        """
        table = self._subject.table
        room, memory = table.room(), _Memory(table.ledger(), table.weight_left)
        for part in self._parts:
            keys, deadlines = self._keys(part), self._deadlines(part)
            values = None if self._rows else self._objects(part)
            alive = deadlines >= 0
            absent = ~table.contains(keys, self._now)
            wanted = alive & absent
            homes = table.homes(keys)
            fits = np.zeros(part.entries, bool)
            fits[wanted] = _taken(room, homes[wanted])
            weights = None
            if values is not None:
                weights = self._subject.intake.weights(part_of(keys, fits), values[fits])
                sizes = map(len, values[fits]) if weights is None else weights.tolist()
                taken = memory.take(sizes) if memory.is_bounded else np.ones(fits.sum(), bool)
                weights = None if weights is None else weights[taken]
                np.add.at(room, homes[fits][~taken], 1)
                fits[fits] = taken
            self._weights.append(weights)
            self.expired += int((~alive).sum())
            self.present += int((alive & ~absent).sum())
            self.did_not_fit += int((wanted & ~fits).sum())
            self._chosen.append(np.packbits(fits))

    def store(self) -> None:
        """Store what was chosen."""
        planned = zip(self._parts, self._chosen, self._weights, strict=True)
        for part, packed, weights in reversed(list(planned)):
            chosen = np.unpackbits(packed, count=part.entries).astype(bool)
            if not chosen.any():
                continue
            keys, deadlines = self._keys(part), self._deadlines(part)[chosen]
            values = self._row_values(part) if self._rows else self._objects(part)
            self._subject.check()
            restored = values[chosen].reshape(-1)
            if not self._rows:
                restored = self._subject.store.take_over(restored)
            status = self._subject.intake.put(
                part_of(keys, chosen),
                restored,
                self._now,
                deadlines if deadlines.any() else None,
                weights=weights,
                # What came in since it was planned is newer.
                absent_only=True,
            ).status
            self.restored += int((status == Status.INSERTED).sum())
            self.present += int((status == Status.PRESENT).sum())
            self.did_not_fit += int((status == Status.REFUSED).sum())

    def _deadlines(self, part: Part) -> Int64s:
        """Return deadlines, int64[n]: 0 for none, -1 for the expired."""
        if not part.lifetime_bytes:
            return np.zeros(part.entries, np.int64)
        lifetimes = self._array(part.offset, part.lifetime_bytes).view("<i8").astype(np.int64)
        left = np.clip(lifetimes, 0, MAX_DURATION) - self._downtime
        return np.where(lifetimes == 0, 0, np.where(left > 0, self._now + left, -1))

    def _keys(self, part: Part) -> Keys:
        data = self._array(part.offset + part.lifetime_bytes, part.key_bytes)
        if not self._subject.codec.has_refs:
            return Keys(data.view("<i8").astype(np.int64, copy=False))
        with self._understanding("keys", part):
            return self._subject.codec.encode(self._unpacked(data, part.entries))

    def _row_values(self, part: Part) -> npt.NDArray[np.uint8]:
        start = part.offset + part.lifetime_bytes + part.key_bytes
        return self._array(start, part.value_bytes).reshape(part.entries, -1)

    def _objects(self, part: Part) -> npt.NDArray[np.object_]:
        start = part.offset + part.lifetime_bytes + part.key_bytes
        data = self._array(start, part.value_bytes)
        with self._understanding("values", part):
            found = self._unpacked(data, part.entries)
            if isinstance(self._subject.store, Blobs):
                for value in found:
                    if type(value) is not bytes:
                        raise ValueError(f"expected bytes, got {type(value).__name__}")
            return np.fromiter(found, object, part.entries)

    def _unpacked(self, data: npt.NDArray[np.uint8], count: int) -> list[Any]:
        found = self._packing.unpack(data)
        if len(found) != count:
            raise ValueError(f"{len(found)} of {count} are there")
        return found

    @contextlib.contextmanager
    def _understanding(self, what: str, part: Part) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            raise SnapshotError(
                f"{self._reader.path}: the {what} in the section at byte {part.offset} cannot be "
                f"read: {error}"
            ) from error

    def _array(self, offset: int, count: int) -> npt.NDArray[np.uint8]:
        found = np.empty(count, np.uint8)
        self._reader.read(offset, found.data)
        return found


class _Memory:
    """The memory that restored values have to share.

    Args:
        ledger: what is used of an arena, to be used up; None if there is none.
        left: what values may still weigh; None if that is not bounded.
    """

    def __init__(self, ledger: Ledger | None, left: int | None) -> None:
        self._ledger, self._left = ledger, left
        self.is_bounded = ledger is not None or left is not None

    def take(self, sizes: Iterable[int]) -> Bools:
        """Take memory for n values, in this order; return where there was enough (bool[n])."""
        return np.fromiter(map(self._take, sizes), bool)

    def _take(self, size: int) -> bool:
        if self._ledger is not None:
            fits = self._ledger.fits(size)
            if fits:
                self._ledger.store(size)
            return fits
        assert self._left is not None
        fits = size <= self._left
        self._left -= size if fits else 0
        return fits


def _taken(room: Bytes, sets: Int64s) -> Bools:
    """Take a place in each of n sets, in this order; return where there was one (bool[n]).

    Args:
        room: free places by set; what is taken is subtracted.
        sets: int64[n].
    """
    order = np.argsort(sets, kind="stable")
    ordered = sets[order]
    starts = np.flatnonzero(np.diff(ordered, prepend=-1))
    lengths = np.diff(starts, append=len(sets))
    fits = np.empty(len(sets), bool)
    fits[order] = np.arange(len(sets)) - np.repeat(starts, lengths) < room[ordered]
    np.subtract.at(room, sets[fits], 1)
    return fits
