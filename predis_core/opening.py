"""`open`: from a configuration to a cache with its plugins."""

from __future__ import annotations

import contextlib
import importlib
import os
from collections.abc import Iterator, Mapping
from typing import Any

from predis_core import building, config, devices, host, planning, policies
from predis_core.cache import Cache
from predis_core.clock import Clock
from predis_core.config import BlobsValue, CacheConfig, Configuration, ObjectsValue, RowsValue
from predis_core.errors import ConfigurationError, PluginError
from predis_core.host import Session, discovery
from predis_core.host.plugged import Plugged
from predis_core.host.registry import Registry
from predis_core.hosted import KINDS, HostedCache
from predis_core.loading import Loader
from predis_core.namespaces import check_room, wish
from predis_core.planning import MemoryPlan
from predis_core.policies import Policy
from predis_core.prefetching import prefetching
from predis_core.stores import Blobs, Objects, Rows, Store
from predis_core.tiers.base import MEMORY

HAVE_A_SAY = ("predis_register", "predis_eviction_policy")
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
            kind = KINDS[session.is_measured, session.samples_batches]
            if session.prefetches:
                kind = prefetching(kind)
            given |= {"session": session, "policy": session.policy()}
            cache: HostedCache[Any, Any] = _built(kind, decoded, its_host.registry, loader, given)
            session.begin(cache, its_host.drains)
        except BaseException:
            its_host.close(session, "failed")
            raise
    return cache


def store_of(value: RowsValue | ObjectsValue | BlobsValue) -> Store:
    """Return the store that a configuration describes.

    Raises:
        ConfigurationError: if the type of blobs cannot be imported, or does not fit the format.
    """
    if isinstance(value, RowsValue):
        return Rows(value.dtype, value.shape)
    if isinstance(value, BlobsValue):
        kind = None if value.type is None else _named("value: type", value.type)
        return Blobs(value.format, type=kind)
    return Objects()


def plan_of(configuration: Configuration) -> MemoryPlan:
    """Return where the memory of the cache of a configuration goes, whose policy is a built-in.

    Of a cache with a tier, that is the tier's.

    Raises:
        ConfigurationError: as `open`, of what it says about policy, values and memory.
    """
    section = configuration.cache
    try:
        store = store_of(section.value)
        weigher = None if section.weigher is None else _named("weigher", section.weigher)
        devices.check(section.device, store)
        tier = building.tier_wish(
            store,
            section.key_kind,
            section.host_capacity,
            section.host_memory,
            # What a plugin registers is not known before it is started; it is as large.
            None if section.tier is None else MEMORY,
        )
        return building.plans(
            policies.get(section.policy),
            store,
            tier,
            key_refs=section.key_kind != "int64",
            capacity=section.capacity,
            memory=planning.checked(store, section.memory, weigher),
        )[1]
    except ConfigurationError as error:
        raise type(error)(f"{configuration.source}: cache.{error}") from error


def _named(field: str, reference: str) -> Any:
    """Return what "package.module:name" names."""
    module, _, name = reference.partition(":")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ConfigurationError(f"{field}: {reference!r} cannot be imported: {error}") from error


def offers(configuration: Configuration, hook: str) -> bool:
    """Return whether a plugin of a configuration implements a hook; none is started.

    Raises:
        ConfigurationError, PluginError: as `open`.
    """
    available = discovery.installed_plugins()
    kinds = [discovery.load(plugin, available).kind for plugin in configuration.plugins.values()]
    return any(hasattr(kind, hook) for kind in kinds)


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
            if any(hasattr(loaded.kind, hook) for hook in HAVE_A_SAY):
                plugged.append(Plugged(section, loaded, registry, deadline, clock))
        session = Session(
            configuration.cache, plugged, {}, strict=True, clock=clock, emit=lambda event: True
        )
        chosen = session.policy()
        return registry.policy(configuration.cache.policy if chosen is None else chosen)
    finally:
        for each in plugged:
            each.close()


def check_namespaces(configuration: Configuration, whole: int) -> None:
    """Refuse namespaces for which a cache of `whole` entries has too little capacity.

    Raises:
        ConfigurationError: as `open`.
    """
    left = whole - 1
    for name, own in configuration.cache.namespaces.items():
        with _placed(configuration, name):
            entries = wish(own.capacity, own.share).entries(whole)
            check_room(name, entries, left, whole)
            left -= entries


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
        cache = kind(
            capacity=section.capacity,
            memory=section.memory,
            policy=registry.policy(section.policy) if policy is None else policy,
            value=store_of(section.value),
            keys=section.keys,
            ttl=section.ttl,
            loader=loader,
            weigher=None if section.weigher is None else _named("weigher", section.weigher),
            seed=section.seed,
            sampling=section.sampling,
            name=section.name,
            host_capacity=section.host_capacity,
            host_memory=section.host_memory,
            tier=None if section.tier is None else registry.tier(section.tier),
            device=section.device,
            **given,
        )
    except PluginError:
        raise
    except ConfigurationError as error:
        raise type(error)(f"{configuration.source}: cache.{error}") from error
    for name, own in section.namespaces.items():
        with _placed(configuration, name):
            cache.namespace(name, capacity=own.capacity, share=own.share, ttl=own.ttl)
    return cache


@contextlib.contextmanager
def _placed(configuration: Configuration, namespace: str) -> Iterator[None]:
    """Tell what does not fit about a namespace with its place in the configuration."""
    try:
        yield
    except ConfigurationError as error:
        place = f"{configuration.source}: cache.namespaces.{namespace}"
        raise ConfigurationError(f"{place}.{error}") from error
