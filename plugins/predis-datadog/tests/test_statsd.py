"""npm's statsd, which takes DogStatsD's tags, gets what caches measured."""

from __future__ import annotations

import contextlib
import re
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.counterparts import node_counterpart
from tests.support.datadog import PATIENCE, counts_of, gauges_of, opened, traffic

Eventually = Callable[[Callable[[], Any]], Any]

CONFIGURATION = """{{
  port: {port}, address: "127.0.0.1", mgmt_port: {management}, mgmt_address: "127.0.0.1",
  backends: [], flushInterval: 86400000, keyNameSanitize: true
}}
"""
ATTEMPTS = 5


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


@pytest.fixture
def statsd(tmp_path: Path) -> Iterator[Statsd]:
    command = node_counterpart("statsd/stats.js")
    with contextlib.ExitStack() as stack:
        log = stack.enter_context((tmp_path / "log").open("wb"))
        for _ in range(ATTEMPTS):
            with (
                socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp,
                socket.create_server(("127.0.0.1", 0)) as tcp,
            ):
                udp.bind(("127.0.0.1", 0))
                ports = udp.getsockname()[1], tcp.getsockname()[1]
            configuration = tmp_path / "statsd.js"
            configuration.write_text(CONFIGURATION.format(port=ports[0], management=ports[1]))
            process = subprocess.Popen([*command, str(configuration)], stdout=log, stderr=log)
            stack.callback(process.wait, PATIENCE)
            stack.callback(process.kill)
            server = Statsd(*ports)
            end = time.monotonic() + PATIENCE
            while process.poll() is None and time.monotonic() < end:
                if server.is_ready():
                    yield server
                    return
                time.sleep(0.05)
            process.kill()  # somebody took a port meanwhile: others
        pytest.fail(f"statsd did not start: {(tmp_path / 'log').read_text()}")


def test_statsd_has_every_counter_of_two_caches_to_the_unit(
    statsd: Statsd, eventually: Eventually
) -> None:
    where = {"address": "127.0.0.1", "port": statsd.port}
    # It knows neither events nor checks.
    section: dict[str, Any] = where | {"tags": ["env:test"], "service_check": False}
    # Few packets, for what a stalled receiver's buffer does not take is lost.
    section["interval"] = "1s"
    with opened("one", **section) as one, opened("two", **section) as two:
        for seed in range(5):
            traffic(one, seed)
            traffic(two, seed + 5)
        hits = "predis.cache.hits;cache={};env=test"
        eventually(lambda: hits.format("one") in statsd.values("counters"))
        eventually(lambda: hits.format("two") in statsd.values("counters"))
        traffic(one, 10)
        traffic(two, 11)
        stats = {"one": one.stats(), "two": two.stats()}
        assert stats["one"].evictions > 0
    for name, known in stats.items():
        counts = {f"{key};cache={name};env=test": v for key, v in counts_of(known).items()}
        gauges = {f"{key};cache={name};env=test": v for key, v in gauges_of(known).items()}

        def arrived(counts: dict[str, float] = counts, gauges: dict[str, float] = gauges) -> bool:
            found = statsd.values("counters")
            held = statsd.values("gauges")
            return {key: found.get(key) for key in counts} == counts and {
                key: held.get(key) for key in gauges
            } == gauges

        eventually(arrived)
        found = statsd.values("counters")
        tags = f"cache={name};operation=get;env=test"
        assert found[f"predis.cache.batch.duration.count;{tags}"] == 120
        # It adds a distribution up, as it does not know that kind: value by weight.
        total = found[f"predis.cache.batch.duration.sum;{tags}"]
        assert found[f"predis.cache.batch.duration;{tags}"] == pytest.approx(total)
    assert found["statsd.bad_lines_seen"] == 0
