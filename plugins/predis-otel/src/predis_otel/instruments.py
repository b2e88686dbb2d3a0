"""Caches in the MeterProvider of the user's program: observable instruments."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable

from opentelemetry import metrics as api
from opentelemetry.metrics import CallbackOptions, Meter, Observation

from predis_core.errors import CacheUnusable
from predis_core.plugin import CacheView, Distribution, Metric, Snapshot
from predis_core.telemetry import CATALOGUE
from predis_otel.names import attributes_of, unit_of

Observe = Callable[[CallbackOptions], Iterable[Observation]]


class Instruments:
    """An instrument per metric, which observes all caches that are open.

    OpenTelemetry has no observable histogram: of those, it is the count and the sum, as two
    counters. Instruments cannot be taken out of a meter again; without caches they observe nothing.

    Args:
        meter: where the instruments are made.
    """

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        self._views: dict[str, CacheView] = {}
        self._known: set[str] = set()
        # Never held while a provider is called, which calls back with a lock of its own.
        self._lock = threading.Lock()
        self._read: dict[str, list[Observation]] = {}
        self._answered: set[str] | None = None
        self.learn(CATALOGUE)

    def add(self, view: CacheView) -> None:
        """Observe a cache from now on."""
        with self._lock:
            self._views[view.name] = view
        with contextlib.suppress(CacheUnusable):
            self.learn(sample.metric for sample in view.snapshot().samples)

    def remove(self, view: CacheView) -> None:
        """Observe it no longer."""
        with self._lock:
            self._views.pop(view.name, None)
            self._answered = None

    def learn(self, metrics: Iterable[Metric]) -> None:
        """Make instruments for metrics that have none yet."""
        for metric in metrics:
            with self._lock:
                is_new = metric.name not in self._known
                self._known.add(metric.name)
            if is_new:
                self._make(metric)

    def _make(self, metric: Metric) -> None:
        name, unit, meter = metric.name, unit_of(metric), self._meter
        if metric.kind == "counter":
            meter.create_observable_counter(name, [self._observer(name)], unit, metric.help)
        elif metric.kind == "gauge":
            meter.create_observable_gauge(name, [self._observer(name)], unit, metric.help)
        else:
            for part, of in ((f"{name}.count", "1"), (f"{name}.sum", unit)):
                meter.create_observable_counter(part, [self._observer(part)], of, metric.help)

    def _observer(self, name: str) -> Observe:
        def observe(_: CallbackOptions) -> Iterable[Observation]:
            return self._observed(name)

        return observe

    def _observed(self, name: str) -> list[Observation]:
        """Return what an instrument observes.

        A reader asks every instrument once: whoever asks a second time is reading anew.
        """
        with self._lock:
            if self._answered is None or name in self._answered:
                self._read, self._answered = self._all(), set()
            self._answered.add(name)
            return self._read.get(name, [])

    def _all(self) -> dict[str, list[Observation]]:
        found: dict[str, list[Observation]] = {}
        for view in self._views.values():
            with contextlib.suppress(CacheUnusable):  # it is closing just now
                for name, observation in _observations(view.snapshot()):
                    found.setdefault(name, []).append(observation)
        return found


def _observations(snapshot: Snapshot) -> Iterable[tuple[str, Observation]]:
    for sample in snapshot.samples:
        metric, value = sample.metric, sample.value
        attributes = attributes_of(metric, sample.labels, snapshot.cache)
        if isinstance(value, Distribution):
            yield f"{metric.name}.count", Observation(value.count, attributes)
            yield f"{metric.name}.sum", Observation(value.sum, attributes)
        else:
            yield metric.name, Observation(value, attributes)


_made: tuple[api.MeterProvider, Instruments] | None = None
_making = threading.Lock()


def global_instruments(name: str, version: str) -> Instruments:
    """Return the instruments in the program's MeterProvider: the same ones as long as it is."""
    global _made
    with _making:
        provider = api.get_meter_provider()
        # What was made before the program set its provider has gone over to that.
        if _made is None or not (_made[0] is provider or _is_placeholder(_made[0])):
            _made = (provider, Instruments(provider.get_meter(name, version)))
        else:
            _made = (provider, _made[1])
        return _made[1]


def has_provider() -> bool:
    """Return whether the program has set a MeterProvider."""
    return not _is_placeholder(api.get_meter_provider())


def _is_placeholder(provider: api.MeterProvider) -> bool:
    return type(provider).__module__.startswith("opentelemetry.metrics")
