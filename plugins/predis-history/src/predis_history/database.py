"""The file: its tables, its versions, and what to do about one that is damaged."""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

logger = logging.getLogger("predis.history")

VERSION = 1
"""Of the tables; `user_version` of the file."""

APPLICATION = 0x50524448
"""`application_id` of the file: "PRDH"."""

BUSY = 2.0
"""Seconds to wait for another process that writes."""

# No id is used twice, as a reader may still know what it was.
_TABLES = """
CREATE TABLE writers (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    token BLOB NOT NULL UNIQUE,  -- drawn whenever a cache is opened
    cache TEXT NOT NULL,
    host TEXT NOT NULL,
    pid INTEGER NOT NULL,
    began INTEGER NOT NULL       -- nanoseconds since 1970
);
CREATE TABLE layouts (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    digest BLOB NOT NULL UNIQUE,
    series TEXT NOT NULL         -- JSON: [[metric, kind, unit, {label: value}, [bound]]]
);
CREATE TABLE snapshots (
    id INTEGER PRIMARY KEY,
    time INTEGER NOT NULL,       -- nanoseconds since 1970
    writer INTEGER NOT NULL,
    layout INTEGER NOT NULL,
    data BLOB NOT NULL           -- MessagePack: [number | [sum, [count]]], as the layout's series
);
CREATE INDEX snapshots_by_time ON snapshots (time);
"""


class Foreign(ValueError):
    """The file is somebody else's, or of another version; the message says what to do."""


class Damaged(sqlite3.DatabaseError):
    """The file is no database, or no longer a whole one."""


@contextlib.contextmanager
def damage_told() -> Iterator[None]:
    """Raise Damaged in place of the errors by which SQLite says so."""
    try:
        yield
    except Damaged:
        raise
    except sqlite3.DatabaseError as error:
        if primary_code(error) in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            raise Damaged(str(error)) from error
        raise


def primary_code(error: Exception) -> int:
    """Return the primary result code of an error; 0 if it has none."""
    return (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF


def open_to_write(path: Path) -> sqlite3.Connection:
    """Open a history, and make it if there is none.

    Raises:
        Foreign: if there is another database, or a newer history.
        Damaged: if the file is not whole.
        sqlite3.OperationalError: if it cannot be opened, or not just now.
    """
    connection = sqlite3.connect(path, timeout=BUSY, isolation_level=None, check_same_thread=False)
    try:
        with damage_told():
            if not _is_ours(connection, path):
                # Of a file that is empty so far, which alone can be set like this.
                connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
                connection.execute("PRAGMA journal_mode = WAL")
                _make_tables(connection, path)
            connection.execute("PRAGMA journal_mode = WAL")
            # Whole after a crash of the process or of the machine, which may lose the last rows.
            connection.execute("PRAGMA synchronous = NORMAL")
    except BaseException:
        connection.close()
        raise
    return connection


def _make_tables(connection: sqlite3.Connection, path: Path) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        if not _is_ours(connection, path):  # another process may have been first
            for statement in _TABLES.split(";\n"):
                connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {APPLICATION}")
            connection.execute(f"PRAGMA user_version = {VERSION}")
        connection.execute("COMMIT")
    except BaseException:
        with contextlib.suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        raise


def open_to_read(path: Path) -> sqlite3.Connection:
    """Open a history that is there, without changing anything.

    Raises:
        Foreign: if it is something else.
        Damaged: if the file is not whole.
        sqlite3.OperationalError: if it cannot be opened.
        FileNotFoundError: if there is none.
    """
    path.stat()
    where = f"file:{quote(str(path.absolute()))}?mode=ro"
    try:
        return _opened_to_read(where, path)
    except sqlite3.OperationalError:
        # Where nothing may be written SQLite cannot share a file with writers, of which a log
        # beside it would tell.
        if path.with_name(f"{path.name}-wal").exists():
            raise
        return _opened_to_read(f"{where}&immutable=1", path)


def _opened_to_read(where: str, path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(where, uri=True, timeout=BUSY, isolation_level=None)
    try:
        with damage_told():
            if not _is_ours(connection, path):
                raise Foreign(f"{str(path)!r} is empty; name the `path` of [plugins.history]")
    except BaseException:
        connection.close()
        raise
    return connection


def _is_ours(connection: sqlite3.Connection, path: Path) -> bool:
    """Say whether a database is a history; False if it is empty.

    Raises:
        Foreign: if it is something else.
    """
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if application == 0 and version == 0 and tables == 0:
        return False
    if application != APPLICATION:
        raise Foreign(f"{str(path)!r} is a database of another program; name another file")
    if version > VERSION:
        raise Foreign(
            f"{str(path)!r} was written by a newer predis-history (its version is {version}, this "
            f"one knows {VERSION}); upgrade predis-history, or name another file"
        )
    return True


def identity(path: Path) -> tuple[int, int] | None:
    """Return what tells a file from one that took its name; None if there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def set_aside(path: Path, mine: tuple[int, int] | None) -> bool:
    """Rename a damaged file to "….damaged", in place of an earlier one; return whether it was.

    Args:
        path: the file.
        mine: its identity; if it has another one, another process was first.

    Raises:
        OSError: if it cannot be renamed.
    """
    with _alone_in(path.parent):
        if mine is None or identity(path) != mine:
            return False
        for suffix in ("", "-wal", "-shm"):
            with contextlib.suppress(FileNotFoundError):
                os.replace(f"{path}{suffix}", f"{path}.damaged{suffix}")
    logger.error("%s is damaged; it is now %s.damaged, and a new one is begun", path, path)
    return True


@contextlib.contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Hold a lock that the processes which keep a history in a folder share."""
    import fcntl

    held = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield
    finally:
        os.close(held)
