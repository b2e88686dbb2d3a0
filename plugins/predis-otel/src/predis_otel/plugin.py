"""The plugin: the host's hooks on one side, OpenTelemetry on the other."""

from __future__ import annotations

import ipaddress
import logging
import os
from collections.abc import Sequence
from importlib.metadata import version
from urllib.parse import urlsplit

from opentelemetry import trace
from opentelemetry.sdk.metrics import export as sdk
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from predis_core.clock import Clock
from predis_core.plugin import (
    CacheView,
    Exporter,
    Health,
    MetricSource,
    Observer,
    Snapshot,
    hookimpl,
)
from predis_otel.config import OtelConfig
from predis_otel.delivery import Delivery
from predis_otel.destination import INTERVAL, Signal, destination, interval_of, wants_delta
from predis_otel.instruments import Instruments, global_instruments, has_provider
from predis_otel.sending import Sender
from predis_otel.series import CacheSeries
from predis_otel.spans import LoadSpans, OwnSpans

logger = logging.getLogger("predis.otel")

SCOPE = "predis-otel"
VERSION = version(SCOPE)


class Otel:
    """Sends metrics and spans, or has the program's own providers do so.

    Args:
        config: the section `[plugins.otel]`.

    Raises:
        ValueError: naming the field, or the environment variable, that does not fit.
    """

    def __init__(self, config: OtelConfig) -> None:
        self._config = config
        self._deliveries: dict[str, Delivery] = {}
        self._sender: Sender | None = None
        self._instruments: Instruments | None = None
        self._spans: OwnSpans | None = None
        self._tracer = trace.get_tracer(SCOPE, VERSION) if config.traces == "global" else None
        self._resource = Resource.create(dict(config.resource or {}))
        if config.provider == "global":
            self._instruments = global_instruments(SCOPE, VERSION)
        else:
            self._interval = interval_of(config, os.environ)
            self._delta = wants_delta(config, os.environ)
            self._sender = Sender(destination(config, "metrics", os.environ), "metrics")
        if config.traces is True:
            try:
                where = destination(config, "traces", os.environ)
                # Half of it: an export that begins at the last moment takes a timeout more.
                self._spans = OwnSpans(Sender(where, "traces"), self._resource, where.timeout / 2)
            except BaseException:
                self.close()
                raise
            self._tracer = self._spans.provider.get_tracer(SCOPE, VERSION)
        if self._sender is not None or self._spans is not None:
            _warn_of_clear_text(config)

    def close(self) -> None:
        """Send the spans that wait, and give up every connection."""
        if self._spans is not None:
            self._spans.close()
            self._spans = None
        if self._sender is not None:
            self._sender.close()
            self._sender = None

    # ------------------------------------------------------------------ hooks

    @hookimpl
    def predis_exporters(self, cache: CacheView) -> Sequence[Exporter]:
        """Have latencies measured, and snapshots sent or looked through for new metrics."""
        if self._instruments is not None:
            return [_Learner(self._instruments)]
        series = CacheSeries(Clock().wall(), self._delta)
        delivery = Delivery(cache.name, series, self._send, self._interval)
        self._deliveries[cache.name] = delivery
        return [delivery]

    @hookimpl
    def predis_observers(self) -> Sequence[Observer]:
        """Watch loads, if spans of them are wanted."""
        return [] if self._tracer is None else [LoadSpans(self._tracer, self._config.sample)]

    @hookimpl
    def predis_metric_sources(self, cache: CacheView) -> Sequence[MetricSource]:
        """Tell how many exports there were, and how many spans."""
        sources: list[MetricSource] = []
        if cache.name in self._deliveries:
            sources.append(self._deliveries[cache.name])
        if self._spans is not None:
            sources.append(self._spans.source(cache.name))
        return sources

    @hookimpl
    def predis_cache_opened(self, cache: CacheView) -> None:
        """Observe the cache from now on, if that is how it is measured."""
        if self._instruments is not None:
            self._instruments.add(cache)

    @hookimpl
    def predis_cache_closing(self, cache: CacheView) -> None:
        """Observe it no longer."""
        if self._instruments is not None:
            self._instruments.remove(cache)
        self._deliveries.pop(cache.name, None)

    @hookimpl
    def predis_health(self, cache: CacheView) -> Health:
        """Degraded if what is measured does not arrive, or nobody takes it."""
        reasons = []
        if self._instruments is not None and not has_provider():
            reasons.append("the program has set no MeterProvider, so nobody reads the metrics")
        for part in (self._deliveries.get(cache.name), self._spans):
            if part is not None and part.health().message:
                reasons.append(part.health().message)
        return Health("degraded", "; ".join(reasons)) if reasons else Health()

    # ------------------------------------------------------------------ sending

    def _send(self, metrics: list[sdk.Metric]) -> str:
        assert self._sender is not None
        scope = sdk.ScopeMetrics(InstrumentationScope(SCOPE, VERSION), metrics, "")
        return self._sender.send(
            sdk.MetricsData([sdk.ResourceMetrics(self._resource, [scope], "")])
        )


class _Learner:
    """An exporter that exports nothing: it has latencies measured, and looks for new metrics."""

    interval = INTERVAL

    def __init__(self, instruments: Instruments) -> None:
        self._instruments = instruments

    def export(self, snapshot: Snapshot) -> None:
        """Take note of metrics that another plugin has only now."""
        self._instruments.learn(sample.metric for sample in snapshot.samples)


def _warn_of_clear_text(config: OtelConfig) -> None:
    signals: tuple[Signal, ...] = ("metrics", "traces") if config.traces is True else ("metrics",)
    wheres = [destination(config, signal, os.environ) for signal in signals]
    if config.headers and not all(where.is_secure or _is_local(where.url) for where in wheres):
        logger.warning("headers: without https they cross the network in clear text")


def _is_local(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
