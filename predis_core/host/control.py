"""A Unix socket by which other processes of the same user ask how this one's caches are.

A question and its answer are one line of JSON each: `{"ask": "status"}` is answered with a
`HostStatus`, `{"ask": "snapshots"}` with a list of `Snapshot`. The socket is
`<state_dir>/<pid>.sock` and has the mode 0600.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import socketserver
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from predis_core.errors import ConfigurationError, PredisError

logger = logging.getLogger("predis")

PATIENCE = 10.0
"""Seconds that either end waits for the other."""

LONGEST_PATH = 100
"""Bytes; the operating system's own limit for a socket's path is a little above."""

_LONGEST_QUESTION = 4_096

T = TypeVar("T")


class ControlError(PredisError):
    """A process could not be asked."""


class _Question(msgspec.Struct, forbid_unknown_fields=True):
    ask: str


class _Error(msgspec.Struct):
    error: str


class _Handler(socketserver.StreamRequestHandler):
    timeout = PATIENCE

    def handle(self) -> None:
        with contextlib.suppress(OSError):  # whoever asked is gone, or says nothing
            line = self.rfile.readline(_LONGEST_QUESTION)
            self.wfile.write(msgspec.json.encode(self._answer(line)) + b"\n")

    def _answer(self, line: bytes) -> Any:
        assert isinstance(self.server, _Server)
        try:
            question = msgspec.json.decode(line, type=_Question)
        except msgspec.DecodeError as error:
            return _Error(f'expected one line of JSON as {{"ask": "status"}}: {error}')
        answer = self.server.answers.get(question.ask)
        if answer is None:
            known = ", ".join(self.server.answers)
            return _Error(f"ask: expected one of {known}, got {question.ask!r}")
        try:
            return answer()
        except Exception as error:  # the host is closing, say; the socket goes on
            logger.warning("control socket: %r could not be answered", question.ask, exc_info=error)
            return _Error(f"{type(error).__name__}: {error}")


class _Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    block_on_close = False
    answers: Mapping[str, Callable[[], Any]]

    def server_bind(self) -> None:
        # Nobody can connect before it listens, so nobody meets it with another mode.
        super().server_bind()
        os.chmod(self.server_address, 0o600)  # type: ignore[arg-type]


class Control:
    """The socket of this process.

    Args:
        folder: where it is put; made, with the mode 0700, if it is not there.
        answers: what may be asked, and how it is answered.

    Raises:
        ConfigurationError: if it cannot be put there.
    """

    def __init__(self, folder: str | Path, answers: Mapping[str, Callable[[], Any]]) -> None:
        self.path = Path(folder).absolute() / f"{os.getpid()}.sock"
        if len(os.fsencode(self.path)) > LONGEST_PATH:
            raise ConfigurationError(
                f"host.state_dir: {str(self.path)!r} is too long for a socket "
                f"(at most {LONGEST_PATH} bytes); name a folder with a shorter path"
            )
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            _remove_left_over(self.path.parent)
            self.path.unlink(missing_ok=True)
            self._server = _Server(os.fspath(self.path), _Handler)
        except OSError as error:
            raise ConfigurationError(
                f"host.state_dir: cannot put a socket into {str(self.path.parent)!r}: {error}"
            ) from error
        self._server.answers = answers
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.1,), name="predis-control", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Answer no more, and remove the socket."""
        self._server.shutdown()
        self._server.server_close()
        self.path.unlink(missing_ok=True)

    def abandon(self) -> None:
        """In a forked child: let go of the parent's socket and leave it alone."""
        self._server.socket.close()


def ask(path: str | Path, question: str, answer: type[T]) -> T:
    """Ask the process behind a socket.

    Raises:
        ControlError: if it does not answer, or not with that.
    """
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(PATIENCE)
            connection.connect(os.fspath(path))
            connection.sendall(msgspec.json.encode(_Question(question)) + b"\n")
            with connection.makefile("rb") as stream:
                line = stream.readline()
        try:
            return msgspec.json.decode(line, type=answer)
        except msgspec.DecodeError:
            raise ControlError(f"{path}: {msgspec.json.decode(line, type=_Error).error}") from None
    except (OSError, msgspec.DecodeError) as error:
        raise ControlError(f"{path}: no answer: {error}") from error


def sockets(folder: str | Path) -> list[Path]:
    """Return the sockets of the processes that live, by process number."""
    found = [path for path in Path(folder).glob("*.sock") if path.stem.isdecimal()]
    return sorted((path for path in found if _lives(int(path.stem))), key=lambda p: int(p.stem))


def _remove_left_over(folder: Path) -> None:
    """Remove the sockets of processes that ended without doing so."""
    for path in folder.glob("*.sock"):
        if path.stem.isdecimal() and not _lives(int(path.stem)):
            with contextlib.suppress(OSError):
                path.unlink()


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True
