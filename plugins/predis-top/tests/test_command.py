"""The command, against processes that live."""

from __future__ import annotations

import json
import os
import pty
import selectors
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import predis_core as predis
from predis_core import processes
from predis_core.errors import ConfigurationError
from predis_top.command import top

PATIENCE = 120.0
SECTION = {
    "name": "shop",
    "capacity": 1_000,
    "policy": "fifo",
    "value": {"kind": "rows", "dtype": "int64"},
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def cache(folder: Path) -> Iterator[predis.Cache[Any, Any]]:
    given = {"host": {"state_dir": str(folder)}, "cache": SECTION, "plugins": {"top": {}}}
    with predis.open(given) as opened:
        yield opened


def run(*arguments: object) -> Any:
    return CliRunner().invoke(top, [*map(str, arguments)], terminal_width=150)


def test_once_prints_what_the_process_counts(cache: predis.Cache[Any, Any], folder: Path) -> None:
    cache.set_many(range(100), range(100))
    cache.get_many(range(150))
    cache.namespace("acme", capacity=100).get_many([1])
    done = run("--state-dir", folder, "--once", "--interval", "0.1")
    assert done.exit_code == 0, done.output
    assert "shop" in done.output
    assert "/acme" in done.output
    assert str(os.getpid()) in done.output
    assert "2 caches" not in done.output  # a namespace is none


def test_json_has_the_totals_to_the_unit(cache: predis.Cache[Any, Any], folder: Path) -> None:
    cache.set_many(range(100), range(100))
    cache.get_many(range(150))
    done = run("--state-dir", folder, "--once", "--json", "--interval", "0.1")
    document = json.loads(done.output)
    (found,) = document["caches"]
    stats = cache.stats()
    assert {name: found["totals"][name] for name in ("hits", "misses", "size", "capacity")} == {
        "hits": 100, "misses": 50, "size": stats.size, "capacity": stats.capacity,
    }  # fmt: skip
    assert found["hit_ratio"] is None  # nothing happened in between
    assert found["batches"]["get"]["count"] == 0
    assert document["silent"] == []


def test_a_configuration_names_the_folder(
    cache: predis.Cache[Any, Any], folder: Path, tmp_path: Path
) -> None:
    file = tmp_path / "predis.toml"
    file.write_text(f'[host]\nstate_dir = "{folder}"\n[cache]\ncapacity = 10\n')
    assert "shop" in run(file, "--once", "--interval", "0.1").output


def test_mistakes_name_the_way_out(tmp_path: Path) -> None:
    file = tmp_path / "predis.toml"
    file.write_text("[cache]\ncapacity = 10\n")
    without = run(file, "--once")
    assert without.exit_code == 1
    assert "[host] has no state_dir" in without.output
    assert run().exit_code == 2
    assert "--state-dir" in run().output
    assert run("--state-dir", tmp_path, "--interval", "0").exit_code == 2
    with pytest.raises(ConfigurationError):
        processes.folder_of(tmp_path / "none.toml")


def test_a_folder_without_processes_is_explained(tmp_path: Path) -> None:
    done = run("--state-dir", tmp_path, "--once", "--interval", "0.1")
    assert done.exit_code == 0
    assert "No process has a control socket" in done.output


def test_who_does_not_answer_is_named(folder: Path) -> None:
    folder.mkdir()
    (folder / f"{os.getpid()}.sock").write_text("no socket")
    answers, silent = processes.statuses(folder)
    assert answers == {}
    assert f"{os.getpid()}.sock" in silent[0]
    done = run("--state-dir", folder, "--once", "--json", "--interval", "0.1")
    assert len(json.loads(done.output)["silent"]) == 1


class Terminal:
    """`predis top` in a terminal of its own."""

    def __init__(self, *arguments: str) -> None:
        self._ours, theirs = pty.openpty()
        environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "150", "LINES": "40"}
        program = Path(sys.executable).with_name("predis")
        self._process = subprocess.Popen(
            [program, "top", *arguments],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=environment,
        )
        os.close(theirs)
        # Not `select.select`, which takes no descriptor past 1,023.
        self._written = selectors.DefaultSelector()
        self._written.register(self._ours, selectors.EVENT_READ)
        self._seen = ""

    def wait_for(self, text: str) -> None:
        """Read until a text was shown."""
        end = time.monotonic() + PATIENCE
        while text not in self._seen:
            assert time.monotonic() < end, self._seen
            if self._written.select(1):
                self._seen += os.read(self._ours, 65_536).decode()

    def press(self, key: str) -> None:
        self._seen = ""
        os.write(self._ours, key.encode())

    def end(self) -> int:
        """Read the rest, so that nobody waits to write it; return the exit code."""
        while True:
            try:
                if not os.read(self._ours, 65_536):
                    break
            except OSError:  # the other end is closed
                break
        self._written.close()
        os.close(self._ours)
        return self._process.wait(PATIENCE)


def test_live_it_follows_sorts_and_quits(cache: predis.Cache[Any, Any], folder: Path) -> None:
    terminal = Terminal("--state-dir", str(folder), "--interval", "0.2")
    terminal.wait_for("shop")
    terminal.wait_for("by name now")
    terminal.press("s")
    terminal.wait_for("by look-ups now")
    cache.namespace("late", capacity=100)
    terminal.wait_for("/late")
    terminal.press("q")
    assert terminal.end() == 0
