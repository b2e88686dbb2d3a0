"""What the tests of the plugin share: ports, certificates, scrapes."""

from __future__ import annotations

import base64
import contextlib
import ssl
import subprocess
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from predis_prometheus import PrometheusConfig
from predis_prometheus.plugin import VARIABLE, Prometheus
from tests.support.counterparts import counterpart
from tests.support.ports import find_port
from tests.support.prometheus import Server, running_prometheus

PATIENCE = 120.0
"""Seconds for which a test waits for what another thread or process does."""


@dataclass
class Certificates:
    """Files in PEM; `cert` is signed by itself, for localhost and 127.0.0.1."""

    cert: Path
    key: Path

    def client_context(self, *, with_certificate: bool = False) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=self.cert)
        if with_certificate:
            context.load_cert_chain(self.cert, self.key)
        return context


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    folder = tmp_path_factory.mktemp("certificates")
    made = Certificates(folder / "cert.pem", folder / "key.pem")
    command = [
        *(counterpart("openssl"), "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
        *("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"),
        *("-keyout", str(made.key), "-out", str(made.cert)),
    ]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    return made


@pytest.fixture
def free_port() -> int:
    """A port on which nobody listens, for now."""
    return find_port()


@pytest.fixture
def threads() -> Callable[[], list[str]]:
    """Names the plugin's threads that began in this test, whatever others left."""
    before = set(threading.enumerate())

    def names() -> list[str]:
        found = set(threading.enumerate()) - before
        return [each.name for each in found if each.name.startswith("predis-prometheus")]

    return names


@pytest.fixture
def started() -> Iterator[Callable[..., Prometheus]]:
    """Starts plugins with a section of the given fields, and closes them."""
    with contextlib.ExitStack() as stack:

        def start(**fields: Any) -> Prometheus:
            fields.setdefault("port", 0)
            return stack.enter_context(contextlib.closing(Prometheus(PrometheusConfig(**fields))))

        yield start


@pytest.fixture
def fetch() -> Callable[..., Any]:
    """Asks a server; returns the response, whatever its status."""

    def ask(
        url: str,
        *,
        method: str = "GET",
        auth: str | None = None,
        accept: str | None = None,
        context: ssl.SSLContext | None = None,
    ) -> Any:
        request = urllib.request.Request(url, method=method)
        if auth is not None:
            credentials = base64.b64encode(auth.encode()).decode()
            request.add_header("Authorization", f"Basic {credentials}")
        if accept is not None:
            request.add_header("Accept", accept)
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE, context=context) as response:
                return _Response(response.status, response.headers, response.read().decode())
        except urllib.error.HTTPError as error:
            with error:
                return _Response(error.code, error.headers, error.read().decode())

    return ask


@dataclass
class _Response:
    status: int
    headers: Any
    text: str


@pytest.fixture
def eventually() -> Callable[[Callable[[], Any]], Any]:
    """Waits until a function returns something true, and returns that."""

    def wait(look: Callable[[], Any]) -> Any:
        end = time.monotonic() + PATIENCE
        while not (found := look()) and time.monotonic() < end:
            time.sleep(0.05)
        assert found, f"not within {PATIENCE:.0f} s"
        return found

    return wait


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Callable[[list[str]], None]]:
    """Starts programs, which end with the test."""
    with contextlib.ExitStack() as stack:

        def start(command: list[str]) -> None:
            log = stack.enter_context((tmp_path / f"{Path(command[0]).name}.log").open("wb"))
            process = subprocess.Popen(command, stdout=log, stderr=log)
            stack.callback(process.wait, PATIENCE)
            stack.callback(process.kill)

        yield start


@pytest.fixture
def scraping(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Starts a Prometheus that scrapes a port every second; more lines of its configuration."""
    with contextlib.ExitStack() as stack:

        def start(target: int, how: str = "scheme: http", more: str = "") -> Server:
            return stack.enter_context(running_prometheus(target, tmp_path, how, more))

        yield start
