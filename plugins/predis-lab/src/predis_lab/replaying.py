"""Replaying a trace: what a cache of a given size and policy would have hit.

The definition is that of the literature, get-then-insert: each request is looked up, and a key
that is missing is inserted before the next request. So figures compare with published ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import chain
from operator import methodcaller
from typing import Any

import numpy as np
import numpy.typing as npt

from predis_core import policies as core_policies
from predis_core.adapt import Curves, Truth
from predis_core.policies import Policy
from predis_lab.amounts import Amounts
from predis_lab.census import Census, take_census
from predis_lab.runs import Bound, Report, Share, open_run
from predis_lab.sizes import Memory, Size
from predis_lab.traces import Trace
from predis_lab.values import Source, Values

SLOTS_PER_VALUE = 6
"""How many slots a cache that is bounded by bytes has for each value of mean size that fits: a
policy may prefer small values, and then holds far more of them."""

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Point:
    """One point of a miss-ratio curve: a trace, a policy, a size, and a report per seed."""

    trace: str
    policy: str
    size: Size | Memory
    reports: tuple[Report, ...]

    @property
    def entries(self) -> int:
        """The size in entries."""
        return self.reports[0].capacity

    @property
    def miss_ratio(self) -> float:
        """The mean over the seeds."""
        return float(np.mean([report.miss_ratio for report in self.reports]))

    @property
    def memory(self) -> int | None:
        """Bytes that values could take; None if only entries were bounded."""
        return self.reports[0].memory

    @property
    def byte_miss_ratio(self) -> float | None:
        """The share of bytes that missed, as the mean over the seeds; None without sizes."""
        return _mean([report.bytes for report in self.reports])

    @property
    def cost_miss_ratio(self) -> float | None:
        """The share of the cost that was paid, as the mean over the seeds; None without costs."""
        return _mean([report.cost for report in self.reports])

    def as_dict(self) -> dict[str, Any]:
        """All of it, as JSON can carry it."""
        known = {
            "trace": self.trace,
            "policy": self.policy,
            "size": str(self.size),
            "entries": self.entries,
            "miss_ratio": self.miss_ratio,
        }
        for name in ("memory", "byte_miss_ratio", "cost_miss_ratio"):
            if (value := getattr(self, name)) is not None:
                known[name] = value
        return {**known, "reports": [report.as_dict() for report in self.reports]}


def _mean(shares: Sequence[Share | None]) -> float | None:
    known = [share.miss_ratio for share in shares if share is not None]
    return float(np.mean(known)) if known else None


def replay(
    keys: Source,
    capacity: int,
    policy: str | Policy = "auto",
    *,
    seed: int = 0,
    batch: int = 1,
    curve: bool = False,
    sampling: float = 1.0,
    memory: str | int | None = None,
    value_sizes: str | Amounts | None = None,
    costs: str | Amounts | None = None,
) -> Report:
    """Replay requests into an empty cache of `capacity` entries and count.

    keys: int64[n], a `Trace`, or an iterable of such arrays, which is streamed
    seed: of the hash that spreads keys over the sets
    batch: 1 is get-then-insert per request; more is how a batch-first program asks: look up so
        many, then insert those that missed, so that a key twice in a batch misses twice
    curve: find out as well what caches of other sizes would have missed, as a `Cache` does
    sampling: share of the keys from which the curve is made; 1: exact for LRU
    value_sizes: what values take: "4KiB" for all, "uniform:low=1KiB,high=64KiB",
        "lognormal:median=4KiB,sigma=1.5", "column:NAME" of a trace in a file, or a function that
        returns int64[n], bytes for n keys
    memory: bytes such as "64MiB" that values may take together, besides `capacity`
    costs: what values cost to load, such as "5ms" or "lognormal:median=5ms,sigma=1", or a function
        that returns int64[n], nanoseconds for n keys
    """
    if batch < 1:
        raise ValueError(f"batch is {batch}: a batch has at least 1 request")
    if not 0 < sampling <= 1:
        raise ValueError(f"sampling is {sampling}: a share of the keys is above 0 and at most 1")
    chosen = core_policies.get(policy)
    values = Values.read(value_sizes, costs)
    limit = None if memory is None else Memory.parse(memory).bytes
    if memory is not None and (limit is None or curve or not values.have_sizes):
        raise ValueError(
            f"memory is {memory!r}: here it is bytes, goes with value_sizes=, and not with curve="
        )
    run = open_run(Bound(capacity, limit, values.have_sizes), chosen, seed, batch)
    curves = Curves.of_trace(chosen, capacity, sampling, seed) if curve else None
    for requests in map(values.requests, values.chunks(keys, batch)):
        hits = run.feed(requests)
        if curves is not None:
            truth = Truth(len(hits), int(np.count_nonzero(~hits)))
            curves.feed(requests.keys, hits, truth)
    return run.report() if curves is None else replace(run.report(), curve=curves.curve())


def miss_ratio_curve(
    trace: Trace | npt.ArrayLike,
    policies: Iterable[str | Policy] = ("auto",),
    sizes: Iterable[str | int | Size] = ("1%", "10%"),
    *,
    seeds: Sequence[int] = (0,),
    batch: int = 1,
    threads: int = 1,
    name: str | None = None,
    progress: Progress | None = None,
    memory: Iterable[str | int | Memory] | None = None,
    value_sizes: str | Amounts | None = None,
    costs: str | Amounts | None = None,
) -> list[Point]:
    """Replay a trace into a cache of every policy and size at once; one Point for each pair.

    The trace is read twice, to count its distinct keys and to replay, and never held as a whole.

    sizes: entries, or shares of the trace's distinct keys such as "1%", rounded
    seeds: hash seeds; a point has one report for each
    threads: replay into so many caches at the same time
    name: of the trace in the points; by default the file's
    progress: called with the requests replayed so far and those to replay, over all caches
    memory: in place of `sizes`: bytes such as "64MiB", or shares of what the values of all keys
        take such as "1%"; slots are then six times as many as values of mean size fit
    value_sizes, costs: as for `replay`
    """
    if isinstance(trace, Iterator):
        raise TypeError(
            "trace: an iterator can be read only once, but a curve reads its trace "
            "twice; pass an array or a Trace"
        )
    values = Values.read(value_sizes, costs)
    if memory is not None and not values.have_sizes:
        raise ValueError("memory: it bounds what values take, so give value_sizes= as well")
    bounds = map(Size.parse, sizes) if memory is None else map(Memory.parse, memory)
    census = take_census(values.chunks(trace, 1))
    chosen = [core_policies.get(policy) for policy in policies]
    pairs = [(policy, bound) for bound in bounds for policy in chosen]
    runs = [
        [open_run(_bound(size, census, values), policy, seed, batch) for seed in seeds]
        for policy, size in pairs
    ]
    total, done = census.requests * len(pairs) * len(seeds), 0
    with ThreadPoolExecutor(threads) as pool:
        for requests in map(values.requests, values.chunks(trace, batch)):
            for _ in pool.map(methodcaller("feed", requests), chain(*runs)):
                done += len(requests.keys)
                if progress is not None:
                    progress(done, total)
    label = name or (trace.name if isinstance(trace, Trace) else "trace")
    return [
        Point(label, policy.name, size, tuple(run.report() for run in of_pair))
        for (policy, size), of_pair in zip(pairs, runs, strict=True)
    ]


def _bound(size: Size | Memory, census: Census, values: Values) -> Bound:
    """What a cache of some size may hold."""
    if isinstance(size, Size):
        return Bound(size.of(census.distinct), None, values.have_sizes)
    memory = size.of(census.bytes)
    slots = SLOTS_PER_VALUE * memory * census.distinct // max(1, census.bytes)
    return Bound(max(1, min(slots, census.distinct)), memory, True)
