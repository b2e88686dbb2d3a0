"""The main job: one cache in front of a slow store, four workloads, several threads.

Each thread takes the next batch of ids and wants their rows. What the cache lacks is fetched from
the store in one call per batch, which costs a round trip. The same is done with other Python caches
as their users would: a loop over the keys under a lock, one fetch for those that missed.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass, field
from itertools import count
from typing import Any, NamedTuple, Protocol

import numpy as np

import predis_core as predis
from predis_core.plugin import Snapshot
from predis_core.replaying import prefetching_plugins
from predis_lab import peers
from predis_lab.contenders import WIDTH, Contender, Counts, Peer, Predis, Setting, Store, rows_of
from predis_lab.workloads import Game, Ids, Market, Scan, Training

QUANTILES = (0.5, 0.99, 0.999)
# What the sizes below were chosen for: seconds of the whole demo on two cores.
NOMINAL_SECONDS = 30.0
# A cell that takes so many times its share of the time is cut short: a demo comes to an end.
PATIENCE = 3.0
CAPACITY = 20_000
# How often hits and requests are noted while a workload runs.
COURSE_POINTS = 60
# What the workloads stand for.
ABOUT = {
    "report": "A report reads a table once from end to end, a few rows at a time, in one thread. "
    "Nothing is asked for twice: a cache is of use only if it loads ahead what comes next.",
    "training": "Two jobs train on the same samples. Each epoch reads every sample once, in a new "
    "random order, and both jobs want the same mini-batch at nearly the same time.",
    "market": "Ticks of a trading session touch rows of order books: bursts at the open and the "
    "close, symbols in the news, and rows that wander with the price.",
    "game": "Players roam levels and need the assets around them, most of which the step before "
    "needed too; a new level replaces nearly all of them.",
}
PREFETCH = "prefetch"
"""The plugin that one more cache is opened with, if it is installed."""
# Workloads have ids of their own, so that one cache can hold the rows of all.
RANGE = 1 << 56


@dataclass(frozen=True, slots=True)
class Job:
    """A workload, generated before the clock runs: its name and batches of ids.

    `threads`: those that take part, at most; None: all.
    """

    name: str
    batches: tuple[Ids, ...]
    threads: int | None = None

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
        course: (requests, hits) so far at about COURSE_POINTS moments, the last one the end.
        cut_short: whether time ran out before the workload ended.
        ahead, used: rows of `loaded` that nobody had asked for, and those of them that somebody
            did then; None if the cache loads nothing ahead.
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
    course: tuple[tuple[int, int], ...]
    ahead: int | None = None
    used: int | None = None

    @property
    def missed(self) -> int:
        """Rows fetched because somebody asked for them."""
        return self.loaded - (self.ahead or 0)

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


class PluginStatus(NamedTuple):
    """A plugin, its state in a word, and what else there is to say about it."""

    name: str
    state: str
    text: str


@dataclass(frozen=True, slots=True)
class Performance:
    """What came of a demo.

    Attributes:
        results: one per workload and cache, in the order of the run.
        plugins: how those were that the configuration names.
        snapshots: what was measured about each cache, if the configuration has the lab's plugin.
    """

    results: tuple[Result, ...]
    plugins: tuple[PluginStatus, ...] = ()
    snapshots: tuple[Snapshot, ...] = ()


class Watcher(Protocol):
    """Is told how a demo gets on; `rows` by several threads."""

    def begin(self, rows: int) -> None: ...

    def preparing(self, cache: str) -> None: ...

    def part(self, cache: str, workload: str) -> None: ...

    def rows(self, count: int) -> None: ...

    def done(self, result: Result) -> None: ...


@dataclass(frozen=True, slots=True)
class Plan:
    """What a demo does: about `seconds` of work, a round trip of `latency` seconds per fetch.

    `setting` is what the Predis caches are opened with.
    """

    policies: tuple[str, ...]
    seconds: float = NOMINAL_SECONDS
    threads: int = 4
    latency: float = 0.001
    setting: Setting = field(default_factory=Setting.read)

    @property
    def scale(self) -> float:
        """Length and population of the workloads over the nominal ones."""
        return self.seconds / NOMINAL_SECONDS

    @property
    def capacity(self) -> int:
        """Rows that each cache holds."""
        return max(1, round(CAPACITY * self.scale))


def perform(plan: Plan, watcher: Watcher) -> Performance:
    """Put every workload through every cache; all of the workloads through the same cache.

    Raises:
        ConfigurationError: if the caches cannot be opened as the plan's setting says.
    """
    with ExitStack() as opened:
        lined_up = [opened.enter_context(closing(each)) for each in contenders(plan)]
        workloads = jobs(plan.scale)
        limit = PATIENCE * plan.seconds / (len(lined_up) * len(workloads))
        watcher.begin(len(lined_up) * sum(job.rows for job in workloads))
        results = []
        for contender in lined_up:
            watcher.preparing(contender.name)
            contender.prepare()
            for job in workloads:
                watcher.part(contender.name, job.name)
                result = run(contender, job, plan.threads, limit, watcher.rows)
                watcher.done(result)
                results.append(result)
        taken = (contender.snapshot() for contender in lined_up)
        snapshots = tuple(snapshot for snapshot in taken if snapshot is not None)
        return Performance(tuple(results), plugin_states(), snapshots)


def plugin_states() -> tuple[PluginStatus, ...]:
    """How the plugins of the open caches are, and which were skipped."""
    status = predis.status()
    return tuple(
        PluginStatus(each.name, each.state, each.reason or f"{each.distribution} {each.version}")
        for each in (() if status is None else status.plugins)
    )


def jobs(scale: float) -> tuple[Job, ...]:
    """The four workloads, `scale` times their nominal length and population."""

    def scaled(number: int) -> int:
        return max(1, round(number * scale))

    chosen = (
        ("report", Scan(requests=scaled(8_000), batch=8)),
        ("training", Training(samples=scaled(40_000), epochs=4, jobs=2, seed=1)),
        (
            "market",
            Market(ticks=scaled(500_000), symbols=max(50, scaled(1_500)), batch=256, seed=2),
        ),
        ("game", Game(steps=scaled(700), level_steps=scaled(175), seed=3)),
    )
    return tuple(
        Job(
            name,
            tuple(ids + index * RANGE for ids in workload.batches()),
            1 if name == "report" else None,
        )
        for index, (name, workload) in enumerate(chosen)
    )


def contenders(plan: Plan) -> Iterator[Contender]:
    """Predis with each policy, then the peers that are installed; each with a store of its own.

    The last policy comes once more with prefetching, if its plugin is there and the setting has no
    plugin that prefetches anyway.
    """
    for policy in plan.policies:
        yield Predis(policy, plan.capacity, Store(plan.latency), plan.setting)
    found = prefetching_plugins()
    if PREFETCH in found and not set(found) & set(plan.setting.document.get("plugins", {})):
        last = plan.policies[-1]
        yield Predis(last, plan.capacity, Store(plan.latency), plan.setting, PREFETCH)
    for name, cache in peers.installed(plan.capacity).items():
        yield Peer(name, cache, Store(plan.latency))


def run(
    contender: Contender, job: Job, threads: int, limit: float, progress: Callable[[int], None]
) -> Result:
    """Put a workload through a cache with several threads, for at most `limit` seconds.

    `progress` is called with the rows of each finished batch, by the thread that finished it.
    """
    threads = min(threads, job.threads or threads)
    course = _Course(contender, len(job.batches), threads)
    before, loaded_before = course.begin, contender.store.loaded
    turn = count()
    workers = [
        _Worker(contender, job, turn, course, time.monotonic() + limit, progress)
        for _ in range(threads)
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
    counts = course.note()
    latencies = [latency for worker in workers for latency in worker.latencies]
    requests = sum(worker.requests for worker in workers)
    loaded, ahead, used = contender.store.loaded - loaded_before, None, None
    if counts.demanded is not None and counts.used is not None:
        ahead = loaded - (counts.demanded - (before.demanded or 0))
        used = counts.used - (before.used or 0)
    return Result(
        workload=job.name,
        cache=contender.name,
        requests=requests,
        hits=counts.hits - before.hits,
        loaded=loaded,
        loads_saved=None if counts.saved is None else counts.saved - (before.saved or 0),
        seconds=seconds,
        latencies=tuple(np.quantile(latencies, QUANTILES).tolist()),
        wrong=sum(worker.wrong for worker in workers),
        cut_short=requests < job.rows,
        course=course.points,
        ahead=ahead,
        used=used,
    )


def single_flight(results: Sequence[Result]) -> tuple[int, int]:
    """Rows that were not fetched twice, and all that the caches with single flight lacked."""
    ours = [result for result in results if result.loads_saved is not None]
    saved = sum(result.loads_saved or 0 for result in ours)
    return saved, saved + sum(result.missed for result in ours)


def summary(plan: Plan, performance: Performance) -> str:
    """What was done with which plugins, and what single flight was worth, in a few sentences."""
    results = performance.results
    saved, wanted = single_flight(results)
    rows = sum(result.requests for result in results)
    wrong = sum(result.wrong for result in results)
    lines = [
        f"Caches of {plan.capacity:,} rows of {WIDTH} float32, {plan.threads} threads, "
        f"{plan.latency * 1e3:g} ms per fetch.",
        f"Of {wanted:,} rows that Predis needed from the store, {saved:,} "
        f"({saved / max(1, wanted):.1%}) were already on their way for another thread, and were "
        "not fetched again.",
        f"All {rows:,} rows were checked: {wrong or 'none'} {'were' if wrong else 'was'} wrong.",
        f"Opened with {plan.setting.source}.",
        *(f"Plugin {each.name}: {each.state} ({each.text})." for each in performance.plugins),
    ]
    if missing := peers.absent():
        lines.append(
            f"Not installed, so not compared: {', '.join(missing)} "
            '(pip install "predis-core[bench]").'
        )
    return "\n".join(lines)


class _Course:
    """Notes now and then what a cache did since this was made."""

    def __init__(self, contender: Contender, batches: int, threads: int) -> None:
        self._contender = contender
        self._lock = threading.Lock()
        # Closer points would be a few batches apart that are under way at the same time.
        self._every = max(threads, -(-batches // COURSE_POINTS))
        self._counts = [contender.counts()]

    @property
    def begin(self) -> Counts:
        """The counts when this was made."""
        return self._counts[0]

    @property
    def points(self) -> tuple[tuple[int, int], ...]:
        """(requests, hits) since the beginning, ascending, each with more requests."""
        requests, hits, *_ = self.begin
        by_requests = {noted.requests: noted.hits for noted in self._counts}
        del by_requests[requests]
        return tuple((n - requests, found - hits) for n, found in by_requests.items())

    def pass_by(self, batch: int) -> None:
        """Note the counts if it is time to; every batch passes by before it is asked for."""
        if batch and batch % self._every == 0:
            self.note()

    def note(self) -> Counts:
        """Note the counts, and return them."""
        with self._lock:
            self._counts.append(self._contender.counts())
            return self._counts[-1]


class _Worker(threading.Thread):
    """Takes the next batch until there is none, and checks each row that it gets."""

    def __init__(
        self,
        contender: Contender,
        job: Job,
        turn: Iterator[int],
        course: _Course,
        deadline: float,
        progress: Callable[[int], None],
    ) -> None:
        super().__init__(name=f"demo-{contender.name}", daemon=True)
        self._contender = contender
        self._batches = job.batches
        self._turn = turn
        self._course = course
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
                self._course.pass_by(at)
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
