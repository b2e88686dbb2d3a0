"""The benchmark's engine measures in turns, and its rows do what they say."""

from __future__ import annotations

import gc
import os
import shutil
import sys
from collections.abc import Callable
from itertools import count
from typing import Any

import numpy as np
import pytest

from predis_lab import peers
from predis_lab.bench import batches, faces, limits, machine, measuring, server
from predis_lab.bench.material import Keys, Sizes
from predis_lab.bench.measuring import (
    Bar,
    Measured,
    Prepare,
    Row,
    Unavailable,
    faster_than,
    measure,
    spread,
    time_of,
)
from predis_lab.bench.rows import rows
from tests.support.counterparts import counterpart


def test_contenders_take_turns_after_a_warm_up() -> None:
    calls: list[str] = []

    def contender(name: str) -> Prepare:
        def prepare() -> Callable[[], object]:
            calls.append(f"prepare {name}")
            return lambda: calls.append(name)

        return prepare

    row = Row("a title", 10, {"predis": contender("predis"), "peer": contender("peer")})
    measured = measure("name", row, rounds=3)
    assert calls == ["prepare predis", "predis", "prepare peer", "peer"] * 4
    assert (measured.name, measured.title) == ("name", "a title")
    assert [len(times) for times in measured.nanoseconds.values()] == [3, 3]


def test_the_time_is_per_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that is read once before and once after each call, 5,000 ns apart."""
    monkeypatch.setattr(measuring, "perf_counter_ns", count(step=5_000).__next__)
    measured = measure("x", Row("x", 1000, {"predis": lambda: int, "peer": lambda: int}), rounds=2)
    assert measured.nanoseconds == {"predis": [5.0, 5.0], "peer": [5.0, 5.0]}


@pytest.mark.parametrize("enabled", [True, False])
def test_garbage_collection_is_left_as_it_was(enabled: bool) -> None:
    states: list[bool] = []
    before = gc.isenabled()
    (gc.enable if enabled else gc.disable)()
    try:
        measure("x", Row("x", 1, {"predis": lambda: lambda: states.append(gc.isenabled())}), 2)
        assert gc.isenabled() is enabled
        assert states[1:] == [False, False]
    finally:
        (gc.enable if before else gc.disable)()


def test_an_empty_loop_is_taken_off_everybody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Predis and the peer take 5,000 ns each time, the empty loop 2,000."""
    clock = count(step=0)
    ticks = iter([0, 5_000, 0, 5_000, 0, 2_000] * 2)
    monkeypatch.setattr(measuring, "perf_counter_ns", lambda: next(ticks) + next(clock))
    row = Row("x", 1000, {"predis": lambda: int, "peer": lambda: int}, empty=lambda: int)
    assert measure("x", row, rounds=2).nanoseconds == {"predis": [3.0, 3.0], "peer": [3.0, 3.0]}


def test_medians_and_ratios() -> None:
    measured = Measured("x", "x", {"predis": [1.0, 2.0, 10.0], "peer": [20.0, 10.0, 30.0]})
    assert measured.medians == {"predis": 2.0, "peer": 20.0}
    assert measured.ratios == {"predis": 1.0, "peer": 5.0}
    peer = measured.as_dict()["contenders"]["peer"]
    assert peer["keys_per_second"] == pytest.approx(5e7)
    assert peer["time_over_predis"] == 5.0


# ---- bars ----------------------------------------------------------------------------------------


def standing(ours: float, peer: float, bar: Bar, limit: float | None = None) -> str:
    times = {"predis": [ours] * 3, "peer": [peer] * 3, "limit": [limit or 1.0] * 3}
    [verdict] = Measured("x", "x", times, [bar], [("limit",)] if limit else ()).verdicts()
    assert verdict.holds == (verdict.standing not in ("missed", "not measured"))
    return verdict.standing


@pytest.mark.parametrize(
    ("ours", "stands"), [(2.5, "aim"), (2.6, "met"), (5.0, "met"), (5.1, "missed")]
)
def test_a_speed_has_to_reach_its_bar(ours: float, stands: str) -> None:
    assert standing(ours, 10.0, faster_than("peer", 2.0, 4.0)) == stands


@pytest.mark.parametrize(
    ("ours", "stands"), [(5.0, "aim"), (5.1, "met"), (8.0, "met"), (8.1, "missed")]
)
def test_a_time_has_to_stay_below_its_bar(ours: float, stands: str) -> None:
    assert standing(ours, 10.0, time_of("peer", 0.8, 0.5)) == stands


@pytest.mark.parametrize(("limit", "stands"), [(9.0, "at the limit"), (8.9, "missed")])
def test_nine_tenths_of_a_physical_limit_excuse_a_row(limit: float, stands: str) -> None:
    assert standing(10.0, 10.0, faster_than("peer", 2.0, 4.0), limit) == stands


def test_limits_add_up_and_of_those_that_show_one_the_fastest_counts() -> None:
    times = {"predis": [10.0], "lines": [1.0], "copy": [7.0], "stream": [4.0]}
    measured = Measured("x", "x", times, (), [("lines",), ("copy", "stream")])
    assert measured.share == 0.5


def test_a_ratio_of_scalings() -> None:
    bar = Bar("scaling", ("predis, one", "gather"), ("predis", "gather, one"), 0.9, 1.0)
    times = {"predis": [5.0], "predis, one": [9.0], "gather": [1.0], "gather, one": [2.0]}
    [verdict] = Measured("x", "x", times, [bar]).verdicts()
    assert verdict.ratio == pytest.approx(0.9)


def test_a_bar_without_its_peer_is_not_measured() -> None:
    [verdict] = Measured("x", "x", {"predis": [1.0]}, [faster_than("peer", 2, 3)]).verdicts()
    assert (verdict.standing, verdict.missing, verdict.holds) == ("not measured", ("peer",), False)
    assert verdict.as_dict()["ratio"] is None


def test_noise_is_how_far_the_quartiles_are_apart() -> None:
    row = Measured("x", "x", {"predis": [8.0, 9.0, 10.0, 11.0, 12.0], "peer": [5.0] * 5})
    assert spread([row]) == pytest.approx(0.1)


# ---- the machine ---------------------------------------------------------------------------------


def test_cores_are_given_back() -> None:
    if not hasattr(os, "sched_setaffinity"):
        with machine.pinned(1) as chosen:
            assert chosen == []
        return
    before = os.sched_getaffinity(0)
    with machine.pinned(1) as chosen:
        assert os.sched_getaffinity(0) == set(chosen) == {max(before)}
    assert os.sched_getaffinity(0) == before


def test_a_row_about_more_cores_than_there_are_is_unavailable() -> None:
    with pytest.raises(Unavailable, match="it takes 4096 cores"), machine.pinned(4096):
        raise AssertionError


def test_the_machine_is_described() -> None:
    about = machine.machine()
    assert about["processor"]
    assert about["cores"] >= 1
    assert about["versions"]["numpy"] == np.__version__


# ---- physical limits -----------------------------------------------------------------------------


@pytest.mark.parametrize("past_the_caches", [False, True])
@pytest.mark.parametrize("width", [16, 64])
def test_a_gather_copies_the_rows_of_its_slots(width: int, past_the_caches: bool) -> None:
    rows = limits.filled_rows(500, width)
    slots, out = np.random.default_rng(0).integers(0, 500, 300), limits.filled_rows(300, width)
    limits.Gather(rows).copier(slots, out, past_the_caches)()
    np.testing.assert_array_equal(out, rows[slots])


def test_lines_are_read_once_per_slot() -> None:
    word = int(np.ones(8, np.uint8).view(np.int64)[0])
    assert limits.Lines(100).reader(np.arange(100))() == 100 * word


def test_objects_are_read() -> None:
    assert isinstance(limits.touching(["a", "b"])(), int)


def test_the_empty_method_returns_none_and_keeps_no_key() -> None:
    key, call = object(), limits.empty_method()
    before = sys.getrefcount(key)
    assert [call(key) for _ in range(1_000)] == [None] * 1_000
    assert sys.getrefcount(key) == before
    with pytest.raises(TypeError):
        call()  # type: ignore[call-arg]


# ---- rows ----------------------------------------------------------------------------------------

SMALL = Sizes(entries=2_000, many=5_000, hot=100, batch=100, large_batch=800, large_batches=2)


def built(name: str) -> Row:
    return rows(SMALL)[name]()


# What version 1.0 has to reach: the bar and the aim, in the order of the rows.
BARS = {
    "get": [(15, 40), (40, 100)],
    "rows-1m": [(0.75, 1.5)],
    "rows-1m-zipf": [(0.9, 1.5)],
    "rows-100k": [(1.1, 2.5)],
    "rows-100k-zipf": [(1.1, 2.5)],
    "set": [(15, 30)],
    "contains-1m": [(2.5, 6)],
    "threads": [(0.9, 1.0)],
    "scalar-get": [(0.6, 0.35)],
    "scalar-get-hot": [(1.0, 0.6)],
    "scalar-get-str": [(0.7, 0.45)],
    "scalar-set": [(0.8, 0.5)],
    "hash": [(15, 40)],
    "blobs-str": [(1.3, 3)],
    "redis-get": [(30, 60)],
    "policy": [(0.85, 0.97)],
    "policy-own": [(1.05, 1.0)],
    "policy-auto": [(1.03, 1.0)],
    "policy-auto-1m": [(1.03, 1.0)],
}


@pytest.mark.parametrize("name", rows(SMALL))
def test_every_row_runs_with_all_that_its_bars_and_limits_name(name: str) -> None:
    if name.startswith("redis"):
        counterpart("redis-server")
    row = built(name)
    if row.cores > len(machine.all_cores()):
        pytest.skip(f"it takes {row.cores} cores")
    with machine.pinned(row.cores):
        measured = measure(name, row, rounds=2)
    assert [(bar.bar, bar.aim) for bar in row.bars] == BARS.get(name, [])
    assert all(not verdict.missing for verdict in measured.verdicts())
    assert {who for shown in row.limit for who in shown} <= set(measured.medians)
    assert (measured.share is None) == (not row.limit)
    assert name.startswith("limit-") or "predis" in measured.medians
    assert row.keys >= SMALL.entries // 10
    assert all(len(times) == 2 for times in measured.nanoseconds.values())


def test_the_rows_with_a_bar_are_those_agreed() -> None:
    assert list(rows())[: len(BARS)] == list(BARS)


@pytest.mark.parametrize(
    ("name", "among"),
    [
        ("get", peers.singles(1)),
        ("get", {"dict": None, "predis, out=": None}),
        ("set", peers.singles(1)),
        ("scalar-get", {**peers.singles(1), "dict": None}),
        ("memoize", peers.decorators(1)),
        ("await", peers.async_batches()),
        ("memoize-await", peers.async_decorators(1)),
    ],
)
def test_peers_that_are_installed_take_part(name: str, among: dict[str, Any]) -> None:
    assert among.keys() <= built(name).contenders.keys()


class Recorded(dict[Any, object]):
    """A peer that keeps what it answered."""

    def __init__(self) -> None:
        self.answers: list[object] = []

    def get(self, key: Any, default: object = None) -> object:
        self.answers.append(super().get(key, default))
        return self.answers[-1]


def test_look_ups_hit_but_for_three_in_a_hundred(monkeypatch: pytest.MonkeyPatch) -> None:
    recorded = Recorded()
    single = peers.Single(recorded.get, peers.subscripting(recorded))
    monkeypatch.setattr(batches, "singles", lambda capacity: {"recorded": single})
    row = built("get")
    row.contenders["recorded"]()()
    assert len(recorded.answers) == row.keys
    assert np.mean([answer is None for answer in recorded.answers]) == pytest.approx(0.03, abs=0.01)


def test_keys_are_spread_distinct_and_the_same_in_every_run() -> None:
    keys, again = Keys(1_000), Keys(1_000)
    assert len(np.unique([*keys.all, *keys.absent])) == 2_000
    assert keys.all.min() >= 0
    assert keys.all.max() > 1 << 62
    np.testing.assert_array_equal(keys.all, again.all)
    np.testing.assert_array_equal(keys.slots(500, 0.99), again.slots(500, 0.99))


def test_some_keys_are_drawn_more_often_by_a_zipf_law() -> None:
    often = np.bincount(Keys(1_000).slots(50_000, 0.99), minlength=1_000)
    evenly = np.bincount(Keys(1_000).slots(50_000), minlength=1_000)
    assert often.max() > 20 * evenly.max() > 20 * 50
    assert np.sort(often)[::-1][:10].sum() > 0.3 * 50_000


@pytest.mark.parametrize("name", ["memoize", "memoize-await"])
def test_memoized_functions_compute_in_the_first_run_only(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    computed: list[int] = []

    def double(number: int) -> int:
        computed.append(number)
        return 2 * number

    async def awaited_double(number: int) -> int:
        return double(number)

    monkeypatch.setattr(faces, "_double", double)
    monkeypatch.setattr(faces, "_awaited_double", awaited_double)
    row = built(name)
    for contender, prepare in row.contenders.items():
        computed.clear()
        prepare()()
        assert sorted(computed) == list(range(row.keys)), contender
        prepare()()
        assert len(computed) == row.keys, contender


def test_awaited_lookups_are_hits(monkeypatch: pytest.MonkeyPatch) -> None:
    answers: list[object] = []

    class Kept(dict[int, object]):
        """A peer that keeps what it answered."""

        async def multi_set(self, pairs: list[tuple[int, object]]) -> None:
            self.update(pairs)

        async def multi_get(self, keys: list[int]) -> list[object]:
            answers.extend(map(self.get, keys))
            return answers

    monkeypatch.setattr(faces, "async_batches", lambda: {"kept": Kept()})
    row = built("await")
    row.contenders["kept"]()()
    assert len(answers) == row.keys
    assert None not in answers


def test_peers_that_are_not_installed_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "find_spec", lambda name: None)
    assert peers.installed(1) == peers.async_decorators(1) == peers.async_batches() == {}
    assert list(peers.singles(1)) == ["functools.lru_cache"]
    assert list(peers.decorators(1)) == ["functools.lru_cache"]


@pytest.mark.parametrize("name", peers.singles(1))
def test_a_peer_of_single_keys_holds_what_it_stored(name: str) -> None:
    peer = peers.singles(100)[name]
    peer.store([5, 6])
    # theine answers with a pair.
    assert peer.get(5) in (5, (5, True))


def test_without_a_server_the_row_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    server._client.cache_clear()
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(Unavailable) as caught:
        built("redis-get")
    assert str(caught.value) == ("redis-server is not installed (Debian: apt install redis-server)")
