"""All that the author of a plugin imports.

A plugin is a distribution with an entry point of the group `predis.plugins.v1`. The entry point's
name is that of its section in the configuration; it names a `PluginSpec`:

    [project.entry-points."predis.plugins.v1"]
    lookout = "predis_lookout:PLUGIN"

The class that the spec names is constructed with the decoded section, and implements hooks of
`predis_core.hookspecs` as methods marked with `hookimpl`. If it has a method `close()`, that is
called when no open cache uses the plugin any longer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

import msgspec
import pluggy

from predis_core.config import ByteSize, CacheConfig, Duration, Secret
from predis_core.hookspecs import HOOK_API, PROJECT
from predis_core.pages import ReportPage
from predis_core.types import (
    AccessBatch,
    BatchSample,
    BatchStats,
    Distribution,
    Event,
    Health,
    KeySample,
    LoadStats,
    Metric,
    PrefetchStats,
    Proposal,
    Sample,
    Scores,
    Snapshot,
    Stats,
    Window,
)

__all__ = [
    "HOOK_API",
    "SAMPLE_INTERVAL",
    "SAMPLE_RATE",
    "AccessBatch",
    "BatchSample",
    "BatchStats",
    "ByteSize",
    "CacheConfig",
    "CacheView",
    "Distribution",
    "Duration",
    "Event",
    "Exporter",
    "Health",
    "KeySample",
    "LoadObserver",
    "LoadStats",
    "Metric",
    "MetricSource",
    "Model",
    "NoOptions",
    "Observer",
    "OfferedModel",
    "PluginSpec",
    "PrefetchStats",
    "Prefetcher",
    "Proposal",
    "Registry",
    "Sample",
    "Sampler",
    "Scores",
    "Secret",
    "Snapshot",
    "StateSection",
    "Stats",
    "Window",
    "hookimpl",
]

hookimpl = pluggy.HookimplMarker(PROJECT)
"""Marks a method as the implementation of the hook of its name."""

SAMPLE_RATE = 1 / 1024
"""The share of batches, or of keys, of a sampler that does not say."""

SAMPLE_INTERVAL = 1.0
"""Seconds from one drain of what was sampled to the next, for a sampler that does not say."""


class NoOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The section of a plugin that has no options."""


class PluginSpec(msgspec.Struct, frozen=True, kw_only=True):
    """What an entry point of the group `predis.plugins.v1` names.

    Attributes:
        plugin: the plugin's class, as "module:Class", in another module than the spec: it is
            imported only when the plugin is enabled.
        config: the Struct that the plugin's section of the configuration is decoded to. Fields may
            be of the types `Duration`, `ByteSize` and `Secret`. `required` is not one of them: the
            host reads it.
    """

    plugin: str
    config: type[msgspec.Struct] = NoOptions


class CacheView(Protocol):
    """What a plugin sees of a cache."""

    @property
    def name(self) -> str:
        """The cache's name."""

    @property
    def config(self) -> CacheConfig:
        """The cache's section of the configuration."""

    def stats(self) -> Stats:
        """Return what the cache did since it was opened.

        Raises:
            CacheUnusable: before the cache was built, and after it was closed.
        """

    def snapshot(self) -> Snapshot:
        """Return all that is measured about the cache, other plugins' metrics included.

        Raises:
            CacheUnusable: as `stats`.
        """

    def emit(self, event: Event) -> None:
        """Tell the other plugins of something rare; returns at once."""

    def models(self) -> Sequence[OfferedModel]:
        """Return the models of all plugins of the cache; all of them once it was opened."""

    def report_pages(self) -> Sequence[ReportPage]:
        """Return the pages that plugins of the cache have for a report about it, as of now."""


class Registry(Protocol):
    """Where a plugin puts what a configuration may name."""

    def add_policy(self, policy: Any) -> None:
        """Offer an eviction policy under its own name, for `policy = "…"`.

        Raises:
            PolicyError: if it does not keep the contract.
            PluginError: if there is a policy of that name already.
        """

    def add_loader(self, name: str, loader: Any) -> None:
        """Offer a batch loader, for `loader = "…"`.

        Raises:
            PluginError: if it is not callable, or there is a loader of that name already.
        """

    def add_tier(self, name: str, tier: Any) -> None:
        """Offer what makes a tier, for `tier = "…"`: it gets a `predis_core.tiers.TierRequest`.

        Raises:
            PluginError: if it is not callable, or there is a tier of that name already.
        """

    def add_report_page(self, name: str, page: Callable[[str], ReportPage | None]) -> None:
        """Offer a page for reports about caches, such as those of predis-lab.

        `page(cache)` gets a cache's name and returns a `predis_core.pages.ReportPage`, or None if
        there is nothing to show. It runs in the plugin's own thread; as the cache closes, maybe
        after `predis_cache_closing`.

        Raises:
            PluginError: if it is not callable, or there is a page of that name already.
        """


class Observer(Protocol):
    """Watches every batch, in the thread of its caller, so it must not wait for anything.

    With an attribute `operations`, some of those that `BatchStats` names, it watches batches of
    these only, and the others cost nothing.
    """

    def on_batch(self, stats: BatchStats) -> None:
        """Take note of a batch that has just been served."""


class LoadObserver(Observer, Protocol):
    """An observer that watches loaders too: one that has a method `on_load`."""

    def on_load(self, load: LoadStats) -> None:
        """Take note of a call of a loader that has just ended.

        Runs in the thread or task that called it, in the context of the call that it loads for.
        """


class Exporter(Protocol):
    """Sends what is measured somewhere."""

    @property
    def interval(self) -> float | None:
        """Seconds from the beginning of one export to that of the next.

        None: `export` is never called; the exporter asks `cache.snapshot()` itself.
        """

    def export(self, snapshot: Snapshot) -> None:
        """Send a snapshot; runs in the plugin's own thread."""


class Sampler(Protocol):
    """Looks at accesses with their keys. What it leaves out, or inherits, is as below.

    Attributes:
        stream: "batches": some batches of every verb, whole (for logs); "keys": every lookup of
            some keys (for what needs all lookups of a key, as reuse distances do).
        rate: the share that is sampled, above 0 and at most 1: of batches, each drawn with the same
            chance, or of keys, chosen by their hash.
        interval: seconds from one drain of what was sampled to the next.
    """

    stream: str = "batches"
    rate: float = SAMPLE_RATE
    interval: float = SAMPLE_INTERVAL

    def on_sample(self, sample: Any) -> None:
        """Take a `BatchSample`, or a `KeySample`; runs in the plugin's own thread.

        Up to a million accesses wait; what comes on top is dropped, and counted.
        """


class Prefetcher(Protocol):
    """Sees every look-up of a cache, and proposes keys that will be asked for soon.

    What it proposes is loaded by the cache's default loader as far as that pays: guesses that are
    not used cost it its credit. All calls are made by one thread, in the order of the batches; some
    batches may be left out.
    """

    @property
    def name(self) -> str:
        """What it is called; no other prefetcher of the cache is."""

    def observe(self, batch: AccessBatch) -> None:
        """Take note of a batch of look-ups; its arrays are read, and not kept."""

    def predict(self, limit: int) -> tuple[Any, Any]:
        """Return keys that will be asked for soon, and how sure that is.

        Called after each `observe`, or after several. What was proposed once is not proposed again
        until there is a new reason; those that are in the cache are passed over.

        Args:
            limit: how many keys are of use.

        Returns:
            (keys, confidences): int64[m] for int64 keys, else a list of m keys, best first; and
            float[m], for each the probability that it will be asked for soon.
        """


class MetricSource(Protocol):
    """Metrics that the core does not know."""

    @property
    def metrics(self) -> Sequence[Metric]:
        """All that `collect` may return samples of; names no other source uses."""

    def collect(self) -> Iterable[Sample]:
        """Return the values of now; runs in the plugin's own thread."""


class Model(Protocol):
    """Something that learns. Its methods are called in other plugins' threads, at any time."""

    @property
    def name(self) -> str:
        """What it is called: 1 to 100 characters, another one for each of the plugin's."""

    @property
    def version(self) -> Any:
        """Which one it is: another one after each training or `load`."""

    def export(self) -> Mapping[str, Any]:
        """Return its parameters: named arrays of numbers, in which no key is."""

    def load(self, parameters: Mapping[str, Any]) -> None:
        """Replace its parameters by those that some model of the same kind exported.

        What does not fit it has to refuse by raising, before anything is changed.
        """

    def scores(self, since: int) -> Scores:
        """Return what it scored since `Scores.until` of an earlier call; 0: all that it kept."""


class OfferedModel(Model, Protocol):
    """A plugin's model as others see it.

    What is exported was copied. Each method raises PluginError if the model's own does.
    """

    @property
    def plugin(self) -> str:
        """The plugin whose it is."""


class StateSection(Protocol):
    """Something of a plugin that a cache's snapshots carry; called in the plugin's own thread."""

    @property
    def name(self) -> str:
        """What it is called: 1 to 100 characters, another one for each of the plugin's."""

    def save(self) -> bytes:
        """Return all that `restore` needs: at most 64 MiB, and no pickle."""

    def restore(self, data: bytes) -> None:
        """Go on from what `save` returned, in this process or another, of this version or another.

        What it does not understand it should refuse by raising, before anything is changed.
        """
