"""What the tests of the plugin share: a receiver of OTLP that fails on request, and patience."""

from __future__ import annotations

import contextlib
import gzip
import os
import socket
import ssl
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import grpc
import pytest
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2 as metrics
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as traces

import predis_core as predis
from tests.support.counterparts import counterpart
from tests.support.ports import find_port
from tests.support.shelf import Shelf, shelf_in

PATIENCE = 60.0
"""Seconds for which a test waits for what another thread or process does."""

ROWS = {"kind": "rows", "dtype": "int64"}


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith("OTEL_"):
            monkeypatch.delenv(name)


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
def opened() -> Iterator[Callable[..., predis.Cache[Any, Any]]]:
    """Opens caches with the plugin, and closes them."""
    with contextlib.ExitStack() as stack:

        def open_one(
            name: str = "main", others: dict[str, Any] | None = None, **section: Any
        ) -> predis.Cache[Any, Any]:
            cache = {"name": name, "capacity": 1_000, "policy": "fifo", "value": ROWS}
            plugins = (others or {}) | {"otel": section}
            return stack.enter_context(predis.open({"cache": cache, "plugins": plugins}))

        yield open_one


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[Shelf]:
    """Where further plugins are put for a test."""
    with shelf_in(tmp_path) as made:
        yield made


# ---- a receiver in this process ------------------------------------------------------------------


@dataclass
class Receiver:
    """Takes OTLP by one protocol, as long as nothing is wrong with it.

    Attributes:
        protocol: "grpc" or "http".
        url: where it listens.
        fault: what is wrong: "" for nothing, "refused key", "unavailable", "silent" (no answer at
            all), "reset" (the connection, once there was a request).
        metrics, traces: the requests that it took.
        headers: of the last request, names in lower case.
        asked: how many requests there were, those that failed included.
    """

    protocol: str
    url: str = ""
    fault: str = ""
    metrics: list[Any] = field(default_factory=list)
    traces: list[Any] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    asked: int = 0
    ending: threading.Event = field(default_factory=threading.Event)

    def points(self, name: str) -> list[Any]:
        """Return the data points of a metric, of all requests in their order."""
        return [point for _, kind in self.told(name) for point in kind.data_points]

    def told(self, name: str) -> list[tuple[Any, Any]]:
        """Return (metric, its sum, gauge or histogram) of each request that has it."""
        return [
            (metric, getattr(metric, metric.WhichOneof("data")))
            for request in list(self.metrics)
            for resource in request.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if metric.name == name
        ]

    def spans(self, name: str) -> list[Any]:
        """Return the spans of a name."""
        return [
            span
            for request in list(self.traces)
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
            if span.name == name
        ]

    @staticmethod
    def attributes(thing: Any) -> dict[str, Any]:
        """Return the attributes of a point, a span or a resource."""
        return {
            each.key: getattr(each.value, each.value.WhichOneof("value"))
            for each in thing.attributes
        }

    @staticmethod
    def value(point: Any) -> Any:
        """Return the value of a number's point."""
        return getattr(point, point.WhichOneof("value"))

    def say_nothing(self, is_wanted: Callable[[], bool] = lambda: True) -> None:
        """Return when nobody waits for an answer any longer, or another fault is wanted."""
        while self.fault == "silent" and is_wanted() and not self.ending.wait(0.02):
            pass

    def take(self, kind: str, body: bytes) -> None:
        if kind == "metrics":
            self.metrics.append(metrics.ExportMetricsServiceRequest.FromString(body))
        else:
            self.traces.append(traces.ExportTraceServiceRequest.FromString(body))


@pytest.fixture
def receiving() -> Iterator[Callable[..., Receiver]]:
    """Starts receivers, and ends them."""
    with contextlib.ExitStack() as stack:

        def start(protocol: str, port: int = 0, tls: Certificates | None = None) -> Receiver:
            receiver = Receiver(protocol)
            begin = _by_grpc if protocol == "grpc" else _by_http
            stack.callback(begin(receiver, port, tls))
            stack.callback(receiver.ending.set)
            return receiver

        yield start


@pytest.fixture
def receiver(receiving: Callable[..., Receiver], protocol: str) -> Receiver:
    """A receiver by the protocol that the test is parametrized with."""
    return receiving(protocol)


def _by_http(receiver: Receiver, port: int, tls: Certificates | None) -> Callable[[], None]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None: ...

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            receiver.asked += 1
            receiver.headers = {name.lower(): value for name, value in self.headers.items()}
            fault = receiver.fault
            if fault == "silent":
                receiver.say_nothing()
            if fault in ("silent", "reset"):
                linger = struct.pack("ii", 1, 0)
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                self.close_connection = True
                return
            status = {"refused key": 401, "unavailable": 503}.get(fault, 200)
            if status == 200:
                packed = self.headers.get("content-encoding") == "gzip"
                kind = self.path.removeprefix("/v1/")
                receiver.take(kind, gzip.decompress(body) if packed else body)
            self.send_response(status)
            self.send_header("content-length", "0")
            self.end_headers()

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_: Any) -> None: ...

    server = Server(("127.0.0.1", port), Handler)
    if tls is not None:
        server.socket = tls.server_context().wrap_socket(server.socket, server_side=True)
    scheme = "http" if tls is None else "https"
    receiver.url = f"{scheme}://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()

    def end() -> None:
        server.shutdown()
        thread.join()
        server.server_close()

    return end


_SERVING = 4


def _ready(pool: ThreadPoolExecutor) -> ThreadPoolExecutor:
    """Have all threads of a pool begin, which must not be taken for threads that a cache leaves."""
    met = threading.Barrier(_SERVING)
    for each in [pool.submit(met.wait, PATIENCE) for _ in range(_SERVING)]:
        each.result()
    return pool


def _by_grpc(receiver: Receiver, port: int, tls: Certificates | None) -> Callable[[], None]:
    codes = {
        "silent": grpc.StatusCode.CANCELLED,
        "refused key": grpc.StatusCode.UNAUTHENTICATED,
        "unavailable": grpc.StatusCode.UNAVAILABLE,
        "reset": grpc.StatusCode.INTERNAL,
    }

    def answered(kind: str) -> Any:
        def answer(body: bytes, context: Any) -> bytes:
            receiver.asked += 1
            receiver.headers = dict(context.invocation_metadata())
            fault = receiver.fault
            if fault == "silent":
                receiver.say_nothing(context.is_active)
            if fault in codes:
                context.abort(codes[fault], f"{fault} of {receiver.headers.get('api-key')}")
            if not fault:
                receiver.take(kind, body)
            return b""

        return grpc.unary_unary_rpc_method_handler(answer)

    services = {
        "opentelemetry.proto.collector.metrics.v1.MetricsService": "metrics",
        "opentelemetry.proto.collector.trace.v1.TraceService": "traces",
    }
    pool = _ready(ThreadPoolExecutor(_SERVING))
    server = grpc.server(pool, options=[("grpc.so_reuseport", 0)])
    for name, kind in services.items():
        handler = grpc.method_handlers_generic_handler(name, {"Export": answered(kind)})
        server.add_generic_rpc_handlers((handler,))
    if tls is None:
        bound = server.add_insecure_port(f"127.0.0.1:{port}")
    else:
        pair = (tls.key.read_bytes(), tls.cert.read_bytes())
        credentials = grpc.ssl_server_credentials([pair], tls.cert.read_bytes(), True)
        bound = server.add_secure_port(f"127.0.0.1:{port}", credentials)
    scheme, host = ("http", "127.0.0.1") if tls is None else ("https", "localhost")
    receiver.url = f"{scheme}://{host}:{bound}"
    server.start()

    def end() -> None:
        server.stop(0).wait(PATIENCE)
        pool.shutdown()

    return end


# ---- certificates --------------------------------------------------------------------------------


@dataclass
class Certificates:
    """Files in PEM; `cert` is signed by itself, for localhost and 127.0.0.1."""

    cert: Path
    key: Path

    def server_context(self) -> ssl.SSLContext:
        """Return a context that asks clients for this certificate."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.cert, self.key)
        context.load_verify_locations(self.cert)
        context.verify_mode = ssl.CERT_REQUIRED
        return context


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
