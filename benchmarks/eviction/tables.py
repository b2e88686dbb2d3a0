"""Results as tables: a TSV of all of them, and Markdown for people."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.eviction.comparing import BOUND, OURS, THEIRS, Cell, Result

COLUMNS = ("trace", "cache_fraction", "entries", "requests", "cache", "policy", "miss_ratio")
# In smaller caches the luck of a hash seed outweighs what is compared.
SETTLED = 256
CLOSE = 1.02


def write_tsv(results: Iterable[Result], path: Path) -> None:
    """Write a line for each result, with an empty miss ratio where a cache failed."""
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, delimiter="\t", lineterminator="\n")
        rows.writerow(COLUMNS)
        for result in results:
            cell, ratio = result.cell, result.miss_ratio
            where = (cell.trace, f"{cell.fraction:g}", cell.entries, cell.requests)
            missed = "" if ratio is None else f"{ratio:.5f}"
            rows.writerow((*where, result.cache, result.policy, missed))


def read_tsv(path: Path) -> list[Result]:
    """Read what `write_tsv` wrote."""
    with path.open(encoding="utf-8", newline="") as file:
        return [
            Result(
                Cell(
                    row["trace"],
                    float(row["cache_fraction"]),
                    int(row["entries"]),
                    int(row["requests"]),
                ),
                row["cache"],
                row["policy"],
                float(row["miss_ratio"]) if row["miss_ratio"] else None,
            )
            for row in csv.DictReader(file, delimiter="\t")
        ]


@dataclass(frozen=True, slots=True)
class Row:
    """A cell's miss ratios by policy; `bound` is Belady's, if it was asked for."""

    cell: Cell
    ours: Mapping[str, float]
    theirs: Mapping[str, float]
    bound: float | None

    @property
    def best_of_ours(self) -> tuple[str, float]:
        """The policy of Predis that misses least, and its miss ratio."""
        return _least(self.ours)

    @property
    def best_of_theirs(self) -> tuple[str, float]:
        """The policy of libcachesim that misses least, and its miss ratio."""
        return _least(self.theirs)

    @property
    def times(self) -> float:
        """The best of ours over the best of theirs."""
        return self.best_of_ours[1] / self.best_of_theirs[1]

    @property
    def settled(self) -> bool:
        """Whether the cache is large enough to count in a mean."""
        return self.cell.entries >= SETTLED


def _least(ratios: Mapping[str, float]) -> tuple[str, float]:
    name = min(ratios, key=lambda policy: (ratios[policy], policy))
    return name, ratios[name]


def rows_of(results: Iterable[Result]) -> list[Row]:
    """Put the results of each cell together, in order; cells that lack a side are left out."""
    ratios: dict[Cell, dict[str, dict[str, float]]] = {}
    for result in results:
        sides = ratios.setdefault(result.cell, {OURS: {}, THEIRS: {}})
        if result.miss_ratio is not None:
            sides[result.cache][result.policy] = result.miss_ratio
    rows = []
    for cell, sides in ratios.items():
        bound = sides[THEIRS].pop(BOUND, None)
        if sides[OURS] and sides[THEIRS]:
            rows.append(Row(cell, sides[OURS], sides[THEIRS], bound))
    return rows


@dataclass(frozen=True, slots=True)
class Standing:
    """How a policy does over all settled cells.

    Attributes:
        mean: of its miss ratios.
        above: the mean of what it misses beyond libcachesim's best, as a share of that one's.
        worst: the largest of these shares.
        close: the share of cells in which it is within 2 % of libcachesim's best.
    """

    cache: str
    policy: str
    mean: float
    above: float
    worst: float
    close: float


def standings(rows: Sequence[Row]) -> list[Standing]:
    """Return every policy that has a result in every settled cell, the best first."""
    settled = [row for row in rows if row.settled]
    found = []
    for cache, side in ((OURS, "ours"), (THEIRS, "theirs")):
        by_cell = [getattr(row, side) for row in settled]
        for policy in dict.fromkeys(name for ratios in by_cell for name in ratios):
            if all(policy in ratios for ratios in by_cell):
                times = [
                    ratios[policy] / row.best_of_theirs[1]
                    for ratios, row in zip(by_cell, settled, strict=True)
                ]
                found.append(
                    Standing(
                        cache,
                        policy,
                        float(np.mean([ratios[policy] for ratios in by_cell])),
                        float(np.mean(times)) - 1,
                        max(times) - 1,
                        float(np.mean([ratio <= CLOSE for ratio in times])),
                    )
                )
    return sorted(found, key=lambda standing: standing.above)


def fewest(rows: Sequence[Row], most: int = 6) -> list[tuple[str, ...]]:
    """Return the sets of our policies that stay closest to the best of theirs, one for each size.

    Policies are added one by one, each time the one that lowers the mean of the least miss ratio,
    over libcachesim's best, the most.
    """
    settled = [row for row in rows if row.settled]
    chosen: tuple[str, ...] = ()
    sets = []
    names = sorted({name for row in settled for name in row.ours})
    while len(chosen) < min(most, len(names)):
        rest = [name for name in names if name not in chosen]
        chosen = (*chosen, min(rest, key=lambda name: _above((*chosen, name), settled)))
        sets.append(chosen)
    return sets


def _above(chosen: Sequence[str], rows: Sequence[Row]) -> float:
    return float(np.mean(times(chosen, rows)))


def times(chosen: Sequence[str], rows: Sequence[Row]) -> list[float]:
    """Return for each cell the least miss ratio of some of our policies over the best of theirs."""
    return [min(row.ours[name] for name in chosen) / row.best_of_theirs[1] for row in rows]
