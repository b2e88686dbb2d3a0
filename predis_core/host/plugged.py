"""An enabled plugin: its object, its thread, its hooks."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from predis_core.clock import Clock
from predis_core.config import PluginSection
from predis_core.errors import PluginError
from predis_core.host.background import LATE, Worker
from predis_core.host.discovery import Installed, Loaded, fault, hook_caller, reason_of
from predis_core.host.registry import Registry

logger = logging.getLogger("predis")

_IN_BACKGROUND = (
    "predis_samplers",
    "predis_exporters",
    "predis_metric_sources",
    "predis_state",
    "predis_advise",
    "predis_event",
    "predis_health",
    "predis_cache_closing",
)


class Plugged:
    """A plugin that at least one open cache uses.

    Args:
        section: its section of the configuration.
        loaded: what `discovery.load` made of that.
        registry: where it may offer policies and loaders.
        deadline: seconds that its background work may take.
        clock: where the time comes from.

    Raises:
        PluginError: if it cannot be enabled.
    """

    def __init__(
        self,
        section: PluginSection,
        loaded: Loaded,
        registry: Registry,
        deadline: float,
        clock: Clock,
    ) -> None:
        self.name = section.name
        self.section = section
        self.installed: Installed = loaded.installed
        self.caches: set[str] = set()
        self.hung = False
        self._registry = registry
        self._plugin = loaded.construct()
        self.worker: Worker | None = None
        try:
            self._hooks = _hooks_of(self._plugin)
            register = self._hooks.get("predis_register")
            if register is not None:
                register(registry=registry.of(self.name))
        except BaseException as error:
            registry.forget(self.name)
            self._end()
            if isinstance(error, PluginError) or not isinstance(error, Exception):
                raise
            raise fault(self.installed, f"predis_register raised {reason_of(error)}") from error
        self.pages = registry.report_pages(self.name)
        in_background = any(hook in self._hooks for hook in _IN_BACKGROUND)
        if self._close is not None or self.pages or in_background:
            self.worker = Worker(self.name, deadline, clock)

    def has(self, section: PluginSection) -> bool:
        """Return whether a section says the same as the one that the plugin was enabled with."""
        mine = (self.section.values, self.section.overrides)
        return mine == (section.values, section.overrides)

    def hook(self, name: str) -> Callable[..., Any] | None:
        """Return the plugin's implementation of a hook, which takes all of its arguments."""
        return self._hooks.get(name)

    @property
    def hangs(self) -> bool:
        """Whether something that the plugin does in the background has passed the deadline."""
        return self.worker is not None and self.worker.hangs

    @property
    def _close(self) -> Callable[[], Any] | None:
        close = getattr(self._plugin, "close", None)
        return close if callable(close) else None

    def close(self) -> None:
        """Let the plugin go."""
        self._registry.forget(self.name)
        if self.worker is None:
            return
        late = self.worker.ask(self._end) is LATE
        if not self.worker.stop() or late:
            logger.warning("plugin %r: hangs, and is left behind as it closes", self.name)

    def _end(self) -> None:
        if self._close is None:
            return
        try:
            self._close()
        except Exception as error:
            logger.warning("plugin %r: close() raised", self.name, exc_info=error)


def _hooks_of(plugin: Any) -> dict[str, Callable[..., Any]]:
    """Return the hooks that a plugin implements; each takes the hook's arguments by keyword."""
    manager = hook_caller()
    manager.register(plugin)
    found = {}
    for caller in manager.get_hookcallers(plugin) or ():
        (implementation,) = caller.get_hookimpls()
        found[caller.name] = _taking_all(implementation.function, implementation.argnames)
    return found


def _taking_all(function: Callable[..., Any], wanted: tuple[str, ...]) -> Callable[..., Any]:
    def call(**arguments: Any) -> Any:
        return function(**{name: arguments[name] for name in wanted})

    return call
