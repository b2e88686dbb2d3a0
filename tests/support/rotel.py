"""A real receiver of OTLP, rotel, and what it wrote down."""

from __future__ import annotations

import contextlib
import re
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.counterparts import rotel_counterpart
from tests.support.crew import wait_until
from tests.support.ports import find_port


@dataclass
class Entry:
    """A data point or a span that rotel has written down.

    Attributes:
        name: of the metric or the span.
        fields: what is said of it, the metric's unit and temporality included.
        attributes: as they were sent.
        buckets: counts of a histogram.
    """

    name: str
    fields: dict[str, str]
    attributes: dict[str, str] = field(default_factory=dict)
    buckets: list[int] = field(default_factory=list)


class Rotel:
    """A running rotel that writes all that it receives into a file.

    Attributes:
        ports: where it listens, by protocol.
    """

    def __init__(self, ports: dict[str, int], log: Path) -> None:
        self.ports = ports
        self._log = log

    def url(self, protocol: str) -> str:
        return f"http://127.0.0.1:{self.ports[protocol]}"

    @property
    def is_ready(self) -> bool:
        for port in self.ports.values():
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
            except OSError:
                return False
        return True

    def points(self, name: str) -> list[Entry]:
        """Return the data points of a metric, the latest last."""
        found = [e for e in self._entries() if e.name == name and "Unit" in e.fields]
        return sorted(found, key=lambda entry: int(entry.fields.get("Timestamp", 0)))

    def spans(self, name: str) -> list[Entry]:
        """Return the spans of a name."""
        return [entry for entry in self._entries() if entry.name == name and "ID" in entry.fields]

    def _entries(self) -> list[Entry]:
        found: list[Entry] = []
        metric: dict[str, str] = {}
        attributes: dict[str, str] = {}
        # A line that is being written is not read yet.
        for line in self._log.read_text("utf-8").split("\n")[:-1]:
            if match := re.fullmatch(r"     -> ([\w.]+): \w+\((.*)\)", line):
                attributes[match[1]] = match[2]
            elif match := re.fullmatch(r"     -> (\w+): (.*)", line):
                metric[match[1]] = match[2]
            elif line.startswith("Metric #"):
                metric = {}
            elif re.match(r"(Number|Histogram)DataPoints #", line):
                attributes = {}
                found.append(Entry(metric["Name"], dict(metric), attributes))
            elif re.match(r"Span #", line):
                attributes = {}
                found.append(Entry("", {}, attributes))
            elif match := re.fullmatch(r"Buckets #\d+, Count: (\d+)", line):
                found[-1].buckets.append(int(match[1]))
            elif found and (match := re.fullmatch(r" *([\w ]*\w) *: *(.*)", line)):
                found[-1].fields[match[1]] = match[2]
                if match[1] == "Name":
                    found[-1].name = match[2]
        return found


def total_of(points: list[Entry], cache: str) -> int:
    """Return what a counter has come to, by totals or by growth.

    Of what has the same beginning only the last counts: the rest had not been acknowledged.
    """
    told = {
        point.fields["StartTimestamp"]: int(point.fields["Value"])
        for point in points
        if point.attributes["predis.cache.name"] == cache
    }
    return sum(told.values())


@contextlib.contextmanager
def running_rotel(folder: Path) -> Iterator[Rotel]:
    """Run a rotel that writes into a folder what it receives."""
    program, ports = rotel_counterpart(), {"grpc": find_port(), "http": find_port()}
    log = folder / "received"
    command = [
        *(program, "start", "--exporter", "blackhole", "--pid-file", str(folder / "pid")),
        *("--debug-log", "metrics", "--debug-log", "traces", "--debug-log-verbosity", "detailed"),
        *("--otlp-grpc-endpoint", f"127.0.0.1:{ports['grpc']}"),
        *("--otlp-http-endpoint", f"127.0.0.1:{ports['http']}"),
    ]
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, cwd=folder)
    try:
        rotel = Rotel(ports, log)
        wait_until(lambda: rotel.is_ready)
        yield rotel
    finally:
        process.kill()
        process.wait()
