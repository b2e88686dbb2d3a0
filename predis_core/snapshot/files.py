"""Files that are replaced in one step: whoever opens one finds the old or the new, whole.

What is being written lies beside its target as `.NAME.<16 hex digits>.partial`, mode 0600, and is
locked by whoever writes it. The lock ends with the process, so one that is not locked was left
behind, and the next writer of the same target removes it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import secrets
import stat
from collections.abc import Iterator

from predis_core.errors import SnapshotError

AnyPath = str | bytes | os.PathLike[str] | os.PathLike[bytes]

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_LEFT = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC


class Sink:
    """The file that is being written.

    Attributes:
        written: bytes so far.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self.written = 0

    def write(self, data: bytes) -> None:
        """Append bytes."""
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(self._fd, rest) :]
        self.written += len(data)


@contextlib.contextmanager
def replacing(path: AnyPath) -> Iterator[Sink]:
    """Give a file to write, which takes the place of `path` when the context ends without error.

    By then it is on the disk, and so is its name. A symbolic link is followed.

    Raises:
        SnapshotError: if something that is no file is there.
        OSError: as the system says; what was at `path` is still there.
    """
    target = os.path.realpath(os.fsdecode(path))
    if os.path.exists(target) and not os.path.isfile(target):
        raise SnapshotError(f"path: {target} is no regular file; name one, or a new one")
    folder, name = os.path.split(target)
    _sweep(folder, name)
    fd, partial = _create(folder, name)
    try:
        yield Sink(fd)
        os.fsync(fd)
        os.replace(partial, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(partial)
        raise
    finally:
        os.close(fd)
    _sync_folder(folder)


def _sweep(folder: str, name: str) -> None:
    """Remove what processes that ended left behind of this target."""
    partial = re.compile(rf"\.{re.escape(name)}\.[0-9a-f]{{16}}\.partial")
    for found in filter(partial.fullmatch, os.listdir(folder)):
        left = os.path.join(folder, found)
        # Locked: somebody writes it. Gone, or not ours to open: not ours to remove either.
        with contextlib.suppress(OSError):
            fd = os.open(left, _LEFT)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                os.unlink(left)
            finally:
                os.close(fd)


def _create(folder: str, name: str) -> tuple[int, str]:
    while True:
        partial = os.path.join(folder, f".{name}.{secrets.token_hex(8)}.partial")
        fd = os.open(partial, _NEW, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            swept = os.fstat(fd).st_nlink == 0
        except BlockingIOError:
            swept = True
        except OSError:
            swept = False  # no locks here: nobody can sweep
        if not swept:
            return fd, partial
        # Another writer took it for left behind before it was locked.
        os.close(fd)


def _sync_folder(folder: str) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


class Reader:
    """A file that is read at places.

    Attributes:
        path: as it was given.
        size: bytes, when it was opened.
    """

    def __init__(self, fd: int, path: str) -> None:
        self._fd = fd
        self.path = path
        self.size = os.fstat(fd).st_size

    def read(self, offset: int, into: memoryview) -> None:
        """Fill a buffer with what lies at an offset.

        Raises:
            SnapshotError: if the file is shorter by now.
        """
        while into:
            count = os.preadv(self._fd, [into], offset)
            if count == 0:
                raise SnapshotError(f"{self.path} became shorter while it was read")
            into, offset = into[count:], offset + count


@contextlib.contextmanager
def opened(path: AnyPath) -> Iterator[Reader]:
    """Open a file for reading.

    Raises:
        SnapshotError: if it is no file.
        OSError: as the system says.
    """
    shown = os.fsdecode(path)
    fd = os.open(shown, _READ)
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise SnapshotError(f"path: {shown} is no regular file; name a snapshot")
        yield Reader(fd, shown)
    finally:
        os.close(fd)
