"""Generated packages on disk: two processes at once, read-only folders, and what is old."""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from predis_core.table import packages

SOURCES = {"__init__.py": "", "constants.py": "A = 1\n"}
NAME, OTHER = f"{packages.PREFIX}a", f"{packages.PREFIX}b"
MONTH = 31 * 24 * 3600


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder that is configured; the temporary one is `spare` beside it."""
    held: dict[tuple[int, int], int] = {}
    monkeypatch.setattr(packages, "_held", held)
    monkeypatch.setattr(packages, "_reported", set())
    monkeypatch.setattr(packages, "temporary_folder", lambda: tmp_path / "spare")
    monkeypatch.setenv("PREDIS_CACHE_DIR", str(tmp_path / "kernels"))
    yield tmp_path / "kernels"
    for descriptor in held.values():
        os.close(descriptor)


def end_of_process() -> None:
    """Give up the locks, as the end of a process does."""
    while packages._held:
        os.close(packages._held.popitem()[1])


def provide(name: str) -> Path:
    package = packages.provide(name, SOURCES)
    assert package is not None
    return package


def aged(path: Path, seconds: float) -> None:
    os.utime(path, (path.stat().st_atime, path.stat().st_mtime - seconds))


def test_a_package_is_written_once_and_found_again(folder: Path) -> None:
    package = provide(NAME)
    assert package == folder / NAME
    assert {path.name: path.read_text() for path in package.iterdir()} == {**SOURCES, "used": ""}
    (package / "constants.py").write_text("A = 2\n")
    assert provide(NAME) == package
    assert (package / "constants.py").read_text() == "A = 2\n"


def test_a_package_is_held_by_one_descriptor_however_often_it_is_used() -> None:
    """Every table on a GPU asks for its program, and processes have only so many descriptors."""
    provide(NAME)
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        provide(NAME)
    assert len(os.listdir("/proc/self/fd")) == before
    provide(OTHER)
    assert len(packages._held) == 2


def test_a_package_that_another_process_writes_first_is_taken(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It appears between the look and the renaming, and nothing of our own attempt stays."""
    rename = Path.rename

    def overtaken(path: Path, target: Path) -> Path:
        monkeypatch.setattr(Path, "rename", rename)
        packages._write(target, {**SOURCES, "constants.py": "A = 3\n"})
        return path.rename(target)

    monkeypatch.setattr(Path, "rename", overtaken)
    assert (provide(NAME) / "constants.py").read_text() == "A = 3\n"
    assert sorted(path.name for path in folder.iterdir()) == ["lock", NAME]


def test_a_package_that_lost_files_is_mended() -> None:
    package = provide(NAME)
    end_of_process()
    (package / "constants.py").unlink()
    (package / "used").unlink()
    assert provide(NAME) == package
    assert (package / "constants.py").read_text() == "A = 1\n"


# ------------------------------------------------------------------ removal


def test_what_nobody_used_for_a_month_is_removed_when_another_is_written(folder: Path) -> None:
    aged(provide(NAME) / "used", MONTH)
    end_of_process()
    provide(OTHER)
    assert sorted(path.name for path in folder.iterdir()) == ["lock", OTHER]


def test_what_was_used_lately_is_kept(folder: Path) -> None:
    aged(provide(NAME) / "used", MONTH - 2 * 24 * 3600)
    end_of_process()
    provide(OTHER)
    assert (folder / NAME).exists()


def test_what_is_in_use_is_never_removed(folder: Path) -> None:
    aged(provide(NAME) / "used", MONTH)
    provide(OTHER)
    assert (folder / NAME / "constants.py").exists()


def test_using_a_package_makes_it_young(folder: Path) -> None:
    aged(provide(NAME) / "used", MONTH)
    provide(NAME)
    end_of_process()
    provide(OTHER)
    assert (folder / NAME).exists()


def test_only_one_process_removes_at_a_time(folder: Path) -> None:
    aged(provide(NAME) / "used", MONTH)
    end_of_process()
    descriptor = os.open(folder / "lock", os.O_RDWR)
    try:
        assert packages._lock(descriptor, shared=False)
        provide(OTHER)
    finally:
        os.close(descriptor)
    assert (folder / NAME).exists()


def test_what_was_left_half_written_is_removed_after_a_day(folder: Path) -> None:
    old, young, foreign = (folder / name for name in (f"{NAME}.x", f"{NAME}.y", "mine"))
    for path in (old, young, foreign):
        path.mkdir(parents=True)
    aged(old, 2 * 24 * 3600)
    aged(foreign, MONTH)
    provide(OTHER)
    assert not old.exists()
    assert young.exists()
    assert foreign.exists()


def test_a_package_that_is_being_removed_is_not_used(folder: Path) -> None:
    package = provide(NAME)
    end_of_process()
    descriptor = os.open(package / "used", os.O_RDONLY)
    try:
        assert packages._lock(descriptor, shared=False)
        assert not packages._use(package, SOURCES)
    finally:
        os.close(descriptor)
    assert packages._use(package, SOURCES)


# ------------------------------------------------------------------ folders that cannot be written


def read_only(monkeypatch: pytest.MonkeyPatch, *folders: Path) -> None:
    make = packages.tempfile.mkdtemp

    def refused(dir: Path, prefix: str) -> str:
        if dir in folders:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(dir))
        return str(make(dir=dir, prefix=prefix))

    monkeypatch.setattr(packages.tempfile, "mkdtemp", refused)


def test_a_folder_that_can_only_be_read_serves_what_it_has(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    provide(NAME)
    end_of_process()
    read_only(monkeypatch, folder)
    monkeypatch.setattr(packages.os, "utime", lambda path: read_only_file(path))
    assert provide(NAME) == folder / NAME
    assert caplog.records == []


def read_only_file(path: Path) -> None:
    raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))


def test_what_it_lacks_goes_to_a_temporary_folder_with_one_warning(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    folder.mkdir()
    read_only(monkeypatch, folder)
    spare = folder.with_name("spare")
    assert provide(NAME) == spare / NAME
    assert provide(OTHER) == spare / OTHER
    assert [record.getMessage() for record in caplog.records] == [
        f"compiled kernels are kept in {spare}, because of [Errno 30] Read-only file system: "
        f"'{folder}'. Set PREDIS_CACHE_DIR to a folder that is yours and can be written to, or "
        "fill it with `predis warmup` as a user who may write there"
    ]


def test_where_nothing_can_be_written_nothing_is_provided_with_one_warning(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    spare = folder.with_name("spare")
    read_only(monkeypatch, folder, spare)
    caplog.set_level(logging.WARNING)
    assert packages.provide(NAME, SOURCES) is None
    assert packages.provide(OTHER, SOURCES) is None
    [record] = caplog.records
    assert record.getMessage().startswith(
        "compiled kernels are not kept; every process compiles them anew, because of [Errno 30] "
        f"Read-only file system: '{folder}'; [Errno 30] Read-only file system: '{spare}'. Set "
    )


def test_what_another_user_may_have_written_is_not_run(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    provide(NAME)
    if os.getuid() == 0:
        os.chown(folder / NAME, 4242, -1)
        os.chown(folder, 4242, -1)
    else:
        mine = os.getuid()
        monkeypatch.setattr(packages.os, "getuid", lambda: mine + 1)
        monkeypatch.setattr(packages, "temporary_folder", lambda: folder)
        assert packages.provide(NAME, SOURCES) is None
        return
    assert provide(NAME) == folder.with_name("spare") / NAME


def test_a_user_without_a_home_gets_a_temporary_folder(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(packages, "configured_folder", homeless)
    assert provide(NAME) == folder.with_name("spare") / NAME
