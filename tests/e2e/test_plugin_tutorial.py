"""From an empty folder to a tested plugin: the tutorial followed to the letter, on wheels.

The distributions are built and installed as users get them, into new environments. What they depend
on is lent by this environment, as no network is needed to test.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.pages import ROOT, fenced, read

pytestmark = pytest.mark.timeout(600)

TUTORIAL = "docs/tutorial-plugin.md"
GUIDES = {
    "policy_plugin": "docs/how-to/share-a-policy-in-a-plugin.md",
    "prefetcher_plugin": "docs/how-to/write-a-prefetcher.md",
}
"""Folders of examples that are plugins, and the pages that show all of their files."""
PROJECTS = (ROOT, *sorted(path.parent for path in ROOT.glob("plugins/*/pyproject.toml")))
BUILD = ("-m", "pip", "wheel", "-q", "--no-deps", "--no-index", "--no-build-isolation")
OURS = ("predis", "_editable", "__editable__", "pip")
STEP = re.compile(r"(?:^`([^`\n]+)`:\n\n)?^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Environment:
    """A new virtual environment in which third parties' distributions can be imported.

    Args:
        folder: where commands run; the environment is its `.venv`.
        lent: a folder with what third parties made.
        wheels: ours, by the name of the distribution.
    """

    def __init__(self, folder: Path, lent: Path, wheels: dict[str, Path]) -> None:
        self.folder = folder
        self.root = folder / ".venv"
        self._lent = lent
        self._core = wheels["predis-core"].as_uri()
        plugins = folder.with_suffix(".plugins")
        plugins.write_text(
            "".join(
                f"{name} @ {wheel.as_uri()}\n"
                for name, wheel in wheels.items()
                if name != "predis-core"
            ),
            "utf-8",
        )
        strangers = ("PYTHON", "PYTEST", "PIP_", "VIRTUAL_ENV")
        mine = {key: value for key, value in os.environ.items() if not key.startswith(strangers)}
        path = [str(self.root / "bin"), str(Path(sys.executable).parent), *os.get_exec_path()]
        self._environ = mine | {
            "PATH": os.pathsep.join(path),
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_CONSTRAINT": str(plugins),
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "PIP_NO_BUILD_ISOLATION": "0",  # which means: without isolation
            "PIP_NO_INDEX": "1",
        }

    def run(self, commands: str) -> str:
        """Run a block of commands as a shell does, and return what it prints.

        Only where the core comes from is added to them.
        """
        located = re.sub(r'"(predis-core\[[\w,]+\])"', rf'"\1 @ {self._core}"', commands)
        result = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", located],
            cwd=self.folder,
            env=self._environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert result.returncode == 0, f"{located}{result.stdout}"
        for site in self.root.glob("lib/python*/site-packages"):
            # Comes after all that is installed here.
            (site / "lent.pth").write_text(f"{self._lent}\n", "utf-8")
        return result.stdout


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The wheels of the core and of every plugin, by the name of the distribution."""
    folder = tmp_path_factory.mktemp("wheels")
    subprocess.run(
        [sys.executable, *BUILD, "-w", folder, *PROJECTS],
        check=True,
    )
    found = {wheel.name.partition("-")[0].replace("_", "-"): wheel for wheel in folder.iterdir()}
    assert set(found) == {
        tomllib.loads(read(project / "pyproject.toml"))["project"]["name"] for project in PROJECTS
    }
    return found


@pytest.fixture(scope="module")
def lent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """This environment's packages without Predis: links to them."""
    folder = tmp_path_factory.mktemp("lent")
    for entry in Path(sysconfig.get_path("purelib")).iterdir():
        if not entry.name.startswith(OURS) and entry.suffix != ".pth":
            (folder / entry.name).symlink_to(entry)
    return folder


@pytest.fixture
def environment(tmp_path: Path, lent: Path, wheels: dict[str, Path]) -> Environment:
    folder = tmp_path / "work"
    folder.mkdir()
    return Environment(folder, lent, wheels)


def steps(page: str) -> Iterator[tuple[str, str, str]]:
    """Yield (path, language, content) of each block of a page; no path: not a file."""
    for match in STEP.finditer(read(page)):
        yield match[1] or "", match[2], match[3]


def test_the_tutorial_followed_to_the_letter(environment: Environment) -> None:
    told = ""
    for path, language, content in steps(TUTORIAL):
        if path:
            file = environment.folder / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(content, "utf-8")
        elif language == "sh":
            told = environment.run(content)
        else:
            assert language == "text", f"a block of {language} that is no file and no command"
            assert content in told
    tested = re.search(r"(\d+) passed", told)
    assert tested is not None, told
    assert int(tested[1]) > 10
    assert re.search(r"\b(failed|errors?)\b", told) is None
    where = environment.run("python -c 'import predis_core; print(predis_core.__file__)'")
    assert Path(where.strip()).is_relative_to(environment.root)


def test_the_tutorial_has_files_commands_and_what_they_print() -> None:
    found = list(steps(TUTORIAL))
    assert [path for path, *_ in found if path.endswith("test_contract.py")]
    assert [content for _, language, content in found if language == "text"]
    commands = " ".join(content for _, language, content in found if language == "sh")
    for command in ("pip install -e .", "predis plugins", "predis check", "pytest"):
        assert command in commands
    assert fenced(read(TUTORIAL), "python") == [], "these would be run as one program"


@pytest.mark.parametrize("example", GUIDES)
def test_the_plugin_of_the_example_works(example: str, environment: Environment) -> None:
    folder = ROOT / "examples" / example
    shutil.copytree(folder, environment.folder, dirs_exist_ok=True)
    environment.run("python -m venv .venv")
    environment.run('pip install "predis-core[cli,testing]"')
    environment.run("pip install -e .")
    told = environment.run("python -m pytest")
    assert re.search(r"\b[1-9]\d+ passed", told), told
    code = "".join(path.read_text("utf-8") for path in folder.glob("src/*/*.py"))
    assert len([line for line in code.splitlines() if line]) < 40


@pytest.mark.parametrize("example", GUIDES)
def test_the_guide_shows_the_files_of_the_example(example: str) -> None:
    folder = ROOT / "examples" / example
    shown = {path: content for path, _, content in steps(GUIDES[example]) if path}
    files = [path for path in folder.rglob("*") if path.suffix in (".py", ".toml")]
    assert shown == {path.relative_to(folder).as_posix(): read(path) for path in files}


def test_every_wheel_installs_and_is_found(environment: Environment) -> None:
    environment.run("python -m venv .venv")
    environment.run('pip install "predis-core[all]"')
    environment.run("pip check")
    listed = environment.run("predis plugins")
    commands = environment.run("predis --help")
    for project in PROJECTS:
        declared = tomllib.loads(read(project / "pyproject.toml"))["project"]
        groups = declared.get("entry-points", {})
        for name in groups.get("predis.plugins.v1", {}):
            assert re.search(rf"^{name} +installed +{declared['name']} ", listed, re.MULTILINE)
        for name in groups.get("predis.commands.v1", {}):
            assert re.search(rf"^ +{name} +from {declared['name']} ", commands, re.MULTILINE)
