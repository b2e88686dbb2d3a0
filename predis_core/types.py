"""Plain records that cross rooms."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import msgspec

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


class Stats(msgspec.Struct, frozen=True, kw_only=True):
    """What a cache did since it was opened. All fields count entries, never batches.

    Attributes:
        requests: keys looked up by a `get` of any face (`hits + misses`).
        hits: looked-up keys that were found.
        misses: looked-up keys that were absent or expired.
        insertions: keys stored that were not resident before.
        updates: resident keys whose value was replaced.
        evictions: live entries that left to make room.
        conflicts: evictions from a full set at a time when the cache as a whole was not full.
        expirations: expired entries whose slot was reclaimed.
        deletions: entries removed by `delete`, `pop` or `clear`.
        refusals: entries that could not be stored.
        bytes: what the values weigh that are held: rows and blobs their lengths, objects what the
            weigher said, or 0 without one.
        hit_bytes: what the values of hits weighed.
        inserted_bytes: what the values of insertions weighed.
        loads: ids that a loader was asked for.
        load_failures: ids whose load raised or did not fit.
        loads_saved: ids that waited for a load already under way instead of starting another.
        size: entries held now, expired ones that were not reclaimed yet included.
        capacity: entries that fit.
    """

    hits: int
    misses: int
    insertions: int
    updates: int
    evictions: int
    conflicts: int
    expirations: int
    deletions: int
    refusals: int
    bytes: int
    hit_bytes: int
    inserted_bytes: int
    loads: int
    load_failures: int
    loads_saved: int
    size: int
    capacity: int

    @property
    def requests(self) -> int:
        """Keys looked up."""
        return self.hits + self.misses

    @property
    def hit_ratio(self) -> float:
        """Hits per request; 0.0 before the first request."""
        return self.hits / self.requests if self.requests else 0.0

    @property
    def miss_ratio(self) -> float:
        """Misses per request; 0.0 before the first request."""
        return self.misses / self.requests if self.requests else 0.0

    @property
    def byte_hit_ratio(self) -> float:
        """Bytes that hits gave out per byte asked for; 0.0 before the first.

        What was missed has no length; what was inserted stands for it, as for a program that stores
        what it misses.
        """
        asked = self.hit_bytes + self.inserted_bytes
        return self.hit_bytes / asked if asked else 0.0


class Removals(NamedTuple):
    """Entries that left a cache, in the order in which they did.

    Attributes:
        keys: int64[m] for int64 keys, else a list.
        values: what they had: an array [m, *shape] for Rows, else a list.
        reasons: a list of m: "replaced" (by another value), "expired" (found so when its place was
            needed or it was deleted), "evicted" (to make room), "deleted" or "cleared".
        costs: float64[m], the seconds that a loader took for each, or 0.0 if that is not known:
            loads of several ids share theirs equally. Only a cache that was opened with a listener
            keeps them.
    """

    keys: Any
    values: Any
    reasons: list[str]
    costs: npt.NDArray[np.float64]


class TierStats(msgspec.Struct, frozen=True):
    """What one of the tables of a cache with a tier did and has.

    Attributes:
        name: "above" for the table that is asked first, else what the tier is called.
        capacity, size: entries that fit, and that are there.
        hits: looked-up keys that were found in it, and so not asked for further down.
        evictions: entries that left it to make room; from above, they are still in the tier.
        memory: bytes that it takes.
    """

    name: str
    capacity: int
    size: int
    hits: int
    evictions: int
    memory: int


class Evicted(NamedTuple):
    """The entries that a write displaced to make room, in the order of the write.

    Attributes:
        keys: int64[m] for int64 keys, else a list.
        values: an array [m, *shape] for Rows, else a list.
    """

    keys: Any
    values: Any


class BatchStats(msgspec.Struct, frozen=True, gc=False):
    """What one batch did: what observers are told. Calls that raise are not told of.

    Attributes:
        cache: the cache's name.
        operation: "get", "load", "set", "delete", "contains" or "touch"; single keys are batches
            of one.
        keys: keys in the batch.
        found: of them, how many were hits before any load ("get", "load"), were stored ("set") or
            were present (the others).
        nanoseconds: how long the call took.
    """

    cache: str
    operation: str
    keys: int
    found: int
    nanoseconds: int


class LoadStats(msgspec.Struct, frozen=True, gc=False):
    """What one call of a loader did: what observers with `on_load` are told, also if it failed.

    Attributes:
        cache: the cache's name.
        keys: ids that the loader was asked for.
        failed: of them, how many could not be loaded: all of them if the loader raised or returned
            what does not fit, else 0.
        nanoseconds: how long it took, reading what it returned included.
        error: name of the type of what it raised, or of what was raised about it; "" if nothing.
    """

    cache: str
    keys: int
    failed: int
    nanoseconds: int
    error: str


class BatchSample(msgspec.Struct, frozen=True, eq=False):
    """One whole batch: what samplers of the stream "batches" get.

    Attributes:
        cache: the cache's name.
        operation: as in `BatchStats`.
        time: nanoseconds since the Unix epoch, at which it began, by a clock that was set when the
            cache was opened and never goes back.
        keys: int64[n] for int64 keys, else a list; read-only.
        found: bool[n], read-only: which were hits before any load ("get", "load"), were stored
            ("set") or were present (the others).
    """

    cache: str
    operation: str
    time: int
    keys: Any
    found: Any


class KeySample(msgspec.Struct, frozen=True, eq=False):
    """Every lookup of some keys: what samplers of the stream "keys" get. Loads look up first.

    Attributes:
        cache: the cache's name.
        words: int64[m], the keys in the order of their lookups; for kinds other than int64 a hash
            of each, the same for equal keys of a cache.
        ticks: int64[m], the table's time at the batch that each was in: it counts keys.
        hits: bool[m].
        rate: the share of keys that are sampled, all lookups of each: the sampler's `rate`, as a
            multiple of 2**-20.
    """

    cache: str
    words: Any
    ticks: Any
    hits: Any
    rate: float


class AccessBatch(msgspec.Struct, frozen=True, eq=False):
    """One batch of look-ups, whole: what prefetchers get. Loads look up first.

    Attributes:
        cache: the cache's name; that of a namespace is "CACHE/NAMESPACE".
        keys: int64[n] for int64 keys, else object[n], in the order in which they were asked for.
        words: int64[n], `keys` itself for int64 keys; for other kinds a hash of each, the same for
            equal keys of a cache.
        hits: bool[n], which were in the cache.
        used: bool[n], which of them were there because they had been loaded ahead, and had not been
            asked for since; None: none.
        late: bool[n], which were being loaded ahead when they were asked for; None: none.
    """

    cache: str
    keys: Any
    words: Any
    hits: Any
    used: Any = None
    late: Any = None


class PrefetchStats(msgspec.Struct, frozen=True, kw_only=True):
    """What a prefetcher did for a cache since it was opened.

    Attributes:
        prefetcher: its name.
        loads: entries that were loaded because it proposed them.
        used: of them, how many were asked for while they were there.
        late: how many were asked for while they were being loaded.
        unused: how many were not asked for in time.
        harmful: for how many something left that was asked for soon after.
        credit: how many it may get loaded.
        is_quiet: whether it may not get any, as too few of its proposals were asked for.
    """

    prefetcher: str
    loads: int
    used: int
    late: int
    unused: int
    harmful: int
    credit: float
    is_quiet: bool


class Scores(NamedTuple):
    """Scores that a model gave lately, in the order in which it gave them.

    Attributes:
        values: float64[m], those since what was asked for; the oldest ones may be gone.
        until: what to ask for the next time.
    """

    values: npt.NDArray[np.float64]
    until: int


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """What a cache did lately: what advisers are asked about.

    Attributes:
        begin: nanoseconds since the Unix epoch.
        seconds: how long it was.
        requests, hits, evictions: as in `Stats`, within the window.
    """

    begin: int
    seconds: float
    requests: int
    hits: int
    evictions: int


class Proposal(msgspec.Struct, frozen=True):
    """What a plugin would change about a cache, and why.

    Attributes:
        parameters: new values by name. "auto.reset" (True): the policy "auto" forgets what it
            learned, and chooses anew. "sampling.rate" (above 0, at most 1): the share of keys that
            the plugin's own samplers of the stream "keys" get.
        reason: a sentence for people.
    """

    parameters: dict[str, Any]
    reason: str


class Metric(msgspec.Struct, frozen=True):
    """What is measured; every exporter derives its own spelling from it.

    Attributes:
        name: dotted and in lower case, as `predis.cache.hits`.
        kind: "counter" (only grows), "gauge" or "histogram".
        unit: "keys", "entries", "bytes", "seconds", …; "1" for what has none.
        help: one sentence.
        labels: names of the labels, in the order of each sample's values.
    """

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    unit: str
    help: str
    labels: tuple[str, ...] = ("cache",)


class Distribution(msgspec.Struct, frozen=True):
    """The value of a histogram.

    Attributes:
        bounds: upper bounds, ascending, each included in its bucket; a last bucket has none.
        counts: observations per bucket (not cumulative), one more than `bounds`.
        sum: of all observations, in the metric's unit.
    """

    bounds: tuple[float, ...]
    counts: tuple[int, ...]
    sum: float

    @property
    def count(self) -> int:
        """Observations in all."""
        return sum(self.counts)


class Sample(msgspec.Struct, frozen=True):
    """One value of a metric.

    Attributes:
        metric: what was measured.
        labels: a value for each of the metric's labels.
        value: a number, or a Distribution for a histogram.
    """

    metric: Metric
    labels: tuple[str, ...]
    value: int | float | Distribution


class Snapshot(msgspec.Struct, frozen=True):
    """All that is measured about a cache, at one moment.

    Attributes:
        cache: the cache's name.
        time: nanoseconds since the Unix epoch.
        samples: the catalogue's metrics, then those of plugins' metric sources.
    """

    cache: str
    time: int
    samples: tuple[Sample, ...]


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """Something rare that is worth a line in a log.

    Attributes:
        kind: dotted, as "plugin.disabled".
        message: a sentence for people.
        severity: "info", "warning" or "error".
        data: what a program may want to know about it.
        source: the plugin that emitted it, or "core"; the host fills it in.
        cache: the cache it concerns, or ""; the host fills it in.
        time: nanoseconds since the Unix epoch; the host fills it in.
    """

    kind: str
    message: str
    severity: Literal["info", "warning", "error"] = "info"
    data: dict[str, Any] = {}
    source: str = ""
    cache: str = ""
    time: int = 0


class Health(msgspec.Struct, frozen=True):
    """How a plugin is.

    Attributes:
        status: "healthy", "degraded" (works in part) or "failing".
        message: why, if it is not healthy.
    """

    status: Literal["healthy", "degraded", "failing"] = "healthy"
    message: str = ""
