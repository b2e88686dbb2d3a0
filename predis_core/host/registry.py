"""What plugins offer by name."""

from __future__ import annotations

import difflib
from typing import Any

from predis_core import policies
from predis_core.errors import ConfigurationError, PluginError
from predis_core.policies import Policy
from predis_core.tiers.base import MEMORY, NamedTier


class Registry:
    """The policies, loaders, tiers and report pages of a host, and whose they are."""

    def __init__(self) -> None:
        self._policies: dict[str, tuple[str, Policy]] = {}
        self._loaders: dict[str, tuple[str, Any]] = {}
        self._tiers: dict[str, tuple[str, Any]] = {}
        self._pages: dict[str, tuple[str, Any]] = {}

    def of(self, plugin: str) -> PluginRegistry:
        """Return the registry as one plugin sees it."""
        return PluginRegistry(self, plugin)

    def forget(self, plugin: str) -> None:
        """Remove all that a plugin offered."""
        for offers in (self._policies, self._loaders, self._tiers, self._pages):
            for name in [name for name, (owner, _) in offers.items() if owner == plugin]:
                del offers[name]

    def add_policy(self, plugin: str, policy: Any) -> None:
        """Take a plugin's policy; see `PluginRegistry`."""
        checked = policies.as_policy(policy)
        if checked.name in policies.names():
            raise PluginError(
                f"plugin {plugin!r}: there is a built-in policy {checked.name!r} already; "
                "give this one another name"
            )
        _add(self._policies, "policy", checked.name, plugin, checked)

    def add_loader(self, plugin: str, name: str, loader: Any) -> None:
        """Take a plugin's loader; see `PluginRegistry`."""
        _check_callable(plugin, "loader", name, loader)
        _add(self._loaders, "loader", name, plugin, loader)

    def add_tier(self, plugin: str, name: str, tier: Any) -> None:
        """Take what makes a plugin's tier; see `PluginRegistry`."""
        _check_callable(plugin, "tier", name, tier)
        if name == MEMORY:
            raise PluginError(
                f"plugin {plugin!r}: there is a built-in tier {name!r} already; give this one "
                "another name"
            )
        _add(self._tiers, "tier", name, plugin, tier)

    def add_report_page(self, plugin: str, name: str, page: Any) -> None:
        """Take a plugin's page for reports; see `PluginRegistry`."""
        _check_callable(plugin, "report page", name, page)
        _add(self._pages, "report page", name, plugin, page)

    def report_pages(self, plugin: str) -> dict[str, Any]:
        """Return the pages that a plugin offers, by name."""
        return {name: page for name, (owner, page) in self._pages.items() if owner == plugin}

    def policy(self, name: str | Policy | Any) -> Policy:
        """Return a plugin's or a built-in policy by its name, or one that keeps the contract.

        Raises:
            ConfigurationError: if there is none of that name.
        """
        if isinstance(name, str) and name in self._policies:
            return self._policies[name][1]
        return policies.get(name, others=tuple(self._policies))

    def loader(self, name: str) -> Any:
        """Return a plugin's loader.

        Raises:
            ConfigurationError: if there is none of that name.
        """
        return _found("loader", name, self._loaders)

    def tier(self, name: str) -> Any:
        """Return what makes a plugin's tier, or the name of the core's own.

        Raises:
            ConfigurationError: if there is none of that name.
        """
        return name if name == MEMORY else NamedTier(name, _found("tier", name, self._tiers))


class PluginRegistry:
    """What `predis_register` gets; see `predis_core.plugin.Registry`."""

    def __init__(self, registry: Registry, plugin: str) -> None:
        self._registry = registry
        self._plugin = plugin

    def add_policy(self, policy: Any) -> None:
        """Offer an eviction policy under its own name."""
        self._registry.add_policy(self._plugin, policy)

    def add_loader(self, name: str, loader: Any) -> None:
        """Offer a batch loader."""
        self._registry.add_loader(self._plugin, name, loader)

    def add_tier(self, name: str, tier: Any) -> None:
        """Offer what makes a tier."""
        self._registry.add_tier(self._plugin, name, tier)

    def add_report_page(self, name: str, page: Any) -> None:
        """Offer a page for reports."""
        self._registry.add_report_page(self._plugin, name, page)


def _check_callable(plugin: str, noun: str, name: str, offered: Any) -> None:
    if not callable(offered):
        raise PluginError(
            f"plugin {plugin!r}: {noun} {name!r}: expected a callable, got {offered!r}"
        )


def _found(noun: str, name: str, offers: dict[str, tuple[str, Any]]) -> Any:
    if name in offers:
        return offers[name][1]
    if not offers:
        raise ConfigurationError(f"{noun}: no enabled plugin offers one, so {name!r} is none")
    near = difflib.get_close_matches(name, offers, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise ConfigurationError(f"{noun}: no {noun} {name!r} among {', '.join(sorted(offers))}{hint}")


def _add(
    offers: dict[str, tuple[str, Any]], noun: str, name: str, plugin: str, offered: Any
) -> None:
    if name in offers:
        raise PluginError(
            f"plugins {offers[name][0]!r} and {plugin!r} both offer a {noun} {name!r}; "
            "enable one of them"
        )
    offers[name] = (plugin, offered)
