"""The `predis` command, with distributions made for the test."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

MODULE = """
import click
from predis_core.errors import ConfigurationError

@click.command()
def greet():
    "Greet."
    click.echo("hello")

@click.command()
def refuse():
    raise ConfigurationError("capacity: 0 is too small; give at least 1")

@click.command()
def read():
    open("no/such/trace.npy")

@click.command()
def crash():
    raise ZeroDivisionError("a defect")

number = 7
"""


class Predis:
    """Runs the command in a process of its own that also sees the distributions in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def distribution(self, name: str, version: str, **commands: str) -> None:
        info = self.folder / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        entries = "".join(f"{command} = {value}\n" for command, value in commands.items())
        (info / "entry_points.txt").write_text(f"[predis.commands.v1]\n{entries}")

    def __call__(self, *args: str, before: str = "") -> subprocess.CompletedProcess[str]:
        code = f"{before}\nfrom predis_core.cli import main; main()"
        return subprocess.run(
            [sys.executable, "-c", code, *args],
            env={**os.environ, "PYTHONPATH": str(self.folder), "COLUMNS": "200"},
            capture_output=True,
            text=True,
            check=False,
        )


@pytest.fixture
def predis(tmp_path: Path) -> Predis:
    command = Predis(tmp_path)
    (tmp_path / "toy_commands.py").write_text(MODULE)
    command.distribution(
        "toy-plugin",
        "1.2.3",
        greet="toy_commands:greet",
        refuse="toy_commands:refuse",
        read="toy_commands:read",
        crash="toy_commands:crash",
        absent="toy_absent:main",
        misnamed="toy_commands:nothing",
        number="toy_commands:number",
    )
    return command


def test_an_installed_command_runs(predis: Predis) -> None:
    result = predis("greet")
    assert (result.returncode, result.stdout, result.stderr) == (0, "hello\n", "")


def test_help_lists_commands_with_their_distribution_and_imports_none(predis: Predis) -> None:
    result = predis("--help", before="import sys; sys.modules['toy_commands'] = None")
    assert result.returncode == 0
    for command in ("greet", "absent", "number"):
        assert f"{command} " in result.stdout
    assert "from toy-plugin 1.2.3" in result.stdout


def test_version_names_the_core_and_each_distribution(predis: Predis) -> None:
    result = predis("--version")
    assert result.returncode == 0
    assert result.stdout.startswith("predis 0.")
    assert "toy-plugin 1.2.3" in result.stdout


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ("absent", "ModuleNotFoundError: No module named 'toy_absent'"),
        ("misnamed", "AttributeError"),
        ("number", "it names a int, not a click.Command"),
    ],
)
def test_a_broken_command_names_plugin_distribution_version_and_entry_point(
    predis: Predis, command: str, reason: str
) -> None:
    result = predis(command)
    assert result.returncode == 1
    for part in (f"command '{command}'", "toy_", "distribution toy-plugin 1.2.3", reason):
        assert part in result.stderr
    assert f'entry point "{command} = toy_' in result.stderr
    assert "Traceback" not in result.stderr


def test_a_broken_command_does_not_spoil_the_others(predis: Predis) -> None:
    assert predis("absent").returncode == 1
    assert predis("greet").returncode == 0


def test_a_command_of_two_distributions_is_refused_naming_both(predis: Predis) -> None:
    predis.distribution("toy-rival", "4.5", greet="toy_commands:greet")
    result = predis("greet")
    assert result.returncode == 1
    assert "toy-plugin 1.2.3" in result.stderr
    assert "toy-rival 4.5" in result.stderr


def test_an_unknown_command_is_a_usage_error_with_the_nearest_known(predis: Predis) -> None:
    result = predis("great")
    assert result.returncode == 2
    assert "Did you mean 'greet'?" in result.stderr


@pytest.mark.parametrize(
    ("command", "message"), [("refuse", "capacity: 0 is too small"), ("read", "no/such/trace.npy")]
)
def test_a_users_mistake_gives_a_message_and_no_traceback(
    predis: Predis, command: str, message: str
) -> None:
    result = predis(command)
    assert result.returncode == 1
    assert result.stderr.startswith("Error: ")
    assert message in result.stderr
    assert "Traceback" not in result.stderr


def test_the_option_traceback_shows_where_an_error_came_from(predis: Predis) -> None:
    result = predis("--traceback", "refuse")
    assert result.returncode == 1
    assert "in refuse" in result.stderr
    assert "Error: capacity: 0 is too small" in result.stderr


def test_a_defect_keeps_its_traceback(predis: Predis) -> None:
    assert "ZeroDivisionError: a defect" in predis("crash").stderr


def test_without_click_the_command_says_what_to_install(predis: Predis) -> None:
    result = predis("greet", before="import sys; sys.modules['click'] = None")
    assert result.returncode == 2
    assert 'pip install "predis-core[cli]"' in result.stderr
    assert "Traceback" not in result.stderr
