"""What stands for New Relic in tests: a server with TLS that takes only what its API takes."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import struct
import subprocess
import threading
import zlib
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from uuid import UUID

from tests.support.counterparts import counterpart
from tests.support.crew import PATIENCE

KEY = "eu01xx0123456789NRAL"
METRICS, EVENTS = "/metric/v1", "/v1/accounts/events"
NUMBERS = (int, float)


class Receiver:
    """Takes metrics and events as New Relic's documentation describes them, and nothing else.

    Attributes:
        ca: its certificate, in PEM.
        mode: what it does with a request: a status; "reset" (breaks the connection off before it
            takes anything), or "silent" (does not answer until it is released).
        headers: of its answers.
        largest: metrics, or events, per request, of more than which it answers 413.
        wrong: what was not as it should be.
        asked: how many requests came.
        metrics, events: what it took.
        attributes: of requests that it took.
    """

    def __init__(self, context: ssl.SSLContext, ca: Path) -> None:
        self.ca = ca
        self.mode: int | str = 202
        self.headers: dict[str, str] = {}
        self.largest = 10_000
        self.wrong: list[str] = []
        self.asked = 0
        self.metrics: list[dict[str, Any]] = []
        self.events: list[dict[str, Any]] = []
        self.attributes: list[dict[str, Any]] = []
        self.release = threading.Event()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = PATIENCE

            def do_POST(self) -> None:
                receiver.answer(self)

            def log_message(self, *arguments: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *arguments: Any) -> None:
                """A client that is gone is part of the tests."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self._server.socket = context.wrap_socket(
            self._server.socket, server_side=True, do_handshake_on_connect=False
        )
        self.host = f"localhost:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        body = request.rfile.read(int(request.headers["Content-Length"]))
        self.asked += 1
        mode = self.mode
        if mode == "silent":
            self.release.wait(PATIENCE)
        if isinstance(mode, str):
            linger = struct.pack("ii", 1, 0)
            request.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            request.close_connection = True
            with contextlib.suppress(OSError):
                socket.socket.shutdown(request.connection, socket.SHUT_RDWR)
            return
        status = mode
        if mode == 202:
            try:
                status = self._take(request, json.loads(zlib.decompress(body, 31)))
            except (AssertionError, KeyError, TypeError, ValueError) as error:
                self.wrong.append(f"{request.path}: {error!r}")
                status = 400
        request.send_response(status)
        for name, value in self.headers.items():
            request.send_header(name, value)
        request.send_header("Content-Length", "2")
        request.end_headers()
        request.wfile.write(b"{}")

    def _take(self, request: BaseHTTPRequestHandler, document: Any) -> int:
        headers = request.headers
        assert headers["Api-Key"] == KEY
        assert headers["Content-Encoding"] == "gzip"
        assert headers["Content-Type"] == "application/json"
        assert "predis-newrelic/" in headers["User-Agent"]
        UUID(headers["x-request-id"])
        if request.path == EVENTS:
            if len(document) > self.largest:
                return 413
            for event in document:
                assert event["eventType"] == "PredisEvent"
                assert all(isinstance(value, (str, *NUMBERS)) for value in event.values()), event
            self.events += document
            return 200
        assert request.path == METRICS
        (part,) = document
        if len(part["metrics"]) > self.largest:
            return 413
        for metric in part["metrics"]:
            _check(metric)
        self.metrics += part["metrics"]
        self.attributes.append(part.get("common", {}).get("attributes", {}))
        return 202

    def sums(self, cache: str) -> Counter[str]:
        """Return what the counts of a cache come to."""
        found: Counter[str] = Counter()
        for metric in self.metrics:
            if metric.get("type") == "count" and metric["attributes"]["cache"] == cache:
                found[metric["name"]] += metric["value"]
        return found

    def gauges(self, cache: str) -> dict[str, float]:
        """Return the latest gauges of a cache."""
        return {
            metric["name"]: metric["value"]
            for metric in self.metrics
            if "type" not in metric and metric["attributes"]["cache"] == cache
        }

    def close(self) -> None:
        self.release.set()
        self._server.shutdown()
        self._thread.join(PATIENCE)
        self._server.server_close()


def _check(metric: dict[str, Any]) -> None:
    """Fail unless a metric is as the Metric API wants it."""
    assert metric.keys() <= {"name", "type", "value", "timestamp", "interval.ms", "attributes"}
    assert isinstance(metric["name"], str)
    assert isinstance(metric["timestamp"], int)
    assert metric["timestamp"] > 1_600_000_000_000, "milliseconds are wanted"
    attributes = metric["attributes"]
    assert all(isinstance(value, (str, *NUMBERS)) for value in attributes.values()), metric
    if metric.get("type") == "summary":
        value = metric["value"]
        assert set(value) == {"count", "sum", "min", "max"}
        assert value["min"] <= value["max"]
    else:
        assert metric.get("type") in (None, "count")
        assert isinstance(metric["value"], NUMBERS), metric
    if "type" in metric:
        assert isinstance(metric["interval.ms"], int)
        assert metric["interval.ms"] > 0


@contextlib.contextmanager
def running_receiver(folder: Path) -> Iterator[Receiver]:
    """Run a receiver whose certificate, for localhost and signed by itself, is in a folder."""
    cert, key = folder / "cert.pem", folder / "key.pem"
    command = [
        *(counterpart("openssl"), "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
        *("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"),
        *("-keyout", str(key), "-out", str(cert)),
    ]
    subprocess.run(command, check=True, capture_output=True, timeout=PATIENCE)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    with contextlib.closing(Receiver(context, cert)) as made:
        yield made
