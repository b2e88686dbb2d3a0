"""`predis export`: its formats, what it chooses, and what it says when it cannot."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import sqlite3
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
from click.testing import CliRunner, Result

import predis_core as predis
from predis_core import cli, host
from predis_core.errors import ConfigurationError
from predis_core.plugin import Snapshot
from predis_core.telemetry import COUNTERS, GAUGES
from predis_history.formats import COLUMNS
from predis_history.writing import Origin

Make = Callable[..., Snapshot]


def ran(*arguments: Any) -> Result:
    return CliRunner().invoke(cli.build(), ["export", *map(str, arguments)])


def exported(*arguments: Any) -> list[dict[str, str]]:
    result = ran(*arguments)
    assert result.exit_code == 0, result.output
    return list(csv.DictReader(io.StringIO(result.stdout)))


@pytest.fixture
def some(writing: Any, origin: Origin, snapshot: Make, latency: Any) -> None:
    """Two snapshots in the file."""
    with contextlib.closing(writing()) as writer:
        writer.add(origin, snapshot(1, 5, latency(4, 0, 0)))
        writer.add(origin, snapshot(2.5, 2**62, latency(4, 0, 0)))


def test_values_are_those_of_the_cache_to_the_unit(path: Path) -> None:
    cache_section = {
        "name": "shop",
        "capacity": 50,
        "policy": "fifo",
        "value": {"kind": "rows", "dtype": "int64"},
    }
    section = {"path": str(path), "interval": "1h"}
    with predis.open({"cache": cache_section, "plugins": {"history": section}}) as cache:
        for first in range(0, 200, 10):
            cache.get_or_load_many(range(first, first + 30), lambda ids: ids)
        cache.delete_many(range(200))
        stats = cache.stats()
    rows = {row["metric"]: row for row in exported(path) if row["statistic"] == "value"}
    for field, metric in (*COUNTERS.items(), *GAUGES.items()):
        row = rows[metric.name]
        assert int(row["value"]) == getattr(stats, field), field
        assert (row["cache"], row["kind"], row["unit"]) == ("shop", metric.kind, metric.unit)
    assert min(stats.hits, stats.misses, stats.evictions, stats.loads, stats.deletions) > 0
    counts = {
        json.loads(row["labels"])["operation"]: row["value"]
        for row in exported(path, "--metric", "predis.cache.batch.duration")
        if row["statistic"] == "count"
    }
    assert (counts["load"], counts["delete"], counts["get"]) == ("20", "1", "0")


@pytest.mark.usefixtures("some")
def test_csv_has_a_header_and_a_line_per_number(path: Path) -> None:
    text = ran(path, "--metric", "*.hits").stdout
    assert text == (
        "time,cache,host,pid,metric,kind,unit,labels,statistic,value\n"
        "2027-01-15T08:00:01.000Z,shop,machine,42,predis.cache.hits,counter,keys,{},value,5\n"
        "2027-01-15T08:00:02.500Z,shop,machine,42,predis.cache.hits,counter,keys,{},value,"
        "4611686018427387904\n"
    )
    assert ran(path, "--metric", "nothing").stdout == text.partition("\n")[0] + "\n"


def numbers(row: Any) -> tuple[Any, ...]:
    return row["time"], row["metric"], row["labels"], row["statistic"], float(row["value"])


@pytest.mark.usefixtures("some")
def test_every_format_has_the_same_rows(path: Path, tmp_path: Path) -> None:
    lines = [row | {"labels": json.loads(row["labels"])} for row in exported(path)]
    wanted = [numbers(row) for row in lines]
    assert len(wanted) == 2 * 2 + 5 + 2
    document = json.loads(ran(path, "--format", "json").stdout)
    assert [numbers(row) for row in document] == wanted
    assert document[0].keys() == dict.fromkeys(COLUMNS).keys()
    assert json.loads(ran(path, "--format", "json", "--metric", "nothing").stdout) == []
    out = tmp_path / "history.parquet"
    result = ran(path, "--out", out)
    assert result.exit_code == 0, result.output
    table = pyarrow.parquet.read_table(out)
    assert table.column_names == list(COLUMNS)
    assert [
        (
            row["time"].isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            row["metric"],
            json.loads(row["labels"]),
            row["statistic"],
            row["value"],
        )
        for row in table.to_pylist()
    ] == wanted
    assert pyarrow.parquet.read_table(out).schema.field("value").type == "double"
    empty = tmp_path / "empty.parquet"
    assert ran(path, "--out", empty, "--metric", "nothing").exit_code == 0
    assert pyarrow.parquet.read_table(empty).num_rows == 0


@pytest.mark.usefixtures("some")
@pytest.mark.parametrize(
    ("options", "values"),
    [
        (("--since", "2027-01-15T08:00:02Z"), [2**62]),
        (("--since", "2027-01-15T08:00:02"), [2**62]),
        (("--since", "2027-01-15T09:00:02+01:00"), [2**62]),
        (("--until", "2027-01-15T08:00:02.500"), [5]),
        (("--since", "2027-01-15", "--until", "2027-01-16"), [5, 2**62]),
        (("--cache", "other*"), []),
        (("--cache", "other", "--cache", "s*"), [5, 2**62]),
    ],
)
def test_what_is_chosen(path: Path, options: tuple[str, ...], values: list[int]) -> None:
    rows = exported(path, "--metric", "*.hits", *options)
    assert [int(row["value"]) for row in rows] == values


def test_since_may_be_how_long_ago(
    path: Path, writing: Any, origin: Origin, snapshot: Make
) -> None:
    now = datetime.now(UTC)
    with contextlib.closing(writing()) as writer:
        for hours in (3, 1):
            moment = round((now - timedelta(hours=hours)).timestamp() * 1e9)
            made = snapshot(0, hours)
            writer.add(origin, Snapshot("shop", moment, made.samples))
    for since, wanted in (("4h", ["3", "1"]), ("2h", ["1"]), ("1m", []), ("1h30m", ["1"])):
        rows = exported(path, "--metric", "*.hits", "--since", since)
        assert [row["value"] for row in rows] == wanted
    assert len(exported(path, "--metric", "*.hits", "--until", "2h")) == 1


@pytest.mark.usefixtures("some")
def test_a_file_is_written_whole_or_not_at_all(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out.json"
    assert ran(path, "--out", out).exit_code == 0
    whole = out.read_text()
    assert json.loads(whole)
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE snapshots SET data = x'c1' WHERE id = 2")
    result = ran(path, "--out", out)
    assert result.exit_code == 1
    assert "is damaged, or no history" in result.output
    assert out.read_text() == whole
    assert [each.name for each in tmp_path.iterdir() if "part" in each.name] == []


@pytest.mark.usefixtures("some")
def test_parquet_without_pyarrow_says_what_to_install(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    result = ran(path, "--out", tmp_path / "x.parquet")
    assert result.exit_code == 1
    assert 'pip install "predis-history[parquet]"' in result.output
    assert ran(path).exit_code == 0


def test_mistakes_are_told(path: Path, tmp_path: Path) -> None:
    def told(code: int, *arguments: Any) -> str:
        result = ran(*arguments)
        assert result.exit_code == code, result.output
        return " ".join(result.output.split())

    assert "No such file" in told(1, path)
    path.write_text("no database, of some length, so that it has a header that is none" * 99)
    assert "is damaged, or no history: file is not a database" in told(1, path)
    path.write_text("")
    assert "is empty; name the `path` of [plugins.history]" in told(1, path)
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE mine (a)")
    assert "is a database of another program" in told(1, path)
    assert "is no time; give one as 2027-01-31" in told(2, path, "--since", "yesterday")
    assert "--format parquet needs --out PATH" in told(2, path, "--format", "parquet")
    assert "'csv', 'json', 'parquet'" in told(2, path, "--format", "xml")


def test_a_history_is_exported_while_it_is_written(path: Path) -> None:
    cache_section = {
        "capacity": 50,
        "policy": "fifo",
        "value": {"kind": "rows", "dtype": "int64"},
    }
    section = {"path": str(path), "interval": "5ms"}
    with predis.open({"cache": cache_section, "plugins": {"history": section}}) as cache:
        seen = 0
        while seen < 50:
            cache.get_many(range(10))
            values = [int(row["value"]) for row in exported(path, "--metric", "*.misses")]
            assert values == sorted(values)
            assert len(values) >= seen
            seen = len(values)
        status = host.status()
        assert status is not None
        assert [plugin.state for plugin in status.plugins] == ["healthy"]


def test_the_section_is_checked(path: Path) -> None:
    for fields, words in (
        ({"max_size": "1KiB"}, "max_size: expected at least 1MiB, got 1KiB"),
        ({"path": str(path.parent)}, "path: cannot write"),
        ({"keep": 0}, "keep: expected a duration"),
    ):
        section = {"path": str(path), **fields}
        with pytest.raises(ConfigurationError, match=words):
            predis.open({"cache": {"capacity": 1}, "plugins": {"history": section}})
