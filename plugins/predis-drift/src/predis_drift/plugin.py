"""The plugin: a watch for each cache."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any

from predis_core.clock import Clock
from predis_core.pages import ReportPage
from predis_core.plugin import (
    CacheView,
    Health,
    MetricSource,
    Proposal,
    Registry,
    Sampler,
    StateSection,
    hookimpl,
)
from predis_drift.config import DriftConfig
from predis_drift.interface import Detecting
from predis_drift.page import page_of
from predis_drift.watch import Watch

_MORE = 4
"""By what "sample-more" multiplies the rate."""


def detector_for(config: DriftConfig) -> Detecting:
    """Return what decides about one cache; its libraries are imported here."""
    module: Any = importlib.import_module("predis_drift.detector")
    found: Detecting = module.Detector(config)
    return found


class Drift:
    """Watches every cache of the process.

    Args:
        config: the section `[plugins.drift]`.
    """

    def __init__(self, config: DriftConfig) -> None:
        self._config = config
        self._watches: dict[str, Watch] = {}

    @hookimpl
    def predis_register(self, registry: Registry) -> None:
        """Offer a page for reports."""
        registry.add_report_page("drift", self._page)

    @hookimpl
    def predis_samplers(self, cache: CacheView) -> Sequence[Sampler]:
        """Begin to watch a cache."""
        watch = Watch(cache, self._config, detector_for(self._config), Clock())
        self._watches[cache.name] = watch
        return [watch]

    @hookimpl
    def predis_metric_sources(self, cache: CacheView) -> Sequence[MetricSource]:
        """Tell of every statistic."""
        return [self._watches[cache.name]]

    @hookimpl
    def predis_state(self, cache: CacheView) -> Sequence[StateSection]:
        """Keep the reference in snapshots."""
        return [self._watches[cache.name]]

    @hookimpl
    def predis_advise(self, cache: CacheView) -> Proposal | None:
        """Propose what is opted in to, once after each alarm."""
        watch = self._watches.get(cache.name)
        alarm = None if watch is None else watch.next_to_react_to()
        if alarm is None or not self._config.reactions:
            return None
        parameters: dict[str, Any] = {}
        if "reset-auto" in self._config.reactions:
            parameters["auto.reset"] = True
        if "sample-more" in self._config.reactions:
            parameters["sampling.rate"] = min(1.0, _MORE * self._config.rate)
        return Proposal(parameters, f"the workload changed: {alarm.feature}")

    @hookimpl
    def predis_health(self, cache: CacheView) -> Health:
        """Degraded if what was learned cannot be kept."""
        watch = self._watches.get(cache.name)
        return Health("degraded", watch.trouble) if watch and watch.trouble else Health()

    def _page(self, cache: str) -> ReportPage | None:
        """Return the page of a cache; also of one that has just taken leave."""
        watch = self._watches.get(cache)
        return None if watch is None else page_of(watch)
