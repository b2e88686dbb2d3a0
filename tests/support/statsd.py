"""npm's statsd, which takes DogStatsD's tags, and what it was told."""

from __future__ import annotations

import contextlib
import re
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.support.counterparts import node_counterpart
from tests.support.crew import PATIENCE, wait_until
from tests.support.ports import find_port

CONFIGURATION = """{{
  port: {port}, address: "127.0.0.1", mgmt_port: {management}, mgmt_address: "127.0.0.1",
  backends: [], flushInterval: 86400000, keyNameSanitize: true
}}
"""


class Statsd:
    """A running statsd, whose values are never reset."""

    def __init__(self, port: int, management: int) -> None:
        self.port = port
        self._management = management

    def ask(self, command: str) -> str:
        with socket.create_connection(("127.0.0.1", self._management), PATIENCE) as connection:
            connection.sendall(command.encode())
            connection.settimeout(PATIENCE)
            answer = b""
            while not answer.rstrip().endswith((b"END", b"health: up")):
                more = connection.recv(1 << 16)
                assert more, answer
                answer += more
        return answer.decode()

    def is_ready(self) -> bool:
        """Return whether it has both of its ports: a value that is sent is there."""
        with contextlib.suppress(OSError):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
                client.connect(("127.0.0.1", self.port))
                client.send(b"ready:1|g")
            return "ready: 1" in self.ask("gauges")
        return False

    def values(self, command: str) -> dict[str, float]:
        """Return "counters" or "gauges" by name and tags, as "name;tag=value"."""
        found = re.findall(r"'([^']+)': (-?[\d.e+-]+)", self.ask(command))
        return {name: float(value) for name, value in found}


@contextlib.contextmanager
def running_statsd(folder: Path) -> Iterator[Statsd]:
    """Run a statsd whose files are in a folder."""
    command, ports = node_counterpart("statsd/stats.js"), (find_port(), find_port())
    configuration = folder / "statsd.js"
    configuration.write_text(CONFIGURATION.format(port=ports[0], management=ports[1]))
    with (folder / "statsd.log").open("wb") as log:
        process = subprocess.Popen([*command, str(configuration)], stdout=log, stderr=log)
    try:
        server = Statsd(*ports)
        wait_until(server.is_ready)
        yield server
    finally:
        process.kill()
        process.wait()
