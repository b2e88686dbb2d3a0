"""VictoriaMetrics, which takes Datadog's series over HTTP, gets what caches measured."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.counterparts import counterpart
from tests.support.datadog import PATIENCE, counts_of, gauges_of, opened, traffic

Eventually = Callable[[Callable[[], Any]], Any]
ATTEMPTS = 5


class Victoria:
    """A running VictoriaMetrics."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"

    def get(self, path: str) -> str:
        with urllib.request.urlopen(self.url + path, timeout=PATIENCE) as response:
            return str(response.read().decode())

    def is_ready(self) -> bool:
        with contextlib.suppress(OSError):
            return self.get("/health") == "OK"
        return False

    def series(self, cache: str) -> list[tuple[dict[str, str], list[float]]]:
        """Return (labels, values) of every series of a cache, as they came."""
        self.get("/internal/force_flush")
        asked = urllib.parse.quote(f'{{cache="{cache}"}}')
        text = self.get(f"/api/v1/export?match[]={asked}")
        found = [json.loads(line) for line in text.splitlines()]
        return [(each["metric"], each["values"]) for each in found]


@pytest.fixture
def victoria(tmp_path: Path) -> Iterator[Victoria]:
    program = counterpart("victoria-metrics")
    with contextlib.ExitStack() as stack:
        log = stack.enter_context((tmp_path / "log").open("wb"))
        for attempt in range(ATTEMPTS):
            with socket.create_server(("127.0.0.1", 0)) as listener:
                port = listener.getsockname()[1]
            command = [
                program,
                f"-httpListenAddr=127.0.0.1:{port}",
                f"-storageDataPath={tmp_path / str(attempt)}",
                "-retentionPeriod=1",
            ]
            process = subprocess.Popen(command, stdout=log, stderr=log)
            stack.callback(process.wait, PATIENCE)
            stack.callback(process.kill)
            server = Victoria(port)
            end = time.monotonic() + PATIENCE
            while process.poll() is None and time.monotonic() < end:
                if server.is_ready():
                    yield server
                    return
                time.sleep(0.05)
            process.kill()  # somebody took the port meanwhile: another
        pytest.fail(f"VictoriaMetrics did not start: {(tmp_path / 'log').read_text()}")


def test_victoriametrics_has_every_counter_of_two_caches_to_the_unit(
    victoria: Victoria, eventually: Eventually
) -> None:
    section = {
        "transport": "http",
        "endpoint": f"{victoria.url}/datadog",
        "api_key": "none",
        "host": "web-1",
        "tags": ["env:test"],
        "interval": "1s",
        "timeout": "30s",
    }
    with opened("one", **section) as one, opened("two", **section) as two:
        for seed in range(5):
            traffic(one, seed)
            traffic(two, seed + 5)
        eventually(lambda: victoria.series("one") and victoria.series("two"))
        traffic(one, 10)
        traffic(two, 11)
        stats = {"one": one.stats(), "two": two.stats()}
        assert stats["one"].evictions > 0
    for name, known in stats.items():
        counts = counts_of(known)
        wanted = counts | gauges_of(known)

        def arrived(
            name: str = name,
            wanted: dict[str, float] = wanted,
            counts: dict[str, float] = counts,
        ) -> bool:
            found = {}
            for labels, values in victoria.series(name):
                metric = labels["__name__"]
                if metric in wanted:
                    assert labels == {
                        "__name__": metric, "cache": name, "env": "test", "host": "web-1",
                    }  # fmt: skip
                    found[metric] = sum(values) if metric in counts else values[-1]
            return found == wanted

        eventually(arrived)
        batches = [
            sum(values)
            for labels, values in victoria.series(name)
            if labels["__name__"] == "predis.cache.batch.duration.count"
            and labels["operation"] == "get"
        ]
        assert batches == [120]
