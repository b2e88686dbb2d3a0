"""What is measured: the catalogue of metrics, how latencies are counted, and what a snapshot holds.

The catalogue is the one place where a metric of the core is named. Exporters derive their spelling
from it and the reference page is generated from it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from predis_core.types import Distribution, Metric, Sample, Stats, TierStats

OPERATIONS = ("get", "load", "set", "delete", "contains", "touch")
"""What a batch can be; see `BatchStats`."""

COUNTERS = {
    "hits": Metric("predis.cache.hits", "counter", "keys", "Looked-up keys that were found."),
    "misses": Metric(
        "predis.cache.misses", "counter", "keys", "Looked-up keys that were absent or expired."
    ),
    "insertions": Metric(
        "predis.cache.insertions",
        "counter",
        "entries",
        "Keys stored that were not resident before.",
    ),
    "updates": Metric(
        "predis.cache.updates", "counter", "entries", "Resident keys whose value was replaced."
    ),
    "evictions": Metric(
        "predis.cache.evictions", "counter", "entries", "Live entries that left to make room."
    ),
    "conflicts": Metric(
        "predis.cache.conflicts",
        "counter",
        "entries",
        "Evictions from a full set at a time when the cache as a whole was not full.",
    ),
    "expirations": Metric(
        "predis.cache.expirations",
        "counter",
        "entries",
        "Expired entries whose slot was reclaimed.",
    ),
    "deletions": Metric(
        "predis.cache.deletions",
        "counter",
        "entries",
        "Entries removed by delete, pop or clear.",
    ),
    "refusals": Metric(
        "predis.cache.refusals", "counter", "entries", "Entries that could not be stored."
    ),
    "hit_bytes": Metric(
        "predis.cache.hit_bytes", "counter", "bytes", "What the values of hits weighed."
    ),
    "inserted_bytes": Metric(
        "predis.cache.inserted_bytes",
        "counter",
        "bytes",
        "What the values weighed that were stored for keys not resident before.",
    ),
    "loads": Metric("predis.cache.loads", "counter", "keys", "Ids that a loader was asked for."),
    "load_failures": Metric(
        "predis.cache.load_failures",
        "counter",
        "keys",
        "Ids whose load raised or returned what does not fit.",
    ),
    "loads_saved": Metric(
        "predis.cache.loads_saved",
        "counter",
        "keys",
        "Ids that waited for a load already under way instead of starting another.",
    ),
}
"""By the field of `Stats` that holds the value."""

GAUGES = {
    "size": Metric(
        "predis.cache.size",
        "gauge",
        "entries",
        "Entries held, expired ones that were not reclaimed yet included.",
    ),
    "capacity": Metric("predis.cache.capacity", "gauge", "entries", "Entries that fit."),
    "bytes": Metric(
        "predis.cache.bytes",
        "gauge",
        "bytes",
        "What the values weigh that are held; 0 for Python objects without a weigher.",
    ),
}
"""By the field of `Stats` that holds the value."""

MEMORY = Metric(
    "predis.cache.memory",
    "gauge",
    "bytes",
    "Memory of the table and of what the cache learns from; Python objects not included.",
)
INFO = Metric(
    "predis.cache.info",
    "gauge",
    "1",
    "Always 1; the labels tell how the cache was built.",
    ("cache", "policy", "keys", "value", "version"),
)
OF_TIERS = {
    "hits": Metric(
        "predis.cache.tier.hits",
        "counter",
        "keys",
        "Looked-up keys that were found in one of the tables of a cache with a tier.",
        ("cache", "tier"),
    ),
    "evictions": Metric(
        "predis.cache.tier.evictions",
        "counter",
        "entries",
        "Live entries that left one of its tables to make room; from above, they are still below.",
        ("cache", "tier"),
    ),
    "size": Metric(
        "predis.cache.tier.size",
        "gauge",
        "entries",
        "Entries that one of its tables holds.",
        ("cache", "tier"),
    ),
    "capacity": Metric(
        "predis.cache.tier.capacity",
        "gauge",
        "entries",
        "Entries that fit into one of its tables.",
        ("cache", "tier"),
    ),
    "memory": Metric(
        "predis.cache.tier.memory",
        "gauge",
        "bytes",
        "Memory of one of its tables.",
        ("cache", "tier"),
    ),
}
"""By the field of `TierStats` that holds the value; of caches with a tier only."""

BATCH_SECONDS = Metric(
    "predis.cache.batch.duration",
    "histogram",
    "seconds",
    "How long a batch took, its loads included; calls that raised are left out.",
    ("cache", "operation"),
)
PLUGIN_FAILURES = Metric(
    "predis.plugin.failures",
    "counter",
    "1",
    "Times that something of a plugin raised where the host calls it.",
    ("cache", "plugin"),
)
PLUGIN_UP = Metric(
    "predis.plugin.up",
    "gauge",
    "1",
    "Whether a plugin works: 0 if it hangs, or part of it is disabled after failures, else 1.",
    ("cache", "plugin"),
)
OBSERVER_SECONDS = Metric(
    "predis.plugin.observer.duration",
    "gauge",
    "seconds",
    "Mean time that a plugin's observers take per batch, sampled.",
    ("cache", "plugin"),
)
SAMPLER_EVENTS = Metric(
    "predis.sampler.events",
    "counter",
    "keys",
    "Accesses of keys that a plugin's samplers were handed.",
    ("cache", "plugin"),
)
SAMPLER_DROPPED = Metric(
    "predis.sampler.dropped",
    "counter",
    "keys",
    "Accesses of keys that were sampled and lost, because a plugin's samplers did not keep up.",
    ("cache", "plugin"),
)
EVENTS_DROPPED = Metric(
    "predis.host.events_dropped",
    "counter",
    "1",
    "Events that were lost because plugins did not keep up.",
    ("cache",),
)
_PREFETCHER = ("cache", "prefetcher")
PREFETCHED = {
    "loads": Metric(
        "predis.prefetch.loads",
        "counter",
        "entries",
        "Entries that were loaded before anybody asked for them.",
        _PREFETCHER,
    ),
    "used": Metric(
        "predis.prefetch.used",
        "counter",
        "entries",
        "Entries loaded ahead that were asked for while they were there.",
        _PREFETCHER,
    ),
    "late": Metric(
        "predis.prefetch.late",
        "counter",
        "entries",
        "Entries loaded ahead that were asked for while they were being loaded.",
        _PREFETCHER,
    ),
    "unused": Metric(
        "predis.prefetch.unused",
        "counter",
        "entries",
        "Entries loaded ahead that were not asked for in time.",
        _PREFETCHER,
    ),
    "harmful": Metric(
        "predis.prefetch.harmful",
        "counter",
        "entries",
        "Entries that left for one loaded ahead, and were asked for soon after.",
        _PREFETCHER,
    ),
    "credit": Metric(
        "predis.prefetch.credit",
        "gauge",
        "entries",
        "Entries that a prefetcher may get loaded ahead; below 1 it is quiet.",
        _PREFETCHER,
    ),
}
"""By field of `PrefetchStats`."""

PREFETCH_FAILURES = Metric(
    "predis.prefetch.failures",
    "counter",
    "entries",
    "Entries that the loader failed to load ahead.",
)
PREFETCH_DROPPED = Metric(
    "predis.prefetch.dropped",
    "counter",
    "keys",
    "Looked-up keys that prefetchers did not see, because prefetching did not keep up.",
)

CATALOGUE: tuple[Metric, ...] = (
    *COUNTERS.values(),
    *GAUGES.values(),
    *OF_TIERS.values(),
    MEMORY,
    INFO,
    BATCH_SECONDS,
    PLUGIN_FAILURES,
    PLUGIN_UP,
    OBSERVER_SECONDS,
    SAMPLER_EVENTS,
    SAMPLER_DROPPED,
    EVENTS_DROPPED,
    *PREFETCHED.values(),
    PREFETCH_FAILURES,
    PREFETCH_DROPPED,
)
"""Every metric of the core."""

_POWERS = range(10, 34)
"""A bucket ends at each of these powers of two of a nanosecond, included: 1 µs to 8.6 s."""

BOUNDS = tuple((1 << power) / 1e9 for power in _POWERS)
"""Upper bounds of the buckets of latencies, in seconds."""

_BITS = 65
"""Bits that a duration may have, and one."""


class Latencies:
    """A histogram of durations that any thread may add to, without waiting and without a loss.

    A duration is counted by its bits, in two statements that call nothing between reading a number
    and writing it back: threads, signal handlers and finalisers take turns at calls and at jumps
    backwards only. Few lines of memory are touched: a batch has just thrown all of this out of the
    processor's caches.

    Attributes:
        counts: of durations, by the bits of what is one nanosecond less.
        total: nanoseconds of all durations.
    """

    __slots__ = ("counts", "total")

    def __init__(self) -> None:
        self.counts = [0] * _BITS
        self.total = 0

    def add(self, nanoseconds: int) -> None:
        """Count one duration."""
        bits = (nanoseconds - 1).bit_length()
        self.counts[bits] += 1
        self.total += nanoseconds

    def read(self) -> Distribution:
        """Return the durations so far, in seconds."""
        first, end = _POWERS.start, _POWERS.stop
        counts = self.counts.copy()
        shown = (sum(counts[: first + 1]), *counts[first + 1 : end], sum(counts[end:]))
        return Distribution(BOUNDS, shown, self.total / 1e9)


def samples_of(cache: str, stats: Stats) -> Iterator[Sample]:
    """Yield a sample of each metric that `Stats` holds."""
    for field, metric in (*COUNTERS.items(), *GAUGES.items()):
        yield Sample(metric, (cache,), getattr(stats, field))


def samples_of_tiers(cache: str, tiers: Iterable[TierStats]) -> Iterator[Sample]:
    """Yield a sample of each metric that `TierStats` hold."""
    for stats in tiers:
        for field, metric in OF_TIERS.items():
            yield Sample(metric, (cache, stats.name), getattr(stats, field))
