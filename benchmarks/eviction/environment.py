"""An environment with libcachesim only: it shares nothing with the one that Predis runs in."""

from __future__ import annotations

import shutil
import subprocess
import sys
import venv
from pathlib import Path

HERE = Path(__file__).resolve().parent
REQUIREMENTS = HERE / "requirements.txt"
PLACE = HERE.parents[1] / "build" / "libcachesim"
# The interpreters for which libcachesim has wheels; none for others, and building it takes a
# compiler, CMake and GLib.
WHEELS_FOR = ((3, 10), (3, 11), (3, 12), (3, 13))


class NoEnvironment(RuntimeError):
    """The environment could not be made; the message says why and what helps."""


def python_with_libcachesim(place: Path = PLACE, requirements: Path = REQUIREMENTS) -> Path:
    """Return an interpreter that imports libcachesim; make its environment if need be.

    Raises:
        NoEnvironment: if no interpreter fits, or pip fails.
    """
    python = place / "bin" / "python"
    stamp = place / "installed.txt"
    wanted = requirements.read_text(encoding="utf-8")
    if python.exists() and stamp.exists() and stamp.read_text(encoding="utf-8") == wanted:
        return python
    _make(place, interpreter())
    installed = subprocess.run(
        [python, "-m", "pip", "-q", "--disable-pip-version-check", "install", "-r", requirements],
        capture_output=True,
        text=True,
        check=False,
    )
    if installed.returncode:
        raise NoEnvironment(
            f"pip could not install {wanted.strip()} into {place}:\n{installed.stderr.strip()}\n"
            "Is there a package index to install from?"
        )
    stamp.write_text(wanted, encoding="utf-8")
    return python


def interpreter() -> Path:
    """Return an interpreter for which libcachesim has wheels: this one, or one found on PATH."""
    if sys.version_info[:2] in WHEELS_FOR:
        return Path(sys.executable)
    for major, minor in reversed(WHEELS_FOR):
        if found := shutil.which(f"python{major}.{minor}"):
            return Path(found)
    names = ", ".join(f"{major}.{minor}" for major, minor in WHEELS_FOR)
    raise NoEnvironment(
        f"libcachesim has wheels for Python {names}; this is {sys.version.split()[0]}, and none of "
        "them is on PATH. Install one of them."
    )


def _make(place: Path, python: Path) -> None:
    if python == Path(sys.executable):
        venv.create(place, clear=True, with_pip=True)
        return
    made = subprocess.run(
        [python, "-m", "venv", "--clear", place], capture_output=True, text=True, check=False
    )
    if made.returncode:
        raise NoEnvironment(f"{python} could not make {place}:\n{made.stderr.strip()}")
