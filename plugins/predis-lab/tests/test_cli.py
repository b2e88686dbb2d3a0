"""The commands as a user calls them: output, exit codes, and no traceback for a mistake."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
from click.testing import CliRunner, Result

from predis_lab import bench_rows, cli, contenders, demo, replay
from predis_lab.traces import FORMATS
from predis_lab.workloads import Zipf

KEYS = Zipf(requests=20_000, keys=2_000, seed=1).ids()


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    np.save(tmp_path / "small.npy", KEYS)
    return tmp_path / "small.npy"


def call(command: click.Command, *arguments: object) -> Result:
    return CliRunner().invoke(command, [str(argument) for argument in arguments])


def as_json(command: click.Command, *arguments: object) -> Any:
    result = call(command, *arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.mark.parametrize("command", [cli.replay, cli.demo, cli.bench])
def test_help(command: click.Command) -> None:
    result = call(command, "--help")
    assert result.exit_code == 0
    assert "Exit codes" in result.output
    options = [name for parameter in command.params for name in parameter.opts
               if name.startswith("--")]  # fmt: skip
    assert len(options) >= 3
    assert all(option in result.output for option in options)


# ---- replay --------------------------------------------------------------------------------------


def test_replay_as_json(trace: Path) -> None:
    document = as_json(
        cli.replay, trace, "--policies", "lru,fifo", "--sizes", "1%,64", "--seeds", 2
    )
    assert list(document) == ["points"]
    distinct = len(np.unique(KEYS))
    cells = [(p["trace"], p["policy"], p["size"], p["entries"]) for p in document["points"]]
    assert cells == [
        ("small", policy, size, entries)
        for size, entries in (("1%", round(distinct / 100)), ("64", 64))
        for policy in ("lru", "fifo")
    ]
    for point in document["points"]:
        alone = [replay(KEYS, point["entries"], point["policy"], seed=s).miss_ratio for s in (0, 1)]
        assert point["miss_ratio"] == pytest.approx(np.mean(alone))


def test_replay_of_several_traces_as_a_table(trace: Path, tmp_path: Path) -> None:
    (tmp_path / "other.txt").write_text("a\nb\na\n")
    result = call(cli.replay, trace, tmp_path / "other.txt", "--sizes", "10%", "--policies", "lru")
    assert result.exit_code == 0
    ratio = replay(KEYS, round(0.1 * len(np.unique(KEYS))), "lru").miss_ratio
    assert f"{ratio:.4f}" in result.stdout
    assert "other" in result.stdout
    assert "1.0000" in result.stdout
    assert result.stderr == ""


def test_replay_draws_a_curve(trace: Path, tmp_path: Path) -> None:
    png = tmp_path / "curve.png"
    result = call(cli.replay, trace, "--sizes", "1%,5%,20%", "--png", png)
    assert result.exit_code == 0, result.output
    data = png.read_bytes()
    assert data.startswith(b"\x89PNG")
    assert len(data) > 10_000


def test_replay_writes_a_report(trace: Path, tmp_path: Path) -> None:
    report = tmp_path / "curve.html"
    result = call(cli.replay, trace, "--sizes", "1%,5%", "--policies", "lru", "--report", report)
    assert result.exit_code == 0, result.output
    ratio = replay(KEYS, round(0.05 * len(np.unique(KEYS))), "lru").miss_ratio
    assert f"{ratio:.4f}</td>" in report.read_text(encoding="utf-8")


def test_replay_compares_with_expected_ratios(trace: Path, tmp_path: Path) -> None:
    measured = replay(KEYS, 600, "lru").miss_ratio
    (tmp_path / "e.tsv").write_text(
        "trace\tcache_fraction\tentries\tpolicy\tmiss_ratio\n"
        f"small\t0.3\t600\tlru\t{measured - 0.0125:.6f}\n"
    )
    arguments = (
        trace,
        "--sizes",
        "600",
        "--policies",
        "lru,fifo",
        "--expected",
        tmp_path / "e.tsv",
    )
    document = as_json(cli.replay, *arguments)
    assert [cell["policy"] for cell in document["excesses"]] == ["lru"]
    assert document["mean_excess_points"]["lru"] == pytest.approx(1.25, abs=0.001)
    shown = call(cli.replay, *arguments)
    assert "+1.25" in shown.stdout
    none = call(cli.replay, trace, "--sizes", "7", "--expected", tmp_path / "e.tsv")
    assert "None of these" in none.stdout


def test_replay_reads_columns_and_formats(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("when,page\n1,5\n2,5\n3,6\n")
    for column in ("page", 1, -1):
        document = as_json(cli.replay, tmp_path / "t.csv", "--column", column, "--sizes", 10)
        assert document["points"][0]["reports"][0]["hits"] == 1
    (tmp_path / "t.dat").write_text("5 3 0 0\n5 1 0 1\n")
    document = as_json(cli.replay, tmp_path / "t.dat", "--format", "arc", "--sizes", 10)
    assert document["points"][0]["reports"][0]["requests"] == 4


def test_replay_in_batches(trace: Path) -> None:
    document = as_json(cli.replay, trace, "--batch", 100, "--sizes", 64, "--policies", "lru")
    assert document["points"][0]["miss_ratio"] == replay(KEYS, 64, "lru", batch=100).miss_ratio


USAGE = [
    (["--policies", "lrz"], "did you mean 'lru'"),
    (["--policies", ","], "name at least one"),
    (["--sizes", "0%"], "size '0%'"),
    (["--format", "nyp"], "Did you mean 'npy'"),
    (["--column", "key"], "column is for csv"),
    (["--seeds", "0"], "--seeds"),
    (["--expected", "absent.tsv"], "absent.tsv"),
    (["--png", "absent/folder/x.png"], "there is no folder"),
    (["--report", "absent/x.html"], "there is no folder absent"),
    (["--jsn"], "--json"),
]


@pytest.mark.parametrize(("arguments", "message"), USAGE)
def test_mistakes_in_the_command_line_exit_with_2(
    trace: Path, arguments: list[str], message: str
) -> None:
    result = call(cli.replay, trace, *arguments)
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.split())
    assert "Traceback" not in result.output


def test_a_missing_trace_exits_with_2() -> None:
    result = call(cli.replay, "absent.npy")
    assert result.exit_code == 2
    assert "absent.npy" in result.stderr
    assert call(cli.replay).exit_code == 2


def test_files_that_cannot_be_read_exit_with_1(trace: Path, tmp_path: Path) -> None:
    trace.write_bytes(trace.read_bytes()[:-5])
    (tmp_path / "empty.txt").write_text("\n")
    (tmp_path / "e.tsv").write_text("nothing\n")
    (tmp_path / "good.txt").write_text("1\n")
    for arguments, message in (
        ([trace], r"truncated"),
        ([tmp_path / "empty.txt"], "holds no requests"),
        ([tmp_path / "good.txt", "--expected", tmp_path / "e.tsv"], "header lacks"),
    ):
        result = call(cli.replay, *arguments)
        assert result.exit_code == 1
        assert message in result.stderr
        assert str(tmp_path) in result.stderr
        assert isinstance(result.exception, SystemExit)


# ---- demo and bench ------------------------------------------------------------------------------


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """No peers take part; the folder that the report goes to."""
    monkeypatch.setattr(demo.peers, "installed", lambda capacity: {})
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.usefixtures("alone")
def test_demo_shows_a_table_and_a_line_per_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo.peers, "absent", lambda: ["cachebox"])
    result = call(cli.demo, "--seconds", 1, "--policies", "lru", "--latency", 0)
    assert result.exit_code == 0, result.output
    for word in ("training", "market", "game", "predis lru", "not fetched again", "none was wrong"):
        assert word in " ".join(result.stdout.split())
    assert 'pip install "predis-core[bench]"' in result.stdout
    assert result.stderr.count("predis lru, ") == 3


def test_demo_writes_its_report(alone: Path) -> None:
    result = call(cli.demo, "--seconds", 1, "--policies", "lru", "--latency", 0)
    assert result.exit_code == 0, result.output
    written = alone / "predis-demo.html"
    assert result.stdout.splitlines()[-1] == f"Report: {written}"
    assert written.read_text(encoding="utf-8").count("<svg") == 5
    written.unlink()
    result = call(cli.demo, "--seconds", 1, "--policies", "lru", "--latency", 0, "--no-report")
    assert result.exit_code == 0, result.output
    assert "Report" not in result.stdout
    assert list(alone.iterdir()) == []


def test_demo_names_a_report_that_cannot_be_written_before_it_runs(
    alone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "perform", lambda *_: pytest.fail("it ran"))
    result = call(cli.demo, "--report", "absent/x.html")
    assert result.exit_code == 2
    assert "Invalid value for --report: there is no folder absent" in result.stderr
    # Root may write anywhere, so the system's answer is planted.
    monkeypatch.setattr(cli.os, "access", lambda *_: False)
    result = call(cli.demo)
    assert result.exit_code == 2
    message = f"the folder {alone} cannot be written to; name another file"
    assert message in " ".join(result.stderr.split())


def test_demo_as_json(alone: Path) -> None:
    document = as_json(
        cli.demo, "--seconds", 1, "--policies", "fifo", "--threads", 2, "--report", "here.html"
    )
    assert document["report"] == str(alone / "here.html")
    assert (alone / "here.html").is_file()
    assert [result["course"][-1] for result in document["results"]] == [
        [result["requests"], result["hits"]] for result in document["results"]
    ]
    assert document["configuration"] == "demo.toml of predis-lab"
    assert document["plugins"][0]["name"] == "lab"
    assert document["plugins"][0]["state"] == "healthy"
    assert document["latency_ms"] == 1.0
    assert document["wrong_rows"] == 0
    assert document["threads"] == 2
    assert [result["workload"] for result in document["results"]] == ["training", "market", "game"]
    assert all(result["rows_per_second"] > 0 for result in document["results"])


def test_demo_takes_a_configuration(alone: Path) -> None:
    (alone / "my.toml").write_text(
        '[cache]\ncapacity = 5\n[plugins.lab]\nreport = "live-{cache}.html"\n'
        "[plugins.no-such]\nrequired = false\n"
    )
    result = call(
        cli.demo, "--seconds", 1, "--policies", "lru", "--latency", 0, "--config", "my.toml"
    )
    assert result.exit_code == 0, result.output
    shown = " ".join(result.stdout.split())
    assert "Opened with my.toml. Plugin lab: healthy (predis-lab " in shown
    assert "Plugin no-such: skipped (plugin 'no-such' is not installed; " in shown
    page = (alone / "predis-demo.html").read_text(encoding="utf-8")
    assert "skipped</td>" in page
    assert '<th scope="col" class="number">demo-lru</th>' in page
    assert "Cache demo-lru at work" in (alone / "live-demo-lru.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[cache", "my.toml: not valid TOML: "),
        ("[cache]\ncapacty = 1", "my.toml: cache.capacty: unknown key"),
        ("[plugins.no-such]", "plugin 'no-such' is not installed"),
    ],
)
def test_demo_cannot_be_opened_with_it(alone: Path, text: str, message: str) -> None:
    (alone / "my.toml").write_text(text)
    result = call(cli.demo, "--config", "my.toml", "--policies", "lru")
    assert result.exit_code == 1
    assert f"Error: {message}" in result.stderr
    assert isinstance(result.exception, SystemExit)
    assert call(cli.demo, "--config", "absent.toml").exit_code == 2


def test_demo_fails_on_a_wrong_row(alone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contenders.Store, "fetch", lambda self, ids: contenders.rows_of(ids + 1))
    result = call(cli.demo, "--seconds", 1, "--policies", "lru")
    assert result.exit_code == 1
    assert "rows were not what the store holds" in result.stderr
    assert 'class="bad"' in (alone / "predis-demo.html").read_text(encoding="utf-8")


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_rows, "ENTRIES", 2_000)
    monkeypatch.setattr(bench_rows, "ROOM", 2_500)


@pytest.mark.usefixtures("small")
def test_bench_shows_chosen_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    result = call(cli.bench, "--rows", "contains,get", "--rounds", 2)
    assert result.exit_code == 0, result.output
    assert "get_many, hits" in result.stdout
    assert "contains_many" in result.stdout
    assert "set_many" not in result.stdout
    assert "medians of 2 rounds" in " ".join(result.stdout.split())


@pytest.mark.usefixtures("small")
def test_bench_as_json() -> None:
    document = as_json(cli.bench, "--rows", "set", "--rounds", 3)
    assert [row["row"] for row in document["rows"]] == ["set"]
    ours = document["rows"][0]["contenders"]["predis"]
    assert len(ours["ns_per_key_rounds"]) == 3
    assert ours["ns_per_key"] == np.median(ours["ns_per_key_rounds"])
    assert document["machine"]["python"]


def test_bench_names_the_nearest_row() -> None:
    result = call(cli.bench, "--rows", "conains")
    assert result.exit_code == 2
    assert "Did you mean 'contains'" in " ".join(result.stderr.split())


# ---- the README ----------------------------------------------------------------------------------

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("number", range(3))
def test_the_snippets_of_the_readme_run(number: int, capsys: pytest.CaptureFixture[str]) -> None:
    snippets = re.findall(r"^```python\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    assert len(snippets) == 3
    exec(compile(snippets[number], "README.md", "exec"), {})
    printed = capsys.readouterr().out
    assert re.search(r"\d\d\.\d%", printed)


def test_the_readme_names_every_format() -> None:
    assert all(f"`{name}`" in README for name in FORMATS)
