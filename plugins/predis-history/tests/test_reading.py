"""What is read of a file: rows in the order of time, and what came between two snapshots."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from predis_core.clock import NANOSECONDS
from predis_core.plugin import Sample, Snapshot
from predis_core.telemetry import COUNTERS
from predis_history import reading
from predis_history.database import Damaged, open_to_read
from predis_history.reading import Choice, quantile, rows_of
from predis_history.writing import Origin

BEGAN = 1_800_000_000 * NANOSECONDS
DURATION = ("predis.cache.batch.duration",)
Held = Callable[..., list[Any]]
Make = Callable[..., Snapshot]


def at(seconds: float) -> int:
    return BEGAN + round(seconds * NANOSECONDS)


def test_a_histogram_has_totals_and_quantiles_of_what_came_since(
    writing: Any, origin: Origin, snapshot: Make, latency: Any, held: Held
) -> None:
    writer = writing()
    for second, counts in enumerate([(10, 0, 0), (10, 8, 2), (10, 8, 2)], 1):
        writer.add(origin, snapshot(second, 0, latency(*counts)))
    rows = [((row.time - BEGAN) // NANOSECONDS, row.statistic, row.value) for row in held(DURATION)]
    assert rows == [
        (1, "count", 10),
        (1, "sum", 0.5),
        (1, "p50", pytest.approx(0.05)),
        (1, "p90", pytest.approx(0.09)),
        (1, "p99", pytest.approx(0.099)),
        (2, "count", 20),
        (2, "sum", 1.0),
        (2, "p50", pytest.approx(0.1625)),
        (2, "p90", 0.2),  # above the last bound
        (2, "p99", 0.2),
        (3, "count", 20),  # nothing came: no quantiles
        (3, "sum", 1.0),
    ]
    assert held(DURATION)[0].labels == {"operation": "get"}


def test_the_first_snapshot_of_a_choice_is_compared_with_the_one_before(
    writing: Any, origin: Origin, snapshot: Make, latency: Any, held: Held
) -> None:
    writer = writing()
    other = origin._replace(token=b"other", pid=43)
    writer.add(origin, snapshot(1, 0, latency(100, 0, 0)))
    writer.add(other, snapshot(2, 0, latency(0, 0, 7)))
    writer.add(origin, snapshot(3, 0, latency(100, 0, 1)))
    rows = held(DURATION, since=at(3))
    assert [row.value for row in rows if row.statistic == "p50"] == [0.2]
    assert [row.value for row in rows if row.statistic == "count"] == [101]


def test_processes_with_a_cache_of_one_name_are_told_apart(
    writing: Any, origin: Origin, snapshot: Make, latency: Any, held: Held
) -> None:
    writer = writing()
    other = origin._replace(token=b"other", pid=43, host="elsewhere")
    for second in range(1, 4):
        writer.add(origin, snapshot(second, second, latency(second, 0, 0)))
        writer.add(other, snapshot(second, 100 + second, latency(0, 0, second)))
    found = [(row.host, row.pid, row.value) for row in held()]
    assert found == [
        each
        for second in range(1, 4)
        for each in (("machine", 42, second), ("elsewhere", 43, 100 + second))
    ]
    quantiles = [row.value for row in held(DURATION) if row.statistic == "p50"]
    assert quantiles == [0.05, 0.2] * 3


@pytest.mark.parametrize("at_once", [1, 2, 3, 500])
def test_times_choose_and_parts_join(
    at_once: int,
    writing: Any,
    origin: Origin,
    snapshot: Make,
    held: Held,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reading, "_AT_ONCE", at_once)
    writer = writing()
    for second in (1, 2, 2, 2, 3, 4):
        writer.add(origin, snapshot(second, second))
    assert [row.value for row in held()] == [1, 2, 2, 2, 3, 4]
    assert [row.value for row in held(since=at(2))] == [2, 2, 2, 3, 4]
    assert [row.value for row in held(until=at(2))] == [1]
    assert [row.value for row in held(since=at(2), until=at(4))] == [2, 2, 2, 3]
    assert held(since=at(9)) == []


def test_patterns_choose_metrics_and_caches(
    writing: Any, origin: Origin, snapshot: Make, held: Held
) -> None:
    writer = writing()
    part = Sample(COUNTERS["hits"], ("shop/acme",), 3)
    writer.add(origin, snapshot(1, 5, part))

    def found(*metrics: str, caches: tuple[str, ...] = ()) -> list[tuple[str, str]]:
        return [
            (row.metric.removeprefix("predis.cache."), row.cache)
            for row in held(metrics, caches=caches)
        ]

    assert found() == [("hits", "shop"), ("size", "shop"), ("hits", "shop/acme")]
    assert found("*.size", "nothing") == [("size", "shop")]
    assert found("*.h?ts", caches=("shop",)) == [("hits", "shop")]
    assert found(caches=("shop/*",)) == [("hits", "shop/acme")]


def test_what_is_removed_meanwhile_was_read_whole(
    writing: Any, origin: Origin, snapshot: Make, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "_AT_ONCE", 3)
    writer = writing(keep="60s")
    for second in range(10):
        one = Sample(COUNTERS["misses"], (f"shop/{second}",), second)
        writer.add(origin._replace(token=b"%d" % second), snapshot(second, second, one))
    connection = open_to_read(path)
    rows = rows_of(connection, Choice(metrics=("*.hits",)))
    values = [next(rows).value]
    writer.add(origin, snapshot(10_000, 10_000))  # all others leave
    values += [row.value for row in rows]
    connection.close()
    assert values == [0, 1, 2, 10_000]


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM layouts",
        "UPDATE layouts SET series = 'nothing'",
        "UPDATE snapshots SET data = x'c1'",
        "UPDATE snapshots SET data = x'90'",
    ],
)
def test_what_does_not_fit_together_is_damaged(
    statement: str,
    writing: Any,
    origin: Origin,
    snapshot: Make,
    held: Held,
    other: sqlite3.Connection,
) -> None:
    with writing_closed(writing) as writer:
        writer.add(origin, snapshot(1))
    other.execute(statement)
    with pytest.raises(Damaged):
        held()


def writing_closed(writing: Any) -> Any:
    import contextlib

    return contextlib.closing(writing())


def test_quantiles_at_the_edges() -> None:
    assert quantile((1.0, 2.0), (0, 0, 0), 0.5) is None
    assert quantile((1.0, 2.0), (4, 0, 0), 1.0) == 1.0
    assert quantile((1.0, 2.0), (0, 0, 3), 0.5) == 2.0
    assert quantile((1.0, 2.0), (2, 2, 0), 0.5) == 1.0


def test_a_file_beside_which_nothing_may_be_written_is_read(
    writing: Any, origin: Origin, snapshot: Make, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with writing_closed(writing) as writer:
        writer.add(origin, snapshot(1, 5))
    real = sqlite3.connect
    asked = []

    def connect(where: Any, **more: Any) -> Any:
        asked.append(where)
        if "immutable" not in where:
            raise sqlite3.OperationalError("unable to open database file")
        return real(where, **more)

    monkeypatch.setattr(sqlite3, "connect", connect)
    connection = open_to_read(path)
    assert [row.value for row in rows_of(connection, Choice(metrics=("*.hits",)))] == [5]
    connection.close()
    assert len(asked) == 2
    path.with_name("history.db-wal").write_bytes(b"")
    with pytest.raises(sqlite3.OperationalError):
        open_to_read(path)
