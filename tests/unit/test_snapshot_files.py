"""Files that are replaced in one step: what is on the disk, and in which order it came there."""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from predis_core.snapshot import files


def write(path: Any, data: bytes = b"new") -> None:
    with files.replacing(path) as sink:
        sink.write(data)
        assert sink.written == len(data)


def leave(path: Path, token: str = "0123456789abcdef") -> Path:
    """Leave behind what a process that was killed would have."""
    partial = path.with_name(f".{path.name}.{token}.partial")
    partial.write_bytes(b"half")
    return partial


@pytest.mark.parametrize("kind", [str, os.fsencode, Path])
def test_a_file_takes_the_place_of_another(kind: Callable[[Any], Any], tmp_path: Path) -> None:
    path = tmp_path / "file"
    for data in (b"first", b"second" * 100_000, b""):
        write(kind(path), data)
        assert path.read_bytes() == data
        assert os.listdir(tmp_path) == ["file"]


def test_a_file_is_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    path.chmod(0o644)
    with files.replacing(path) as sink:
        sink.write(b"x")
        (partial,) = set(os.listdir(tmp_path)) - {"file"}
        assert stat.S_IMODE((tmp_path / partial).stat().st_mode) == 0o600
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, OSError])
def test_a_failure_leaves_the_old_file_and_nothing_else(
    error: type[BaseException], tmp_path: Path
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def fail() -> None:
        with files.replacing(path) as sink:
            sink.write(b"half")
            raise error

    with pytest.raises(error):
        fail()
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize("call", ["write", "fsync", "replace"])
def test_an_error_of_the_system_reaches_the_caller(
    call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    path = tmp_path / "file"
    path.write_bytes(b"old")
    monkeypatch.setattr(os, call, full)
    with pytest.raises(OSError, match="No space left"):
        write(path)
    monkeypatch.undo()
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


def test_writes_that_the_system_cuts_short_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: whole(fd, data[:3]))
    write(tmp_path / "file", b"ten bytes!")
    assert (tmp_path / "file").read_bytes() == b"ten bytes!"


def test_the_content_is_on_the_disk_before_the_name_and_the_name_before_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the system is asked to do in this order survives a power cut at any moment."""
    calls: list[str] = []

    def watch(name: str) -> None:
        call = getattr(os, name)

        def watched(*arguments: Any) -> Any:
            folder = name == "fsync" and stat.S_ISDIR(os.fstat(arguments[0]).st_mode)
            calls.append(f"{name} folder" if folder else name)
            return call(*arguments)

        monkeypatch.setattr(os, name, watched)

    for name in ("write", "fsync", "replace"):
        watch(name)
    write(tmp_path / "file")
    assert calls == ["write", "fsync", "replace", "fsync folder"]


def test_a_symbolic_link_is_followed(tmp_path: Path) -> None:
    there = tmp_path / "there"
    there.mkdir()
    link = tmp_path / "link"
    link.symlink_to(there / "file")
    for data in (b"first", b"second"):
        write(link, data)
        assert (there / "file").read_bytes() == data
        assert link.is_symlink()


def test_what_others_left_behind_is_removed(tmp_path: Path) -> None:
    path = tmp_path / "file"
    leave(path)
    leave(path, "f" * 16)
    write(path)
    assert os.listdir(tmp_path) == ["file"]


def test_what_only_looks_alike_is_not_removed(tmp_path: Path) -> None:
    path = tmp_path / "a.b"
    others = [
        leave(tmp_path / "axb"),
        leave(tmp_path / "b"),
        leave(path, "0123456789abcde"),
        leave(path, "0123456789ABCDEF"),
        tmp_path / ".a.b.partial",
        tmp_path / "a.b.0123456789abcdef.partial",
    ]
    for other in others[-2:]:
        other.write_bytes(b"mine")
    target = tmp_path / "target"
    target.write_bytes(b"mine")
    link = tmp_path / f".a.b.{'1' * 16}.partial"
    link.symlink_to(target)
    write(path)
    assert set(os.listdir(tmp_path)) == {"a.b", "target", link.name, *(o.name for o in others)}


def test_what_somebody_writes_is_not_removed(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with files.replacing(path) as one:
        one.write(b"one")
        with files.replacing(path) as other:
            other.write(b"other")
        assert path.read_bytes() == b"other"
    assert path.read_bytes() == b"one"
    assert os.listdir(tmp_path) == ["file"]


def test_a_file_that_was_swept_before_it_was_locked_is_begun_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    lock = fcntl.flock
    begun: list[str] = []

    def late(fd: int, how: int) -> None:
        (partial,) = set(os.listdir(tmp_path)) - set(begun)
        begun.append(partial)
        if len(begun) == 1:
            (tmp_path / partial).unlink()
        if len(begun) == 2:
            raise BlockingIOError
        lock(fd, how)

    monkeypatch.setattr(fcntl, "flock", late)
    write(path)
    assert len(begun) == 3
    assert path.read_bytes() == b"new"


def test_where_there_are_no_locks_files_are_written_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(fd: int, how: int) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", none)
    path = tmp_path / "file"
    left = leave(path)
    write(path)
    assert path.read_bytes() == b"new"
    assert set(os.listdir(tmp_path)) == {"file", left.name}


def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    path = tmp_path / "file"
    leave(path)
    before = os.listdir("/proc/self/fd")
    write(path)
    with files.opened(path):
        pass
    with pytest.raises(ValueError), files.replacing(path):
        raise ValueError
    assert os.listdir("/proc/self/fd") == before


def test_a_file_that_becomes_shorter_while_it_is_read_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")
    with files.opened(path) as reader:
        os.truncate(path, 5)
        with pytest.raises(ValueError, match=r"file became shorter while it was read$"):
            reader.read(2, memoryview(bytearray(8)))
