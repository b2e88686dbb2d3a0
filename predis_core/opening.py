"""`open`: from a configuration to a cache with its plugins."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from predis_core import config, host
from predis_core.cache import Cache
from predis_core.clock import Clock
from predis_core.config import CacheConfig, Configuration, ObjectsValue, RowsValue
from predis_core.errors import ConfigurationError, PluginError
from predis_core.host import Session, discovery
from predis_core.host.plugged import Plugged
from predis_core.host.registry import Registry
from predis_core.hosted import HostedCache, MeasuredCache
from predis_core.loading import Loader
from predis_core.policies import Policy
from predis_core.stores import Objects, Rows, Store

_HAVE_A_SAY = ("predis_register", "predis_eviction_policy")
"""The hooks by which a plugin decides on an eviction policy."""


def open(
    configuration: str | os.PathLike[str] | Mapping[str, Any],
    *,
    loader: Loader | None = None,
    clock: Clock | None = None,
) -> Cache[Any, Any]:
    """Open the cache that a configuration describes, with the plugins that it names.

    Only plugins that the configuration names are imported. Close the cache when it is done with
    (`with predis.open(…) as cache:` does): plugins send what they have not sent yet. Caches that
    are open when the process ends are taken leave of then.

    Args:
        configuration: the path of a TOML file, or its contents as a dict. Environment variables as
            PREDIS_CACHE__CAPACITY go before what stands there.
        loader: as for `Cache`; goes before the configuration's `loader`.
        clock: as for `Cache`.

    Returns:
        A cache; a plain `Cache` if no plugin is named.

    Raises:
        ConfigurationError: naming the path, the value and what was expected.
        PluginError: if a plugin that is required cannot be enabled.
    """
    decoded = config.load(configuration)
    given: dict[str, Any] = {"clock": clock}
    if not decoded.plugins and decoded.host.state_dir is None:
        plain: Cache[Any, Any] = _built(Cache, decoded, Registry(), loader, given)
        return plain
    with host.joined(decoded.host) as its_host:
        session = its_host.open(decoded)
        try:
            session.prepare()
            kind = MeasuredCache if session.is_measured else HostedCache
            given |= {"session": session, "policy": session.policy()}
            cache: HostedCache[Any, Any] = _built(kind, decoded, its_host.registry, loader, given)
            session.begin(cache)
        except BaseException:
            its_host.close(session, "failed")
            raise
    return cache


def store_of(value: RowsValue | ObjectsValue) -> Store:
    """Return the store that a configuration describes."""
    return Rows(value.dtype, value.shape) if isinstance(value, RowsValue) else Objects()


def policy_of(configuration: Configuration) -> Policy:
    """Return the eviction policy that the cache of a configuration would have.

    Only plugins that have a say in it are started, and let go again.

    Raises:
        ConfigurationError: as `open`.
    """
    registry = Registry()
    clock = Clock()
    deadline = float(configuration.host.deadline)
    available = discovery.installed_plugins()
    plugged: list[Plugged] = []
    try:
        for section in configuration.plugins.values():
            loaded = discovery.load(section, available)
            if any(hasattr(loaded.kind, hook) for hook in _HAVE_A_SAY):
                plugged.append(Plugged(section, loaded, registry, deadline, clock))
        session = Session(
            configuration.cache, plugged, {}, strict=True, clock=clock, emit=lambda event: True
        )
        chosen = session.policy()
        return registry.policy(configuration.cache.policy if chosen is None else chosen)
    finally:
        for each in plugged:
            each.close()


def _built(
    kind: Any,
    configuration: Configuration,
    registry: Registry,
    loader: Loader | None,
    given: dict[str, Any],
) -> Any:
    """Construct a cache; what does not fit is told with its place in the configuration."""
    section: CacheConfig = configuration.cache
    policy = given.pop("policy", None)
    try:
        if loader is None and section.loader is not None:
            loader = registry.loader(section.loader)
        return kind(
            capacity=section.capacity,
            policy=registry.policy(section.policy) if policy is None else policy,
            value=store_of(section.value),
            keys=section.keys,
            ttl=section.ttl,
            loader=loader,
            seed=section.seed,
            name=section.name,
            device=section.device,
            **given,
        )
    except PluginError:
        raise
    except ConfigurationError as error:
        raise type(error)(f"{configuration.source}: cache.{error}") from error
