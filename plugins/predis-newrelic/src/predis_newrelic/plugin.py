"""The plugin: the host's hooks on one side, New Relic on the other."""

from __future__ import annotations

import os
from collections.abc import Sequence

from predis_core.clock import Clock
from predis_core.plugin import (
    CacheView,
    Event,
    Exporter,
    Health,
    MetricSource,
    Observer,
    hookimpl,
)
from predis_newrelic.config import NewRelicConfig, with_environment
from predis_newrelic.feed import Feed
from predis_newrelic.sending import Sender, Way


class NewRelic:
    """Sends what the caches of the process measure to New Relic.

    Args:
        config: the section `[plugins.newrelic]`.

    Raises:
        ValueError: if there is no license key, `ca` cannot be read, or there is no agent to be had;
            names the field.
    """

    def __init__(self, config: NewRelicConfig) -> None:
        self._config = with_environment(config, os.environ)
        self._sender = _way_of(self._config)
        self._feeds: dict[str, Feed] = {}

    def close(self) -> None:
        """Let the connections go."""
        self._sender.close()

    @hookimpl
    def predis_exporters(self, cache: CacheView) -> Sequence[Exporter]:
        """Send every snapshot."""
        feed = Feed(cache.name, float(self._config.interval), Clock().wall(), self._sender)
        self._feeds[cache.name] = feed
        return [feed]

    @hookimpl
    def predis_metric_sources(self, cache: CacheView) -> Sequence[MetricSource]:
        """Count what is sent and what is not."""
        return [self._feeds[cache.name]]

    @hookimpl
    def predis_observers(self, cache: CacheView) -> Sequence[Observer]:
        """Make segments of loads, in mode "agent"; no observer otherwise."""
        if self._config.mode != "agent" or not self._config.segments:
            return []
        from predis_newrelic.agent import LoadSegments

        return [LoadSegments()]

    @hookimpl
    def predis_event(self, cache: CacheView, event: Event) -> None:
        """Keep an event for the next export."""
        feed = self._feeds.get(cache.name)
        if self._config.events and feed is not None:
            feed.events.add(event)

    @hookimpl
    def predis_cache_closing(self, cache: CacheView) -> None:
        """Let the cache go; its last snapshot was exported just now."""
        feed = self._feeds.pop(cache.name, None)
        if feed is not None:
            feed.close()

    @hookimpl
    def predis_health(self, cache: CacheView) -> Health:
        """Tell whether exports get through."""
        feed = self._feeds.get(cache.name)
        return Health() if feed is None else feed.health()


def _way_of(config: NewRelicConfig) -> Way:
    if config.mode == "telemetry":
        return Sender(config)
    try:
        from predis_newrelic.agent import Agent  # the agent is a heavy thing
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "newrelic":
            raise
        raise ValueError(
            'mode: "agent" needs the package `newrelic`; pip install "predis-newrelic[agent]"'
        ) from error
    return Agent(config)
