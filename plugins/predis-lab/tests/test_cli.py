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

from predis_lab import cli, contenders, demo, replay
from predis_lab.bench import command, server, showing
from predis_lab.bench import rows as bench_rows
from predis_lab.bench.material import Sizes
from predis_lab.bench.measuring import Measured, Unavailable, faster_than
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


def test_replay_shows_the_curve_of_every_size(trace: Path, tmp_path: Path) -> None:
    report = tmp_path / "curve.html"
    asked = (trace, "--sizes", "1%,200", "--policies", "lru,s3fifo", "--curve")
    document = as_json(cli.replay, *asked, "--report", report)
    assert [curve["trace"] for curve in document["curves"]] == ["small", "small"]
    assert [curve["live"]["policy"] for curve in document["curves"]] == ["lru", "s3fifo"]
    for curve in document["curves"]:
        assert curve["policy"] == "lru"
        assert curve["rate"] == 1.0
        at = curve["live"]["sizes"].index(200)
        measured = replay(KEYS, 200, curve["live"]["policy"]).miss_ratio
        assert curve["live"]["miss_ratios"][at] == pytest.approx(measured, abs=0.01)
        assert len(curve["sizes"]) == len(curve["miss_ratios"]) > 100
    page = report.read_text(encoding="utf-8")
    assert "lru, every size" in page
    assert page.count("<svg") == 2
    shown = call(cli.replay, *asked).stdout
    assert "Miss ratio of small by size" in shown
    assert "lru from all requests; policies simulated in miniature" in shown
    assert "█" * 20 in shown


def test_replay_samples_for_a_curve_as_a_cache_does(trace: Path) -> None:
    asked = (trace, "--sizes", "200", "--policies", "lru", "--curve", "--sampling", 0.2)
    (curve,) = as_json(cli.replay, *asked)["curves"]
    assert curve["rate"] == pytest.approx(0.2, abs=1e-5)
    assert 0.05 * len(KEYS) < curve["sampled"] < 0.5 * len(KEYS)
    assert max(curve["error"]) > 0
    assert "requests, ± the standard error" in re.sub(r"\s+", " ", call(cli.replay, *asked).stdout)


def test_a_curve_from_too_few_keys_is_refused(trace: Path) -> None:
    result = call(cli.replay, trace, "--sizes", "200", "--curve", "--sampling", 0.001)
    assert result.exit_code == 1
    assert re.search(r"small\.npy: --curve: (only \d keys|no key) w", result.stderr)


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


VALUES = ("--value-sizes", "lognormal:median=4KiB,sigma=1.5", "--costs", "uniform:low=1ms,high=1s")


def test_replay_with_values_that_differ(trace: Path, tmp_path: Path) -> None:
    report = tmp_path / "report.html"
    asked = (trace, "--policies", "lru,gdsf", "--memory", "5%,64KiB", *VALUES)
    points = as_json(cli.replay, *asked, "--report", report)["points"]
    assert [(p["policy"], p["size"]) for p in points] == [
        (policy, size) for size in ("5% of bytes", "64KiB") for policy in ("lru", "gdsf")
    ]
    for point in points:
        alone = replay(
            KEYS,
            point["entries"],
            point["policy"],
            memory=point["memory"],
            value_sizes=VALUES[1],
            costs=VALUES[3],
        )
        assert alone.bytes is not None
        assert alone.cost is not None
        assert point["miss_ratio"] == alone.miss_ratio
        assert point["byte_miss_ratio"] == alone.bytes.miss_ratio
        assert point["cost_miss_ratio"] == alone.cost.miss_ratio
    shown = call(cli.replay, *asked).stdout
    page = report.read_text()
    for ratio in ("miss_ratio", "byte_miss_ratio", "cost_miss_ratio"):
        assert all(f"{point[ratio]:.4f}" in shown for point in points)
        assert all(f"{point[ratio]:.4f}" in page for point in points)
    assert f"{points[2]['entries']} in 64 KiB" in shown
    assert page.count("<svg") == 3


def test_replay_in_batches(trace: Path) -> None:
    document = as_json(cli.replay, trace, "--batch", 100, "--sizes", 64, "--policies", "lru")
    assert document["points"][0]["miss_ratio"] == replay(KEYS, 64, "lru", batch=100).miss_ratio


USAGE = [
    (["--policies", "lrz"], "did you mean 'lru'"),
    (["--policies", ","], "name at least one"),
    (["--sizes", "0%"], "size '0%'"),
    (["--format", "nyp"], "Did you mean 'npy'"),
    (["--column", "key"], "column is for csv"),
    (["--memory", "1%"], "--memory goes with --value-sizes, and with neither --curve nor"),
    (["--memory", "1%", "--value-sizes", "1KiB", "--curve"], "--memory goes with --value-sizes"),
    (["--memory", "0%", "--value-sizes", "1KiB"], "memory '0%': write bytes such as 64MiB"),
    (["--value-sizes", "big"], "'big': expected a size such as"),
    (["--costs", "free"], "'free': expected a duration such as"),
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
    column = ("--value-sizes", "column:bytes")
    for arguments, message in (
        ([trace], r"truncated"),
        ([tmp_path / "empty.txt"], "holds no requests"),
        ([tmp_path / "good.txt", "--expected", tmp_path / "e.tsv"], "header lacks"),
        ([tmp_path / "good.txt", *column], "has no column 'bytes' with sizes"),
    ):
        result = call(cli.replay, *arguments)
        assert result.exit_code == 1
        assert message in result.stderr
        assert str(tmp_path) in result.stderr
        assert isinstance(result.exception, SystemExit)


# ---- demo and bench ------------------------------------------------------------------------------

WORKLOADS = ("report", "training", "market", "game")


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
    said = ("not fetched again", "none was wrong")
    for word in (*WORKLOADS, "predis lru", "predis lru + prefetch", *said):
        assert word in " ".join(result.stdout.split())
    assert 'pip install "predis-core[bench]"' in result.stdout
    assert result.stderr.count("predis lru, ") == len(WORKLOADS)
    assert result.stderr.count("predis lru + prefetch, ") == len(WORKLOADS)


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
    assert [result["workload"] for result in document["results"]] == [*WORKLOADS, *WORKLOADS]
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
    monkeypatch.setattr(bench_rows, "SIZES", Sizes(entries=2_000, batch=100))


@pytest.mark.usefixtures("small")
def test_bench_shows_chosen_rows() -> None:
    result = call(cli.bench, "--rows", "contains,get", "--rounds", 2)
    assert result.exit_code == 0, result.output
    assert "get: get_many, hits" in result.stdout
    assert "contains_many" in result.stdout
    assert "set_many" not in result.stdout
    assert "≥ 15" in result.stdout
    text = " ".join(result.stdout.split())
    assert "medians of 2 rounds" in text
    assert re.search(r"noise: the quartiles of a contender's times are \d+\.\d% of", text)


@pytest.mark.usefixtures("small")
def test_bench_as_json(tmp_path: Path) -> None:
    document = as_json(cli.bench, "--rows", "set", "--rounds", 3)
    assert [row["row"] for row in document["rows"]] == ["set"]
    ours = document["rows"][0]["contenders"]["predis"]
    assert len(ours["ns_per_key_rounds"]) == 3
    assert ours["ns_per_key"] == np.median(ours["ns_per_key_rounds"])
    assert [bar["bar"] for bar in document["rows"][0]["bars"]] == [15]
    assert document["machine"]["python"]


@pytest.mark.usefixtures("small")
def test_bench_writes_a_document_a_plot_and_a_page(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"# Speed\n\n{showing.BEGIN}\nold\n{showing.END}\n\nthe rest\n")
    arguments = ("--rows", "get,limit-lines", "--rounds", 2, "--page", page)
    files = ("--json", tmp_path / "a.json", "--plot", tmp_path / "a.png")
    result = call(cli.bench, *arguments, *files)
    assert result.exit_code == 0, result.output
    assert "Bars" in result.stdout
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    document = json.loads((tmp_path / "a.json").read_text())
    assert [row["row"] for row in document["rows"]] == ["get", "limit-lines"]
    text = page.read_text()
    assert text.startswith(f"# Speed\n\n{showing.BEGIN}\n")
    assert text.endswith(f"\n{showing.END}\n\nthe rest\n")
    assert "old" not in text
    assert "| `get` | times as fast as cachebox LRU | " in text
    assert call(cli.bench, *arguments).exit_code == 0
    assert page.read_text().count("| `get` | times as fast as cachebox LRU | ") == 1


def test_bench_refuses_a_page_without_a_place_for_figures(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# Speed\n")
    result = call(cli.bench, "--page", page)
    assert result.exit_code == 2
    assert "has no lines '<!-- figures: begin -->' and" in " ".join(result.stderr.split())
    assert call(cli.bench, "--plot", tmp_path / "a.pdf").exit_code == 2
    assert call(cli.bench, "--json", tmp_path / "absent" / "a.json").exit_code == 2


@pytest.mark.parametrize(("bar", "code"), [(2.0, 0), (5.0, 1)])
def test_bench_fails_on_a_missed_bar_if_it_is_to_check(
    monkeypatch: pytest.MonkeyPatch, bar: float, code: int
) -> None:
    times = {"predis": [1.0, 1.0], "peer": [3.0, 3.0]}
    done = [Measured("get", "a title", times, [faster_than("peer", bar, 9.0)])]
    monkeypatch.setattr(command, "_measured", lambda names, rounds: done)
    assert call(cli.bench).exit_code == 0
    result = call(cli.bench, "--check")
    assert result.exit_code == code
    assert (code == 1) == ("get: times as fast as peer: missed" in result.stderr)


def test_bench_says_why_a_row_was_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    def client() -> None:
        raise Unavailable("no server today")

    monkeypatch.setattr(server, "_client", client)
    result = call(cli.bench, "--rows", "redis-get", "--check")
    assert result.exit_code == 1
    assert "no server today" in result.stdout
    assert "redis-get: no server today" in result.stderr


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
