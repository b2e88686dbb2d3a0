"""The report of `predis replay`: miss-ratio curves and their figures."""

from __future__ import annotations

from collections.abc import Sequence

from predis_lab.expected import SETTLED, Excess, mean_points, worst_points
from predis_lab.html import plots
from predis_lab.html.page import Block, Column, Figure, Page, Prose, Section, Table
from predis_lab.replaying import Point

TITLE = "Miss ratios of replayed traces"
LEAD = (
    "Every trace was replayed into an empty cache of each eviction policy and size: a request is "
    "looked up, and inserted if it missed. The miss ratio is the share of requests that missed."
)


def replay_page(points: Sequence[Point], excesses: Sequence[Excess] | None = None) -> Page:
    """The page of a run; `excesses` are over expected ratios, if there were any to compare with."""
    sections = [
        Section("Miss-ratio curves", (_curves(points),)),
        Section("Miss ratios", (_table(points),)),
    ]
    if excesses is not None:
        sections.append(Section("Excess over the expected ratios", _excesses(excesses)))
    return Page(TITLE, LEAD, tuple(sections))


def _curves(points: Sequence[Point]) -> Figure:
    policies = list(dict.fromkeys(point.policy for point in points))
    panels: dict[str, dict[str, plots.Line]] = {}
    for trace in dict.fromkeys(point.trace for point in points):
        panels[trace] = {}
        for policy in policies:
            of_line = [p for p in points if (p.trace, p.policy) == (trace, policy)]
            of_line.sort(key=lambda point: point.entries)
            panels[trace][policy] = (
                [point.entries for point in of_line],
                [point.miss_ratio for point in of_line],
            )
    return Figure(
        plots.lines(panels, policies, x_label="entries", y_label="miss ratio", log_entries=True),
        "Miss ratio by cache size, a line per policy. Lower is better; sizes are logarithmic.",
        f"Lines: miss ratio by cache size for {', '.join(policies)}, a panel for each of "
        f"{', '.join(panels)}. The table below has all values.",
    )


def _table(points: Sequence[Point]) -> Table:
    policies = list(dict.fromkeys(point.policy for point in points))
    cells: dict[tuple[str, str], dict[str, Point]] = {}
    for point in points:
        cells.setdefault((point.trace, str(point.size)), {})[point.policy] = point
    columns = (
        Column("trace"),
        Column("size", "Entries, or a share of the trace's distinct keys.", numeric=True),
        Column("entries", numeric=True),
        Column("requests", numeric=True),
        *(Column(policy, numeric=True) for policy in policies),
    )
    rows: list[tuple[str, ...]] = []
    marked = set()
    for (trace, size), by_policy in cells.items():
        first = next(iter(by_policy.values()))
        ratios = [f"{by_policy[policy].miss_ratio:.4f}" for policy in policies]
        marked |= {(len(rows), 4 + at) for at, ratio in enumerate(ratios) if ratio == min(ratios)}
        rows.append((trace, size, f"{first.entries:,}", f"{first.reports[0].requests:,}", *ratios))
    seeds = len(points[0].reports)
    caption = "Miss ratio" + (f", mean of {seeds} hash seeds" if seeds > 1 else "")
    return Table(
        f"{caption}; the lowest of a row is marked",
        columns,
        tuple(rows),
        headers=2,
        marked=frozenset(marked),
    )


def _excesses(excesses: Sequence[Excess]) -> tuple[Block, ...]:
    if not excesses:
        what = "None of these traces, sizes and policies is in the file of expected ratios."
        return (Prose((what,)),)
    numbers = ("entries", "expected", "measured", "excess")
    columns = (
        *(Column(name) for name in ("trace", "policy", "size")),
        *(Column(name, numeric=True) for name in numbers),
    )
    rows = tuple(excess.cells() for excess in excesses)
    mean, worst = mean_points(excesses), worst_points(excesses)
    summary = tuple((policy, f"{mean[policy]:+.2f}", f"{worst[policy]:+.2f}") for policy in mean)
    return (
        Table(
            f"Per policy, in percentage points, over caches of {SETTLED} entries or more",
            (Column("policy"), Column("mean", numeric=True), Column("worst", numeric=True)),
            summary,
        ),
        Table("Every compared cell, in percentage points", columns, rows, headers=3),
    )
