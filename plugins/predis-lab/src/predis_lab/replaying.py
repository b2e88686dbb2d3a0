"""Replaying a trace: what a cache of a given size and policy would have hit.

The definition is that of the literature, get-then-insert: each request is looked up, and a key
that is missing is inserted before the next request. So figures compare with published ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from itertools import chain
from operator import methodcaller
from time import perf_counter
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

import predis_core as predis
from predis_core import policies as core_policies
from predis_core.policies import Policy
from predis_core.table import Counter, open_table
from predis_lab.census import take_census
from predis_lab.sizes import Size
from predis_lab.traces import CHUNK, Keys, Trace, rechunk

Source = Trace | npt.ArrayLike | Iterable[Keys]
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Report:
    """What became of the requests of a trace.

    Attributes:
        policy, capacity (entries), seed: what was replayed into.
        requests, hits, evictions: counts.
        seconds: time spent in the cache, reading of the trace not included.
    """

    policy: str
    capacity: int
    seed: int
    requests: int
    hits: int
    evictions: int
    seconds: float

    @property
    def misses(self) -> int:
        """Requests that found nothing."""
        return self.requests - self.hits

    @property
    def miss_ratio(self) -> float:
        """Misses per request; 0.0 without requests."""
        return self.misses / self.requests if self.requests else 0.0

    def as_dict(self) -> dict[str, Any]:
        """All of it, as JSON can carry it."""
        return {**asdict(self), "misses": self.misses, "miss_ratio": self.miss_ratio}


@dataclass(frozen=True, slots=True)
class Point:
    """One point of a miss-ratio curve: a trace, a policy, a size, and a report per seed."""

    trace: str
    policy: str
    size: Size
    reports: tuple[Report, ...]

    @property
    def entries(self) -> int:
        """The size in entries."""
        return self.reports[0].capacity

    @property
    def miss_ratio(self) -> float:
        """The mean over the seeds."""
        return float(np.mean([report.miss_ratio for report in self.reports]))

    def as_dict(self) -> dict[str, Any]:
        """All of it, as JSON can carry it."""
        return {
            "trace": self.trace,
            "policy": self.policy,
            "size": str(self.size),
            "entries": self.entries,
            "miss_ratio": self.miss_ratio,
            "reports": [report.as_dict() for report in self.reports],
        }


def replay(
    keys: Source,
    capacity: int,
    policy: str | Policy = "s3fifo",
    *,
    seed: int = 0,
    batch: int = 1,
) -> Report:
    """Replay requests into an empty cache of `capacity` entries and count.

    keys: int64[n], a `Trace`, or an iterable of such arrays, which is streamed
    seed: of the hash that spreads keys over the sets
    batch: 1 is get-then-insert per request; more is how a batch-first program asks: look up so
        many, then insert those that missed, so that a key twice in a batch misses twice
    """
    if batch < 1:
        raise ValueError(f"batch is {batch}: a batch has at least 1 request")
    run = _open_run(capacity, core_policies.get(policy), seed, batch)
    for chunk in _chunks(keys, batch):
        run.feed(chunk)
    return run.report()


def miss_ratio_curve(
    trace: Trace | npt.ArrayLike,
    policies: Iterable[str | Policy] = ("s3fifo",),
    sizes: Iterable[str | int | Size] = ("1%", "10%"),
    *,
    seeds: Sequence[int] = (0,),
    batch: int = 1,
    threads: int = 1,
    name: str | None = None,
    progress: Progress | None = None,
) -> list[Point]:
    """Replay a trace into a cache of every policy and size at once; one Point for each pair.

    The trace is read twice, to count its distinct keys and to replay, and never held as a whole.

    sizes: entries, or shares of the trace's distinct keys such as "1%", rounded
    seeds: hash seeds; a point has one report for each
    threads: replay into so many caches at the same time
    name: of the trace in the points; by default the file's
    progress: called with the requests replayed so far and those to replay, over all caches
    """
    if isinstance(trace, Iterator):
        raise TypeError(
            "trace: an iterator can be read only once, but a curve reads its trace "
            "twice; pass an array or a Trace"
        )
    census = take_census(_chunks(trace, 1))
    chosen = [core_policies.get(policy) for policy in policies]
    pairs = [(policy, Size.parse(size)) for size in sizes for policy in chosen]
    runs = [
        [_open_run(size.of(census.distinct), policy, seed, batch) for seed in seeds]
        for policy, size in pairs
    ]
    total, done = census.requests * len(pairs) * len(seeds), 0
    with ThreadPoolExecutor(threads) as pool:
        for chunk in _chunks(trace, batch):
            for _ in pool.map(methodcaller("feed", chunk), chain(*runs)):
                done += len(chunk)
                if progress is not None:
                    progress(done, total)
    label = name or (trace.name if isinstance(trace, Trace) else "trace")
    return [
        Point(label, policy.name, size, tuple(run.report() for run in of_pair))
        for (policy, size), of_pair in zip(pairs, runs, strict=True)
    ]


class _Run(Protocol):
    """One cache that is being replayed into."""

    def feed(self, keys: Keys) -> None: ...

    def report(self) -> Report: ...


def _open_run(capacity: int, policy: Policy, seed: int, batch: int) -> _Run:
    if batch == 1:
        return _PerRequest(capacity, policy, seed)
    return _PerBatch(capacity, policy, seed, batch)


class _PerRequest:
    """Get-then-insert per request: a compiled loop over the bare table, without values."""

    def __init__(self, capacity: int, policy: Policy, seed: int) -> None:
        self._of = (policy.name, capacity, seed)
        self._table = open_table(capacity, policy, seed)
        self._requests = self._hits = 0
        self._seconds = 0.0
        # Not to be timed: the first call of a process loads or compiles the kernel.
        self._table.replay(np.empty(0, dtype=np.int64))

    def feed(self, keys: Keys) -> None:
        begin = perf_counter()
        hits = self._table.replay(keys)
        self._seconds += perf_counter() - begin
        self._requests += len(keys)
        self._hits += int(np.count_nonzero(hits))

    def report(self) -> Report:
        counters = self._table.counters()
        return Report(
            *self._of, self._requests, self._hits, counters[Counter.EVICTIONS], self._seconds
        )


class _PerBatch:
    """Look a batch up, then insert what missed: the verbs of a program that works in batches."""

    def __init__(self, capacity: int, policy: Policy, seed: int, batch: int) -> None:
        self._of = (policy.name, capacity, seed)
        self._batch = batch
        self._seconds = 0.0
        self._cache: predis.Cache[int, Any] = predis.Cache(
            capacity, policy=policy, seed=seed, device="cpu", value=predis.Rows("uint8", ())
        )
        # Not to be timed, as above.
        nothing = np.empty(0, dtype=np.int64)
        self._cache.get_many(nothing)
        self._cache.set_many(nothing, nothing.astype(np.uint8))

    def feed(self, keys: Keys) -> None:
        for low in range(0, len(keys), self._batch):
            asked = keys[low : low + self._batch]
            begin = perf_counter()
            _, hit = self._cache.get_many(asked)
            missed = asked[~hit]
            self._cache.set_many(missed, np.zeros(len(missed), dtype=np.uint8))
            self._seconds += perf_counter() - begin

    def report(self) -> Report:
        stats = self._cache.stats()
        return Report(*self._of, stats.requests, stats.hits, stats.evictions, self._seconds)


def _chunks(keys: Source, batch: int) -> Iterator[Keys]:
    """Chunks that end where batches do, so that chunking changes no result."""
    size = -(-CHUNK // batch) * batch
    if isinstance(keys, Trace):
        yield from keys.chunks(size)
    elif isinstance(keys, Iterable) and not isinstance(keys, np.ndarray | Sequence):
        yield from rechunk(map(_as_keys, keys), size)
    else:
        whole = _as_keys(keys)
        for low in range(0, len(whole), size):
            yield whole[low : low + size]


def _as_keys(keys: npt.ArrayLike) -> Keys:
    array = np.asarray(keys)
    if array.ndim != 1 or (array.dtype.kind not in "iu" and len(array)):
        raise TypeError(
            f"keys: {array.dtype} of shape {array.shape}; a trace is one dimension of integers"
        )
    return np.require(array, np.int64, ["C_CONTIGUOUS", "WRITEABLE"])
