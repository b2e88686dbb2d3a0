"""Fixtures of the plugin's tests: receivers, an environment without Datadog, patience."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.datadog import PATIENCE, Agent, Intake

VARIABLES = (
    "DD_AGENT_HOST", "DD_DOGSTATSD_PORT", "DD_DOGSTATSD_URL", "DD_DOGSTATSD_DISABLE", "DD_ENV",
    "DD_SERVICE", "DD_VERSION", "DD_ENTITY_ID", "DD_EXTERNAL_ENV", "DD_SITE", "DD_API_KEY",
    "DD_HOSTNAME", "DATADOG_TAGS", "HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy",
)  # fmt: skip


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("NO_PROXY", "*")


@pytest.fixture
def eventually() -> Callable[[Callable[[], Any]], Any]:
    """Waits until a function returns something true, and returns that."""

    def wait(look: Callable[[], Any]) -> Any:
        end = time.monotonic() + PATIENCE
        while not (found := look()) and time.monotonic() < end:
            time.sleep(0.02)
        assert found, f"not within {PATIENCE:.0f} s"
        return found

    return wait


@pytest.fixture
def socket_path(tmp_path: Path) -> Iterator[Path]:
    """Where a Unix socket may be: a path of theirs may be 108 bytes long only."""
    here = os.getcwd()
    os.chdir(tmp_path)
    yield Path("dsd.socket")
    os.chdir(here)


@pytest.fixture
def agents() -> Iterator[Callable[..., Agent]]:
    """Starts agents: on UDP, or at a path on a Unix socket of a kind."""
    with contextlib.ExitStack() as stack:

        def start(path: Path | None = None, kind: int = socket.SOCK_DGRAM) -> Agent:
            listener = socket.socket(socket.AF_INET if path is None else socket.AF_UNIX, kind)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
            listener.bind(("127.0.0.1", 0) if path is None else str(path))
            if kind == socket.SOCK_STREAM:
                listener.listen()
            return stack.enter_context(contextlib.closing(Agent(listener)))

        yield start


@pytest.fixture
def intake() -> Iterator[Intake]:
    with contextlib.closing(Intake()) as made:
        yield made
