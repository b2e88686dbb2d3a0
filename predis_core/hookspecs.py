"""Every hook that a plugin may implement. No logic here: `predis_core.host` calls them.

Each is called once when a cache is built, unless it says otherwise; what it returns is then used
without any hook being in the way. Arguments may be left out of an implementation. A hook of several
plugins is called in the order in which the configuration names them. What a plugin returns while a
cache is built may come to nothing: if the building fails, it hears neither of opening nor of
closing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    from predis_core.plugin import (
        CacheView,
        Exporter,
        MetricSource,
        Model,
        Observer,
        Prefetcher,
        Registry,
        Sampler,
        StateSection,
    )
    from predis_core.types import Event, Health, Proposal, Window

HOOK_API = 1
"""The major version of these hooks; the entry-point group of plugins carries it."""

PROJECT = "predis"

hookspec = pluggy.HookspecMarker(PROJECT)


@hookspec
def predis_register(registry: Registry) -> None:
    """Add eviction policies, loaders, tiers and report pages by name.

    When: once, as the plugin is enabled.
    Returns: nothing.
    If it raises: the plugin cannot be enabled.
    """


@hookspec
def predis_eviction_policy(cache: CacheView) -> Any:
    """Choose the cache's eviction policy, in place of the one that the configuration names.

    When: a cache is built.
    Returns: a policy, or None to leave the choice; at most one plugin may choose.
    If it raises: the cache is not opened.
    """


@hookspec
def predis_prefetchers(cache: CacheView) -> Sequence[Prefetcher] | None:
    """Say which keys will be asked for soon, so that the cache's default loader loads them.

    When: a cache is built, and once more for each namespace, so that nothing learnt in one is
        proposed in another; the view has the namespace's name then, as "CACHE/NAMESPACE".
    Returns: objects with a `name`, `observe(batch)` and `predict(limit)`, called in a thread of the
        core; or None.
    If it raises: the failure is counted, the cache opens without them.
    """


@hookspec
def predis_observers(cache: CacheView) -> Sequence[Observer] | None:
    """Watch every batch: the only code of a plugin in the way of one.

    When: a cache is built.
    Returns: objects with `on_batch(stats)`, or None. One that has `on_load(load)` as well is told
        of every call of a loader.
    If it raises: the failure is counted, the cache opens without them.
    """


@hookspec
def predis_samplers(cache: CacheView) -> Sequence[Sampler] | None:
    """Look at accesses with their keys: at some batches whole, or at every lookup of some keys.

    When: a cache is built.
    Returns: objects with a `stream`, a `rate`, an `interval` and `on_sample(sample)`, called in the
        plugin's own thread, and for the last time when the cache closes; or None.
    If it raises: the failure is counted, the cache opens without them.
    """


@hookspec
def predis_exporters(cache: CacheView) -> Sequence[Exporter] | None:
    """Send what is measured somewhere.

    When: a cache is built.
    Returns: objects with an `interval` and `export(snapshot)`, called in the plugin's own thread,
        and once more when the cache closes; or None.
    If it raises: the failure is counted, the cache opens without them.
    """


@hookspec
def predis_metric_sources(cache: CacheView) -> Sequence[MetricSource] | None:
    """Add metrics of the plugin's own to what exporters get.

    When: a cache is built.
    Returns: objects with `metrics` and `collect()`, or None.
    If it raises: the failure is counted, the cache opens without them.
    """


@hookspec
def predis_models(cache: CacheView) -> Sequence[Model] | None:
    """Hand trainable models over, for plugins that watch, ship, average or improve them.

    When: a cache is built. Other plugins find them by `cache.models()` from when it is opened.
    Returns: objects with a `name`, a `version`, `export()` and `load(parameters)` of parameters as
        named arrays in which no key is, and `scores(since)`; or None. Other plugins call them, in
        their threads.
    If it raises: the failure is counted, the cache opens without them. If a model does, whoever
        called it gets a PluginError.
    """


@hookspec
def predis_state(cache: CacheView) -> Sequence[StateSection] | None:
    """Keep something in the cache's snapshots.

    When: a cache is built.
    Returns: objects with a `name`, `save()` and `restore(data)`, called in the plugin's own thread
        when the cache writes or reads a snapshot; or None.
    If it raises: the failure is counted, the cache opens without them. If `save` or `restore` does,
        or the plugin is not enabled where a snapshot is restored, the section is left out, with a
        warning and an event "snapshot.section"; the entries are written or restored all the same.
    """


@hookspec
def predis_advise(cache: CacheView, window: Window) -> Proposal | None:
    """Propose to change parameters of the cache.

    When: every 10 seconds, in the plugin's own thread, in the configuration's order until a plugin
        has a proposal.
    Arguments: `window` is what the cache did since the last time.
    Returns: a Proposal, or None. It is applied as a whole, with an event "advice.applied", or
        refused, with an event "advice.refused" that says why.
    If it raises: the failure is counted, the next plugin is asked.
    """


@hookspec
def predis_event(cache: CacheView, event: Event) -> None:
    """Hear of something rare that the core or another plugin emitted.

    When: soon after it happened, in the plugin's own thread. A plugin never hears its own events;
        a plugin that falls behind loses events, and the losses are counted.
    Returns: nothing.
    If it raises: the failure is counted.
    """


@hookspec
def predis_health(cache: CacheView) -> Health | None:
    """Say how the plugin is.

    When: somebody asks (`predis plugins`), in the plugin's own thread.
    Returns: Health, or None for healthy.
    If it raises: the failure is counted and the plugin shown as failing.
    """


@hookspec
def predis_cache_opened(cache: CacheView) -> None:
    """Begin with a cache that has just been opened.

    When: after the cache was built, before `open` returns it.
    Returns: nothing.
    If it raises: the failure is counted, the cache is opened all the same.
    """


@hookspec
def predis_cache_closing(cache: CacheView, reason: str) -> None:
    """End with a cache that is about to close, and still answers.

    When: before the cache gives up its entries, in the reverse order of plugins, with a deadline.
    Arguments: `reason` is "closed", "collected" (nobody held the cache any longer) or "exit".
    Returns: nothing.
    If it raises: the failure is counted, the cache closes all the same.
    """
