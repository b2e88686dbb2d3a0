"""The comparison with libcachesim: what surrounds the replays. libcachesim itself is not run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.eviction import __main__ as command
from benchmarks.eviction import environment, sources
from benchmarks.eviction.comparing import OURS, THEIRS, Cell, Plan, Result, compare, known
from benchmarks.eviction.environment import NoEnvironment, interpreter, python_with_libcachesim
from benchmarks.eviction.page import page
from benchmarks.eviction.plots import plot_cells, plot_policies, plot_standings
from benchmarks.eviction.sources import Source, from_folder, next_requests, synthetic, write_oracle
from benchmarks.eviction.tables import fewest, read_tsv, rows_of, standings, times, write_tsv
from predis_lab import replay
from predis_lab.traces import open_trace

KEYS = np.array([5, -7, 5, 9, 5, -7], np.int64)
LOOP = np.tile(np.arange(100), 5)
SMALL, LARGE, LARGER = (
    Cell("a", 0.1, 10, 1_000),
    Cell("a", 0.5, 300, 1_000),
    Cell("b", 0.5, 400, 2_000),
)


def made(ours: dict[str, tuple[float, ...]], theirs: dict[str, tuple[float, ...]]) -> list[Result]:
    """Results for SMALL, LARGE and LARGER by policy."""
    return [
        Result(cell, cache, policy, ratios[at])
        for at, cell in enumerate((SMALL, LARGE, LARGER))
        for cache, side in ((OURS, ours), (THEIRS, theirs))
        for policy, ratios in side.items()
    ]


RESULTS = made(
    {"lru": (0.9, 0.50, 0.44), "lirs": (0.8, 0.40, 0.66), "arc": (0.8, 0.404, 0.46)},
    {"lru": (0.7, 0.50, 0.40), "cacheus": (0.9, 0.40, 0.50), "belady": (0.5, 0.30, 0.30)},
)


# ------------------------------------------------------------------ sources


def test_a_request_knows_the_next_one_of_its_key() -> None:
    never = np.iinfo(np.int64).max
    assert next_requests(KEYS).tolist() == [2, 5, 4, never, never, never]


def test_what_libcachesim_reads_is_what_was_asked_for(tmp_path: Path) -> None:
    write_oracle(KEYS, tmp_path / "t.oracleGeneral")
    assert open_trace(tmp_path / "t.oracleGeneral").read().tolist() == KEYS.tolist()


def test_a_folder_gives_its_traces_and_leaves_out_tables(tmp_path: Path) -> None:
    for name in ("b.npy", "a.v2.npy"):
        np.save(tmp_path / name, KEYS)
    (tmp_path / "EXPECTED.tsv").write_text("trace\tpolicy\n")
    (tmp_path / "README").write_text("traces")
    found = from_folder(tmp_path)
    assert [source.name for source in found] == ["a.v2", "b"]
    assert found[0].read().tolist() == KEYS.tolist()


def test_a_folder_without_traces_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"holds no traces: files that end in \.npy"):
        from_folder(tmp_path)


def test_synthetic_workloads_have_names_of_their_own() -> None:
    names = [source.name for source in synthetic()]
    assert {"zipf", "loop", "market"} <= set(names)
    assert len(set(names)) == len(names)


# ------------------------------------------------------------------ the environment


def test_an_environment_that_fits_is_kept(tmp_path: Path) -> None:
    place, wanted = tmp_path / "place", tmp_path / "requirements.txt"
    (place / "bin").mkdir(parents=True)
    (place / "bin" / "python").touch()
    for file in (place / "installed.txt", wanted):
        file.write_text("libcachesim==1\n")
    assert python_with_libcachesim(place, wanted) == place / "bin" / "python"


def test_what_pip_says_is_passed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = tmp_path / "requirements.txt"
    wanted.write_text("libcachesim==1\n")

    def failing(*_: object, **__: object) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess([], 1, "", "No matching distribution\n")

    monkeypatch.setattr(environment, "_make", lambda place, python: None)
    monkeypatch.setattr(environment.subprocess, "run", failing)
    with pytest.raises(NoEnvironment, match=r"(?s)could not install libcachesim==1 .*No matching"):
        python_with_libcachesim(tmp_path / "place", wanted)
    assert not (tmp_path / "place" / "installed.txt").exists()


def test_without_an_interpreter_that_fits_it_says_which_would(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert interpreter().name.startswith("python")
    monkeypatch.setattr(environment, "WHEELS_FOR", ((3, 1), (3, 2)))
    with pytest.raises(NoEnvironment, match=r"wheels for Python 3\.1, 3\.2; this is"):
        interpreter()


# ------------------------------------------------------------------ replays


def program(folder: Path, text: str) -> Path:
    """A stand-in for the other environment's interpreter."""
    path = folder / "python"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def compared(folder: Path, text: str) -> tuple[list[Result], int]:
    advanced: list[None] = []
    plan = Plan(("fifo",), ("lru",), (0.5, 1.0), seeds=2)
    found = compare(
        Source("t", lambda: LOOP),
        plan,
        program(folder, text),
        lambda: advanced.append(None),
    )
    assert len(found) == plan.results
    return found, len(advanced)


def test_both_are_asked_for_each_size(tmp_path: Path) -> None:
    found, advanced = compared(tmp_path, 'test -s "$2" && echo warm && echo 0.$4')
    cells = [Cell("t", 0.5, 50, 500), Cell("t", 1.0, 100, 500)]
    assert [result for result in found if result.cache == THEIRS] == [
        Result(cells[0], THEIRS, "lru", 0.50),
        Result(cells[1], THEIRS, "lru", 0.100),
    ]
    ours = [result for result in found if result.cache == OURS]
    assert [(result.cell, result.policy) for result in ours] == [(cell, "fifo") for cell in cells]
    for result in ours:
        ratios = [
            replay(LOOP, result.cell.entries, "fifo", seed=seed).miss_ratio for seed in (0, 1)
        ]
        assert result.miss_ratio == pytest.approx(sum(ratios) / 2)
    assert advanced == 4


@pytest.mark.parametrize("text", ["kill -11 $$", "exit 1", "echo", "echo none"])
def test_a_cache_that_fails_has_no_ratio(tmp_path: Path, text: str) -> None:
    found, _ = compared(tmp_path, text)
    assert [result.miss_ratio for result in found if result.cache == THEIRS] == [None, None]


def test_policies_are_told_apart() -> None:
    assert known(["lru", "lhd", "density"]) == (["lru", "density"], ["lru", "lhd"])
    with pytest.raises(ValueError, match=r"^no policy 'lrru' among arc, belady, cacheus, "):
        known(["lru", "lrru"])


# ------------------------------------------------------------------ tables


def test_results_survive_a_file(tmp_path: Path) -> None:
    results = [*RESULTS, Result(LARGER, THEIRS, "lhd", None)]
    write_tsv(results, tmp_path / "results.tsv")
    assert read_tsv(tmp_path / "results.tsv") == results


def test_rows_have_the_best_of_both_sides() -> None:
    rows = rows_of([*RESULTS, Result(LARGE, THEIRS, "lhd", None)])
    assert [(row.best_of_ours, row.best_of_theirs, row.bound) for row in rows] == [
        (("arc", 0.8), ("lru", 0.7), 0.5),
        (("lirs", 0.40), ("cacheus", 0.40), 0.3),
        (("lru", 0.44), ("lru", 0.40), 0.3),
    ]
    assert [row.settled for row in rows] == [False, True, True]
    assert rows[2].times == pytest.approx(1.1)


def test_a_cell_that_one_side_lacks_is_left_out() -> None:
    failed = [Result(SMALL, OURS, "lru", 0.5), Result(SMALL, THEIRS, "lru", None)]
    assert rows_of(failed) == []


def test_standings_are_over_settled_cells() -> None:
    found = {(s.cache, s.policy): s for s in standings(rows_of(RESULTS))}
    arc = found[OURS, "arc"]
    assert (arc.mean, arc.above) == (pytest.approx(0.432), pytest.approx(0.08))
    assert (arc.worst, arc.close) == (pytest.approx(0.15), 0.5)
    assert (THEIRS, "belady") not in found
    assert next(iter(found)) == (OURS, "arc")


def test_a_policy_that_failed_somewhere_has_no_standing() -> None:
    rows = rows_of(
        [*RESULTS, Result(LARGE, THEIRS, "lhd", 0.3), Result(LARGER, THEIRS, "lhd", None)]
    )
    assert "lhd" not in {standing.policy for standing in standings(rows)}


def test_candidates_are_added_by_what_they_help() -> None:
    settled = [row for row in rows_of(RESULTS) if row.settled]
    assert fewest(settled) == [("arc",), ("arc", "lru"), ("arc", "lru", "lirs")]
    assert fewest(settled, 1) == [("arc",)]
    assert times(("arc", "lru"), settled) == pytest.approx([1.01, 1.1])


def test_the_page_has_every_figure() -> None:
    text = page([*RESULTS, Result(LARGE, THEIRS, "lhd", 0.45)], "Made of this.")
    assert "\n\nMade of this.\n\n" in text
    assert "| arc | predis | 0.4320 | +8.0% | +15.0% | 50% |" in text
    assert "| arc, lru | +5.5% | +10.0% | 1 of 2 |" in text
    assert "| b | 50.0% | 400 | 2,000 | 0.3000 | 0.4000 | lru | 0.4400 | lru | +10.0% |" in text
    assert "| a | 50.0% | 300 | **0.4000** | 0.4500 | 0.5000 |" in text
    assert "| b | 50.0% | 400 | 0.5000 | – | **0.4000** |" in text


def test_a_page_of_small_caches_has_no_means() -> None:
    text = page([result for result in RESULTS if result.cell == SMALL], "")
    assert "## The best of both" in text
    assert "Over all caches" not in text


def test_plots_are_written(tmp_path: Path) -> None:
    rows = [row for row in rows_of(RESULTS) if row.settled]
    plot_standings(standings(rows), tmp_path / "a.png")
    plot_cells(rows, tmp_path / "b.png")
    plot_policies(rows, ["lru", "arc"], tmp_path / "c.png")
    for path in tmp_path.iterdir():
        assert path.read_bytes().startswith(b"\x89PNG")


# ------------------------------------------------------------------ the command


def test_the_command_writes_a_page_a_table_and_plots(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "traces").mkdir()
    np.save(tmp_path / "traces" / "t.npy", np.tile(np.arange(600), 3))
    python = program(tmp_path, "echo 0.5")
    monkeypatch.setattr(command, "python_with_libcachesim", lambda: python)
    out = tmp_path / "out"
    given = ["--traces", tmp_path / "traces", "--policies", "fifo,lru", "--fractions", "0.5"]
    assert command.main([*map(str, given), "--out", str(out)]) == 0
    assert sorted(path.name for path in out.iterdir()) == [
        "eviction-cells.png",
        "eviction-policies.png",
        "eviction-standings.png",
        "eviction-table.md",
        "eviction.tsv",
    ]
    assert f"4 results in {out}" in capsys.readouterr().out


def test_a_folder_that_is_not_there_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command.main(["--traces", str(tmp_path / "no")]) == 1
    assert "compare-policies: " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--policies", "lru,lrru"], "no policy 'lrru' among"),
        (["--fractions", "0.1,2"], "'0.1,2': write shares above 0 and at most 1, with commas"),
        (["--fractions", "ten"], "'ten': write shares"),
        (["--seeds", "0"], "'0': write a number from 1"),
    ],
)
def test_mistakes_in_the_command_line(
    arguments: list[str], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        command.main(arguments)
    assert text in capsys.readouterr().err


def test_the_program_for_the_other_environment_needs_none_of_ours() -> None:
    """It is run with -I -S here: without site-packages."""
    path = Path(sources.__file__).with_name("libcachesim_cell.py")
    ran = subprocess.run(
        [sys.executable, "-I", "-S", path, "t", "LRU", "5"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "No module named 'libcachesim'" in ran.stderr
