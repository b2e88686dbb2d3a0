"""Comparison with known miss ratios."""

from __future__ import annotations

from pathlib import Path

import pytest

from predis_lab.expected import ExpectedError, compare, mean_points, read_expected, worst_points
from predis_lab.replaying import Point
from predis_lab.runs import Report
from predis_lab.sizes import Size

TSV = """trace\tcache_fraction\tentries\tpolicy\tmiss_ratio
a\t0.01\t100\tlru\t0.5000
a\t0.1\t1000\tlru\t0.4000
b\t0.1\t600\tlru\t0.3000
b\t0.1\t600\tfifo\t0.3500
"""


def point(trace: str, policy: str, entries: int, *misses: int) -> Point:
    reports = [Report(policy, entries, 0, 1000, 1000 - missed, 0, 0.1) for missed in misses]
    return Point(trace, policy, Size(entries=entries), tuple(reports))


def test_the_excess_is_in_points_over_the_mean_of_the_seeds(tmp_path: Path) -> None:
    (tmp_path / "e.tsv").write_text(TSV)
    points = [
        point("a", "lru", 100, 600),
        point("a", "lru", 1000, 402, 406),
        point("b", "lru", 600, 298),
        point("b", "fifo", 600, 350),
        point("b", "sieve", 600, 1),
        point("c", "lru", 600, 1),
        point("b", "lru", 601, 1),
    ]
    excesses = compare(points, read_expected(tmp_path / "e.tsv"))
    assert [(e.trace, e.policy) for e in excesses] == [
        ("a", "lru"), ("a", "lru"), ("b", "lru"), ("b", "fifo"),
    ]  # fmt: skip
    assert [e.points for e in excesses] == pytest.approx([10.0, 0.4, -0.2, 0.0])
    assert excesses[1].as_dict()["excess_points"] == pytest.approx(0.4)
    assert mean_points(excesses) == pytest.approx({"lru": 0.1, "fifo": 0.0})
    assert worst_points(excesses) == pytest.approx({"lru": 0.4, "fifo": 0.0})
    assert mean_points(excesses, at_least=1)["lru"] == pytest.approx(10.2 / 3)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("trace\tpolicy\na\tlru\n", r"line 1: the header lacks cache_fraction, entries"),
        ("", r"line 1: the header lacks trace"),
        (TSV + "c\t0.1\tmany\tlru\t0.1\n", r"line 6: entries must be an integer"),
        (TSV + "c\t0.1\n", r"line 6: entries must be"),
    ],
)
def test_files_that_are_something_else(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "e.tsv").write_text(text)
    with pytest.raises(ExpectedError, match=message):
        read_expected(tmp_path / "e.tsv")
