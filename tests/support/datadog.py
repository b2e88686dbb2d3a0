"""What stands for Datadog in tests: an agent and an intake, and caches that export to them."""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import threading
import zlib
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np

import predis_core as predis
from predis_core import host, telemetry

PATIENCE = 60.0
"""Seconds for which a test waits for what another thread or process does."""


# ---- caches --------------------------------------------------------------------------------------


def opened(name: str = "main", **section: Any) -> predis.Cache[Any, Any]:
    value = {"kind": "rows", "dtype": "int64"}
    cache = {"name": name, "capacity": 1_000, "policy": "s3fifo", "value": value}
    section = {"interval": "100ms"} | section
    host = {"deadline": "60s"}
    return predis.open({"host": host, "cache": cache, "plugins": {"datadog": section}})


def traffic(cache: predis.Cache[Any, Any], seed: int = 1, rounds: int = 20) -> None:
    """Do something of everything that is counted."""
    generator = np.random.default_rng(seed)
    for _ in range(rounds):
        keys = generator.integers(0, 5_000, 200)
        cache.get_or_load_many(keys, lambda ids: ids * 2)
        cache.set_many(keys[:50], keys[:50])
        cache.get_many(generator.integers(0, 5_000, 300))
        cache.delete_many(keys[:5])


def health() -> tuple[str, str]:
    """Return how the only plugin is, and why."""
    state = host.status()
    assert state is not None
    (plugin,) = state.plugins
    return plugin.state, plugin.reason


def counts_of(stats: Any) -> dict[str, float]:
    """Return what each counter of `Stats` is called, and its value."""
    return {metric.name: getattr(stats, name) for name, metric in telemetry.COUNTERS.items()}


def gauges_of(stats: Any) -> dict[str, float]:
    return {metric.name: getattr(stats, name) for name, metric in telemetry.GAUGES.items()}


# ---- an agent ------------------------------------------------------------------------------------


class Agent:
    """Receives packets of DogStatsD, and does with them what an agent does.

    Attributes:
        packets: all that came, in order.
    """

    def __init__(self, listener: socket.socket) -> None:
        self.packets: list[str] = []
        self._listener = listener
        self._ended = False
        self._thread = threading.Thread(target=self._receive, name="agent", daemon=True)
        listener.settimeout(0.05)
        self._thread.start()

    def _receive(self) -> None:
        while not self._ended:
            with contextlib.suppress(TimeoutError):
                if self._listener.type == socket.SOCK_STREAM:
                    connection, _ = self._listener.accept()
                    with connection:
                        self._read_frames(connection)
                else:
                    self.packets.append(self._listener.recv(70_000).decode())
        self._listener.close()

    def _read_frames(self, connection: socket.socket) -> None:
        connection.settimeout(PATIENCE)
        with connection.makefile("rb") as file:
            while len(head := file.read(4)) == 4:
                (length,) = struct.unpack("<I", head)
                packet = file.read(length)
                if len(packet) == length:
                    self.packets.append(packet.decode())

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    @property
    def lines(self) -> list[str]:
        return [line for packet in self.packets for line in packet.splitlines() if line]

    def values(self, kind: str, tag: str = "") -> dict[str, list[float]]:
        """Return the values of each metric of a kind, of lines with a tag."""
        found: dict[str, list[float]] = {}
        for line in self.lines:
            if line.startswith("_") or tag not in [*line.partition("|#")[2].split(","), ""]:
                continue
            name, _, rest = line.partition(":")
            value, found_kind, *_ = rest.split("|")
            if found_kind == kind:
                found.setdefault(name, []).append(float(value))
        return found

    def sums(self, tag: str = "") -> dict[str, float]:
        return {name: sum(values) for name, values in self.values("c", tag).items()}

    def gauges(self, tag: str = "") -> dict[str, float]:
        return {name: values[-1] for name, values in self.values("g", tag).items()}

    def close(self) -> None:
        self._ended = True
        self._thread.join(PATIENCE)


# ---- Datadog's intake ----------------------------------------------------------------------------


class Intake:
    """An HTTP server in the place of Datadog's.

    Attributes:
        mode: what it does with a request: a status; "reset" (breaks the connection off), "lost"
            (takes the request and breaks off before the answer), "silent" (does not answer until
            it is released).
        headers: of its answers.
        asked: of every request: path, headers, document.
        taken: those of `asked` that it took.
        is_silent: whether it has begun not to answer a request.
        release: set it, and silence ends.
    """

    def __init__(self) -> None:
        self.mode: int | str = 202
        self.headers: dict[str, str] = {}
        self.asked: list[tuple[str, dict[str, str], Any]] = []
        self.taken: list[tuple[str, Any]] = []
        self.is_silent = False
        self.release = threading.Event()
        intake = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                intake.answer(self)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        body = request.rfile.read(int(request.headers["Content-Length"]))
        document = json.loads(zlib.decompress(body))
        mode = self.mode
        taken = mode in (202, "lost")
        if taken:
            self.taken.append((request.path, document))
        self.asked.append((request.path, dict(request.headers), document))
        if mode == "silent":
            self.is_silent = True
            self.release.wait(PATIENCE)
        if isinstance(mode, str):
            linger = struct.pack("ii", 1, 0)
            request.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            request.close_connection = True
            request.connection.shutdown(socket.SHUT_RDWR)
            return
        request.send_response(mode)
        for name, value in self.headers.items():
            request.send_header(name, value)
        request.send_header("Content-Length", "0")
        request.end_headers()

    def series(self, path: str = "/api/v1/series") -> list[dict[str, Any]]:
        return [each for at, document in self.taken if at == path for each in document["series"]]

    def sums(self) -> dict[str, float]:
        """Return the sum of each count as Datadog has it: one value per series and second."""
        last = {}
        for series in self.series():
            if series["type"] == "count":
                ((second, value),) = series["points"]
                last[series["metric"], tuple(series["tags"]), second] = value
        found: Counter[str] = Counter()
        for (name, _, _), value in last.items():
            found[name] += value
        return dict(found)

    def gauges(self) -> dict[str, float]:
        return {
            series["metric"]: series["points"][0][1]
            for series in self.series()
            if series["type"] == "gauge"
        }

    def close(self) -> None:
        self.release.set()
        self._server.shutdown()
        self._thread.join(PATIENCE)
        self._server.server_close()
