"""What one cache did between two looks at it, out of the snapshots of its process."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from predis_core.plugin import Distribution, Snapshot
from predis_core.telemetry import BATCH_SECONDS, COUNTERS, GAUGES, INFO, MEMORY, PLUGIN_UP

NANOSECONDS = 1e9
_FIELDS = {metric.name: name for name, metric in (COUNTERS | GAUGES).items()}


@dataclass
class Totals:
    """What a snapshot says of one cache, or of one of its namespaces.

    Attributes:
        cache: its name; a namespace's is "CACHE/NAMESPACE".
        time: nanoseconds since the Unix epoch.
        counts: counters and gauges by the field of `Stats`.
        durations: of batches, in seconds, by operation.
        memory: bytes of its table; None for a namespace, whose cache counts it.
        policy: its eviction policy; "" if nothing says so.
        down: the plugins of the cache that do not work.
    """

    cache: str
    time: int
    counts: dict[str, float] = field(default_factory=dict)
    durations: dict[str, Distribution] = field(default_factory=dict)
    memory: float | None = None
    policy: str = ""
    down: list[str] = field(default_factory=list)


def totals_of(snapshot: Snapshot) -> list[Totals]:
    """Return what a snapshot says of its cache, and then of each namespace."""
    found: dict[str, Totals] = {}
    for sample in snapshot.samples:
        labels = dict(zip(sample.metric.labels, sample.labels, strict=False))
        cache = labels.get("cache", snapshot.cache)
        totals = found.setdefault(cache, Totals(cache, snapshot.time))
        name = sample.metric.name
        if isinstance(sample.value, Distribution):
            if name == BATCH_SECONDS.name:
                totals.durations[labels["operation"]] = sample.value
        elif name in _FIELDS:
            totals.counts[_FIELDS[name]] = sample.value
        elif name == MEMORY.name:
            totals.memory = sample.value
        elif name == INFO.name:
            totals.policy = labels["policy"]
        elif name == PLUGIN_UP.name and not sample.value:
            totals.down.append(labels["plugin"])
    # What only plugins measure, under a name of theirs, is no cache.
    return [totals for _, totals in sorted(found.items()) if totals.counts]


@dataclass(frozen=True)
class Reading:
    """What one cache of a process did lately.

    Attributes:
        pid: its process.
        now: all since it was opened.
        seconds: how long "lately" is: since the look before, or None on the first one. What is said
            of that time is then said of all the time since it was opened.
        counts: how much each counter grew lately.
        durations: of the batches of that time, by operation.
    """

    pid: int
    now: Totals
    seconds: float | None
    counts: Mapping[str, float]
    durations: Mapping[str, Distribution]

    @property
    def requests(self) -> float:
        """Keys looked up."""
        return self.counts["hits"] + self.counts["misses"]

    @property
    def hit_ratio(self) -> float | None:
        """Hits per look-up; None without look-ups."""
        return self.counts["hits"] / self.requests if self.requests else None

    @property
    def fill(self) -> float:
        """Entries held, of those that fit."""
        capacity = self.now.counts["capacity"]
        return self.now.counts["size"] / capacity if capacity else 0.0

    def rate(self, *counters: str) -> float | None:
        """How much counters grew per second; None on the first look."""
        if not self.seconds:
            return None
        return sum(self.counts[name] for name in counters) / self.seconds

    def quantile(self, quantile: float, operation: str = "get") -> float | None:
        """Seconds that this share of the batches took at most; None without batches.

        It is the upper end of a bucket: the true value lies up to a factor of two below. Batches
        beyond the last bucket give infinity.
        """
        durations = self.durations.get(operation)
        if durations is None or not durations.count:
            return None
        wanted, seen = quantile * durations.count, 0
        for bound, count in zip((*durations.bounds, math.inf), durations.counts, strict=True):
            seen += count
            if seen >= wanted:
                return bound
        return None

    def as_dict(self) -> dict[str, object]:
        """Return the reading for JSON; rates are per second, times in seconds.

        A quantile beyond the last bucket is None there.
        """
        loads = ("loads", "load_failures", "loads_saved")
        changes = ("insertions", "updates", "evictions", "expirations", "deletions", "refusals")
        return {
            "pid": self.pid,
            "cache": self.now.cache,
            "policy": self.now.policy,
            "time": self.now.time,
            "seconds": self.seconds,
            "hit_ratio": self.hit_ratio,
            "lookups_per_second": self.rate("hits", "misses"),
            **{f"{name}_per_second": self.rate(name) for name in (*changes, *loads)},
            "batches": {
                operation: {
                    "count": durations.count,
                    "p50": _finite(self.quantile(0.5, operation)),
                    "p99": _finite(self.quantile(0.99, operation)),
                }
                for operation, durations in self.durations.items()
            },
            "memory": self.now.memory,
            "plugins_down": self.now.down,
            "totals": self.now.counts,
        }


def _finite(value: float | None) -> float | None:
    """JSON has no infinity."""
    return None if value is None or math.isinf(value) else value


class Readings:
    """Makes readings of snapshots, each since the one before."""

    def __init__(self) -> None:
        self._before: dict[tuple[int, str], Totals] = {}

    def of(self, answers: Mapping[int, list[Snapshot]]) -> list[Reading]:
        """Return the readings of all caches of some processes; those that left are forgotten."""
        found = {
            (pid, totals.cache): totals
            for pid, snapshots in answers.items()
            for snapshot in snapshots
            for totals in totals_of(snapshot)
        }
        readings = [
            _between(pid, self._before.get((pid, cache)), totals)
            for (pid, cache), totals in found.items()
        ]
        self._before = found
        return readings


def _between(pid: int, before: Totals | None, now: Totals) -> Reading:
    counters = dict(_counters(now, {}))
    if before is not None:
        lately = dict(_counters(now, before.counts))
        # A cache of that name that was opened anew has counted from 0 again.
        if now.time > before.time and all(count >= 0 for count in lately.values()):
            durations = {
                operation: _less(durations, before.durations.get(operation))
                for operation, durations in now.durations.items()
            }
            seconds = (now.time - before.time) / NANOSECONDS
            return Reading(pid, now, seconds, lately, durations)
    return Reading(pid, now, None, counters, now.durations)


def _counters(now: Totals, before: Mapping[str, float]) -> Iterator[tuple[str, float]]:
    for name in COUNTERS:
        yield name, now.counts.get(name, 0) - before.get(name, 0)


def _less(now: Distribution, before: Distribution | None) -> Distribution:
    if before is None:
        return now
    counts = tuple(a - b for a, b in zip(now.counts, before.counts, strict=True))
    return Distribution(now.bounds, counts, now.sum - before.sum)
