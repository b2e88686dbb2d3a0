"""The way through New Relic's APM agent, in a program that runs it. Imported in that mode only."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import newrelic.agent

from predis_core.clock import NANOSECONDS
from predis_core.plugin import BatchStats, LoadStats
from predis_newrelic.config import NewRelicConfig
from predis_newrelic.sending import Outcome

PREFIX = "Custom"
"""What New Relic has the names of custom metrics begin with."""

PRODUCT = "Predis"
"""The datastore of which segments are."""

_ABSENT = "it does not run in this process; start it, or give start_agent = true"
_UNCONNECTED = "it has not reached New Relic; its own log says why"


class Agent:
    """Hands over what is measured to the agent, which sends it with its own next harvest.

    Args:
        config: the section.

    Raises:
        ValueError: if the agent has to be started, and cannot be; names the field.
    """

    target = "the agent"

    def __init__(self, config: NewRelicConfig) -> None:
        self._attributes = config.attributes
        if config.start_agent:
            _start()

    def begin(self) -> None:
        """Nothing is to be done: handing over does not wait for anything."""

    def send_metrics(self, bodies: Sequence[dict[str, Any]]) -> Outcome:
        """Record metrics of the Metric API's form as custom metrics."""
        application, reason = _application()
        if application is None:
            return Outcome("failed", reason)
        metrics = [(name_of(body), value_of(body)) for body in bodies]
        # Given an application, it is that one's, whatever transaction this thread may be in.
        newrelic.agent.record_custom_metrics(metrics, application)
        return Outcome("arrived")

    def send_events(self, bodies: Sequence[dict[str, Any]]) -> Outcome:
        """Record custom events."""
        application, reason = _application()
        if application is None:
            return Outcome("failed", reason)
        for body in bodies:
            values = self._attributes | body
            newrelic.agent.record_custom_event(values.pop("eventType"), values, application)
        return Outcome("arrived")

    def close(self) -> None:
        """Nothing is to be let go: the agent is the program's, also where it was started here."""


class LoadSegments:
    """An observer that makes a datastore segment of each call of a loader within a transaction.

    The segment is made when the call is over, with the time at which it began: while a datastore
    segment is open the agent makes none below it, and the loader's own queries would be missing.
    """

    operations = ()

    def on_batch(self, stats: BatchStats) -> None:
        """Batches themselves are not looked at."""

    def on_load(self, load: LoadStats) -> None:
        """Make a segment, if the caller is in a transaction."""
        if newrelic.agent.current_transaction() is None:
            return
        segment = newrelic.agent.DatastoreTrace(PRODUCT, _part(load.cache), "load")
        with segment:
            segment.start_time = time.time() - load.nanoseconds / NANOSECONDS
            segment.add_custom_attribute("predis.keys", load.keys)
            if load.error:
                segment.add_custom_attribute("predis.failed", load.failed)
                segment.add_custom_attribute("error.class", load.error)


def name_of(body: dict[str, Any]) -> str:
    """Return the name of a custom metric, which has no attributes: they become parts of it."""
    labels = dict(body["attributes"])
    values = [labels.pop("cache"), *labels.values()]
    return "/".join([PREFIX, body["name"], *map(_part, values)])


def value_of(body: dict[str, Any]) -> Any:
    """Return the value of a custom metric: a number, or what is known of several."""
    value = body["value"]
    if not isinstance(value, dict):
        return value
    # The squares are those of values that are all alike: what they really are is not kept.
    return {
        "count": value["count"],
        "total": value["sum"],
        "min": value["min"],
        "max": value["max"],
        "sum_of_squares": value["sum"] ** 2 / value["count"],
    }


def _part(value: Any) -> str:
    return str(value).replace("/", ":") or "-"


def _application() -> tuple[Any, str]:
    """Return the application that the agent reports, or None and why there is none."""
    application = newrelic.agent.application(activate=False)
    if application is None:
        return None, _ABSENT
    return (application, "") if application.active else (None, _UNCONNECTED)


def _start() -> None:
    """Start the agent by its own configuration, unless the program has done so."""
    try:
        if not newrelic.agent.global_settings().enabled:
            newrelic.agent.initialize()
        # It connects in a thread of its own.
        newrelic.agent.register_application(timeout=0.0)
    except Exception as error:
        raise ValueError(
            f"start_agent: the agent cannot be started: {error}; see NEW_RELIC_CONFIG_FILE"
        ) from error
