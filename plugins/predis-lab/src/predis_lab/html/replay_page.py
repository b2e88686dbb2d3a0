"""The report of `predis replay`: miss-ratio curves and their figures."""

from __future__ import annotations

from collections.abc import Sequence

from predis_lab.curves import Curve, by_trace, shown_sizes
from predis_lab.expected import SETTLED, Excess, mean_points, worst_points
from predis_lab.html import plots
from predis_lab.html.page import Block, Column, Figure, Page, Prose, Section, Table
from predis_lab.measures import Measure, measures, shown_entries
from predis_lab.replaying import Point

EVERY_SIZE = "lru, every size"
TITLE = "Miss ratios of replayed traces"
LEAD = (
    "Every trace was replayed into an empty cache of each eviction policy and size: a request is "
    "looked up, and inserted if it missed. The miss ratio is the share of requests that missed; of "
    "bytes, the share that had to come from elsewhere; of costs, the share that had to be paid."
)


def replay_page(
    points: Sequence[Point],
    excesses: Sequence[Excess] | None = None,
    curves: Sequence[Curve] = (),
) -> Page:
    """The page of a run.

    excesses: over expected ratios, if there were any to compare with
    curves: of every trace and policy, if they were asked for
    """
    known = measures(points)
    sections = [
        Section("Miss-ratio curves", tuple(_curves(points, measure) for measure in known)),
        Section("Miss ratios", tuple(_table(points, measure) for measure in known)),
    ]
    if curves:
        sections.append(Section("Other sizes", (_sizes(curves), *_size_tables(curves))))
    if excesses is not None:
        sections.append(Section("Excess over the expected ratios", _excesses(excesses)))
    return Page(TITLE, LEAD, tuple(sections))


def _curves(points: Sequence[Point], measure: Measure) -> Figure:
    name = measure.name.lower()
    policies = list(dict.fromkeys(point.policy for point in points))
    panels: dict[str, dict[str, plots.Line]] = {}
    for trace in dict.fromkeys(point.trace for point in points):
        panels[trace] = {}
        for policy in policies:
            of_line = [p for p in points if (p.trace, p.policy) == (trace, policy)]
            of_line.sort(key=lambda point: point.entries)
            panels[trace][policy] = (
                [point.entries for point in of_line],
                [measure.of(point) for point in of_line],
            )
    return Figure(
        plots.lines(panels, policies, x_label="entries", y_label=name, log_entries=True),
        f"{measure.name} by cache size, a line per policy. Lower is better; sizes are logarithmic.",
        f"Lines: {name} by cache size for {', '.join(policies)}, a panel for each of "
        f"{', '.join(panels)}. The table below has all values.",
    )


def _sizes(curves: Sequence[Curve]) -> Figure:
    panels: dict[str, dict[str, plots.Line]] = {}
    for trace, of_trace in by_trace(curves).items():
        lru = of_trace[0].lru
        sizes = shown_sizes(lru)
        panels[trace] = {EVERY_SIZE: (sizes.tolist(), lru.miss_ratio(sizes).tolist())}
        for curve in of_trace:
            live = curve.live
            panels[trace][live.policy] = (live.sizes.tolist(), live.miss_ratios.tolist())
    series = list(dict.fromkeys(name for panel in panels.values() for name in panel))
    first = curves[0].lru
    told = "" if first.rate == 1 else f" Estimated from {first.rate:.2%} of the keys."
    return Figure(
        plots.lines(panels, series, x_label="entries", y_label="miss ratio", log_entries=True),
        "Miss ratio by cache size: of lru at every size, from reuse distances, and of each policy "
        f"from an eighth of the largest replayed size to four times as much, simulated.{told}",
        f"Lines: miss ratio by cache size for {', '.join(series)}, a panel for each of "
        f"{', '.join(panels)}. The tables below have all values.",
    )


def _size_tables(curves: Sequence[Curve]) -> list[Table]:
    tables = []
    for trace, of_trace in by_trace(curves).items():
        lru = of_trace[0].lru
        rows = tuple(
            (
                f"{size:,}",
                f"{lru.miss_ratio(size):.4f}",
                f"{float(lru.error[lru.sizes == size][0]):.4f}",
                *(curve.live_ratio(size) for curve in of_trace),
            )
            for size in shown_sizes(lru).tolist()
        )
        columns = (
            Column("entries", numeric=True),
            Column(EVERY_SIZE, numeric=True),
            Column("standard error", "Of the column before: what sampling leaves.", numeric=True),
            *(Column(curve.live.policy, numeric=True) for curve in of_trace),
        )
        tables.append(Table(f"Miss ratio of {trace} by size", columns, rows))
    return tables


def _table(points: Sequence[Point], measure: Measure) -> Table:
    policies = list(dict.fromkeys(point.policy for point in points))
    cells: dict[tuple[str, str], dict[str, Point]] = {}
    for point in points:
        cells.setdefault((point.trace, str(point.size)), {})[point.policy] = point
    columns = (
        Column("trace"),
        Column("size", "Entries, or a share of the trace's distinct keys, or bytes.", numeric=True),
        Column("entries", numeric=True),
        Column("requests", numeric=True),
        *(Column(policy, numeric=True) for policy in policies),
    )
    rows: list[tuple[str, ...]] = []
    marked = set()
    for (trace, size), by_policy in cells.items():
        first = next(iter(by_policy.values()))
        ratios = [f"{measure.of(by_policy[policy]):.4f}" for policy in policies]
        marked |= {(len(rows), 4 + at) for at, ratio in enumerate(ratios) if ratio == min(ratios)}
        requests = f"{first.reports[0].requests:,}"
        rows.append((trace, size, shown_entries(first), requests, *ratios))
    seeds = len(points[0].reports)
    caption = measure.name + (f", mean of {seeds} hash seeds" if seeds > 1 else "")
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
