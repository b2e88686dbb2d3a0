"""The README and CONTRIBUTING keep their word."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from predis_core.table.cuda.shared import SharedGpuTable
from tests.support.gpu import open_on_host
from tests.support.pages import ROOT, read, run_as_it_stands, snippets

README = read("README.md")
CONTRIBUTING = read("CONTRIBUTING.md")
COMMANDS = re.findall(r"^make (\S+)", README, re.MULTILINE)
TARGETS = set(re.findall(r"\bmake ([a-z-]+)\b", README + CONTRIBUTING))


def test_readme_is_one_screen_with_a_snippet_and_the_two_commands() -> None:
    assert len(README.splitlines()) <= 60
    assert len(snippets(README)) == 1
    assert COMMANDS == ["demo", "test"]


def test_readme_snippet_runs_as_it_stands(tmp_path: Path) -> None:
    run_as_it_stands(snippets(README)[0], tmp_path)


def test_readme_snippet_runs_unchanged_on_a_gpu(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    open_on_host(monkeypatch)
    names: dict[str, Any] = {}
    exec(snippets(README)[0], names)
    assert capsys.readouterr().out.splitlines() == ["[True, False]", "3", "Ada"]
    assert isinstance(names["cache"]._table, SharedGpuTable)


def test_contributing_policy_runs_as_it_stands(tmp_path: Path) -> None:
    run_as_it_stands(snippets(CONTRIBUTING)[0], tmp_path)


@pytest.mark.parametrize("target", sorted(TARGETS))
def test_documented_command_is_a_target_of_the_makefile(target: str) -> None:
    assert re.search(rf"^{target}:", read("Makefile"), re.MULTILINE)


def test_contributing_names_every_folder_of_tests() -> None:
    folders = {path.parent.relative_to(ROOT).as_posix() for path in ROOT.glob("tests/*/test_*.py")}
    assert [folder for folder in sorted(folders) if f"`{folder}`" not in CONTRIBUTING] == []
