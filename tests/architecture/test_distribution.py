"""What the distributions declare and what the repository may hold."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
THIS_FILE = Path(__file__).resolve().relative_to(ROOT).as_posix()
PLUGINS = sorted((ROOT / "plugins").glob("*/pyproject.toml"))

LOCK_FILES = {
    "Pipfile.lock",
    "conda-lock.yml",
    "package-lock.json",
    "pdm.lock",
    "poetry.lock",
    "pylock.toml",
    "uv.lock",
    "yarn.lock",
}
REGISTRY = re.compile(
    r"index-url|find-links|trusted-host|files\.pythonhosted\.org|pypi\.org/simple|registry\.npmjs"
)


def project(path: Path) -> dict[str, Any]:
    return tomllib.loads(path.read_text(encoding="utf-8"))["project"]


def tracked_files() -> list[str]:
    """Return what git tracks or would track, relative to the root."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    names = listing.stdout.decode().split("\0")
    return [name for name in names if name and (ROOT / name).is_file()]


def test_the_core_depends_on_exactly_four_distributions() -> None:
    names = {
        re.split(r"[^\w-]", text)[0] for text in project(ROOT / "pyproject.toml")["dependencies"]
    }
    assert names == {"numpy", "numba", "msgspec", "pluggy"}


def test_the_extra_all_offers_the_command_line_the_kit_and_every_plugin() -> None:
    extras = project(ROOT / "pyproject.toml")["optional-dependencies"]
    named = re.search(r"\[(.*)\]", extras["all"][0])
    assert named is not None
    plugins = {path.parent.name.removeprefix("predis-") for path in PLUGINS}
    assert set(named[1].split(",")) == {"cli", "testing"} | plugins
    assert plugins <= extras.keys()


@pytest.mark.parametrize("path", PLUGINS, ids=lambda path: path.parent.name)
def test_a_plugin_accepts_a_range_of_the_core_that_holds_this_version(path: Path) -> None:
    requirement = next(
        text for text in project(path)["dependencies"] if text.startswith("predis-core")
    )
    bounds = re.search(r">=(\d+)\.(\d+),<(\d+)\.(\d+)$", requirement)
    assert bounds is not None, requirement
    low, high = (int(bounds[1]), int(bounds[2])), (int(bounds[3]), int(bounds[4]))
    version = project(ROOT / "pyproject.toml")["version"].split(".")
    assert low <= (int(version[0]), int(version[1])) < high


def test_constraints_hold_names_and_versions_only() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    assert lines
    assert [line for line in lines if not re.fullmatch(r"[\w.-]+==[\w.+!]+", line)] == []


def test_no_lock_file_is_tracked() -> None:
    assert [name for name in tracked_files() if Path(name).name in LOCK_FILES] == []


def test_no_tracked_file_names_a_package_registry() -> None:
    offenders = []
    for name in tracked_files():
        if name == THIS_FILE:
            continue
        try:
            text = (ROOT / name).read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue  # binary: a picture, a compressed trace
        offenders += [f"{name}: {found[0]!r}" for found in [REGISTRY.search(text)] if found]
    assert not offenders
