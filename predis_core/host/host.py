"""The host: the one place in a process where plugins live, from the first cache to the last."""

from __future__ import annotations

import atexit
import contextlib
import functools
import logging
import os
import threading
from collections.abc import Iterator
from importlib.metadata import version

import msgspec

from predis_core import runtime
from predis_core.clock import Clock
from predis_core.config import Configuration, HostConfig, PluginSection
from predis_core.errors import CacheUnusable, ConfigurationError
from predis_core.host import discovery
from predis_core.host.background import Worker
from predis_core.host.control import Control
from predis_core.host.drains import DRAINS
from predis_core.host.plugged import Plugged
from predis_core.host.registry import Registry
from predis_core.host.session import Session
from predis_core.host.states import SEVERITY, CacheStatus, HostStatus, PluginStatus, state_of
from predis_core.types import Event, Health, Snapshot

logger = logging.getLogger("predis")

_LONGEST_LOOK_AWAY = 1.0
"""Seconds after which the host looks again for plugins that hang and caches that are gone."""


class Host:
    """Enables plugins, and keeps them while an open cache uses them.

    Its methods are called with the lock held that `joined` holds.

    Args:
        config: the configuration's section of the host.
    """

    def __init__(self, config: HostConfig) -> None:
        self.config = config
        self.registry = Registry()
        self._clock = Clock()
        self._sessions: dict[str, Session] = {}
        self._plugged: dict[str, Plugged] = {}
        self._worker = Worker("host", float("inf"), self._clock)
        self._worker.every(min(_LONGEST_LOOK_AWAY, float(config.deadline) / 4), self._look)
        self._drains: Worker | None = None
        self._control: Control | None = None
        if config.state_dir is not None:
            try:
                answers = {"status": self.status, "snapshots": self.snapshots}
                self._control = Control(config.state_dir, answers)
            except BaseException:
                self._worker.stop(_LONGEST_LOOK_AWAY)
                raise
        runtime.watch_fork(self)

    # ------------------------------------------------------------------ opening

    def open(self, configuration: Configuration) -> Session:
        """Enable the plugins of a configuration and begin a session for its cache.

        Raises:
            PluginError: if a plugin that is required cannot be enabled.
            ConfigurationError: if a cache of that name is open, or a section differs from the one
                that the plugin was enabled with.
        """
        name = configuration.cache.name
        self._check(configuration)
        plugged: list[Plugged] = []
        skipped: dict[str, str] = {}
        available = discovery.installed_plugins()
        try:
            for section in configuration.plugins.values():
                try:
                    found = self._plugged.get(section.name) or self._enabled(section, available)
                except ConfigurationError as error:
                    if section.required:
                        raise
                    skipped[section.name] = str(error)
                else:
                    found.caches.add(name)
                    plugged.append(found)
        except BaseException:
            self._give_up(plugged, name)
            raise
        for reason in skipped.values():
            if reason not in self._skipped().values():
                logger.warning("skipped, as it is not required: %s", reason)
        session = self._sessions[name] = Session(
            configuration.cache,
            plugged,
            skipped,
            strict=self.config.strict,
            clock=self._clock,
            emit=self._emit,
        )
        return session

    def _skipped(self) -> dict[str, str]:
        """Return the plugins that open caches do without, and why."""
        found: dict[str, str] = {}
        for session in list(self._sessions.values()):
            found |= session.skipped
        return found

    def _check(self, configuration: Configuration) -> None:
        """Refuse what does not go with the caches that are open."""
        name, source = configuration.cache.name, configuration.source
        there = self._sessions.get(name)
        if there is not None and there.is_collected:
            self.close(there, "collected")
        elif there is not None:
            raise ConfigurationError(
                f"{source}: cache.name: a cache {name!r} is open already; "
                "close it, or give this one another name"
            )
        for section in configuration.plugins.values():
            plugged = self._plugged.get(section.name)
            if plugged is not None and not plugged.has(section):
                raise ConfigurationError(
                    f"{source}: plugins.{section.name}: differs from the section that the plugin "
                    f"was enabled with for cache {', '.join(sorted(plugged.caches))}; a plugin "
                    "has one section per process"
                )

    def _enabled(self, section: PluginSection, available: discovery.Available) -> Plugged:
        loaded = discovery.load(section, available)
        deadline = float(self.config.deadline)
        found = Plugged(section, loaded, self.registry, deadline, self._clock)
        self._plugged[section.name] = found
        return found

    # ------------------------------------------------------------------ closing

    def close(self, session: Session, reason: str) -> None:
        """End a session, and let go of the plugins that no other cache uses. Twice is harmless."""
        name = session.config.name
        if self._sessions.get(name) is not session:
            return
        try:
            session.end(reason)
        finally:
            del self._sessions[name]
            self._give_up([each.plugged for each in session.attachments], name)

    def _give_up(self, plugged: list[Plugged], cache: str) -> None:
        for each in reversed(plugged):
            each.caches.discard(cache)
            if not each.caches:
                self._plugged.pop(each.name, None)
                each.close()

    @property
    def is_idle(self) -> bool:
        """Whether no cache is open."""
        return not self._sessions

    def sessions(self) -> list[Session]:
        """Return what is open, the last one first."""
        return list(reversed(self._sessions.values()))

    def end(self) -> None:
        """Stop, now that no cache is open."""
        if self._control is not None:
            self._control.close()
        self._worker.stop(_LONGEST_LOOK_AWAY)
        if self._drains is not None:
            DRAINS.release(self._drains, _LONGEST_LOOK_AWAY)

    # ------------------------------------------------------------------ in the background

    def drains(self) -> Worker:
        """Return the thread for the core's drains; there is none until somebody needs it."""
        if self._drains is None:
            self._drains = DRAINS.hold()
        return self._drains

    def _emit(self, event: Event) -> bool:
        return self._worker.submit(functools.partial(self._deliver, event))

    def _deliver(self, event: Event) -> None:
        session = self._sessions.get(event.cache)
        if session is not None:
            session.deliver(event)

    def _look(self) -> None:
        """Notice plugins that hang or have come back, and caches that nobody holds any longer."""
        for session in list(self._sessions.values()):
            for attachment in session.attachments:
                self._look_at(attachment.plugged, session)
            # Whoever holds the lock may wait for this thread; next time, then.
            if session.is_collected and _lock.acquire(blocking=False):
                try:
                    close(session, "collected")
                finally:
                    _lock.release()

    def _look_at(self, plugged: Plugged, session: Session) -> None:
        hangs = plugged.hangs
        if hangs == plugged.hung:
            return
        plugged.hung = hangs
        name = plugged.name
        if hangs:
            message = f"plugin {name!r} hangs: no answer within {self.config.deadline}"
            logger.error("%s; it is not called until it returns", message)
        else:
            message = f"plugin {name!r} is back"
            logger.warning(message)
        session.emit(
            Event(
                kind="plugin.hung" if hangs else "plugin.returned",
                message=message,
                severity="error" if hangs else "warning",
                data={"plugin": name},
            )
        )

    # ------------------------------------------------------------------ telling

    def status(self) -> HostStatus:
        """Return how the host is; asks each plugin for its health."""
        sessions = list(self._sessions.values())
        skipped = (
            PluginStatus(name=name, distribution="", version="", state="skipped", reason=reason)
            for name, reason in self._skipped().items()
        )
        return HostStatus(
            pid=os.getpid(),
            version=version("predis-core"),
            caches=tuple(_cache_statuses(sessions)),
            plugins=(
                *(_plugin_status(each, sessions) for each in list(self._plugged.values())),
                *skipped,
            ),
        )

    def snapshots(self) -> list[Snapshot]:
        """Return a snapshot of each open cache."""
        found = []
        for session in list(self._sessions.values()):
            with contextlib.suppress(CacheUnusable):  # closed meanwhile
                found.append(session.snapshot())
        return found

    def _forked(self) -> None:
        global _host, _lock
        if self._control is not None:
            self._control.abandon()
        # Threads did not come along, and a lock may be held by one of them.
        _host, _lock = None, threading.RLock()


def _cache_statuses(sessions: list[Session]) -> Iterator[CacheStatus]:
    for session in sessions:
        with contextlib.suppress(CacheUnusable):  # closed meanwhile
            stats = session.stats()
            yield CacheStatus(name=session.config.name, stats=msgspec.structs.asdict(stats))


def _plugin_status(plugged: Plugged, sessions: list[Session]) -> PluginStatus:
    mine = [
        attachment
        for session in sessions
        for attachment in session.attachments
        if attachment.plugged is plugged
    ]
    hangs = plugged.hangs
    health = [Health() if hangs else attachment.health() for attachment in mine]
    worst = max(health, key=lambda each: SEVERITY[each.status], default=Health())
    functions = tuple(guard.status() for attachment in mine for guard in attachment.guards)
    costs = [attachment.observer_seconds for attachment in mine if attachment.observers]
    streams = [stream for attachment in mine for stream in attachment.streams]
    state, reason = state_of(worst, functions, hangs)
    return PluginStatus(
        name=plugged.name,
        distribution=plugged.installed.distribution,
        version=plugged.installed.version,
        state=state,
        reason=reason,
        caches=tuple(attachment.view.name for attachment in mine),
        functions=functions,
        observer_seconds=sum(costs) / len(costs) if costs else 0.0,
        sampled=sum(stream.events for stream in streams),
        dropped=sum(stream.dropped for stream in streams),
    )


# ---------------------------------------------------------------------- one host per process

_lock = threading.RLock()
_host: Host | None = None


@contextlib.contextmanager
def joined(config: HostConfig) -> Iterator[Host]:
    """Hold the process's host, so that nobody else opens or closes meanwhile.

    The host is made if there is none, and ends if no cache is open afterwards.

    Raises:
        ConfigurationError: if there is one with another configuration of the host.
    """
    global _host
    with _lock:
        if _host is None:
            _host = Host(config)
        elif config not in (_host.config, HostConfig()):
            raise ConfigurationError(
                "host: differs from the section that this process's host was opened with; "
                "leave it out, or write the same"
            )
        try:
            yield _host
        finally:
            _end_if_idle()
            # Caches close before what plugins have just started ends: the last comes first.
            atexit.unregister(_at_exit)
            atexit.register(_at_exit)


def close(session: Session, reason: str) -> None:
    """End a session. Twice is harmless.

    Raises:
        Exception: with `strict`, what a plugin raised as it took leave, or in its own thread.
    """
    with _lock:
        if _host is None:
            return
        try:
            _host.close(session, reason)
        finally:
            _end_if_idle()


def status() -> HostStatus | None:
    """Return how this process's host is; None if no cache with plugins is open."""
    host = _host
    return None if host is None else host.status()


def open_sessions() -> list[Session]:
    """Return what the host of this process knows of each open cache; for tests of plugins."""
    return [] if _host is None else _host.sessions()


def _end_if_idle() -> None:
    global _host
    if _host is not None and _host.is_idle:
        ending, _host = _host, None
        ending.end()


def _at_exit() -> None:
    with _lock:
        for session in [] if _host is None else _host.sessions():
            try:
                close(session, "exit")
            except Exception as error:  # strict, and nobody is left to catch it
                logger.error("cache %r: closing raised", session.config.name, exc_info=error)
