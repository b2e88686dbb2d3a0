"""The control socket."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

import predis_core as predis
from predis_core.errors import ConfigurationError
from predis_core.host import control
from predis_core.host.states import HostStatus
from predis_core.types import Snapshot
from tests.support.shelf import Shelf

COUNTING = """
class Observer:
    def on_batch(self, stats): ...

class Plugin:
    def __init__(self, options): ...

    @hookimpl
    def predis_observers(self):
        return [Observer()]

    @hookimpl
    def predis_health(self):
        return Health("degraded", "works in part")
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def cache(shelf: Shelf, folder: Path) -> Iterator[Any]:
    shelf.put("counting", COUNTING)
    given = {
        "host": {"state_dir": str(folder)},
        "cache": {"capacity": 100, "keys": "int64"},
        "plugins": {"counting": {}},
    }
    with predis.open(given) as opened:
        yield opened


def raw(path: Path, line: bytes) -> Any:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(10)
        connection.connect(str(path))
        connection.sendall(line)
        connection.shutdown(socket.SHUT_WR)
        with connection.makefile("rb") as stream:
            return msgspec.json.decode(stream.readline())


def test_it_tells_how_the_process_is(cache: Any, folder: Path) -> None:
    cache.set_many([1], ["a"])
    for _ in range(3):
        cache.get_many([1, 2])
    (path,) = control.sockets(folder)
    status = control.ask(path, "status", HostStatus)
    assert status.pid == os.getpid()
    (plugin,) = status.plugins
    assert (plugin.state, plugin.reason) == ("degraded", "works in part")
    assert (plugin.distribution, plugin.version) == ("predis-counting", "1.2.3")
    assert plugin.observer_seconds > 0
    (told,) = status.caches
    assert (told.name, told.stats["hits"], told.stats["misses"]) == ("default", 3, 3)


def test_it_tells_snapshots(cache: Any, folder: Path) -> None:
    cache.get_many([1, 2])
    (path,) = control.sockets(folder)
    (snapshot,) = control.ask(path, "snapshots", list[Snapshot])
    values = {sample.metric.name: sample.value for sample in snapshot.samples}
    assert values["predis.cache.misses"] == 2


def test_only_its_owner_may_ask(cache: Any, folder: Path) -> None:
    (path,) = control.sockets(folder)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_it_is_there_without_plugins_and_gone_after_close(folder: Path) -> None:
    with predis.open({"host": {"state_dir": str(folder)}, "cache": {"capacity": 10}}) as cache:
        assert cache.get_many.__func__ is predis.Cache.get_many
        assert len(control.sockets(folder)) == 1
    assert list(folder.iterdir()) == []
    assert predis.status() is None


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (b"hello\n", "expected one line of JSON"),
        (b"", "expected one line of JSON"),
        (b'{"ask": "secrets"}\n', "ask: expected one of status, snapshots, got 'secrets'"),
        (b'{"ask": "status", "more": 1}\n', "expected one line of JSON"),
        (b"x" * 100_000, "expected one line of JSON"),
    ],
)
def test_a_bad_question_is_answered_with_what_is_wrong(
    cache: Any, folder: Path, line: bytes, told: str
) -> None:
    (path,) = control.sockets(folder)
    assert told in raw(path, line)["error"]
    assert control.ask(path, "status", HostStatus).pid == os.getpid()


def test_one_who_says_nothing_holds_up_nobody(cache: Any, folder: Path) -> None:
    (path,) = control.sockets(folder)
    with socket.socket(socket.AF_UNIX) as silent:
        silent.connect(str(path))
        assert control.ask(path, "status", HostStatus).pid == os.getpid()


def test_nobody_answers_at_a_path_without_a_process(folder: Path) -> None:
    with pytest.raises(control.ControlError, match="no answer"):
        control.ask(folder / "1.sock", "status", HostStatus)
    assert control.sockets(folder) == []


def test_what_a_dead_process_left_is_removed(folder: Path) -> None:
    dead = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"],
        capture_output=True,
        text=True,
        check=True,
    )
    folder.mkdir()
    left = folder / f"{dead.stdout.strip()}.sock"
    left.touch()
    assert control.sockets(folder) == []
    with predis.open({"host": {"state_dir": str(folder)}, "cache": {"capacity": 10}}):
        assert not left.exists()


@pytest.mark.parametrize("where", ["long", "file"])
def test_a_folder_that_cannot_hold_a_socket_is_refused(tmp_path: Path, where: str) -> None:
    (tmp_path / "file").touch()
    folder = tmp_path / ("x" * 120) if where == "long" else tmp_path / "file" / "below"
    told = "is too long for a socket" if where == "long" else "cannot put a socket into"
    with pytest.raises(ConfigurationError, match=rf"^host\.state_dir: .*{told}"):
        predis.open({"host": {"state_dir": str(folder)}, "cache": {"capacity": 10}})
    assert predis.status() is None
