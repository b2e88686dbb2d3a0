"""Tab-separated results, and the README.md that sums them up."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from misses import CHOSEN_WAYS, SMALLEST

Row = dict[str, str | int | float]
Read = dict[str, str]
BARS = {"fifo": 0.3, "lru": 0.3, "sieve": 0.3, "s3fifo": 0.5}


def write(path: Path, rows: list[Row]) -> None:
    """Write rows of equal keys with a header."""
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter="\t", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def read(path: Path) -> list[Read]:
    """Rows as written by `write`; none if there is no such file."""
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def table(header: list[str], lines: Iterable[list[str]]) -> str:
    """A Markdown table."""
    rule = ["---"] + ["---:"] * (len(header) - 1)
    return "\n".join("| " + " | ".join(line) + " |" for line in [header, rule, *lines]) + "\n"


def distinct(rows: list[Read], column: str) -> list[str]:
    """The values of a column, in order of first appearance."""
    return list(dict.fromkeys(row[column] for row in rows))


def pick(rows: list[Read], **values: str) -> list[Read]:
    """The rows that hold these values."""
    return [row for row in rows if all(row[k] == v for k, v in values.items())]


def _worst(rows: list[Read]) -> str:
    row = max(rows, key=lambda r: float(r["excess_points"]))
    return f"{float(row['excess_points']):.2f} {row['trace']} {row['entries']}"


def miss_section(rows: list[Read]) -> str:
    """Mean and worst excess by ways and policy, then the variants at the chosen ways."""
    counted = [row for row in rows if int(row["entries"]) >= SMALLEST]
    ways = distinct(counted, "ways")
    everywhere = [
        v
        for v in distinct(counted, "variant")
        if len(distinct(pick(counted, variant=v), "ways")) == len(ways)
    ]

    def cell(show: Callable[[list[Read]], str]) -> str:
        return table(
            ["ways", *everywhere],
            ([w, *(show(pick(counted, ways=w, variant=v)) for v in everywhere)] for w in ways),
        )

    def excess(chosen: list[Read]) -> np.ndarray:
        return np.array([float(row["excess_points"]) for row in chosen])

    cells = len(pick(counted, ways=ways[0], variant=everywhere[0]))
    text = "## Excess over fully associative, percentage points, "
    text += f"{cells} cells of >= {SMALLEST} entries\n"
    text += "\nMean:\n\n" + cell(lambda r: f"{excess(r).mean():.2f}")
    text += "\nMedian:\n\n" + cell(lambda r: f"{np.median(excess(r)):.2f}")
    text += "\nWorst cell:\n\n" + cell(_worst)
    text += f"\n## Variants at {CHOSEN_WAYS} ways\n\n"
    lines = []
    for variant in distinct(counted, "variant"):
        chosen = pick(counted, ways=str(CHOSEN_WAYS), variant=variant)
        mean, largest = excess(chosen).mean(), excess(chosen).max()
        met = mean <= BARS[chosen[0]["policy"]] and largest <= 2.0
        seed = max(float(row["worst_seed_points"]) for row in chosen)
        lines.append(
            [variant, f"{mean:.3f}", _worst(chosen), f"{seed:.2f}", "yes" if met else "NO"]
        )
    header = ["variant", "mean", "worst cell", "worst single seed", "meets the bar"]
    return text + table(header, lines)


def early_section(rows: list[Read]) -> str:
    """Share of keys lost by ways, size and load."""
    columns = list(dict.fromkeys((r["entries"], r["load"]) for r in rows))
    lines = []
    for way in distinct(rows, "ways"):
        found = [
            pick(rows, ways=way, entries=e, load=load)[0]["lost_percent"] for e, load in columns
        ]
        lines.append([way, *found])
    header = ["ways", *(f"{int(e):,} slots, {load} x as many keys" for e, load in columns)]
    return "## Early eviction: % of distinct keys lost by an empty cache\n\n" + table(header, lines)


def speed_section(rows: list[Read]) -> str:
    """Probe rates as ratios to one line of 7, a row for every geometry and kernel."""
    columns = [(e, s) for e in distinct(rows, "entries") for s in distinct(rows, "state")]
    text = ""
    for kind in ("hit", "miss"):
        lines = []
        for geometry in distinct(rows, "geometry"):
            for strategy in distinct(pick(rows, geometry=geometry), "strategy"):
                found = [
                    pick(rows, geometry=geometry, strategy=strategy, entries=e, state=s)[0]
                    for e, s in columns
                ]
                lines.append([f"{geometry} {strategy}", *(r[f"{kind}_speed_ratio"] for r in found)])
        header = [
            "geometry, kernel",
            *(f"{float(e):.0e} {s}".replace("e+0", "e") for e, s in columns),
        ]
        text += f"\n## Probes/s when all keys {kind}, as a ratio to 7 ways\n\n" + table(
            header, lines
        )
    lines = []
    for geometry in distinct(rows, "geometry"):
        found = [pick(rows, geometry=geometry, entries=e, state=s)[0] for e, s in columns]
        lines.append(
            [
                geometry,
                *(
                    f"{100 * float(r['home_share']):.0f} % / {float(r['lines_per_hit']):.2f}"
                    for r in found
                ),
            ]
        )
    header[0] = "geometry"
    text += "\n## Share of hits in the home line / lines touched per hit\n\n" + table(header, lines)
    return text


def summarise(out: Path) -> None:
    """Write README.md from the tables that are in `out`."""
    sections = ["# Results of the geometry experiment\n\nWritten by `benchmarks/geometry/run.py`."]
    for name, section in (
        ("miss_ratio.tsv", miss_section),
        ("early_eviction.tsv", early_section),
        ("speed.tsv", speed_section),
    ):
        rows = read(out / name)
        if rows:
            sections.append(section(rows).strip())
    (out / "README.md").write_text("\n\n".join(sections) + "\n")
