"""The plugin: the host's hooks on one side, the ways to Datadog on the other."""

from __future__ import annotations

import os
from collections.abc import Sequence

from predis_core.plugin import (
    CacheView,
    Event,
    Exporter,
    Health,
    MetricSource,
    Observer,
    hookimpl,
)
from predis_datadog.config import DatadogConfig, sends_distributions, with_environment
from predis_datadog.feed import Feed
from predis_datadog.points import Mapper
from predis_datadog.spans import LoadSpans, tracer_of_program
from predis_datadog.transport import Transport


class Datadog:
    """Sends what the caches of the process measure to an agent, or to Datadog.

    Args:
        config: the section `[plugins.datadog]`.

    Raises:
        ValueError: if the section cannot be completed by the environment; names the field.
    """

    def __init__(self, config: DatadogConfig) -> None:
        self._config = config = with_environment(config, os.environ)
        self._transport = _transport_of(config)
        self._mapper = Mapper(config.prefix, distributions=sends_distributions(config))
        self._feeds: dict[str, Feed] = {}

    def _feed(self, cache: CacheView) -> Feed:
        if cache.name not in self._feeds:
            self._feeds[cache.name] = Feed(cache.name, self._config, self._mapper, self._transport)
        return self._feeds[cache.name]

    @hookimpl
    def predis_exporters(self, cache: CacheView) -> Sequence[Exporter]:
        """Send every snapshot."""
        self._feeds.pop(cache.name, None)  # of a cache that was never opened
        return [self._feed(cache)]

    @hookimpl
    def predis_metric_sources(self, cache: CacheView) -> Sequence[MetricSource]:
        """Count what is sent and what is not."""
        return [self._feed(cache)]

    @hookimpl
    def predis_observers(self, cache: CacheView) -> Sequence[Observer]:
        """Make spans of loads, in a program that is traced; no observer otherwise."""
        tracer = tracer_of_program() if self._config.apm else None
        return [] if tracer is None else [LoadSpans(tracer)]

    @hookimpl
    def predis_event(self, cache: CacheView, event: Event) -> None:
        """Keep an event for the next export."""
        if self._config.events and cache.name in self._feeds:
            self._feeds[cache.name].events.add(event)

    @hookimpl
    def predis_cache_closing(self, cache: CacheView) -> None:
        """Let the cache go; its last snapshot was exported just now."""
        feed = self._feeds.pop(cache.name, None)
        if feed is not None:
            feed.close()

    @hookimpl
    def predis_health(self, cache: CacheView) -> Health:
        """Tell whether exports get through, and of metrics that could not be sent."""
        feed = self._feeds.get(cache.name)
        health = Health() if feed is None else feed.health()
        left_out = [f"{name} ({reason})" for name, reason in self._mapper.left_out.items()]
        if health.status == "healthy" and left_out:
            return Health("degraded", f"metrics left out: {'; '.join(left_out)}")
        return health


def _transport_of(config: DatadogConfig) -> Transport:
    # Each imports what only it needs.
    if config.transport == "http":
        from predis_datadog.http_api import HttpTransport

        return HttpTransport(config)
    from predis_datadog.dogstatsd import DogStatsdTransport

    return DogStatsdTransport(config)
