"""What snapshots promise about files that are not what they should be: sentence by sentence."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import predis_core as predis
from predis_core.errors import SnapshotError
from predis_core.snapshot.format import PREFIX


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cache.snapshot"


@pytest.fixture
def held() -> Iterator[predis.Cache[Any, Any]]:
    """A cache of str keys, which has to stay as it is."""
    cache = predis.Cache(100, keys="str", name="held")
    cache["here"] = 1
    yield cache
    assert dict(cache.items()) == {"here": 1}
    assert cache.stats().insertions == 1


def written(path: Path, **options: Any) -> bytes:
    cache = predis.Cache(100, **{"keys": "str", **options})
    for n in range(10):
        cache[n if options.get("keys") == "int64" else f"{n}"] = n
    cache.snapshot(path)
    return path.read_bytes()


def refused(cache: predis.Cache[Any, Any], path: Path) -> str:
    with pytest.raises(SnapshotError) as caught:
        cache.restore(path)
    return str(caught.value)


def test_a_truncated_file_is_refused(held: predis.Cache[Any, Any], path: Path) -> None:
    whole = written(path)
    for length in range(1, len(whole)):
        path.write_bytes(whole[:length])
        assert refused(held, path) == (
            f"{path} is cut off after {length} bytes; take another copy of it"
        )
    path.write_bytes(b"")
    assert refused(held, path) == f"{path} is not a snapshot of Predis"


def test_a_corrupted_file_is_refused(held: predis.Cache[Any, Any], path: Path) -> None:
    whole = bytearray(written(path))
    for at in range(len(whole)):
        whole[at] ^= 1 << at % 8
        path.write_bytes(whole)
        assert refused(held, path).startswith(f"{path} ")
        whole[at] ^= 1 << at % 8
    whole[-1] ^= 1
    path.write_bytes(whole)
    start = len(whole) - 32 - 16
    assert refused(held, path) == (
        f"{path} is damaged: the section at byte {start} does not have its checksum; "
        "take another copy of it"
    )


def test_a_file_with_something_behind_its_end_is_refused(
    held: predis.Cache[Any, Any], path: Path
) -> None:
    whole = written(path)
    path.write_bytes(whole + b"\0")
    assert refused(held, path) == (
        f"{path} is damaged: something follows its end at byte {len(whole)}; "
        "take another copy of it"
    )


def test_a_foreign_file_is_refused(held: predis.Cache[Any, Any], path: Path) -> None:
    path.write_bytes(b"PK\x03\x04" * 100)
    assert refused(held, path) == f"{path} is not a snapshot of Predis"


def test_a_newer_file_is_refused(held: predis.Cache[Any, Any], path: Path) -> None:
    whole = written(path)
    magic, _ = PREFIX.unpack(whole[: PREFIX.size])
    path.write_bytes(PREFIX.pack(magic, 2) + whole[PREFIX.size :])
    assert refused(held, path) == (
        f"{path} has format 2, and this version of Predis reads up to 1; restore it with a newer "
        "predis-core"
    )


def test_other_keys_or_values_are_refused_naming_both(
    held: predis.Cache[Any, Any], path: Path
) -> None:
    written(path, keys="int64")
    assert refused(held, path) == (
        f"keys: {path} holds int64 keys, cache 'held' takes str; restore it into one with "
        "keys='int64'"
    )
    written(path, value=predis.Rows("int64", ()))
    assert refused(held, path) == (
        f"value: {path} holds Rows('int64', ()), cache 'held' holds Objects(); restore it into one "
        "with value=Rows('int64', ())"
    )
    rows = predis.Cache(10, keys="str", value=predis.Rows("float64", ()))
    assert refused(rows, path) == (
        f"value: {path} holds Rows('int64', ()), cache 'default' holds Rows('float64', ()); "
        "restore it into one with value=Rows('int64', ())"
    )


def test_what_is_no_regular_file_is_refused(held: predis.Cache[Any, Any], tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path in (pipe, tmp_path):
        assert refused(held, path) == f"path: {path} is no regular file; name a snapshot"
        with pytest.raises(SnapshotError) as caught:
            held.snapshot(path)
        assert str(caught.value) == f"path: {path} is no regular file; name one, or a new one"
    with pytest.raises(FileNotFoundError):
        held.restore(tmp_path / "absent")
    with pytest.raises(FileNotFoundError):
        held.snapshot(tmp_path / "absent" / "file")
