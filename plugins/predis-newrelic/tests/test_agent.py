"""The way through the agent, with the real one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import predis_core as predis
from predis_core.errors import ConfigurationError
from predis_newrelic.config import NewRelicConfig, with_environment
from tests.support.crew import PATIENCE

PROGRAM = Path(__file__).with_name("agent_program.py")
ROOT = Path(__file__).parents[3]
AGENT = {
    "NEW_RELIC_DEVELOPER_MODE": "true",
    "NEW_RELIC_APP_NAME": "test",
    "NEW_RELIC_SHUTDOWN_TIMEOUT": str(PATIENCE),
}
"""The agent's configuration: what it would send goes nowhere."""


def python(*arguments: str, **environment: str) -> str:
    """Run Python, with the root of the clone to import from; return what it printed."""
    done = subprocess.run(
        [sys.executable, *arguments],
        env=os.environ | {"PYTHONPATH": str(ROOT)} | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("starter", ["program", "plugin"])
def test_the_agent_is_handed_everything_to_the_unit(starter: str) -> None:
    told = json.loads(python(str(PROGRAM), starter, **AGENT))
    if starter == "program":  # what was counted before it ran is not lost
        assert "it does not run in this process" in told["before"]
        assert told["agent"] is False, "the agent was started, and nobody had asked for that"

    totals = told["totals"]
    assert told["stats"]["predis.cache.evictions"] > 0
    assert {name: totals[f"Custom/{name}/main"] for name in told["stats"]} == told["stats"]
    capacity = "Custom/predis.cache.capacity/main:acme"
    assert totals[capacity] == told["capacity"] * totals[f"{capacity}#count"]
    assert totals["Custom/predis.cache.batch.duration/main/get#count"] == 30
    assert totals["Custom/predis.cache.misses/main:acme"] == 1

    (event,) = told["events"]
    assert event[0]["type"] == "PredisEvent"
    assert event[1].items() >= {"kind": "x.y", "cache": "main", "n": 3}.items()

    query = {"what": ["Postgres", "users", "select"], "attributes": {}}
    failed = {"predis.keys": 1, "predis.failed": 1, "error.class": "LookupError"}
    assert told["segments"] == [
        query,
        {"what": ["Predis", "main", "load"], "attributes": {"predis.keys": 3}},
        query,
        {"what": ["Predis", "main:acme", "load"], "attributes": {"predis.keys": 1}},
        query,
        {"what": ["Predis", "main", "load"], "attributes": failed},
    ]
    # Loads outside of a transaction make none.
    assert totals["Datastore/operation/Predis/load#count"] == 3


def test_what_a_cache_counted_last_is_sent_though_nobody_closes_it() -> None:
    script = """
import json, sys
import predis_core as predis
import newrelic.agent
from newrelic.common.agent_http import DeveloperModeClient
from tests.support.crew import wait_until
send = DeveloperModeClient.send_request

def noted(self, *args, **options):
    if options["params"]["method"] == "metric_data":
        for metric, values in json.loads(options["payload"])[3]:
            if metric["name"] == "Custom/predis.cache.hits/main":
                print(values[1])
    return send(self, *args, **options)

DeveloperModeClient.send_request = noted
value = {"kind": "rows", "dtype": "int64"}
table = {"name": "main", "capacity": 1_000, "policy": "s3fifo", "value": value}
section = {"mode": "agent", "start_agent": True, "interval": "1h"}
host = {"deadline": "60s"}
cache = predis.open({"cache": table, "host": host, "plugins": {"newrelic": section}})
wait_until(lambda: newrelic.agent.application().active)
cache.set_many(range(100), range(100))
cache.get_many(range(100))
"""
    assert python("-c", script, **AGENT).split() == ["100"]


def test_without_the_mode_the_agent_is_not_imported() -> None:
    section = {"license_key": "x", "host": "127.0.0.1:9", "timeout": "1s"}
    configuration = {"cache": {"capacity": 64}, "plugins": {"newrelic": section}}
    script = (
        "import sys, predis_core as predis\n"
        f"with predis.open({configuration!r}) as cache: cache['a'] = 1\n"
        "print('newrelic' in sys.modules, 'newrelic_telemetry_sdk' in sys.modules)"
    )
    assert python("-c", script).split() == ["False", "True"]


def test_without_the_agents_package_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delitem(sys.modules, "predis_newrelic.agent", raising=False)
    monkeypatch.setitem(sys.modules, "newrelic", None)
    monkeypatch.setitem(sys.modules, "newrelic.agent", None)
    configuration = {"cache": {"capacity": 64}, "plugins": {"newrelic": {"mode": "agent"}}}
    with pytest.raises(ConfigurationError, match=r"mode: .*predis-newrelic\[agent\]"):
        predis.open(configuration)


def test_no_key_and_no_name_of_a_service_is_taken_from_the_environment() -> None:
    config = NewRelicConfig(mode="agent")
    environ = {"NEW_RELIC_LICENSE_KEY": "x", "NEW_RELIC_APP_NAME": "shop"}
    assert with_environment(config, environ) is config


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"mode": "agent", "region": "eu"}, "region: .* the agent has a configuration of its own"),
        ({"mode": "agent", "host": "a:1"}, "host: .* the agent has a configuration of its own"),
        ({"start_agent": True}, 'start_agent: it goes with mode = "agent"'),
    ],
)
def test_mistakes_name_the_field(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}"):
        NewRelicConfig(**fields)
