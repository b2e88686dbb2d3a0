"""A cache with its plugins, from its opening to its closing."""

from __future__ import annotations

import contextlib
import functools
import logging
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from predis_core import telemetry
from predis_core.clock import Clock
from predis_core.config import CacheConfig
from predis_core.errors import CacheClosed, CacheUnusable, PluginError
from predis_core.host import advising
from predis_core.host.advising import Advising, Refused
from predis_core.host.attachment import Attachment
from predis_core.host.background import Worker
from predis_core.host.guard import Guard
from predis_core.host.models import OfferedModel
from predis_core.host.plugged import Plugged
from predis_core.host.sampling import EVENTS, NEVER, BatchStream, Draw, KeyStream, Stream
from predis_core.host.sections import Sections
from predis_core.host.view import Hosted, View
from predis_core.pages import ReportPage
from predis_core.prefetch import Followed, Following, Member
from predis_core.prefetch.engine import Encode
from predis_core.prefetch.following import Source
from predis_core.types import BatchStats, Event, LoadStats, Sample, Snapshot, Stats

logger = logging.getLogger("predis")

_PATIENCE = 1.0
"""Seconds that a cache which closes waits for a load that nobody waits for."""


class Session:
    """What the host knows of one cache.

    Args:
        config: the cache's section of the configuration.
        plugged: its plugins, in the configuration's order.
        skipped: the plugins that it does without, and why.
        strict: whether plugins' failures are raised.
        clock: where the time comes from.
        emit: takes an event for all plugins, and returns whether there was room for it.

    Attributes:
        observers: what is told of every batch, by its operation; always this very dict.
        load_observers: what is told of every call of a loader.
        draw: which batches are sampled.
        events_dropped: events that were lost.
        sections: what plugins keep in snapshots.
    """

    def __init__(
        self,
        config: CacheConfig,
        plugged: Sequence[Plugged],
        skipped: Mapping[str, str],
        *,
        strict: bool,
        clock: Clock,
        emit: Callable[[Event], bool],
    ) -> None:
        self.config = config
        self.skipped = dict(skipped)
        self.observers: dict[str, tuple[Callable[[BatchStats], Any], ...]] = {}
        self.load_observers: tuple[Callable[[LoadStats], Any], ...] = ()
        self.draw = Draw()
        self.events_dropped = 0
        self._clock = clock
        self._emit = emit
        self._begun: list[Attachment] = []
        self._members: list[Member] = []
        self._following: Following | None = None
        self._drains: Worker | None = None
        self._turns = 0
        self._cache: Callable[[], Hosted | None] = lambda: None
        self.attachments = [
            Attachment(each, self._view_for(each), strict, self._disabled) for each in plugged
        ]
        self.sections = Sections(config.name, self.attachments, self.emit)

    def _view_for(self, plugged: Plugged, name: str | None = None) -> View:
        emit = functools.partial(self.emit, source=plugged.name)
        config = self.config if name is None else msgspec.structs.replace(self.config, name=name)
        return View(config, self.stats, self.snapshot, emit, self.models, self.report_pages)

    def report_pages(self) -> list[ReportPage]:
        """Return what plugins have for a report about the cache; see `CacheView`."""
        return [page for attachment in self.attachments for page in attachment.report_pages()]

    def _reset_auto(self, attachment: Attachment, value: Any) -> Callable[[], Any]:
        """The lever "auto.reset"."""
        if value is not True:
            raise Refused(f"auto.reset: expected True, got {value!r}")
        if self.config.policy != "auto":
            raise Refused(
                f'auto.reset: the cache has policy {self.config.policy!r}; only "auto" learns'
            )
        cache = self._there()
        if not cache.chooses:
            raise Refused("auto.reset: the cache does not choose its policy any more")
        return cache.choose_anew

    def _set_rate(self, attachment: Attachment, value: Any) -> Callable[[], Any]:
        """The lever "sampling.rate"."""
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 1:
            raise Refused(f"sampling.rate: expected a share above 0, at most 1, got {value!r}")
        streams = [each for each in attachment.streams if isinstance(each, KeyStream)]
        if not streams:
            raise Refused('sampling.rate: the plugin has no sampler of the stream "keys"')

        def change() -> None:
            highest = max(self._key_rate(), float(value))
            self._there().sample_keys(highest, EVENTS)  # before somebody reads at the new rate
            for stream in streams:
                stream.rate = float(value)
            self._there().sample_keys(self._key_rate(), EVENTS)

        return change

    def models(self) -> list[OfferedModel]:
        """Return the models of all plugins; see `CacheView`."""
        return [model for attachment in self.attachments for model in attachment.models]

    # ------------------------------------------------------------------ building

    def policy(self) -> Any:
        """Return the policy that a plugin chooses, or None.

        Raises:
            PluginError: if two plugins choose one.
            Exception: what a plugin's hook raised; where values go is not left to chance.
        """
        chosen = []
        for attachment in self.attachments:
            hook = attachment.plugged.hook("predis_eviction_policy")
            policy = None if hook is None else hook(cache=attachment.view)
            if policy is not None:
                chosen.append((attachment.plugged.name, policy))
        if len(chosen) > 1:
            names = ", ".join(repr(name) for name, _ in chosen)
            raise PluginError(
                f"plugins {names} each choose an eviction policy for cache {self.config.name!r}; "
                "enable one of them"
            )
        return chosen[0][1] if chosen else None

    def prepare(self) -> None:
        """Ask every plugin for what it wants to do.

        Raises:
            PluginError: if two plugins have a metric of the same name.
        """
        for attachment in self.attachments:
            attachment.prepare()
        owners = {metric.name: "the core" for metric in telemetry.CATALOGUE}
        for attachment in self.attachments:
            for metric in attachment.metrics:
                other = owners.setdefault(metric.name, f"plugin {attachment.plugged.name!r}")
                if other != f"plugin {attachment.plugged.name!r}":
                    raise PluginError(
                        f"plugin {attachment.plugged.name!r}: metric {metric.name!r} is one of "
                        f"{other} already; give it another name"
                    )
        self._choose_observers()
        self._members = self.members(self.config.name)
        self.draw = Draw([each for each in self._streams() if isinstance(each, BatchStream)])

    def members(self, name: str) -> list[Member]:
        """Ask every plugin for prefetchers of a cache or namespace of that name.

        Raises:
            PluginError: if two plugins have a prefetcher of the same name.
        """
        found: dict[str, Member] = {}
        for attachment in self.attachments:
            view = attachment.view
            if name != self.config.name:
                view = self._view_for(attachment.plugged, name)
            for member in attachment.members(view):
                if member.name in found:
                    raise PluginError(
                        f"plugin {attachment.plugged.name!r}: there is a prefetcher "
                        f"{member.name!r} of another plugin already; enable one of them"
                    )
                found[member.name] = member
        return list(found.values())

    @property
    def prefetches(self) -> bool:
        """Whether anybody offers prefetchers for the cache."""
        return bool(self._members)

    def follow(self, cache: Source, name: str, capacity: int, encode: Encode) -> Followed:
        """Have prefetchers follow the cache, or a namespace of it."""
        members, self._members = self._members, []
        if self._following is None:
            config = self.config.prefetch
            self._following = Following(self.config.name, config, self._clock)
        else:
            members = self.members(name)
        return self._following.follow(name, cache, members, capacity, encode)

    def _streams(self) -> list[Stream]:
        return [stream for attachment in self.attachments for stream in attachment.streams]

    def _key_rate(self) -> float:
        """Return the highest rate at which somebody wants keys sampled; 0.0: nobody does."""
        wanted = (s.rate for s in self._streams() if isinstance(s, KeyStream) and s.is_wanted)
        return max(wanted, default=0.0)

    @property
    def samples_keys(self) -> bool:
        """Whether anybody wants every lookup of some keys."""
        return self._key_rate() > 0

    @property
    def samples_batches(self) -> bool:
        """Whether anybody wants some batches whole."""
        return self.draw.due != NEVER

    @property
    def is_measured(self) -> bool:
        """Whether anybody wants to know how long batches take."""
        return any(each.observers or each.exports for each in self.attachments)

    def _choose_observers(self) -> None:
        attachments = self.attachments
        for operation in telemetry.OPERATIONS:
            self.observers[operation] = _working(
                [guard for guard, watched in each.observers.items() if operation in watched]
                for each in attachments
            )
        self.load_observers = _working(each.load_observers for each in attachments)

    def loaded(self, cache: str, keys: int, failed: int, nanoseconds: int, error: str) -> None:
        """Tell of a call of a loader; see `LoadStats`."""
        load = LoadStats(cache, keys, failed, nanoseconds, error)
        for observer in self.load_observers:
            observer(load)

    # ------------------------------------------------------------------ from opening to closing

    def begin(self, cache: Hosted, drains: Callable[[], Worker]) -> None:
        """The cache is there; it is not kept alive from here.

        Args:
            cache: the cache.
            drains: returns the core's thread for drains; called if there are any.
        """
        self._cache = weakref.ref(cache)
        if rate := self._key_rate():
            cache.sample_keys(rate, EVENTS)
        for attachment in self.attachments:
            self._begun.append(attachment)
            attachment.begin(cache, drains)
        levers = {"auto.reset": self._reset_auto, "sampling.rate": self._set_rate}
        proposals = Advising(self.attachments, self.stats, levers, self.emit, self._clock)
        if proposals.is_wanted:
            self._drains = drains()
            self._turns = self._drains.every(advising.WINDOW, proposals.turn)

    @property
    def is_collected(self) -> bool:
        """Whether nobody holds the cache any longer."""
        return self._cache() is None

    def end(self, reason: str) -> None:
        """Let the plugins that began with the cache take leave of it, the last one first.

        Raises:
            Exception: if failures are to be raised: the first one, after all took leave.
        """
        failures: list[Exception] = []
        if self._following is not None and not self._following.close(_PATIENCE):
            logger.warning(
                "cache %r: closes while its loader hangs in a prefetch", self.config.name
            )
        if self._drains is not None:
            self._drains.no_longer(self._turns)
        for attachment in reversed(self._begun):
            try:
                attachment.close(reason)
            except Exception as error:  # only strict guards let one through
                failures.append(error)
            worker = attachment.plugged.worker
            if worker is not None and worker.failure is not None:
                failures.append(worker.failure)
        if failures:
            raise failures[0]

    # ------------------------------------------------------------------ what plugins see

    def _there(self) -> Hosted:
        cache = self._cache()
        if cache is None:
            raise CacheClosed(f"cache {self.config.name!r} is not open")
        return cache

    def stats(self) -> Stats:
        """Return what the cache did; see `CacheView`."""
        return self._there().stats()

    def snapshot(self) -> Snapshot:
        """Return all that is measured; see `CacheView`."""
        samples = [*self._there().samples(), *self._own_samples()]
        for attachment in self.attachments:
            samples += attachment.collect()
        return Snapshot(self.config.name, self._clock.wall(), tuple(samples))

    def _own_samples(self) -> Iterable[Sample]:
        name = self.config.name
        for attachment in self.attachments:
            labels = (name, attachment.plugged.name)
            guards = attachment.guards
            works = not attachment.plugged.hangs and not any(guard.disabled for guard in guards)
            yield Sample(telemetry.PLUGIN_FAILURES, labels, sum(g.failures for g in guards))
            yield Sample(telemetry.PLUGIN_UP, labels, int(works))
            if attachment.observers:
                yield Sample(telemetry.OBSERVER_SECONDS, labels, attachment.observer_seconds)
            if streams := attachment.streams:
                yield Sample(telemetry.SAMPLER_EVENTS, labels, sum(s.events for s in streams))
                yield Sample(telemetry.SAMPLER_DROPPED, labels, sum(s.dropped for s in streams))
        yield Sample(telemetry.EVENTS_DROPPED, (name,), self.events_dropped)

    # ------------------------------------------------------------------ events

    def emit(self, event: Event, source: str = "core") -> None:
        """Pass an event on to the plugins; lost, and counted, if they do not keep up."""
        stamped = msgspec.structs.replace(
            event, source=source, cache=self.config.name, time=self._clock.wall()
        )
        if not self._emit(stamped):
            self.events_dropped += 1

    def deliver(self, event: Event) -> None:
        """Put an event into the queue of each plugin but its source."""
        for attachment in self.attachments:
            plugged = attachment.plugged
            if plugged.name == event.source or not attachment.implements("predis_event"):
                continue
            assert plugged.worker is not None
            job = functools.partial(attachment.call, "predis_event", event=event)
            if not plugged.worker.submit(job):
                self.events_dropped += 1

    def _disabled(self, attachment: Attachment, guard: Guard) -> None:
        self._choose_observers()
        self.draw.look_again()
        if not self._key_rate() and any(isinstance(s, KeyStream) for s in self._streams()):
            with contextlib.suppress(CacheUnusable):  # closed, or not there yet
                self._there().sample_keys(0.0, EVENTS)
        status = guard.status()
        self.emit(
            Event(
                kind="plugin.disabled",
                message=f"{guard.what} of plugin {guard.plugin!r} is disabled: {status.last_error}",
                severity="error",
                data={"plugin": guard.plugin, "what": guard.what, "error": status.last_error},
            )
        )


def _working(guards: Iterable[list[Guard]]) -> tuple[Guard, ...]:
    """Return the guards, of several lists, that still call what they guard."""
    return tuple(guard for some in guards for guard in some if not guard.disabled)
