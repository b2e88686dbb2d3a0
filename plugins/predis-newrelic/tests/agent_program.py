"""A program that runs the agent, in developer mode: it connects to nothing and sends all the same.

It prints, as JSON, what the agent would have sent, and what caches counted. A program of its own
because an agent stays in its process. Argument: "program" if it starts the agent itself, after its
cache is open; "plugin" if the plugin is to do that.
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections import Counter
from typing import Any

import newrelic.agent
from newrelic.common.agent_http import DeveloperModeClient

import predis_core as predis
from predis_core import host, telemetry
from predis_core.errors import LoaderError
from predis_core.plugin import Event
from tests.support.crew import PATIENCE, wait_until

sent: list[tuple[str, Any]] = []
send = DeveloperModeClient.send_request


def noted(self: Any, *args: Any, **options: Any) -> Any:
    """Send, and keep what was sent."""
    sent.append((options["params"]["method"], json.loads(options["payload"])))
    return send(self, *args, **options)


def health() -> tuple[str, str]:
    """Return state and reason of the plugin."""
    state = host.status()
    assert state is not None
    (plugin,) = state.plugins
    return plugin.state, plugin.reason


def load(ids: Any) -> Any:
    """Load, by a query that the agent watches, or fail on an id below 0."""
    with newrelic.agent.DatastoreTrace("Postgres", "users", "select"):
        if min(ids) < 0:
            raise LookupError("none")
    return ids * 2


def request(cache: predis.Cache[Any, Any]) -> list[dict[str, Any]]:
    """Load in a transaction; return the segments that it has."""
    application = newrelic.agent.application()
    with newrelic.agent.BackgroundTask(application, name="request"):
        cache.get_or_load_many([9_000, 9_001, 9_002], load)
        cache.get_or_load_many([9_000], load)  # a hit, and no load
        cache.namespace("acme").get_or_load_many([1], load)
        with contextlib.suppress(LoaderError):
            cache.get_or_load_many([-1], load)
        return [
            {
                "what": [node.product, node.target, node.operation],
                "attributes": node.user_attributes,
            }
            for node in newrelic.agent.current_trace().children
        ]


def main() -> None:
    """Run it all."""
    DeveloperModeClient.send_request = noted
    starts = sys.argv[1] == "plugin"
    section = {"mode": "agent", "interval": "50ms", "start_agent": starts, "attributes": {"n": 3}}
    value = {"kind": "rows", "dtype": "int64"}
    table = {"name": "main", "capacity": 1_000, "policy": "s3fifo", "value": value}
    configuration = {"cache": table, "host": {"deadline": "60s"}, "plugins": {"newrelic": section}}
    told: dict[str, Any] = {}
    with predis.open(configuration) as cache:
        for begin in range(0, 3_000, 100):
            cache.get_or_load_many(range(begin, begin + 100), load)
            cache.get_many(range(begin + 50, begin + 150))
        cache._session.emit(Event(kind="x.y", message="Something."))  # type: ignore[attr-defined]
        if not starts:
            wait_until(lambda: health()[0] == "failing")
            told["before"] = health()[1]
            told["agent"] = newrelic.agent.application(activate=False) is not None
            newrelic.agent.initialize()
        application = newrelic.agent.register_application(timeout=PATIENCE)
        wait_until(lambda: application.active)  # it may be connecting already
        wait_until(lambda: health() == ("healthy", ""))
        told["segments"] = request(cache)
        stats = cache.stats()
        told["capacity"] = cache.namespace("acme").stats().capacity
        told["stats"] = {m.name: getattr(stats, f) for f, m in telemetry.COUNTERS.items()}
    newrelic.agent.shutdown_agent(PATIENCE)
    totals: Counter[str] = Counter()
    for method, payload in sent:
        if method == "metric_data":
            for metric, values in payload[3]:
                if not metric["scope"]:
                    totals[f"{metric['name']}#count"] += values[0]
                    totals[metric["name"]] += values[1]
    told["totals"] = totals
    events = (payload[2] for method, payload in sent if method == "custom_event_data")
    told["events"] = [event for some in events for event in some]
    print(json.dumps(told))


if __name__ == "__main__":
    main()
