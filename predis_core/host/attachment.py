"""One plugin at one cache."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from predis_core.errors import CacheUnusable
from predis_core.host.background import LATE, Worker
from predis_core.host.guard import FAILED, Guard
from predis_core.host.models import (
    OfferedModel,
    checked_models,
    checked_parameters,
    checked_scores,
)
from predis_core.host.plugged import Plugged
from predis_core.host.sampling import ALL, BatchStream, KeyStream, Stream, Wish, wish_of
from predis_core.host.view import Hosted, View
from predis_core.pages import ReportPage
from predis_core.prefetch import Member, checked
from predis_core.snapshot.sections import LARGEST
from predis_core.telemetry import OPERATIONS
from predis_core.types import Health, Metric, Sample

logger = logging.getLogger("predis")


_PATIENCE = 1.0
"""Seconds that a snapshot waits for a metric source, and a cache that closes for a drain."""


class _Source:
    """A metric source, and the samples that it gave last."""

    def __init__(self, guard: Guard) -> None:
        self.latest: list[Sample] = []
        self._guard = guard

    def refresh(self) -> None:
        """Collect; a source that fails has no samples."""
        collected = self._guard()
        self.latest = [] if collected is FAILED else collected


class Attachment:
    """A plugin's view of a cache, and the guards around all of the plugin that the host calls.

    Args:
        plugged: the plugin.
        view: what it sees of the cache.
        strict: whether failures are raised.
        on_disabled: told of a guard that gave its function up.
    """

    def __init__(
        self,
        plugged: Plugged,
        view: View,
        strict: bool,
        on_disabled: Callable[[Attachment, Guard], None],
    ) -> None:
        self.plugged = plugged
        self.view = view
        self.guards: list[Guard] = []
        self.observers: dict[Guard, Sequence[str]] = {}
        self.load_observers: list[Guard] = []
        self.metrics: list[Metric] = []
        self.streams: list[Stream] = []
        self.sections: dict[str, tuple[Guard, Guard]] = {}
        self.models: list[OfferedModel] = []
        self.exports = False
        self._strict = strict
        self._on_disabled = on_disabled
        self._hooks: dict[str, Guard] = {}
        self._sources: list[_Source] = []
        self._pages: list[Guard] = []
        self._exporters: list[tuple[Guard, float]] = []
        self._periodic: list[int] = []
        self._drains: Worker | None = None
        self._drained: list[int] = []

    @property
    def observer_seconds(self) -> float:
        """Mean time that the plugin's observers take per batch."""
        return sum(observer.status().seconds for observer in self.observers)

    # ------------------------------------------------------------------ calling

    def implements(self, hook: str) -> bool:
        """Return whether the plugin has that hook."""
        return self.plugged.hook(hook) is not None

    def call(self, hook: str, **arguments: Any) -> Any:
        """Call a hook with the view; None if the plugin has none, FAILED if it raised."""
        function = self.plugged.hook(hook)
        if function is None:
            return None
        if hook not in self._hooks:
            self._hooks[hook] = self._guard(hook, function)
        return self._hooks[hook](cache=self.view, **arguments)

    def _guard(self, what: str, function: Callable[..., Any]) -> Guard:
        told = functools.partial(self._on_disabled, self)
        guard = Guard(self.plugged.name, what, function, strict=self._strict, on_disabled=told)
        self.guards.append(guard)
        return guard

    # ------------------------------------------------------------------ building

    def prepare(self) -> None:
        """Ask the plugin for its observers, samplers, exporters and all else that it returns."""
        for observer, operations in self._asked("predis_observers", _observers):
            guard = self._guard(f"observer {_kind(observer)}", observer.on_batch)
            self.observers[guard] = operations
            if callable(on_load := getattr(observer, "on_load", None)):
                what = f"observer {_kind(observer)} of loads"
                self.load_observers.append(self._guard(what, on_load))
        for sampler, wish in self._asked("predis_samplers", _samplers):
            guard = self._guard(f"sampler {_kind(sampler)}", sampler.on_sample)
            assert self.plugged.worker is not None
            stream = BatchStream if wish.stream == "batches" else KeyStream
            self.streams.append(stream(self.view.name, guard, wish, self.plugged.worker))
        for exporter, interval in self._asked("predis_exporters", _exporters):
            self.exports = True
            if interval is not None:
                guard = self._guard(f"exporter {_kind(exporter)}", exporter.export)
                self._exporters.append((guard, interval))
        for source, metrics in self._asked("predis_metric_sources", _sources):
            collect = functools.partial(_collected, source, metrics)
            guard = self._guard(f"metric source {_kind(source)}", collect)
            self._sources.append(_Source(guard))
            self.metrics += metrics
        for model in self._asked("predis_models", checked_models):
            self.models.append(self._offered(model))
        for section in self._asked("predis_state", _sections):
            what = f"section {section.name!r}"
            save = self._guard(f"{what} to save", functools.partial(_saved, section))
            self.sections[section.name] = save, self._guard(f"{what} to restore", section.restore)

        for name, page in self.plugged.pages.items():
            draw = functools.partial(_drawn, page, self.view.name)
            self._pages.append(self._guard(f"report page {name!r}", draw))

    def _offered(self, model: Any) -> OfferedModel:
        """Return a model as others see it."""
        functions = {
            "export": lambda: checked_parameters(model.export()),
            "load": model.load,
            "scores": lambda since: checked_scores(model.scores(since)),
        }
        guards = {
            name: self._guard(f"{name} of model {model.name!r}", function)
            for name, function in functions.items()
        }
        return OfferedModel(self.plugged.name, model, guards)

    def members(self, view: View) -> list[Member]:
        """Ask the plugin for prefetchers of a cache, or of a namespace of it."""
        members = []
        for each in self._asked("predis_prefetchers", _prefetchers, view):
            observe = self._guard(f"prefetcher {each.name}", each.observe)
            predict = self._guard(f"proposals of prefetcher {each.name}", checked(each.predict))
            members.append(Member(each.name, observe, predict))
        return members

    def _asked(
        self, hook: str, read: Callable[[list[Any]], Any], view: View | None = None
    ) -> list[Any]:
        """Return the objects that a hook returns, as `read` has them; none if one does not fit."""
        function = self.plugged.hook(hook)
        if function is None:
            return []

        def ask(**arguments: Any) -> list[Any]:
            given = function(**arguments)
            if given is None:
                return []
            if not isinstance(given, Iterable):
                raise TypeError(f"{hook} has to return a list of objects, got {given!r}")
            return list(read(list(given)))

        asked = self._guard(hook, ask)(cache=self.view if view is None else view)
        return [] if asked is FAILED else asked

    # ------------------------------------------------------------------ from opening to closing

    def begin(self, cache: Hosted, drains: Callable[[], Worker]) -> None:
        """Tell the plugin that the cache is open, and begin to export and to sample.

        Args:
            cache: not kept alive from here.
            drains: returns the core's thread for drains; called if there are any.
        """
        self.call("predis_cache_opened")
        for stream in self.streams:
            stream.begin(cache)
            self._drains = drains()
            self._drained.append(self._drains.every(stream.interval, stream.drain))
        for exporter, interval in self._exporters:
            assert self.plugged.worker is not None
            job = functools.partial(self._export, exporter)
            self._periodic.append(self.plugged.worker.every(interval, job))

    def _export(self, exporter: Guard) -> None:
        try:
            snapshot = self.view.snapshot()
        except CacheUnusable:  # closed, or collected, since this was due
            return
        exporter(snapshot)

    def collect(self) -> list[Sample]:
        """Return the samples of the plugin's metric sources; those of last time if it is busy.

        To wait for it would be to wait for ever, if it exports just now and waits for others.
        """
        found: list[Sample] = []
        worker = self.plugged.worker
        for source in self._sources:
            assert worker is not None
            if worker.is_busy and not worker.is_current:
                worker.submit(source.refresh)
            else:
                worker.ask(source.refresh, _PATIENCE)
            found += source.latest
        return found

    def report_pages(self) -> list[ReportPage]:
        """Return what the plugin has for a report; without a page that fails, or is late."""
        found = []
        for page in self._pages:
            assert self.plugged.worker is not None
            drawn = self.plugged.worker.ask(page)
            if isinstance(drawn, ReportPage):
                found.append(drawn)
        return found

    def health(self) -> Health:
        """Ask the plugin how it is."""
        if not self.implements("predis_health"):
            return Health()
        assert self.plugged.worker is not None
        answer = self.plugged.worker.ask(functools.partial(self.call, "predis_health"))
        if answer is LATE:
            return Health("failing", "does not answer")
        if answer is FAILED:
            return Health("failing", self._hooks["predis_health"].status().last_error)
        if answer is not None and not isinstance(answer, Health):
            return Health("failing", f"predis_health has to return Health, got {answer!r}")
        return answer or Health()

    def close(self, reason: str) -> None:
        """Sample and export for the last time, and tell the plugin that the cache is closing."""
        worker = self.plugged.worker
        if worker is None:
            return
        for number in self._periodic:
            worker.no_longer(number)
        self._drain_at_end()

        def last() -> None:
            for stream in self.streams:
                stream.deliver(ALL)
            for exporter, _ in self._exporters:
                self._export(exporter)
            self.call("predis_cache_closing", reason=reason)

        concerned = self.streams or self._exporters or self.implements("predis_cache_closing")
        if concerned and worker.ask(last) is LATE:
            logger.warning(
                "plugin %r: hangs; cache %r closes without it", self.plugged.name, self.view.name
            )

    def _drain_at_end(self) -> None:
        if self._drains is None:
            return
        for number in self._drained:
            self._drains.no_longer(number)
        for stream in self.streams:
            self._drains.ask(functools.partial(stream.drain, at_end=True), _PATIENCE)


def _kind(thing: Any) -> str:
    return type(thing).__name__


def _with(method: str) -> Callable[[list[Any]], list[Any]]:
    """Return a check that every object has a method."""

    def checked(objects: list[Any]) -> list[Any]:
        for each in objects:
            if not callable(getattr(each, method, None)):
                raise TypeError(f"expected an object with {method}(), got {each!r}")
        return objects

    return checked


def _observers(objects: list[Any]) -> list[tuple[Any, Sequence[str]]]:
    """Return observers with the operations that they watch."""
    found: list[tuple[Any, Sequence[str]]] = []
    for observer in _with("on_batch")(objects):
        operations = tuple(getattr(observer, "operations", OPERATIONS))
        if unknown := set(operations) - set(OPERATIONS):
            raise ValueError(f"operations: expected some of {OPERATIONS}, got {sorted(unknown)}")
        found.append((observer, operations))
    return found


def _samplers(objects: list[Any]) -> list[tuple[Any, Wish]]:
    """Return samplers with what they want."""
    return [(sampler, wish_of(sampler)) for sampler in _with("on_sample")(objects)]


def _prefetchers(objects: list[Any]) -> list[Any]:
    """Return prefetchers, each with a name of its own."""
    names: set[str] = set()
    for each in _with("predict")(_with("observe")(objects)):
        if not isinstance(each.name, str) or not each.name or each.name in names:
            raise ValueError(f"name: expected a name that no other has, got {each.name!r}")
        names.add(each.name)
    return objects


def _exporters(objects: list[Any]) -> list[tuple[Any, float | None]]:
    """Return exporters with their intervals."""
    found = []
    for exporter in _with("export")(objects):
        interval = exporter.interval
        if interval is not None and not float(interval) > 0:
            raise ValueError(f"interval: expected seconds > 0 or None, got {interval!r}")
        found.append((exporter, None if interval is None else float(interval)))
    return found


def _sources(objects: list[Any]) -> list[tuple[Any, Sequence[Metric]]]:
    """Return metric sources with their metrics."""
    return [(source, tuple(source.metrics)) for source in _with("collect")(objects)]


def _sections(objects: list[Any]) -> list[Any]:
    """Return sections, whose names can be told apart."""
    names: set[str] = set()
    for section in _with("restore")(_with("save")(objects)):
        name = section.name
        if not isinstance(name, str) or not 1 <= len(name) <= 100:
            raise ValueError(f"name: expected 1 to 100 characters, got {name!r}")
        if name in names:
            raise ValueError(f"name: {name!r} is that of two sections; give each its own")
        names.add(name)
    return objects


def _drawn(page: Callable[[str], Any], cache: str) -> ReportPage | None:
    """Return a plugin's page for a report about a cache."""
    drawn = page(cache)
    if drawn is not None and not isinstance(drawn, ReportPage):
        raise TypeError(f"expected a ReportPage or None, got {type(drawn).__name__}")
    return drawn


def _saved(section: Any) -> bytes:
    """Return what a section saves, which has to be bytes, not too many."""
    data = section.save()
    if not isinstance(data, bytes):
        raise TypeError(f"save() has to return bytes, got {type(data).__name__}")
    if len(data) > LARGEST:
        raise ValueError(f"save() returned {len(data):,} bytes, at most {LARGEST:,} are kept")
    return data


def _collected(source: Any, metrics: Sequence[Metric]) -> list[Sample]:
    """Return a source's samples, which have to be what it said they would be."""
    samples = list(source.collect())
    for sample in samples:
        if sample.metric not in metrics:
            raise ValueError(f"metric {sample.metric.name!r} is not among the source's `metrics`")
        if len(sample.labels) != len(sample.metric.labels):
            raise ValueError(
                f"metric {sample.metric.name!r} has the labels {sample.metric.labels}, "
                f"got the values {sample.labels}"
            )
    return samples
