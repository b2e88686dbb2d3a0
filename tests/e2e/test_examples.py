"""Every example runs by itself, checks itself, and says so in a few lines."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.pages import ROOT, read

EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
LINES_AT_MOST = 60


def test_the_examples_are_there() -> None:
    names = {example.stem for example in EXAMPLES}
    assert {"embedding_rows", "own_policy", "sqlite_loader", "threads"} <= names


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.stem)
def test_example_runs_as_it_stands(example: Path, tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-W", "error", example],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert 1 <= len(result.stdout.splitlines()) <= 10
    assert not result.stderr


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.stem)
def test_example_is_short(example: Path) -> None:
    assert len(read(example).splitlines()) < LINES_AT_MOST


def test_the_map_of_the_docs_names_every_example() -> None:
    index = read("docs/index.md")
    assert [e.name for e in EXAMPLES if f"(../examples/{e.name})" not in index] == []
