"""What the tests of the plugin share: patience, and a receiver over HTTP."""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

PATIENCE = 120.0
"""Seconds for which a test waits for what another thread does."""


@pytest.fixture
def eventually() -> Callable[[Callable[[], Any]], Any]:
    """Waits until a function returns something true, and returns that."""

    def wait(look: Callable[[], Any]) -> Any:
        end = time.monotonic() + PATIENCE
        while not (found := look()) and time.monotonic() < end:
            time.sleep(0.01)
        assert found, f"not within {PATIENCE:.0f} s"
        return found

    return wait


@dataclass
class Request:
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def document(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)
        return found


@dataclass
class Receiver:
    """An HTTP server that notes what is posted, and answers as it is told.

    Attributes:
        answers: for the next requests, one each: a status; "reset", which breaks the connection;
            or "wait", which says nothing until `release` is set. Then 200.
        requests: whatever was posted.
    """

    url: str
    answers: list[int | str] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    release: threading.Event = field(default_factory=threading.Event)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            answer = made.answers.pop(0) if made.answers else 200
            made.requests.append(Request(self.path, headers, body))
            if answer == "wait":
                made.release.wait(PATIENCE)
                return
            if answer == "reset":
                # Closing with linger 0 sends RST.
                off = struct.pack("ii", 1, 0)
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, off)
                self.connection.shutdown(socket.SHUT_RD)
                self.connection.close()
                return
            self.send_response(int(answer))
            for name, value in made.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def finish(self) -> None:
            with contextlib.suppress(OSError, ValueError):
                super().finish()

        def log_message(self, *_: Any) -> None:
            """Keep quiet."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        block_on_close = True

        def shutdown_request(self, request: Any) -> None:
            with contextlib.suppress(OSError):
                super().shutdown_request(request)

        def handle_error(self, *_: Any) -> None:
            """Nobody is to know of connections that were broken on purpose."""

    server = Server(("127.0.0.1", 0), Handler)
    made = Receiver(f"http://127.0.0.1:{server.server_address[1]}/hook")
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield made
    finally:
        made.release.set()
        server.shutdown()
        server.server_close()
        thread.join(PATIENCE)
