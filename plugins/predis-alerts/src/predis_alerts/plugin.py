"""The plugin: snapshots come in, notices go out."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from predis_alerts.config import AlertsConfig
from predis_alerts.measures import DERIVED, check_derived, index_of, measure_of
from predis_alerts.notices import Desk, Notice, write
from predis_alerts.rules import Watch
from predis_core.clock import Clock
from predis_core.plugin import (
    CacheView,
    Event,
    Exporter,
    Health,
    Metric,
    MetricSource,
    Sample,
    Snapshot,
    hookimpl,
)
from predis_core.telemetry import CATALOGUE

if TYPE_CHECKING:
    from predis_alerts.webhook import Sender

logger = logging.getLogger("predis.alerts")

FIRING = Metric(
    "predis.alerts.firing",
    "gauge",
    "1",
    "Alerts of a rule that hold now.",
    ("cache", "rule", "severity"),
)
NOTIFICATIONS = Metric(
    "predis.alerts.notifications", "counter", "1", "Notices that were given out."
)
DELIVERED = Metric(
    "predis.alerts.delivered", "counter", "1", "Notices that arrived at the webhook."
)
DROPPED = Metric(
    "predis.alerts.dropped",
    "counter",
    "1",
    "Notices that were held back for a summary, or did not arrive at the webhook.",
    ("cache", "reason"),
)


class Lookout:
    """Looks after the rules at one cache: an exporter, and a source of metrics.

    Args:
        view: the cache.
        config: the section.
        desk: takes notices.
        sender: the webhook, if there is one.
        began: nanoseconds since the Unix epoch at which the cache was opened.
    """

    metrics = (FIRING, NOTIFICATIONS, DELIVERED, DROPPED)

    def __init__(
        self,
        view: CacheView,
        config: AlertsConfig,
        desk: Desk,
        sender: Sender | None,
        began: int,
    ) -> None:
        self.interval = float(config.interval)
        self.view = view
        self._desk = desk
        self._sender = sender
        self._watches = [Watch(rule, began) for rule in config.rules]
        self._latest = began
        self._ahead = 0
        self._time = began

    def export(self, snapshot: Snapshot) -> None:
        """Look at every rule."""
        # A clock that is set back must not hold every `for` and every cooldown up.
        self._ahead = max(self._ahead, self._latest - snapshot.time)
        self._latest, self._time = snapshot.time + self._ahead, snapshot.time
        samples = index_of(snapshot)
        for watch in self._watches:
            for notice in watch.look(samples, snapshot.cache, self._latest, snapshot.time):
                self._desk.take(notice)
        self._desk.sum_up(snapshot.time)

    def end(self) -> None:
        """End every alert, as the cache closes."""
        for watch in self._watches:
            for notice in watch.end(self.view.name, self._latest, self._time):
                self._desk.take(notice)

    def collect(self) -> list[Sample]:
        """Return what there is of alerts and notices, of this cache."""
        cache = self.view.name
        found = [
            Sample(FIRING, (cache, watch.rule.name, watch.rule.severity), watch.firing)
            for watch in self._watches
        ]
        found.append(Sample(NOTIFICATIONS, (cache,), self._desk.given[cache]))
        found.append(Sample(DROPPED, (cache, "held_back"), self._desk.held[cache]))
        if self._sender is not None:
            found.append(Sample(DELIVERED, (cache,), self._sender.delivered(cache)))
            for reason, count in self._sender.dropped(cache).items():
                found.append(Sample(DROPPED, (cache, reason), count))
        return found

    def health(self) -> Health:
        """Tell of rules that cannot be looked at, and of a webhook that does not take notices."""
        troubles = [
            f"rule {watch.rule.name!r}: {watch.trouble}" for watch in self._watches if watch.trouble
        ]
        if self._sender is not None and self._sender.trouble:
            troubles.append(f"webhook: {self._sender.trouble}")
        return Health("degraded", "; ".join(troubles)) if troubles else Health()


class Alerts:
    """Watches every cache of the process by the rules of its section.

    Args:
        config: the section `[plugins.alerts]`.

    Raises:
        ValueError: if a rule asks for what a metric of the core does not have; names the field.
    """

    def __init__(self, config: AlertsConfig) -> None:
        self._config = config
        self._lookouts: dict[str, Lookout] = {}
        self._sender: Sender | None = None
        _check_rules(config)
        self._desk = Desk(config.per_minute, self._give)
        if config.webhook is not None:
            from predis_alerts.webhook import Sender

            self._sender = Sender(config.webhook)

    def close(self) -> None:
        """Tell of what was held back, and deliver what is on its way, as long as `flush` says."""
        self._desk.sum_up(Clock().wall(), at_end=True)
        if self._sender is not None:
            self._sender.close()

    # ------------------------------------------------------------------ hooks

    @hookimpl
    def predis_exporters(self, cache: CacheView) -> Sequence[Exporter]:
        """Look at the rules every `interval`."""
        began = Clock().wall()
        lookout = Lookout(cache, self._config, self._desk, self._sender, began)
        self._lookouts[cache.name] = lookout
        return [lookout]

    @hookimpl
    def predis_metric_sources(self, cache: CacheView) -> Sequence[MetricSource]:
        """Tell how many alerts hold, and what became of notices."""
        return [self._lookouts[cache.name]]

    @hookimpl
    def predis_event(self, cache: CacheView, event: Event) -> None:
        """Pass on what others emit, if the webhook wants that."""
        webhook = self._config.webhook
        if webhook is not None and webhook.events:
            key = (cache.name, event.source, event.kind)
            notice = Notice(
                cache=cache.name, event=event, time=event.time, source=event.source, key=key
            )
            self._desk.take(notice)

    @hookimpl
    def predis_health(self, cache: CacheView) -> Health:
        """Degraded if a rule cannot be looked at, or notices do not arrive."""
        lookout = self._lookouts.get(cache.name)
        return Health() if lookout is None else lookout.health()

    @hookimpl
    def predis_cache_closing(self, cache: CacheView) -> None:
        """End the cache's alerts."""
        lookout = self._lookouts.get(cache.name)
        if lookout is not None:
            lookout.end()
            del self._lookouts[cache.name]

    # ------------------------------------------------------------------ telling

    def _give(self, notice: Notice) -> None:
        """Give out a notice; an event of others is known to everybody but the webhook."""
        if notice.source == "alerts":
            lookout = self._lookouts.get(notice.cache)
            if lookout is not None:
                lookout.view.emit(notice.event)
            if self._config.log:
                write(notice)
        if self._sender is not None:
            self._sender.put(notice)


def _check_rules(config: AlertsConfig) -> None:
    """Refuse what no snapshot will ever satisfy; the metrics of other plugins are not known yet.

    Raises:
        ValueError: names the rule, the field and the way out.
    """
    catalogue = {metric.name: metric for metric in CATALOGUE}
    for number, rule in enumerate(config.rules):
        try:
            if rule.metric in DERIVED:
                check_derived(rule)
            elif rule.metric in catalogue:
                measure_of(rule, catalogue[rule.metric])
        except ValueError as error:
            raise ValueError(f"rules[{number}] ({rule.name}): {error}") from None
