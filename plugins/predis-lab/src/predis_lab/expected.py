"""Comparison with known miss ratios, usually those of fully associative caches.

What a set-associative cache loses by choosing victims within a set is its excess: its miss ratio
minus the fully associative one, in percentage points.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from predis_lab.replaying import Point

COLUMNS = ("trace", "cache_fraction", "entries", "policy", "miss_ratio")
# Smaller caches have so few sets that the luck of one hash seed outweighs what is compared.
SETTLED = 512

Ratios = Mapping[tuple[str, int, str], float]


class ExpectedError(ValueError):
    """A file of expected ratios that cannot be used; the message says where and why."""


@dataclass(frozen=True, slots=True)
class Excess:
    """How a replayed point compares: `expected` and `measured` are miss ratios (0 to 1)."""

    trace: str
    size: str
    entries: int
    policy: str
    expected: float
    measured: float

    @property
    def points(self) -> float:
        """Percentage points above (worse than) what was expected."""
        return 100 * (self.measured - self.expected)

    def cells(self) -> tuple[str, ...]:
        """Return trace, policy, size, entries, both ratios and the excess as a table shows them."""
        return (
            self.trace,
            self.policy,
            self.size,
            f"{self.entries:,}",
            f"{self.expected:.4f}",
            f"{self.measured:.4f}",
            f"{self.points:+.2f}",
        )

    def as_dict(self) -> dict[str, Any]:
        """All of it, as JSON can carry it."""
        return {
            "trace": self.trace,
            "size": self.size,
            "entries": self.entries,
            "policy": self.policy,
            "expected": self.expected,
            "measured": self.measured,
            "excess_points": self.points,
        }


def read_expected(path: Path) -> Ratios:
    """Read a TSV with a header that has COLUMNS: miss ratios by (trace, entries, policy)."""
    ratios: dict[tuple[str, int, str], float] = {}
    with path.open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file, delimiter="\t")
        absent = [name for name in COLUMNS if name not in (rows.fieldnames or ())]
        if absent:
            raise ExpectedError(
                f"{path}, line 1: the header lacks {', '.join(absent)}; it is a "
                f"TSV with the columns {', '.join(COLUMNS)}"
            )
        for row in rows:
            try:
                key = (row["trace"], int(row["entries"]), row["policy"])
                ratios[key] = float(row["miss_ratio"])
            except (TypeError, ValueError):
                raise ExpectedError(
                    f"{path}, line {rows.line_num}: entries must be an integer "
                    "and miss_ratio a number"
                ) from None
    return ratios


def compare(points: Iterable[Point], expected: Ratios) -> list[Excess]:
    """The excess of each point that `expected` knows, in the points' order."""
    return [
        Excess(point.trace, str(point.size), point.entries, point.policy, ratio, point.miss_ratio)
        for point in points
        if (ratio := expected.get((point.trace, point.entries, point.policy))) is not None
    ]


def mean_points(excesses: Iterable[Excess], at_least: int = SETTLED) -> dict[str, float]:
    """The mean excess of each policy in points, over caches of `at_least` entries."""
    return {name: float(np.mean(points)) for name, points in _points(excesses, at_least).items()}


def worst_points(excesses: Iterable[Excess], at_least: int = SETTLED) -> dict[str, float]:
    """The largest excess of each policy in points, over caches of `at_least` entries."""
    return {name: max(points) for name, points in _points(excesses, at_least).items()}


def _points(excesses: Iterable[Excess], at_least: int) -> dict[str, list[float]]:
    by_policy: dict[str, list[float]] = {}
    for excess in excesses:
        if excess.entries >= at_least:
            by_policy.setdefault(excess.policy, []).append(excess.points)
    return by_policy
