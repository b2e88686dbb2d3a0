"""Rules, alerts and the dashboard: checked by promtool, run by a real Prometheus, and delivered."""

from __future__ import annotations

import contextlib
import json
import subprocess
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import predis_core as predis
from predis_core.errors import PredisError
from predis_prometheus.mixin import FILES, building, text_of
from predis_prometheus.mixin.command import mixin
from predis_prometheus.mixin.panels import ROWS
from tests.support.counterparts import counterpart
from tests.support.ports import find_port

HERE = Path(__file__).parent
EVERYTHING = {"$job": ".*", "$instance": ".*", "$cache": "shop|shelf", "$namespace": "|/.*"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What `predis mixin --out` writes."""
    done = CliRunner().invoke(mixin, ["--out", str(tmp_path / "mixin")])
    assert done.exit_code == 0, done.output
    return tmp_path / "mixin"


def promtool(*arguments: object) -> str:
    done = subprocess.run(
        [counterpart("promtool"), *map(str, arguments)], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_rules_and_alerts_are_ones(folder: Path) -> None:
    told = promtool("check", "rules", folder / "rules.yaml", folder / "alerts.yaml")
    assert told.count("SUCCESS") == 2


def test_each_alert_fires_when_it_should_and_not_before(folder: Path) -> None:
    tests = folder / "alerts_test.yaml"
    tests.write_text((HERE / "alerts_test.yaml").read_text())
    told = promtool("test", "rules", tests)
    assert "SUCCESS" in told
    names = [line.split()[-1] for line in text_of("alerts").splitlines() if "- alert:" in line]
    assert names
    for name in names:
        assert f"alertname: {name}\n" in tests.read_text(), f"{name} is not tested"


def test_the_dashboard_is_what_its_panels_make_of_it() -> None:
    assert text_of("dashboard") == building.build()


def test_the_command_prints_a_part_or_writes_all(folder: Path) -> None:
    assert {path.name for path in folder.iterdir()} == set(FILES.values())
    for part, file in FILES.items():
        assert CliRunner().invoke(mixin, [part]).output == (folder / file).read_text()
    for wrong in ([], ["rules", "--out", "x"], ["nothing"]):
        assert CliRunner().invoke(mixin, wrong).exit_code == 2
    refused = CliRunner().invoke(mixin, ["--out", str(folder / "rules.yaml" / "x")])
    assert refused.exit_code == 1
    assert "rules.yaml" in refused.output


def chosen(expression: str, **variables: str) -> str:
    """Return a dashboard's expression with its variables filled in, as Grafana does."""
    for name, value in (
        EVERYTHING | {f"${name}": value for name, value in variables.items()}
    ).items():
        expression = expression.replace(name, value)
    return expression.replace("$__rate_interval", "1m")


def fails(ids: Any) -> Any:
    if ids[0] % 2:
        raise OSError("the source is down")
    return ids


def traffic(cache: predis.Cache[Any, Any]) -> None:
    """A bit of everything that a cache counts."""
    generator = np.random.default_rng(3)
    acme = cache.namespace("acme", capacity=500)
    for _ in range(20):
        keys = generator.integers(0, 6_000, 400)
        for each in (cache, acme):
            each.get_or_load_many(keys, lambda ids: ids)
            each.get_many(keys)
            each.set_many(keys[:10], keys[:10])
            each.delete_many(keys[:3])
        for key in range(4):
            cache.pop(key, None)
            with contextlib.suppress(PredisError, OSError):
                cache.get_or_load_many(np.array([key]), fails)


@pytest.fixture
def cache(free_port: int) -> Iterator[predis.Cache[Any, Any]]:
    section = {
        "name": "shop",
        "capacity": 2_000,
        "policy": "fifo",
        "value": {"kind": "rows", "dtype": "int64"},
    }
    with predis.open({"cache": section, "plugins": {"prometheus": {"port": free_port}}}) as opened:
        yield opened


WITHOUT_SERIES = {
    "Plugins: Failures",
    "Plugins: What observers cost",
    *(f"Prefetch: {panel.title}" for panel in ROWS["Prefetch"]),
}
"""Panels of what only plugins with observers or prefetchers have, of which there is none here."""


def test_prometheus_answers_every_query_of_the_dashboard(
    cache: predis.Cache[Any, Any],
    scraping: Callable[..., Any],
    free_port: int,
    eventually: Callable[[Callable[[], Any]], Any],
) -> None:
    server = scraping(free_port)

    def silent() -> set[str]:
        """Panels of which no query has a series, with some traffic in between."""
        traffic(cache)
        found = {
            f"{row}: {panel.title}": [server.ask(chosen(query.selected)) for query in panel.queries]
            for row, panels in ROWS.items()
            for panel in panels
        }
        return {title for title, series in found.items() if not any(series)}

    eventually(lambda: silent() <= WITHOUT_SERIES)
    size = 'sum(predis_cache_size{cache=~"($cache)($namespace)"})'
    parts = {"": cache.stats().size, "/acme": cache.namespace("acme").stats().size}

    def held(namespace: str) -> float:
        (found,) = server.ask(chosen(size, namespace=namespace))
        return float(found["value"][1])

    for space, held_there in parts.items():
        eventually(lambda space=space, wanted=held_there: held(space) == wanted)
    assert held("|/.*") == sum(parts.values())


class Inbox(ThreadingHTTPServer):
    """A webhook: keeps the alerts that are delivered."""

    daemon_threads = True

    def __init__(self) -> None:
        self.alerts: list[dict[str, Any]] = []
        super().__init__(("127.0.0.1", 0), _Handler)


class _Handler(BaseHTTPRequestHandler):
    server: Inbox

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.alerts.extend(body["alerts"])
        self.send_response(200)
        self.end_headers()

    def log_message(self, *arguments: Any) -> None:
        """Say nothing."""


@pytest.fixture
def inbox() -> Iterator[Inbox]:
    with Inbox() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.1,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_an_alert_goes_through_alertmanager_to_a_webhook(
    cache: predis.Cache[Any, Any],
    inbox: Inbox,
    folder: Path,
    scraping: Callable[..., Any],
    running: Callable[[list[str]], None],
    free_port: int,
    tmp_path: Path,
    eventually: Callable[[Callable[[], Any]], Any],
) -> None:
    program = counterpart("prometheus-alertmanager")
    port = find_port()
    routes = tmp_path / "alertmanager.yml"
    routes.write_text(
        "route: {receiver: hook, group_wait: 0s, group_interval: 1s}\n"
        "receivers: [{name: hook, webhook_configs: [{url: "
        f'"http://127.0.0.1:{inbox.server_port}/"}}]}}]\n'
    )
    running(
        [
            program,
            f"--config.file={routes}",
            f"--storage.path={tmp_path / 'alerts'}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--cluster.listen-address=",
        ]
    )
    alerts = folder / "alerts.yaml"
    alerts.write_text(alerts.read_text().replace("for: 5m", "for: 0s"))
    server = scraping(
        free_port,
        more=f'rule_files: ["{folder}/*.yaml"]\n'
        f'alerting: {{alertmanagers: [{{static_configs: [{{targets: ["127.0.0.1:{port}"]}}]}}]}}',
    )

    def loads() -> list[dict[str, Any]]:
        with pytest.raises(PredisError):
            cache.get_or_load_many(np.array([1, 3]), fails)
        return [
            alert for alert in inbox.alerts if alert["labels"]["alertname"] == "PredisMostLoadsFail"
        ]

    (alert, *_) = eventually(loads)
    assert alert["labels"]["cache"] == "shop"
    assert alert["labels"]["severity"] == "critical"
    assert "100%" in alert["annotations"]["summary"]
    assert server.query("cache:predis_cache_load_failure_ratio:rate5m") == {
        ("cache:predis_cache_load_failure_ratio:rate5m", "shop"): 1.0
    }
