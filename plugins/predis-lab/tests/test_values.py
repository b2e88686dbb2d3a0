"""What values take and cost: amounts by key, sizes of a trace, replays that are told of both."""

from __future__ import annotations

import gzip
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest

from predis_lab import TraceError, miss_ratio_curve, open_trace, replay
from predis_lab.amounts import costs, sizes
from predis_lab.sizes import Memory
from predis_lab.traces.binary import ORACLE_RECORD
from predis_lab.workloads import Zipf

MANY = np.arange(200_000)
KEYS = Zipf(requests=20_000, keys=400, exponent=0.9, seed=1).ids()
SPREAD = "lognormal:median=4KiB,sigma=1.5"


# ---- amounts -------------------------------------------------------------------------------------


def test_amounts_are_as_they_are_written() -> None:
    assert set(sizes("4KiB")(MANY).tolist()) == {4096}
    assert set(costs("5ms")(MANY).tolist()) == {5_000_000}
    even = sizes("uniform:low=1KiB,high=3KiB")(MANY)
    assert (even.min(), even.max()) == (1024, 3072)
    assert even.mean() == pytest.approx(2048, rel=0.01)
    found = np.log(sizes(SPREAD)(MANY))
    assert found.mean() == pytest.approx(np.log(4096), abs=0.01)
    assert found.std() == pytest.approx(1.5, abs=0.01)
    assert np.exp(np.median(np.log(costs("lognormal:median=2s,sigma=0.5")(MANY)))) == pytest.approx(
        2e9, rel=0.01
    )


def test_an_amount_follows_from_the_key_and_the_seed() -> None:
    amounts = sizes(SPREAD)
    assert (amounts(MANY[::-1])[::-1] == amounts(MANY)).all()
    assert (sizes(f"{SPREAD},seed=0")(MANY) == amounts(MANY)).all()
    others = [sizes(f"{SPREAD},seed=1")(MANY), costs("lognormal:median=4096ns,sigma=1.5")(MANY)]
    for other in others:
        assert abs(np.corrcoef(np.log(other), np.log(amounts(MANY)))[0, 1]) < 0.01


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("four", "expected a size such as"),
        ("0", "the amount must be above 0"),
        ("normal:median=1,sigma=1", "there is no distribution 'normal'"),
        ("lognormal:median=4KiB", "lognormal has median and sigma, and may have a seed"),
        ("uniform:low=1,high=2,sigma=1", "uniform has low and high, and may have a seed"),
        ("uniform:low=2,high=1", "high must not be below low"),
        ("uniform:low=0,high=1", "low must be above 0"),
        ("lognormal:median=4KiB,sigma=-1", "sigma must not be below 0"),
        ("lognormal:median=4KiB,sigma=nan", "sigma must not be below 0"),
    ],
)
def test_amounts_that_are_none(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=rf"^'{text}': {problem}.*; write an amount for all"):
        sizes(text)


def test_memory_as_it_is_written() -> None:
    assert [Memory.parse(text).of(10_000) for text in ("64KiB", 7, "1%")] == [65_536, 7, 100]
    assert [str(Memory.parse(text)) for text in ("65536", "0.5%")] == ["64KiB", "0.5% of bytes"]
    for wrong in ("0", "0%", "101%", "x"):
        with pytest.raises(ValueError, match=r"^memory .*: write bytes such as 64MiB, or a share"):
            Memory.parse(wrong)


# ---- replays -------------------------------------------------------------------------------------


def lru(weights: list[int], memory: int) -> list[bool]:
    """The hits of a textbook cache that is bounded by bytes."""
    held: OrderedDict[int, int] = OrderedDict()
    hits = []
    for key, weight in zip(KEYS.tolist(), weights, strict=True):
        hits.append(key in held)
        if key in held:
            held.move_to_end(key)
        elif weight <= memory:
            while sum(held.values()) + weight > memory:
                held.popitem(last=False)
            held[key] = weight
    return hits


@pytest.mark.parametrize("batch", [1, 2])
def test_one_set_is_the_textbook_cache_of_so_many_bytes(batch: int) -> None:
    weights = 1_000 + KEYS * 37 % 9_000
    asked = {"memory": "50KiB", "value_sizes": lambda keys: 1_000 + keys * 37 % 9_000}
    report = replay(KEYS, 28, "lru", batch=batch, **asked)
    assert report.bytes is not None
    assert report.bytes.requested == weights.sum()
    assert report.memory == 50 * 1024
    if batch == 1:
        hits = np.array(lru(weights.tolist(), 50 * 1024))
        assert (report.hits, report.bytes.missed) == (hits.sum(), weights[~hits].sum())


@pytest.mark.parametrize("policy", ["gdsf", "auto"])
def test_replays_tell_policies_of_sizes_and_costs(policy: str) -> None:
    known = {"value_sizes": SPREAD, "costs": "lognormal:median=5ms,sigma=1"}
    report = replay(KEYS, 400, policy, memory="256KiB", **known)
    bytes_, cost = report.bytes, report.cost
    assert bytes_ is not None
    assert cost is not None
    assert 0 < report.miss_ratio < 1
    assert cost.requested == pytest.approx(costs(known["costs"])(KEYS).sum() / 1e9)
    assert report.as_dict()["bytes"]["miss_ratio"] == bytes_.miss_ratio
    assert report.as_dict()["cost"]["missed"] == cost.missed
    if policy == "gdsf":
        blind = replay(KEYS, 400, policy, memory="256KiB", value_sizes=SPREAD).hits
        assert blind != report.hits


def test_a_curve_by_bytes() -> None:
    points = miss_ratio_curve(
        KEYS, ["lru", "gdsf"], memory=["5%", "64KiB"], value_sizes=SPREAD, seeds=(0, 1)
    )
    distinct = np.unique(KEYS)
    total = int(sizes(SPREAD)(distinct).sum())
    memory = round(0.05 * total)
    assert [point.memory for point in points] == [memory, memory, 65_536, 65_536]
    assert points[0].entries == 6 * memory * len(distinct) // total
    alone = replay(KEYS, points[0].entries, "lru", memory=memory, value_sizes=SPREAD)
    assert points[0].reports[0].hits == alone.hits
    assert points[1].miss_ratio < points[0].miss_ratio
    shown = points[0].as_dict()
    assert shown["byte_miss_ratio"] == points[0].byte_miss_ratio
    assert "cost_miss_ratio" not in shown


def test_entries_may_be_bounded_and_bytes_counted() -> None:
    (point,) = miss_ratio_curve(KEYS, ["lru"], [50], value_sizes=SPREAD)
    assert point.miss_ratio == replay(KEYS, 50, "lru").miss_ratio
    assert point.byte_miss_ratio is not None
    assert point.memory is None


def test_what_does_not_go_together_is_refused() -> None:
    for wrong in ({"memory": "1%", "value_sizes": "1KiB"}, {"memory": "1MiB"}):
        with pytest.raises(
            ValueError, match=r"^memory is '1.*': here it is bytes, goes with value"
        ):
            replay(KEYS, 10, **wrong)
    with pytest.raises(ValueError, match="give value_sizes= as well"):
        miss_ratio_curve(KEYS, ["lru"], memory=["1%"])
    with pytest.raises(TypeError, match="only a trace in a file has columns"):
        replay(KEYS, 10, value_sizes="column:size")


# ---- sizes of traces -----------------------------------------------------------------------------


def test_an_oracle_has_sizes(tmp_path: Path) -> None:
    records = np.zeros(len(KEYS), ORACLE_RECORD)
    records["id"], records["size"] = KEYS, 100 + KEYS % 1_000
    (tmp_path / "t.oracleGeneral.gz").write_bytes(gzip.compress(records.tobytes()))
    trace = open_trace(tmp_path / "t.oracleGeneral.gz")
    (point,) = miss_ratio_curve(trace, ["lru"], memory=["10%"], value_sizes="column:size")
    distinct = np.unique(KEYS)
    assert point.memory == round(0.1 * (100 + distinct % 1_000).sum())
    same = {"memory": point.memory, "value_sizes": lambda keys: 100 + keys % 1_000}
    assert point.reports[0].hits == replay(KEYS, point.entries, "lru", **same).hits
    with pytest.raises(TraceError, match=r"has no column 'bytes' with sizes: csv and tsv may"):
        next(trace.sized_chunks("bytes"))


def test_a_column_has_sizes(tmp_path: Path) -> None:
    rows = ["t,key,bytes", *(f"0,{key},{100 + key % 7}" for key in (1, 2, 1, 3, 9))]
    (tmp_path / "t.csv").write_text("\n".join(rows))
    trace = open_trace(tmp_path / "t.csv")
    for column in ("bytes", 2):
        (chunk,) = trace.sized_chunks(column)
        assert chunk["key"].tolist() == [1, 2, 1, 3, 9]
        assert chunk["size"].tolist() == [101, 102, 101, 103, 102]
        report = replay(trace, 10, value_sizes=f"column:{column}")
        assert report.bytes is not None
        assert (report.bytes.requested, report.bytes.missed) == (509, 408)
    for row, problem in (("0,5,x", "the size 'x' is no number of bytes"), ("0,5", "at index 2")):
        (tmp_path / "t.csv").write_text("\n".join([*rows, row]))
        with pytest.raises(TraceError, match=problem):
            list(trace.sized_chunks("bytes"))


def test_of_sizes_that_change_the_largest_counts(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("key,bytes\n1,10\n1,30\n1,20\n2,5\n")
    trace = open_trace(tmp_path / "t.csv")
    (point,) = miss_ratio_curve(trace, ["lru"], memory=["100%"], value_sizes="column:bytes")
    assert (point.memory, point.entries) == (35, 2)
