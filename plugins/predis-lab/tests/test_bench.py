"""The benchmark's engine measures in turns, and its rows do what they say."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable
from itertools import count

import numpy as np
import pytest

from predis_lab import bench, bench_rows, peers
from predis_lab.bench import Measured, Prepare, Row, measure


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
    monkeypatch.setattr(bench, "perf_counter_ns", count(step=5_000).__next__)
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


def test_medians_and_ratios() -> None:
    measured = Measured("x", "x", {"predis": [1.0, 2.0, 10.0], "peer": [20.0, 10.0, 30.0]})
    assert measured.medians == {"predis": 2.0, "peer": 20.0}
    assert measured.ratios == {"predis": 1.0, "peer": 5.0}
    peer = measured.as_dict()["contenders"]["peer"]
    assert peer["keys_per_second"] == pytest.approx(5e7)
    assert peer["time_over_predis"] == 5.0


def test_one_core_is_given_back() -> None:
    if not hasattr(os, "sched_setaffinity"):
        with bench.one_core() as core:
            assert core is None
        return
    before = os.sched_getaffinity(0)
    with bench.one_core() as core:
        assert os.sched_getaffinity(0) == {core}
    assert os.sched_getaffinity(0) == before


def test_the_machine_is_described() -> None:
    about = bench.machine()
    assert about["processor"]
    assert about["cores"] >= 1
    assert about["versions"]["numpy"] == np.__version__


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_rows, "ENTRIES", 2_000)
    monkeypatch.setattr(bench_rows, "ROOM", 2_500)
    monkeypatch.setattr(bench_rows, "BATCH", 100)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("name", bench_rows.rows())
def test_every_row_runs_with_every_peer(name: str) -> None:
    row = bench_rows.rows()[name]()
    measured = measure(name, row, rounds=2)
    unbounded = {"dict"} if name in {"get", "get-ttl", "contains", "object"} else set()
    assert set(measured.medians) == {"predis", *peers.installed(1), *unbounded}
    assert (150 if name == "object" else 1_500) < row.keys <= 2_000
    assert min(measured.medians.values()) > 0


class Recorded(dict[int, object]):
    """A peer that keeps what it answered."""

    def __init__(self) -> None:
        self.answers: list[object] = []

    def get(self, key: int, default: object = None) -> object:
        self.answers.append(super().get(key, default))
        return self.answers[-1]


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(("name", "hits"), [("get", 1.0), ("get-ttl", 1.0), ("object", 1.0)])
def test_lookups_are_hits(monkeypatch: pytest.MonkeyPatch, name: str, hits: float) -> None:
    recorded = Recorded()
    monkeypatch.setattr(bench_rows, "installed", lambda capacity: {"recorded": recorded})
    row = bench_rows.rows()[name]()
    row.contenders["recorded"]()()
    assert len(recorded.answers) == row.keys
    assert np.mean([answer is not None for answer in recorded.answers]) == hits
