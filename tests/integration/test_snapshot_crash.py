"""A process killed while it writes a snapshot: the old one or the new one is there, whole."""

from __future__ import annotations

import fcntl
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import predis_core as predis

OLD = {n: n for n in range(2)}
NEW = {n: 10 * n for n in range(1, 4)}

# What a snapshot of NEW asks of the system; each of these calls is a place to die at. The prefix,
# then head and payload of the header, of three sections of entries (one per level), of the end.
CALLS = ["open", "flock", *["write"] * 11, "fsync", "replace", "open", "fsync"]
REPLACE = CALLS.index("replace")
PATCHED = {"open": os, "write": os, "fsync": os, "replace": os, "unlink": os, "flock": fcntl}


def cache_of(entries: dict[int, int]) -> predis.Cache[int, int]:
    cache = predis.Cache[int, int](28, value=predis.Rows("int64", ()))
    cache.update(entries)
    return cache


def held_by(path: Path) -> dict[int, int]:
    cache = predis.Cache[int, int](28, value=predis.Rows("int64", ()))
    report = cache.restore(path)
    assert report.restored == report.entries
    return dict(cache.items())


class Watched:
    """Counts what the system is asked for, and ends the process at one call."""

    def __init__(self, at: int = -1, moment: str = "") -> None:
        self.at, self.moment = at, moment
        self.calls: list[str] = []

    def patch(self) -> None:
        for name, module in PATCHED.items():
            setattr(module, name, self._watched(name, getattr(module, name)))

    def _watched(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def watched(*arguments: Any) -> Any:
            here = len(self.calls) == self.at
            self.calls.append(name)
            if here and self.moment == "before":
                die()
            if here and self.moment == "halfway":
                call(arguments[0], arguments[1][: len(arguments[1]) // 2])
                die()
            found = call(*arguments)
            if here:
                die()
            return found

        return watched


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def in_a_child(path: Path, watched: Watched, report: int | None = None) -> int:
    """Write NEW to a path in a child, with an eye on the system; return how it ended."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            cache = cache_of(NEW)
            watched.patch()
            cache.snapshot(path)
            if report is not None:
                os.write(report, " ".join(watched.calls).encode())
            code = 0
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


@pytest.fixture(scope="module", autouse=True)
def kernels(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Compile before the first child is begun."""
    path = tmp_path_factory.mktemp("warm") / "cache.snapshot"
    cache_of(NEW).snapshot(path)
    assert held_by(path) == NEW


def test_these_are_the_calls(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    assert in_a_child(tmp_path / "cache.snapshot", Watched(), writing) == 0
    os.close(writing)
    with open(reading, encoding="utf-8") as report:
        found = report.read().split()
    assert found == CALLS


@pytest.mark.parametrize("first", [False, True], ids=["replacing", "first"])
@pytest.mark.parametrize(
    ("at", "moment"),
    [
        (at, moment)
        for at, name in enumerate(CALLS)
        for moment in (("before", "halfway", "after") if name == "write" else ("before", "after"))
    ],
    ids=lambda part: f"{part}-{CALLS[part]}" if isinstance(part, int) else part,
)
def test_killed_at_any_call_the_old_snapshot_or_the_new_one_is_there_whole(
    at: int, moment: str, first: bool, tmp_path: Path
) -> None:
    path = tmp_path / "cache.snapshot"
    if not first:
        cache_of(OLD).snapshot(path)
    assert in_a_child(path, Watched(at, moment)) == -signal.SIGKILL

    renamed = at > REPLACE or (at == REPLACE and moment == "after")
    begun = (at, moment) != (0, "before")
    if renamed:
        assert held_by(path) == NEW
    elif first:
        assert not path.exists()
    else:
        assert held_by(path) == OLD
    left = set(os.listdir(tmp_path)) - {path.name}
    assert len(left) == (begun and not renamed)

    cache_of(NEW | {7: 7}).snapshot(path)
    assert held_by(path) == NEW | {7: 7}
    assert os.listdir(tmp_path) == [path.name]


@pytest.mark.parametrize("moment", ["before", "after"])
def test_killed_while_it_removes_what_another_left_behind(moment: str, tmp_path: Path) -> None:
    path = tmp_path / "cache.snapshot"
    cache_of(OLD).snapshot(path)
    left = tmp_path / f".{path.name}.{'0' * 16}.partial"
    left.write_bytes(b"half")
    sweep = ["open", "flock", "unlink"]
    assert in_a_child(path, Watched(sweep.index("unlink"), moment)) == -signal.SIGKILL
    assert left.exists() == (moment == "before")
    assert held_by(path) == OLD
    cache_of(NEW).snapshot(path)
    assert held_by(path) == NEW
    assert os.listdir(tmp_path) == [path.name]
