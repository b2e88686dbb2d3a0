"""A market that turns into a scan: the alarm is wherever somebody may look for it."""

from __future__ import annotations

import json
import logging
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
from click.testing import CliRunner

import predis_core as predis
from predis_drift import command
from predis_lab.workloads import Market, Scan
from tests.support.crew import PATIENCE, wait_until
from tests.support.ports import find_port

BEFORE, STATED = 60_000, 20_000


class Posted:
    """A server that keeps what is posted to it."""

    def __init__(self) -> None:
        self.documents: list[dict[str, Any]] = []
        documents = self.documents

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = int(self.headers["Content-Length"])
                documents.append(json.loads(self.rfile.read(length)))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def of(self, kind: str) -> list[dict[str, Any]]:
        """What was posted about events of a kind."""
        return [each for each in self.documents if f'"{kind}"' in json.dumps(each)]


def test_a_market_that_turns_into_a_scan_is_told_everywhere(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    posted, port = Posted(), find_port()
    configuration: dict[str, Any] = {
        "host": {"state_dir": str(tmp_path), "deadline": PATIENCE},
        "cache": {
            "name": "market",
            "capacity": 20_000,
            "policy": "s3fifo",
            "value": {"kind": "rows", "dtype": "int64"},
        },
        "plugins": {
            # Pauses are those of the machine that this test runs on.
            "drift": {
                "rate": 1.0,
                "features": ["popularity", "reuse_distance", "hit_ratio", "new_keys"],
            },
            "alerts": {"webhook": {"url": posted.url, "events": True}},
            "prometheus": {"port": port},
        },
    }
    ticks = Market(ticks=150_000, seed=3).ids()[:BEFORE].reshape(-1, 100)
    scan = Scan(requests=STATED, start=1 << 40).ids().reshape(-1, 100)
    try:
        with caplog.at_level(logging.WARNING, "predis"), predis.open(configuration) as cache:

            def ask(batches: Any) -> None:
                for ids in batches:
                    cache.get_or_load_many(ids, lambda missing: missing)

            def scrape() -> str:
                with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=PATIENCE) as answer:
                    return str(answer.read().decode())

            ask(ticks)
            compared = f'predis_drift_events_total{{cache="market"}} {float(BEFORE)}'
            wait_until(lambda: compared in scrape())
            assert "its workload changed" not in caplog.text
            ask(scan)
            wait_until(lambda: "its workload changed" in caplog.text)
            wait_until(lambda: posted.of("drift.alarm") and posted.of("drift.pattern"))
            wait_until(lambda: f'{{cache="market"}} {float(BEFORE + STATED)}' in scrape())
            told = CliRunner().invoke(
                command.drift, ["status", "--state-dir", str(tmp_path), "--json"]
            )
            metrics = scrape()
    finally:
        posted.server.shutdown()
        posted.server.server_close()

    (line,) = [each for each in caplog.messages if "its workload changed" in each]
    assert "new_keys" in line
    (document,) = posted.of("drift.alarm")
    assert line in json.dumps(document)
    assert "scan emerged" in json.dumps(posted.of("drift.pattern"))
    assert 'predis_drift_alarms_total{cache="market",feature="' in metrics
    assert sum(_values(metrics, "predis_drift_alarms_total")) == 1
    assert told.exit_code == 0, told.output
    (seen,) = json.loads(told.output)["caches"]
    assert (seen["cache"], seen["alarms"], seen["events"]) == ("market", 1, BEFORE + STATED)
    (scan,) = [each for each in seen["patterns"] if each["pattern"] == "scan"]
    assert scan["times"] == 1


def _values(metrics: str, name: str) -> list[float]:
    return [float(line.split()[-1]) for line in metrics.splitlines() if line.startswith(name)]
