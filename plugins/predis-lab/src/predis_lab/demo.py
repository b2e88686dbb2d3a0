"""The main job: one cache in front of a slow store, three workloads, several threads.

Each thread takes the next batch of ids and wants their rows. What the cache lacks is fetched from
the store in one call per batch, which costs a round trip. The same is done with other Python caches
as their users would: a loop over the keys under a lock, one fetch for those that missed.
"""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import count
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

import predis_core as predis
from predis_lab import peers
from predis_lab.peers import DictLike
from predis_lab.workloads import Game, Ids, Market, Training

Rows = npt.NDArray[np.float32]

WIDTH = 32
QUANTILES = (0.5, 0.99, 0.999)
# What the sizes below were chosen for: seconds of the whole demo on two cores.
NOMINAL_SECONDS = 30.0
# A cell that takes so many times its share of the time is cut short: a demo comes to an end.
PATIENCE = 3.0
CAPACITY = 20_000
# Workloads have ids of their own, so that one cache can hold the rows of all.
RANGE = 1 << 56


@dataclass(frozen=True, slots=True)
class Job:
    """A workload, generated before the clock runs: its name and batches of ids."""

    name: str
    batches: tuple[Ids, ...]

    @property
    def rows(self) -> int:
        """Rows that it asks for."""
        return sum(map(len, self.batches))


@dataclass(frozen=True, slots=True)
class Result:
    """One workload through one cache.

    Attributes:
        workload, cache: their names.
        requests, hits: rows asked for, and those that were in the cache.
        loaded: rows fetched from the store.
        loads_saved: rows that waited for another thread's fetch; None if the cache cannot do that.
        seconds: wall time.
        latencies: seconds per batch at each of QUANTILES.
        wrong: rows that were not what the store holds.
        cut_short: whether time ran out before the workload ended.
    """

    workload: str
    cache: str
    requests: int
    hits: int
    loaded: int
    loads_saved: int | None
    seconds: float
    latencies: tuple[float, ...]
    wrong: int
    cut_short: bool

    @property
    def hit_ratio(self) -> float:
        """Hits per request."""
        return self.hits / self.requests if self.requests else 0.0

    @property
    def rows_per_second(self) -> float:
        """Rows delivered per second of wall time."""
        return self.requests / self.seconds if self.seconds else 0.0

    def as_dict(self) -> dict[str, Any]:
        """All of it, as JSON can carry it."""
        named = {
            f"p{100 * at:g}": value for at, value in zip(QUANTILES, self.latencies, strict=True)
        }
        return {
            **asdict(self),
            "hit_ratio": self.hit_ratio,
            "rows_per_second": self.rows_per_second,
            "latencies": named,
        }


class Store:
    """The slow thing behind the cache: every fetch costs a round trip, whatever it brings."""

    def __init__(self, latency: float) -> None:
        self._latency = latency
        self._lock = threading.Lock()
        self.loaded = 0

    def fetch(self, ids: Ids) -> Rows:
        """The rows of `ids`, float32[n, WIDTH], after a round trip of `latency` seconds."""
        time.sleep(self._latency)
        with self._lock:
            self.loaded += len(ids)
        return rows_of(ids)


def rows_of(ids: Ids) -> Rows:
    """What the store holds for each id; different ids nearly always differ."""
    mixed = (ids.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(42)
    rows: Rows = np.add(
        mixed.astype(np.float32)[:, None], np.arange(WIDTH, dtype=np.float32), dtype=np.float32
    )
    return rows


class Contender(ABC):
    """A cache in front of a store, by the name it has in the table."""

    def __init__(self, name: str, store: Store) -> None:
        self.name = name
        self.store = store

    @abstractmethod
    def rows(self, ids: Ids) -> Rows:
        """The rows of `ids`, out of the cache or fetched; called by many threads."""

    @abstractmethod
    def counts(self) -> tuple[int, int | None]:
        """Hits, and loads saved by single flight (None: not offered), since the beginning."""

    def prepare(self) -> None:
        """Do what happens once per machine or process, and is not to be timed."""
        return None

    def close(self) -> None:
        """Give up what the cache holds."""
        return None


class Predis(Contender):
    """A Predis cache of rows: one call per batch."""

    def __init__(self, policy: str, capacity: int, store: Store) -> None:
        super().__init__(f"predis {policy}", store)
        self._policy = policy
        self._cache: predis.Cache[int, Any] = predis.Cache(
            capacity,
            policy=policy,
            seed=0,
            device="cpu",
            name=f"demo-{policy}",
            value=predis.Rows("float32", (WIDTH,)),
            loader=store.fetch,
        )

    def rows(self, ids: Ids) -> Rows:
        """One call: look up, fetch what is missing and nobody fetches yet, wait for the rest."""
        found: Rows = self._cache.get_or_load_many(ids)
        return found

    def counts(self) -> tuple[int, int | None]:
        """Out of the cache's own statistics."""
        stats = self._cache.stats()
        return stats.hits, stats.loads_saved

    def prepare(self) -> None:
        """Let a cache like this one load its kernels, or compile them if it is the first ever."""
        twin = Predis(self._policy, 1, Store(0.0))
        twin.rows(np.zeros(1, dtype=np.int64))
        twin.close()

    def close(self) -> None:
        """Close the cache."""
        self._cache.close()


class Peer(Contender):
    """Another cache that looks like a dict of single keys, used as safely as it has to be."""

    def __init__(self, name: str, cache: DictLike, store: Store) -> None:
        super().__init__(name, store)
        self._cache = cache
        self._lock = threading.Lock()
        self._hits = 0

    def rows(self, ids: Ids) -> Rows:
        """Look up each key; fetch those that missed at once; store them one by one."""
        keys = ids.tolist()
        with self._lock:
            get = self._cache.get
            found = [get(key) for key in keys]
            missing = {key for key, row in zip(keys, found, strict=True) if row is None}
            self._hits += sum(row is not None for row in found)
        if missing:
            asked = list(missing)
            fetched = dict(zip(asked, self.store.fetch(np.array(asked)), strict=True))
            with self._lock:
                for key, row in fetched.items():
                    self._cache[key] = row
            found = [
                fetched[key] if row is None else row for key, row in zip(keys, found, strict=True)
            ]
        return np.stack(found)

    def counts(self) -> tuple[int, int | None]:
        """Hits as they were seen here; each thread fetches for itself."""
        return self._hits, None


class Watcher(Protocol):
    """Is told how a demo gets on; `rows` by several threads."""

    def begin(self, rows: int) -> None: ...

    def preparing(self, cache: str) -> None: ...

    def part(self, cache: str, workload: str) -> None: ...

    def rows(self, count: int) -> None: ...

    def done(self, result: Result) -> None: ...


@dataclass(frozen=True, slots=True)
class Plan:
    """What a demo does: about `seconds` of work, a round trip of `latency` seconds per fetch."""

    policies: tuple[str, ...]
    seconds: float = NOMINAL_SECONDS
    threads: int = 4
    latency: float = 0.001

    @property
    def scale(self) -> float:
        """Length and population of the workloads over the nominal ones."""
        return self.seconds / NOMINAL_SECONDS

    @property
    def capacity(self) -> int:
        """Rows that each cache holds."""
        return max(1, round(CAPACITY * self.scale))


def perform(plan: Plan, watcher: Watcher) -> Iterator[Result]:
    """Put every workload through every cache; all of the workloads through the same cache."""
    workloads = jobs(plan.scale)
    lined_up = list(contenders(plan))
    parts = len(lined_up) * len(workloads)
    watcher.begin(len(lined_up) * sum(job.rows for job in workloads))
    for contender in lined_up:
        watcher.preparing(contender.name)
        contender.prepare()
        for job in workloads:
            watcher.part(contender.name, job.name)
            result = run(
                contender, job, plan.threads, PATIENCE * plan.seconds / parts, watcher.rows
            )
            watcher.done(result)
            yield result
        contender.close()


def jobs(scale: float) -> tuple[Job, ...]:
    """The three workloads, `scale` times their nominal length and population."""

    def scaled(number: int) -> int:
        return max(1, round(number * scale))

    chosen = (
        ("training", Training(samples=scaled(40_000), epochs=4, jobs=2, seed=1)),
        (
            "market",
            Market(ticks=scaled(500_000), symbols=max(50, scaled(1_500)), batch=256, seed=2),
        ),
        ("game", Game(steps=scaled(700), level_steps=scaled(175), seed=3)),
    )
    return tuple(
        Job(name, tuple(ids + index * RANGE for ids in workload.batches()))
        for index, (name, workload) in enumerate(chosen)
    )


def contenders(plan: Plan) -> Iterator[Contender]:
    """Predis with each policy, then the peers that are installed; each with a store of its own."""
    for policy in plan.policies:
        yield Predis(policy, plan.capacity, Store(plan.latency))
    for name, cache in peers.installed(plan.capacity).items():
        yield Peer(name, cache, Store(plan.latency))


def run(
    contender: Contender, job: Job, threads: int, limit: float, progress: Callable[[int], None]
) -> Result:
    """Put a workload through a cache with several threads, for at most `limit` seconds.

    `progress` is called with the rows of each finished batch, by the thread that finished it.
    """
    hits_before, saved_before = contender.counts()
    loaded_before = contender.store.loaded
    turn = count()
    workers = [
        _Worker(contender, job, turn, time.monotonic() + limit, progress) for _ in range(threads)
    ]
    begin = time.perf_counter()
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    seconds = time.perf_counter() - begin
    for worker in workers:
        if worker.failure is not None:
            raise worker.failure
    hits, saved = contender.counts()
    latencies = [latency for worker in workers for latency in worker.latencies]
    requests = sum(worker.requests for worker in workers)
    return Result(
        workload=job.name,
        cache=contender.name,
        requests=requests,
        hits=hits - hits_before,
        loaded=contender.store.loaded - loaded_before,
        loads_saved=None if saved is None or saved_before is None else saved - saved_before,
        seconds=seconds,
        latencies=tuple(np.quantile(latencies, QUANTILES).tolist()),
        wrong=sum(worker.wrong for worker in workers),
        cut_short=requests < job.rows,
    )


def summary(plan: Plan, results: Sequence[Result]) -> str:
    """What was done, and what single flight was worth, in a few sentences."""
    ours = [result for result in results if result.loads_saved is not None]
    saved = sum(result.loads_saved or 0 for result in ours)
    wanted = saved + sum(result.loaded for result in ours)
    rows = sum(result.requests for result in results)
    wrong = sum(result.wrong for result in results)
    lines = [
        f"Caches of {plan.capacity:,} rows of {WIDTH} float32, {plan.threads} threads, "
        f"{plan.latency * 1e3:g} ms per fetch.",
        f"Of {wanted:,} rows that Predis needed from the store, {saved:,} "
        f"({saved / max(1, wanted):.1%}) were already on their way for another thread, and were "
        "not fetched again.",
        f"All {rows:,} rows were checked: {wrong or 'none'} {'were' if wrong else 'was'} wrong.",
    ]
    if missing := peers.absent():
        lines.append(
            f"Not installed, so not compared: {', '.join(missing)} "
            '(pip install "predis-core[bench]").'
        )
    return "\n".join(lines)


class _Worker(threading.Thread):
    """Takes the next batch until there is none, and checks each row that it gets."""

    def __init__(
        self,
        contender: Contender,
        job: Job,
        turn: Iterator[int],
        deadline: float,
        progress: Callable[[int], None],
    ) -> None:
        super().__init__(name=f"demo-{contender.name}", daemon=True)
        self._contender = contender
        self._batches = job.batches
        self._turn = turn
        self._deadline = deadline
        self._progress = progress
        self.requests = 0
        self.wrong = 0
        self.latencies: list[float] = []
        self.failure: Exception | None = None

    def run(self) -> None:
        try:
            while (at := next(self._turn)) < len(self._batches):
                if self.latencies and time.monotonic() > self._deadline:
                    return
                self._serve(self._batches[at])
        except Exception as failure:  # the thread that joins this one raises it again
            self.failure = failure

    def _serve(self, ids: Ids) -> None:
        begin = time.perf_counter()
        rows = self._contender.rows(ids)
        self.latencies.append(time.perf_counter() - begin)
        self.requests += len(ids)
        self.wrong += int(np.count_nonzero((rows != rows_of(ids)).any(axis=1)))
        self._progress(len(ids))
