"""The comparison of prefetchers: from a folder of traces to a page."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.prefetch.__main__ import main
from benchmarks.prefetch.comparing import THEIRS
from benchmarks.prefetch.page import page, read


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    traces = tmp_path / "traces"
    traces.mkdir()
    np.save(traces / "scan.npy", np.tile(np.arange(400), 3))
    np.save(traces / "chance.npy", np.random.default_rng(1).integers(0, 400, 1_200))
    (traces / "EXPECTED.tsv").write_text(
        "trace\tcache_fraction\tentries\tpolicy\tmiss_ratio\n"
        "scan\t0.1\t40\tlru\t1.0\nscan\t0.1\t40\tlru+mithril\t0.4\n"
    )
    return traces


def test_every_cell_has_a_row_and_the_page_sums_them_up(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    arguments = ["--traces", str(folder), "--out", str(out), "--jobs", "1"]
    assert main([*arguments, "--fractions", "0.1"]) == 0
    chance, scan = read(out / "prefetch.tsv")
    assert (chance["trace"], scan["trace"], scan["entries"]) == ("chance", "scan", 40)
    assert scan["lru"] == 1
    assert scan["saved"] == pytest.approx(1 - float(scan["ours"]), abs=1e-4)
    assert float(scan["saved"]) > 0.2
    assert float(scan["timed_seconds"]) > 0
    assert scan["timed_of"] == pytest.approx(1.2)
    assert scan[THEIRS[0]] == pytest.approx(0.6)
    assert chance[THEIRS[0]] == ""
    assert abs(float(chance["saved"])) < 0.01
    text = (out / "prefetch-table.md").read_text(encoding="utf-8")
    assert "| scan | 10% | 40 | 1.0000 |" in text
    assert "of the 1 cells on which mithril" in text
    assert (out / "prefetch-table.png").stat().st_size > 1_000
    # What is not measured anew stays if that is asked for.
    assert main([*arguments, "--fractions", "0.2", "--keep"]) == 0
    kept = [(row["trace"], row["fraction"]) for row in read(out / "prefetch.tsv")]
    assert kept == [("chance", 0.1), ("chance", 0.2), ("scan", 0.1), ("scan", 0.2)]


def test_a_folder_without_traces_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--traces", str(tmp_path), "--out", str(tmp_path)]) == 1
    assert "has no traces" in capsys.readouterr().err


def test_the_page_is_what_the_table_says() -> None:
    docs = Path(__file__).parents[2] / "docs" / "explanation"
    rows = read(docs / "prefetch.tsv")
    assert (docs / "prefetch-table.md").read_text(encoding="utf-8") == page(rows)
