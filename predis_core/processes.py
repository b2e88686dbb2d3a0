"""Processes of this user that hold caches, asked through their control sockets.

A process has such a socket if its configuration has a `state_dir` in `[host]`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from predis_core import config
from predis_core.host import control
from predis_core.host.states import HostStatus
from predis_core.types import Snapshot

T = TypeVar("T")

Answers = tuple[dict[int, T], list[str]]
"""What processes answered, by their numbers; and why others did not, a line each."""


def folder_of(configuration: str | Path) -> Path | None:
    """Return where a configuration file puts the sockets; None if it has no `state_dir`.

    Raises:
        ConfigurationError: if it cannot be read.
    """
    return config.load(Path(configuration)).host.state_dir


def statuses(folder: str | Path) -> Answers[HostStatus]:
    """Ask the processes with a socket in a folder how they and their plugins are."""
    return _asked(folder, "status", HostStatus)


def snapshots(folder: str | Path) -> Answers[list[Snapshot]]:
    """Ask the processes with a socket in a folder what is measured of each of their caches."""
    return _asked(folder, "snapshots", list[Snapshot])


def _asked(folder: str | Path, question: str, answer: type[T]) -> Answers[T]:
    found, silent = {}, []
    for path in control.sockets(folder):
        try:
            found[int(path.stem)] = control.ask(path, question, answer)
        except control.ControlError as error:
            silent.append(str(error))
    return found, silent
