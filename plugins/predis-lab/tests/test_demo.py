"""The demo's engine: every row is right, and the counts add up."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from predis_lab import demo, peers
from predis_lab.demo import Job, Plan, Predis, Result, Store, jobs, perform, rows_of, run
from predis_lab.workloads import Ids


class Silent:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.expected = self.counted = 0
        self.prepared: list[str] = []
        self.parts: list[tuple[str, str]] = []
        self.results: list[Result] = []
        self._lock = threading.Lock()

    def begin(self, rows: int) -> None:
        self.expected = rows

    def preparing(self, cache: str) -> None:
        self.prepared.append(cache)

    def part(self, cache: str, workload: str) -> None:
        self.parts.append((cache, workload))

    def rows(self, count: int) -> None:
        with self._lock:
            self.counted += count

    def done(self, result: Result) -> None:
        self.results.append(result)


@pytest.fixture(scope="module")
def performed() -> tuple[Plan, Silent]:
    watcher = Silent()
    # A generous limit: nothing is to be cut short, however slow the machine is.
    plan = Plan(("lru", "s3fifo"), seconds=1.0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(demo, "PATIENCE", 1000.0)
        assert list(perform(plan, watcher)) == watcher.results
    return plan, watcher


def test_every_workload_goes_through_every_cache(performed: tuple[Plan, Silent]) -> None:
    plan, watcher = performed
    caches = ["predis lru", "predis s3fifo", *peers.installed(1)]
    wanted = [(cache, job) for cache in caches for job in ("training", "market", "game")]
    assert watcher.prepared == caches
    assert watcher.parts == wanted
    assert [(result.cache, result.workload) for result in watcher.results] == wanted
    sizes = {job.name: job.rows for job in jobs(plan.scale)}
    assert [result.requests for result in watcher.results] == [sizes[job] for _, job in wanted]
    assert watcher.counted == watcher.expected == sum(sizes.values()) * len(caches)


def test_no_row_is_wrong(performed: tuple[Plan, Silent]) -> None:
    assert [result.wrong for result in performed[1].results] == [0] * len(performed[1].results)


def test_single_flight_saves_loads_that_peers_repeat(performed: tuple[Plan, Silent]) -> None:
    """Two training jobs ask for the same samples at nearly the same time."""
    training = [result for result in performed[1].results if result.workload == "training"]
    for result in training:
        # No mini-batch has a sample twice: what is missing is loaded or waited for.
        if result.cache.startswith("predis"):
            assert result.loads_saved is not None
            assert result.loads_saved > 0.02 * result.requests
            # A few are found after all, because another thread stored them in between.
            found = result.hits + result.loaded + result.loads_saved
            assert 0.9 * result.requests < found <= result.requests
        else:
            assert result.loads_saved is None
            assert result.hits + result.loaded == result.requests


def test_hit_ratios_are_what_the_workloads_allow(performed: tuple[Plan, Silent]) -> None:
    by_part = {(r.workload, r.cache): r.hit_ratio for r in performed[1].results}
    for cache in ("predis lru", "predis s3fifo"):
        # How far a quick run gets in its second depends on the machine, and hits come with time.
        assert by_part["game", cache] > 0.3
        assert 0.2 < by_part["market", cache] < 0.95


def test_latencies_are_quantiles(performed: tuple[Plan, Silent]) -> None:
    for result in performed[1].results:
        assert 0 < result.latencies[0] <= result.latencies[1] <= result.latencies[2]
        assert result.latencies[2] <= result.seconds
        assert list(result.as_dict()["latencies"]) == ["p50", "p99", "p99.9"]


def test_the_summary_says_what_was_saved(performed: tuple[Plan, Silent]) -> None:
    text = demo.summary(*performed[:1], performed[1].results)
    saved = sum(result.loads_saved or 0 for result in performed[1].results)
    assert f"{saved:,} " in text
    assert "none was wrong" in text


BATCHES = tuple(np.arange(low, low + 100) for low in range(0, 2_000, 100))


class Lying(demo.Contender):
    """A cache that gives every second row of another id."""

    def rows(self, ids: Ids) -> demo.Rows:
        return rows_of(ids + ids % 2)

    def counts(self) -> tuple[int, int | None]:
        return 0, None


def test_wrong_rows_are_counted() -> None:
    result = run(Lying("lying", Store(0.0)), Job("job", BATCHES), 2, 60.0, lambda _: None)
    assert (result.requests, result.wrong) == (2_000, 1_000)


def test_a_workload_is_cut_short_when_time_runs_out() -> None:
    contender = Predis("lru", 100, Store(0.0))
    result = run(contender, Job("job", BATCHES), 2, -1.0, lambda _: None)
    contender.close()
    assert result.cut_short
    assert 100 <= result.requests <= 200


def test_a_failing_store_fails_the_demo(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(ids: Ids) -> demo.Rows:
        raise RuntimeError("the store is gone")

    store = Store(0.0)
    monkeypatch.setattr(store, "fetch", fail)
    contender = Predis("lru", 100, store)
    with pytest.raises(Exception, match="the store is gone"):
        run(contender, Job("job", BATCHES), 2, 60.0, lambda _: None)
    contender.close()


def test_jobs_have_ids_of_their_own() -> None:
    ids = [set(np.concatenate(job.batches).tolist()) for job in jobs(0.01)]
    assert len(set.union(*ids)) == sum(map(len, ids))
