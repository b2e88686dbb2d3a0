"""Writing snapshots: some may wait, the file keeps to its bounds, and nothing is raised."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import sqlite3
import time
from collections import Counter, deque
from typing import NamedTuple

from predis_core.clock import NANOSECONDS, Clock
from predis_core.plugin import Snapshot
from predis_history.config import HistoryConfig
from predis_history.database import (
    BUSY,
    Damaged,
    Foreign,
    damage_told,
    identity,
    open_to_write,
    primary_code,
    set_aside,
)
from predis_history.packing import Packed, pack

logger = logging.getLogger("predis.history")

DROPPED = ("waiting", "size", "values")
"""Why a snapshot is dropped: too many waited for the file, it is too large for it, it holds what is
no number."""

WAITING_AT_MOST = 4 << 20
"""Bytes of snapshots that wait while the file cannot be written."""

_PAGE = 4_096
_ROWS_AT_ONCE = 256
_LONGEST_LOG = 4 << 20


class Origin(NamedTuple):
    """Who writes: a cache, from its opening to its closing.

    Attributes:
        token: drawn at random.
        cache: its name.
        host: the machine.
        pid: the process.
        began: nanoseconds since the Unix epoch.
    """

    token: bytes
    cache: str
    host: str
    pid: int
    began: int


class Bounds:
    """How `max_size` is shared out between the file and what SQLite puts beside it.

    Args:
        max_size: bytes in all.

    Attributes:
        log: bytes of the write-ahead log.
        pages: pages of the file itself; the rest is left for a last transaction and for the index
            of the log.
        spare: pages that are kept free, so that the next snapshot finds room.
        snapshot: bytes of one snapshot at most.
    """

    def __init__(self, max_size: int) -> None:
        self.log = min(_LONGEST_LOG, max_size // 8)
        self.pages = (max_size - 2 * self.log - (64 << 10)) // _PAGE
        self.spare = max(8, self.pages // 64)
        self.snapshot = self.pages * _PAGE // 8


class Writer:
    """Writes snapshots of every cache of the process.

    Args:
        config: the section.

    Raises:
        ValueError: if the file cannot be one; names the field and the way out.
    """

    def __init__(self, config: HistoryConfig) -> None:
        self._trouble = ""
        self._refused: dict[str, str] = {}
        self._path = config.path.absolute()
        self._keep = round(config.keep * NANOSECONDS)
        self._bounds = Bounds(config.max_size)
        self._written: Counter[str] = Counter()
        self._dropped: Counter[tuple[str, str]] = Counter()
        self._waiting: deque[tuple[Origin, Packed]] = deque()
        self._bytes = 0
        self._connection: sqlite3.Connection | None = None
        self._identity: tuple[int, int] | None = None
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("ab"):
                pass
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                self._say(error)  # that may pass
                return
            raise ValueError(
                f"path: cannot write {str(self._path)!r}: {error.strerror}; name a file in a "
                "folder in which this process may write"
            ) from error
        try:
            self._open()
        except Foreign as error:
            raise ValueError(f"path: {error}") from None
        except (sqlite3.Error, OSError) as error:
            self._say(error)  # locked, or a full disk: that may pass

    @property
    def trouble(self) -> str:
        """Why snapshots are not written; "" if they are."""
        refused = [f"cache {cache!r}: {text}" for cache, text in self._refused.items()]
        return "; ".join([self._trouble, *refused] if self._trouble else refused)

    def written(self, cache: str) -> int:
        """Return how many snapshots of a cache were written."""
        return self._written[cache]

    def dropped(self, cache: str) -> dict[str, int]:
        """Return how many snapshots of a cache were not, by reason."""
        return {reason: self._dropped[cache, reason] for reason in DROPPED}

    def size(self) -> int:
        """Return the bytes of the file, and of those that SQLite puts beside it."""
        found = 0
        for suffix in ("", "-wal", "-shm"):
            with contextlib.suppress(OSError):
                found += os.stat(f"{self._path}{suffix}").st_size
        return found

    def add(self, origin: Origin, snapshot: Snapshot) -> None:
        """Write a snapshot, and those that waited; if that fails, they wait for the next time."""
        try:
            packed = pack(snapshot)
        except (TypeError, ValueError, OverflowError) as error:
            self._refuse(origin, "values", f"a value is no number: {error}")
            return
        if packed.size > self._bounds.snapshot:
            text = f"a snapshot of {packed.size:,} bytes is too large; raise `max_size`"
            self._refuse(origin, "size", text)
            return
        self._refused.pop(origin.cache, None)
        self._waiting.append((origin, packed))
        self._bytes += packed.size
        while self._bytes > WAITING_AT_MOST:
            other, oldest = self._waiting.popleft()
            self._bytes -= oldest.size
            self._drop(other, "waiting")
        self._try()

    def close(self) -> None:
        """Write what waits, if that is possible now, and let go of the file. Twice is harmless."""
        if self._waiting:
            self._try()
        for origin, _ in self._waiting:
            self._drop(origin, "waiting")
        if self._waiting:
            logger.warning(
                "%d snapshots could not be written: %s", len(self._waiting), self.trouble
            )
        self._waiting.clear()
        self._bytes = 0
        self._let_go()

    def _drop(self, origin: Origin, reason: str) -> None:
        self._dropped[origin.cache, reason] += 1

    def _refuse(self, origin: Origin, reason: str, text: str) -> None:
        """Drop a snapshot that no file would take; the first one of several is logged."""
        self._drop(origin, reason)
        if origin.cache not in self._refused:
            logger.warning("%s: cache %r: %s", self._path, origin.cache, text)
        self._refused[origin.cache] = text

    def _say(self, trouble: object) -> None:
        """Take note of how the file does; a change is logged, further failures are not."""
        text = f"{type(trouble).__name__}: {trouble}" if isinstance(trouble, Exception) else trouble
        if text and not self._trouble:
            logger.warning("%s: %s", self._path, text)
        elif self._trouble and not text:
            logger.warning("%s: snapshots are written again", self._path)
        self._trouble = str(text)

    # ------------------------------------------------------------------ the file

    def _try(self) -> None:
        """Write what waits, in the order in which it came."""
        try:
            connection = self._there()
            while self._waiting:
                origin, packed = self._waiting[0]
                with damage_told():
                    self._make_room(connection, packed)
                    self._write(connection, origin, packed)
                self._waiting.popleft()
                self._bytes -= packed.size
                self._written[origin.cache] += 1
            self._say("")
        except (sqlite3.Error, OSError, Foreign, _TooLong) as error:
            self._say(error)
            if isinstance(error, Damaged):
                self._set_aside()
            elif primary_code(error) not in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                # After a fault of the disk SQLite may have to look at everything anew.
                self._let_go()

    def _set_aside(self) -> None:
        """Make room for a new file; the next time it is begun."""
        mine = self._identity
        self._let_go()
        try:
            set_aside(self._path, mine)
        except OSError as error:
            self._say(error)

    def _there(self) -> sqlite3.Connection:
        """Return the open file; a new one if somebody took it away."""
        if self._connection is not None and identity(self._path) == self._identity:
            return self._connection
        self._let_go()
        return self._open()

    def _open(self) -> sqlite3.Connection:
        try:
            connection = open_to_write(self._path)
        except Damaged:
            set_aside(self._path, identity(self._path))
            connection = open_to_write(self._path)
        self._connection, self._identity = connection, identity(self._path)
        _open_connections.add(connection)
        connection.execute(f"PRAGMA wal_autocheckpoint = {max(1, self._bounds.log // _PAGE // 4)}")
        connection.execute(f"PRAGMA journal_size_limit = {self._bounds.log}")
        return connection

    def _let_go(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            _open_connections.discard(connection)
            with contextlib.suppress(sqlite3.Error):
                connection.close()

    def _write(self, connection: sqlite3.Connection, origin: Origin, packed: Packed) -> None:
        connection.execute("BEGIN IMMEDIATE")
        try:
            writer = _id_of(
                connection,
                "SELECT id FROM writers WHERE token = ?",
                "INSERT INTO writers (token, cache, host, pid, began) VALUES (?, ?, ?, ?, ?)",
                origin,
            )
            layout = _id_of(
                connection,
                "SELECT id FROM layouts WHERE digest = ?",
                "INSERT INTO layouts (digest, series) VALUES (?, ?)",
                (packed.digest, packed.layout.decode()),
            )
            connection.execute(
                "INSERT INTO snapshots (time, writer, layout, data) VALUES (?, ?, ?, ?)",
                (packed.time, writer, layout, packed.data),
            )
            connection.execute("COMMIT")
        except BaseException:
            _roll_back(connection)
            raise

    # ------------------------------------------------------------------ its bounds

    def _make_room(self, connection: sqlite3.Connection, packed: Packed) -> None:
        """Remove what is too old, and the oldest until a snapshot fits.

        Raises:
            _TooLong: if the log cannot be shortened, as somebody reads from it.
        """
        limit = self._bounds.pages
        _remove(
            connection,
            "time < ? ORDER BY time LIMIT ?",
            (packed.time - self._keep, _ROWS_AT_ONCE),
        )
        wanted = limit - self._bounds.spare - -(-packed.size // _PAGE)
        used = _used(connection)
        while used > wanted:
            self._check_log(connection)
            if not _remove(
                connection, "1 ORDER BY time LIMIT ?", (self._chunk(connection, used, wanted),)
            ):
                break
            used = _used(connection)
        self._shrink(connection)
        connection.execute(f"PRAGMA max_page_count = {limit}").fetchall()
        self._check_log(connection)

    def _shrink(self, connection: sqlite3.Connection) -> None:
        """Give free pages back to the system, if `max_size` was larger once."""
        pages = _pragma(connection, "page_count")
        while pages > self._bounds.pages:
            step = max(1, self._bounds.log // _PAGE // 4)
            connection.execute(f"PRAGMA incremental_vacuum({step})").fetchall()
            self._check_log(connection)
            before, pages = pages, _pragma(connection, "page_count")
            if pages == before:
                break

    def _chunk(self, connection: sqlite3.Connection, used: int, wanted: int) -> int:
        """Return how many snapshots to remove at once: no more than the log has room for."""
        (rows,) = connection.execute("SELECT max(id) - min(id) + 1 FROM snapshots").fetchone()
        per_row = used * _PAGE / (rows or 1)
        enough = (used - wanted) * _PAGE / per_row + 1
        return max(1, int(min(enough, self._bounds.log / 4 / per_row, _ROWS_AT_ONCE)))

    def _check_log(self, connection: sqlite3.Connection) -> None:
        log = f"{self._path}-wal"
        try:
            if os.stat(log).st_size <= self._bounds.log:
                return
        except FileNotFoundError:
            return
        end = Clock().monotonic() + round(BUSY * NANOSECONDS)
        while True:
            # It waits for those who read, though not for others who shorten the log just now.
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            if os.stat(log).st_size <= self._bounds.log:
                return
            if Clock().monotonic() >= end:
                raise _TooLong(f"{log} cannot be shortened, as somebody reads the file for long")
            time.sleep(0.02)


class _TooLong(Exception):
    """The write-ahead log is longer than it may be."""


def _id_of(
    connection: sqlite3.Connection, look: str, insert: str, row: tuple[object, ...]
) -> int | None:
    """Return the id of what the first value of a row names; if there is none, insert the row."""
    found = connection.execute(look, row[:1]).fetchone()
    if found is not None:
        return int(found[0])
    return connection.execute(insert, row).lastrowid


def _remove(connection: sqlite3.Connection, which: str, values: tuple[int, ...]) -> int:
    """Remove snapshots, and what none refers to any longer; return how many."""
    query = f"SELECT id, writer, layout FROM snapshots WHERE {which}"
    if connection.execute(query, values).fetchone() is None:
        return 0
    connection.execute("BEGIN IMMEDIATE")
    try:
        rows = connection.execute(query, values).fetchall()
        connection.executemany("DELETE FROM snapshots WHERE id = ?", [row[:1] for row in rows])
        for table, column, place in (("writers", "writer", 1), ("layouts", "layout", 2)):
            # The next snapshot that refers to it is near: looking takes long the last time only.
            connection.executemany(
                f"DELETE FROM {table} WHERE id = ?1 AND NOT EXISTS "
                f"(SELECT 1 FROM snapshots WHERE {column} = ?1)",
                [(each,) for each in {row[place] for row in rows}],
            )
        connection.execute("COMMIT")
    except BaseException:
        _roll_back(connection)
        raise
    return len(rows)


def _roll_back(connection: sqlite3.Connection) -> None:
    with contextlib.suppress(sqlite3.Error):
        connection.execute("ROLLBACK")


def _used(connection: sqlite3.Connection) -> int:
    """Return the pages that hold something."""
    return _pragma(connection, "page_count") - _pragma(connection, "freelist_count")


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    (value,) = connection.execute(f"PRAGMA {name}").fetchone()
    return int(value)


_open_connections: set[sqlite3.Connection] = set()


def _after_fork() -> None:
    # Closing them in the child would meddle with the parent's locks: they are kept, unused.
    _inherited.extend(_open_connections)
    _open_connections.clear()


_inherited: list[sqlite3.Connection] = []

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
