"""Folders of generated packages: found or written in one step, kept while in use, removed when old.

They go to `$PREDIS_CACHE_DIR`, else to the user's cache folder, else to a private folder among the
system's temporary files. A folder that cannot be written to serves what it has. Whoever uses a
package holds a shared lock on a file in it until the process ends; one that nobody has used for a
month is removed by whoever writes another one next.
"""

from __future__ import annotations

import errno
import logging
import os
import shutil
import sys
import tempfile
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # pragma: no cover - Windows: nothing is locked, so nothing is removed
    fcntl = None  # type: ignore[assignment]

logger = logging.getLogger("predis")

PREFIX = "predis_kernels_"
_USED = "used"
"""The file in a package that its users lock, and whose time is that of the latest use."""
_LOCK = "lock"
_DAY = 24 * 3600.0
_KEPT = 30 * _DAY
_ATTEMPTS = 3
"""A package may be removed while it is being looked at, but hardly more than once."""

_held: dict[tuple[int, int], int] = {}
"""Descriptors of the files that this process has locked, by device and inode: one of each, which is
open until it ends.
"""
_reported: set[str] = set()


def provide(name: str, sources: Mapping[str, str]) -> Path | None:
    """Return the folder of a package, which is written if there is none; None if that fails.

    Args:
        name: of the package, a hash of all that is in it.
        sources: its modules, by file name.
    """
    problems = []
    for find in (configured_folder, temporary_folder):
        try:
            folder = find()
            package = _in_folder(folder, name, sources)
        except (OSError, RuntimeError) as error:  # RuntimeError: there is no home
            problems.append(str(error))
            continue
        if problems:
            _report(f"compiled kernels are kept in {folder}", problems)
        return package
    _report("compiled kernels are not kept; every process compiles them anew", problems)
    return None


def _report(what: str, problems: list[str]) -> None:
    """Say where kernels are, and why not elsewhere; once."""
    text = (
        f"{what}, because of {'; '.join(problems)}. Set PREDIS_CACHE_DIR to a folder that is yours "
        "and can be written to, or fill it with `predis warmup` as a user who may write there"
    )
    if text not in _reported:
        _reported.add(text)
        logger.warning(text)


def _in_folder(folder: Path, name: str, sources: Mapping[str, str]) -> Path:
    """Return a package that is there, and is ours or the system's, or write it.

    Raises:
        OSError: if it is not there and cannot be written.
    """
    package = folder / name
    for _ in range(_ATTEMPTS):
        if _use(package, sources):
            return package
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _need_owned(folder)
        _write(package, sources)
        _remove_stale(folder)
    raise OSError(errno.EAGAIN, "is removed as often as it is written", str(package))


def _need_owned(path: Path) -> None:
    """What others may have written is not run."""
    if hasattr(os, "getuid") and path.stat().st_uid not in (0, os.getuid()):
        raise PermissionError(errno.EACCES, "belongs to another user", str(path))


def _use(package: Path, files: Iterable[str]) -> bool:
    """Lock a package for the life of this process; say whether it is there, with its files."""
    if not all((package / file).is_file() for file in files):
        return False
    try:
        _need_owned(package)
        descriptor = os.open(package / _USED, os.O_RDONLY)
    except FileNotFoundError:
        return False
    if not _lock(descriptor, shared=True) or not _is_still(package / _USED, descriptor):
        os.close(descriptor)
        return False
    status = os.fstat(descriptor)
    if _held.setdefault((status.st_dev, status.st_ino), descriptor) != descriptor:
        os.close(descriptor)
    with suppress(OSError):  # it may be there for reading only
        os.utime(package / _USED)
    return True


def _is_still(path: Path, descriptor: int) -> bool:
    """Say whether an open file is the one that a path leads to."""
    try:
        return os.path.samestat(os.stat(path), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _lock(descriptor: int, *, shared: bool) -> bool:
    """Lock a file without waiting; say whether nobody else has it. Released when it is closed."""
    if fcntl is None:  # pragma: no cover - Windows
        return shared
    try:
        fcntl.flock(descriptor, fcntl.LOCK_NB | (fcntl.LOCK_SH if shared else fcntl.LOCK_EX))
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks: used freely, and nothing is removed
        return shared
    return True


def _write(package: Path, sources: Mapping[str, str]) -> None:
    """Write a package in one step: another process may be at the same one."""
    temporary = Path(tempfile.mkdtemp(dir=package.parent, prefix=f"{package.name}."))
    try:
        for name, source in {**sources, _USED: ""}.items():
            (temporary / name).write_text(source, "utf-8")
        try:
            temporary.rename(package)
        except OSError:
            if not package.exists():
                raise
            # It was there already, or a cleaner of temporary files took parts of it.
            for file in temporary.iterdir():
                if not (package / file.name).exists():
                    file.replace(package / file.name)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _remove_stale(folder: Path) -> None:
    """Remove what nobody has used for long, and what was left half written."""
    descriptor = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        if not _lock(descriptor, shared=False):
            return
        os.utime(descriptor)
        now = os.fstat(descriptor).st_mtime  # by the clock of the file system
        for path in folder.glob(f"{PREFIX}*"):
            try:
                if "." in path.name:
                    if now - path.stat().st_mtime > _DAY:
                        shutil.rmtree(path, ignore_errors=True)
                elif now - (path / _USED).stat().st_mtime > _KEPT:
                    _remove_unused(path)
            except OSError:  # somebody else removed it, or it is not to be removed
                continue
    finally:
        os.close(descriptor)


def _remove_unused(package: Path) -> None:
    """Remove a package unless a process uses it."""
    descriptor = os.open(package / _USED, os.O_RDONLY)
    try:
        if _lock(descriptor, shared=False):
            gone = package.with_name(f"{package.name}.gone")
            package.rename(gone)
            shutil.rmtree(gone, ignore_errors=True)
    finally:
        os.close(descriptor)


def configured_folder() -> Path:
    """Where packages are looked for first."""
    if configured := os.environ.get("PREDIS_CACHE_DIR"):
        return Path(configured)
    if sys.platform == "win32":
        root = os.environ.get("LOCALAPPDATA", str(Path.home() / "AppData" / "Local"))
    elif sys.platform == "darwin":
        root = str(Path.home() / "Library" / "Caches")
    else:
        root = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(root) / "predis" / "kernels"


def temporary_folder() -> Path:
    """Where they are looked for next."""
    user = os.getuid() if hasattr(os, "getuid") else "user"
    return Path(tempfile.gettempdir()) / f"predis-kernels-{user}"
