"""The demo's engine: every row is right, and the counts add up."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest

import predis_core as predis
from predis_core.errors import ConfigurationError, PluginError
from predis_lab import demo, peers
from predis_lab.contenders import Contender, Counts, Predis, Rows, Setting, Store, rows_of
from predis_lab.demo import Job, Performance, Plan, Result, jobs, perform, run
from predis_lab.workloads import Ids

# A configuration without plugins.
PLAIN = Setting("plain.toml", {"cache": {"capacity": 1, "seed": 0}})


def predis_lru(capacity: int = 2_000, store: Store | None = None) -> Predis:
    return Predis("lru", capacity, store or Store(0.0), PLAIN)


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
def shown() -> tuple[Plan, Silent, Performance]:
    """The whole demo, with the configuration that it comes with."""
    watcher = Silent()
    # A generous limit: nothing is to be cut short, however slow the machine is.
    plan = Plan(("lru", "s3fifo"), seconds=1.0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(demo, "PATIENCE", 1000.0)
        performance = perform(plan, watcher)
    assert list(performance.results) == watcher.results
    assert predis.status() is None, "a cache was left open"
    return plan, watcher, performance


@pytest.fixture
def performed(shown: tuple[Plan, Silent, Performance]) -> tuple[Plan, Silent]:
    return shown[:2]


def test_every_workload_goes_through_every_cache(performed: tuple[Plan, Silent]) -> None:
    plan, watcher = performed
    caches = ["predis lru", "predis s3fifo", "predis s3fifo + prefetch", *peers.installed(1)]
    wanted = [(cache, job) for cache in caches for job in ("report", "training", "market", "game")]
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
            found = result.hits + result.missed + result.loads_saved
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


def test_a_report_is_loaded_ahead_where_there_is_a_prefetcher(
    performed: tuple[Plan, Silent],
) -> None:
    ahead = used = 0
    for result in performed[1].results:
        if result.cache.endswith("+ prefetch"):
            ahead += result.ahead or 0
            used += result.used or 0
            assert min(result.missed, ahead, used) >= 0
        else:
            assert (result.ahead, result.used, result.missed) == (None, None, result.loaded)
            if result.workload == "report":
                assert result.hits == 0
    assert used <= ahead  # of what was loaded ahead in one workload, some is asked for in the next


def test_latencies_are_quantiles(performed: tuple[Plan, Silent]) -> None:
    for result in performed[1].results:
        assert 0 < result.latencies[0] <= result.latencies[1] <= result.latencies[2]
        assert result.latencies[2] <= result.seconds
        assert list(result.as_dict()["latencies"]) == ["p50", "p99", "p99.9"]


def test_the_course_ascends_to_the_end(performed: tuple[Plan, Silent]) -> None:
    for result in performed[1].results:
        requests, hits = zip(*result.course, strict=True)
        assert (requests[-1], hits[-1]) == (result.requests, result.hits)
        assert list(requests) == sorted(set(requests))
        assert list(hits) == sorted(hits)
        assert 5 < len(requests) <= demo.COURSE_POINTS + 1


def test_the_course_is_of_one_workload_only() -> None:
    contender = predis_lru()
    first, second = (run(contender, Job("job", BATCHES), 1, 60.0, lambda _: None) for _ in range(2))
    contender.close()
    assert first.course == tuple((n, 0) for n in range(100, 2_001, 100))
    assert second.course[-1] == (2_000, second.hits)
    assert second.hits > 500


def test_a_long_workload_has_a_course_of_about_sixty_points() -> None:
    contender = predis_lru()
    result = run(contender, Job("job", BATCHES * 10), 1, 60.0, lambda _: None)
    contender.close()
    assert [requests for requests, _ in result.course] == list(range(400, 20_001, 400))


def test_the_summary_says_what_was_saved_and_names_the_plugins(
    shown: tuple[Plan, Silent, Performance],
) -> None:
    plan, watcher, performance = shown
    lines = demo.summary(plan, performance).splitlines()
    saved = sum(result.loads_saved or 0 for result in watcher.results)
    assert f"{saved:,} " in lines[1]
    assert "none was wrong" in lines[2]
    assert lines[3] == "Opened with demo.toml of predis-lab."
    (lab,) = (plugin for plugin in performance.plugins if plugin.name == "lab")
    assert lines[4] == f"Plugin lab: healthy ({lab.text})."


# ---- plugins -------------------------------------------------------------------------------------


def test_the_plugins_of_the_run_and_their_metrics(shown: tuple[Plan, Silent, Performance]) -> None:
    _, watcher, performance = shown
    assert [plugin.name for plugin in performance.plugins] == ["lab", "prometheus", "prefetch"]
    assert performance.plugins[0].state == "healthy"
    assert performance.plugins[0].text.startswith("predis-lab ")
    caches = ("predis lru", "predis s3fifo", "predis s3fifo + prefetch")
    named = [snapshot.cache for snapshot in performance.snapshots]
    assert named == ["demo-lru", "demo-s3fifo", "demo-s3fifo-prefetch"]
    for snapshot, cache in zip(performance.snapshots, caches, strict=True):
        values = {sample.metric.name: sample.value for sample in snapshot.samples}
        ours = [result for result in watcher.results if result.cache == cache]
        assert values["predis.cache.hits"] == sum(result.hits for result in ours)
        assert values["predis.cache.loads"] == sum(result.missed for result in ours)
        assert 0 < values["predis.lab.hit_ratio"] < 1


def test_a_plugin_that_is_not_there_is_skipped_with_the_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(peers, "installed", lambda capacity: {})
    monkeypatch.setattr(demo, "prefetching_plugins", list)
    monkeypatch.setattr(demo, "jobs", lambda scale: (Job("job", BATCHES),))
    setting = Setting("my.toml", {"plugins": {"no-such": {"required": False}, "lab": {"keep": 7}}})
    performance = perform(Plan(("fifo",), setting=setting), Silent())
    lab, skipped = performance.plugins
    assert (lab.name, lab.state) == ("lab", "healthy")
    assert skipped[:2] == ("no-such", "skipped")
    assert skipped.text.startswith("plugin 'no-such' is not installed; ")
    assert skipped.text in demo.summary(Plan(("fifo",), setting=setting), performance)


def test_without_plugins_there_is_nothing_to_tell_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "installed", lambda capacity: {})
    monkeypatch.setattr(demo, "prefetching_plugins", list)
    monkeypatch.setattr(demo, "jobs", lambda scale: (Job("job", BATCHES),))
    performance = perform(Plan(("fifo",), setting=PLAIN), Silent())
    assert (performance.plugins, performance.snapshots) == ((), ())
    assert [(result.requests, result.wrong) for result in performance.results] == [(2_000, 0)]


# ---- the setting ---------------------------------------------------------------------------------


def test_what_ships_is_whole_by_itself_and_named() -> None:
    setting = Setting.read()
    assert setting.source == "demo.toml of predis-lab"
    assert list(setting.document) == ["host", "cache", "plugins"]
    assert list(setting.document["plugins"]) == ["lab", "prometheus"]
    assert setting.document["plugins"]["prometheus"] == {"port": 0, "required": False}
    with predis.open(setting.document) as cache:
        assert cache.capacity == 20_000


def test_the_demo_decides_what_it_has_to_know() -> None:
    given = {"cache": {"name": "mine", "policy": "lru", "ttl": "5m", "keys": "str"}, "host": {}}
    document = Setting("my.toml", given).of("demo-fifo", "fifo", 7)
    assert document == {
        "host": {},
        "cache": {
            "name": "demo-fifo",
            "policy": "fifo",
            "capacity": 7,
            "ttl": "5m",
            "keys": "int64",
            "value": {"kind": "rows", "dtype": "float32", "shape": [32]},
        },
    }
    assert given["cache"]["name"] == "mine"


def test_what_is_wrong_with_a_file_is_told_with_its_name(tmp_path: Path) -> None:
    bad = tmp_path / "bad.toml"
    bad.write_text("[cache\n")
    with pytest.raises(ConfigurationError, match=rf"^{bad}: not valid TOML: "):
        Setting.read(bad)
    bad.write_bytes(b"\xff")
    with pytest.raises(ConfigurationError, match=rf"^{bad}: not valid TOML: "):
        Setting.read(bad)
    with pytest.raises(ConfigurationError, match=rf"^{tmp_path}: cannot be read: Is a directory$"):
        Setting.read(tmp_path)
    with pytest.raises(ConfigurationError, match=r"^my.toml: cache: expected a table \[cache\]$"):
        Setting("my.toml", {"cache": 1}).of("a", "lru", 1)
    wrong = Setting("my.toml", {"cache": {"ttll": 1}})
    with pytest.raises(ConfigurationError, match=r"^my.toml: cache.ttll: unknown key"):
        Predis("lru", 1, Store(0.0), wrong)
    absent = Setting("my.toml", {"plugins": {"no-such": {}}})
    with pytest.raises(PluginError, match=r"^plugin 'no-such' is not installed; "):
        Predis("lru", 1, Store(0.0), absent)


# ---- a workload through a cache ------------------------------------------------------------------

BATCHES = tuple(np.arange(low, low + 100) for low in range(0, 2_000, 100))


class Lying(Contender):
    """A cache that gives every second row of another id."""

    def rows(self, ids: Ids) -> Rows:
        return rows_of(ids + ids % 2)

    def counts(self) -> Counts:
        return Counts(0, 0, None)


def test_wrong_rows_are_counted() -> None:
    result = run(Lying("lying", Store(0.0)), Job("job", BATCHES), 2, 60.0, lambda _: None)
    assert (result.requests, result.wrong) == (2_000, 1_000)


def test_a_workload_is_cut_short_when_time_runs_out() -> None:
    contender = predis_lru(100)
    result = run(contender, Job("job", BATCHES), 2, -1.0, lambda _: None)
    contender.close()
    assert result.cut_short
    assert 100 <= result.requests <= 200


def test_a_failing_store_fails_the_demo(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(ids: Ids) -> Rows:
        raise RuntimeError("the store is gone")

    store = Store(0.0)
    monkeypatch.setattr(store, "fetch", fail)
    contender = predis_lru(100, store)
    with pytest.raises(Exception, match="the store is gone"):
        run(contender, Job("job", BATCHES), 2, 60.0, lambda _: None)
    contender.close()


def test_jobs_have_ids_of_their_own() -> None:
    ids = [set(np.concatenate(job.batches).tolist()) for job in jobs(0.01)]
    assert len(set.union(*ids)) == sum(map(len, ids))
