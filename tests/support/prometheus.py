"""A real Prometheus, and what a test asks it."""

from __future__ import annotations

import contextlib
import json
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.support.counterparts import counterpart
from tests.support.crew import PATIENCE, wait_until
from tests.support.ports import find_port

CONFIGURATION = """\
global: {{scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}}
{more}
scrape_configs:
  - job_name: predis
    {how}
    static_configs: [{{targets: ["127.0.0.1:{port}"]}}]
"""


class Server:
    """A running Prometheus."""

    def __init__(self, port: int) -> None:
        self._base = f"http://127.0.0.1:{port}"

    def is_ready(self) -> bool:
        with contextlib.suppress(OSError):
            return bool(
                urllib.request.urlopen(f"{self._base}/-/ready", timeout=PATIENCE).status == 200
            )
        return False

    def ask(self, expression: str) -> list[dict[str, Any]]:
        """Return the series of an expression of now; HTTPError if it is none."""
        asked = urllib.parse.urlencode({"query": expression})
        url = f"{self._base}/api/v1/query?{asked}"
        with urllib.request.urlopen(url, timeout=PATIENCE) as response:
            found: list[dict[str, Any]] = json.load(response)["data"]["result"]
        return found

    def exemplars(self, expression: str) -> list[dict[str, Any]]:
        """Return the exemplars of an expression's series of the last hour."""
        now = time.time()
        asked = urllib.parse.urlencode({"query": expression, "start": now - 3600, "end": now})
        url = f"{self._base}/api/v1/query_exemplars?{asked}"
        with urllib.request.urlopen(url, timeout=PATIENCE) as response:
            return [each for series in json.load(response)["data"] for each in series["exemplars"]]

    def query(self, expression: str) -> dict[tuple[str, str], float]:
        """Return the values of an expression of now by name and label `cache`."""
        return {
            (found["metric"].get("__name__", ""), found["metric"].get("cache", "")): float(
                found["value"][1]
            )
            for found in self.ask(expression)
        }


@contextlib.contextmanager
def running_prometheus(
    target: int, folder: Path, how: str = "scheme: http", more: str = ""
) -> Iterator[Server]:
    """Run a Prometheus that scrapes a port every second.

    Args:
        target: the port.
        folder: for its files.
        how: further lines of how it scrapes.
        more: further lines of its configuration.
    """
    program, port = counterpart("prometheus"), find_port()
    configuration = folder / "prometheus.yml"
    configuration.write_text(CONFIGURATION.format(port=target, how=how, more=more))
    command = [
        program,
        f"--config.file={configuration}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--enable-feature=exemplar-storage",
    ]
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        server = Server(port)
        wait_until(server.is_ready)
        yield server
    finally:
        process.kill()
        process.wait()
