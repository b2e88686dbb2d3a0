"""The caches of the process as a collector of prometheus_client."""

from __future__ import annotations

import contextlib
import threading

from predis_core.errors import CacheUnusable
from predis_core.plugin import CacheView
from predis_core.telemetry import CATALOGUE
from predis_prometheus.exemplars import Exemplars
from predis_prometheus.families import Family, families_of, family_of
from predis_prometheus.names import Names, spelling_of


class CacheCollector:
    """Asks every open cache for a snapshot whenever it is collected from.

    Args:
        names: which metric has which name.
        exemplars: the traces that buckets of latencies link to, if they do.
    """

    def __init__(self, names: Names, exemplars: Exemplars | None = None) -> None:
        self._names = names
        self._exemplars = exemplars
        self._views: dict[str, CacheView] = {}
        self._lock = threading.Lock()

    def add(self, view: CacheView) -> None:
        """Include a cache."""
        with self._lock:
            self._views[view.name] = view

    def remove(self, view: CacheView) -> None:
        """Leave a cache out again."""
        with self._lock:
            self._views.pop(view.name, None)

    def describe(self) -> list[Family]:
        """Return the families of the core's metrics, empty: what a registry is told beforehand."""
        return [family_of(metric, spelling_of(metric)) for metric in CATALOGUE]

    def collect(self) -> list[Family]:
        """Return what is measured now; a cache that closes meanwhile is left out."""
        with self._lock:
            views = list(self._views.values())
        snapshots = []
        for view in views:
            with contextlib.suppress(CacheUnusable):
                snapshots.append(view.snapshot())
        return families_of(snapshots, self._names, self._exemplars)
