"""What the commands show: tables for the terminal, and miss-ratio curves as PNG."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from predis_lab.curves import Curve, by_trace, shown_sizes
from predis_lab.expected import SETTLED, Excess, mean_points, worst_points
from predis_lab.measures import Measure, measures, shown_entries

if TYPE_CHECKING:
    from predis_lab.demo import Result
    from predis_lab.replaying import Point


# Characters of a bar that stands for a miss ratio of 1.
BAR = 20
# More labels than these under a small plot would run into each other.
TICKS = 5


def curve_tables(points: Sequence[Point]) -> list[Table]:
    """A table of each measure that is known of the points."""
    return [_curve_table(points, measure) for measure in measures(points)]


def _curve_table(points: Sequence[Point], measure: Measure) -> Table:
    """A row per trace and size, a column per policy, the lowest of a row in bold."""
    policies = list(dict.fromkeys(point.policy for point in points))
    seeds = len(points[0].reports)
    table = Table(title=measure.name + (f", mean of {seeds} hash seeds" if seeds > 1 else ""))
    table.add_column("trace", overflow="fold")
    for column in ("size", "entries", "requests", *policies):
        table.add_column(column, justify="right", no_wrap=True)
    rows: dict[tuple[str, str], dict[str, Point]] = {}
    for point in points:
        rows.setdefault((point.trace, str(point.size)), {})[point.policy] = point
    for (trace, size), by_policy in rows.items():
        first = next(iter(by_policy.values()))
        best = min(map(measure.of, by_policy.values()))
        ratios = [f"{measure.of(by_policy[name]):.4f}" for name in policies]
        shown = [f"[bold]{text}[/]" if text == f"{best:.4f}" else text for text in ratios]
        table.add_row(
            escape(trace), size, shown_entries(first), f"{first.reports[0].requests:,}", *shown
        )
    return table


def size_tables(curves: Sequence[Curve]) -> list[Table]:
    """A table per trace: the curve of lru as bars, and each policy at the sizes it is known for."""
    return [_size_table(trace, of_trace) for trace, of_trace in by_trace(curves).items()]


def _size_table(trace: str, curves: Sequence[Curve]) -> Table:
    lru = curves[0].lru
    exact = lru.rate == 1
    sampled = f"{lru.sampled:,} of {lru.requests:,} requests, ± the standard error"
    table = Table(
        title=f"Miss ratio of {escape(trace)} by size",
        caption=f"lru from {'all requests' if exact else sampled}; policies simulated in miniature",
    )
    table.add_column("entries", justify="right", no_wrap=True)
    table.add_column("lru, every size", no_wrap=True)
    for curve in curves:
        table.add_column(curve.live.policy, justify="right", no_wrap=True)
    for size in shown_sizes(lru).tolist():
        ratio = lru.miss_ratio(size)
        error = float(lru.error[lru.sizes == size][0])
        bar = "█" * round(BAR * ratio)
        known = f"{ratio:.4f}" + ("" if exact else f" ±{error:.4f}")
        table.add_row(f"{size:,}", f"{known} {bar}", *(curve.live_ratio(size) for curve in curves))
    return table


def excess_table(excesses: Sequence[Excess]) -> Table:
    """Every compared cell, and the mean of each policy over caches that are large enough."""
    table = Table(
        title="Excess over the expected miss ratio, in percentage points",
        caption=f"mean and worst: caches of {SETTLED} entries or more",
    )
    table.add_column("trace", overflow="fold")
    table.add_column("policy")
    for column in ("size", "entries", "expected", "measured", "excess"):
        table.add_column(column, justify="right", no_wrap=True)
    for excess in excesses:
        trace, *rest = excess.cells()
        table.add_row(escape(trace), *rest)
    table.add_section()
    for name, points_of in (("mean", mean_points), ("worst", worst_points)):
        for policy, points in points_of(excesses).items():
            table.add_row(name, policy, "", "", "", "", f"[bold]{points:+.2f}[/]")
    return table


def demo_table(results: Sequence[Result]) -> Table:
    """A row per workload and cache, the workloads one after the other."""
    names = list(dict.fromkeys(result.workload for result in results))
    results = sorted(results, key=lambda result: names.index(result.workload))
    table = Table(title="Four workloads through one embedded cache per policy, and through peers")
    table.add_column("workload")
    table.add_column("cache", no_wrap=True)
    for column in (
        "hit ratio",
        "rows/s",
        "rows loaded",
        "loads saved",
        "ahead",
        "p50 ms",
        "p99 ms",
        "p99.9 ms",
    ):
        table.add_column(column, justify="right")
    last = ""
    for result in results:
        if last and result.workload != last:
            table.add_section()
        table.add_row(
            "" if result.workload == last else result.workload,
            result.cache + (" [yellow](cut short)[/]" if result.cut_short else ""),
            f"{result.hit_ratio:.1%}",
            f"{result.rows_per_second:,.0f}",
            f"{result.loaded:,}",
            "–" if result.loads_saved is None else f"{result.loads_saved:,}",
            "–" if result.ahead is None else f"{result.ahead:,}",
            *(f"{latency * 1e3:.2f}" for latency in result.latencies),
        )
        last = result.workload
    return table


def curve_png(points: Sequence[Point], path: Path) -> None:
    """Draw one miss-ratio curve per trace, a line per policy, and write the PNG."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt
    from matplotlib.ticker import NullLocator, PercentFormatter

    traces = list(dict.fromkeys(point.trace for point in points))
    columns = min(3, len(traces))
    rows = -(-len(traces) // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(4.5 * columns, 3.4 * rows), squeeze=False)
    for axis, trace in zip(axes.flat, traces, strict=False):
        mine = [point for point in points if point.trace == trace]
        for policy in dict.fromkeys(point.policy for point in mine):
            line = sorted((p.entries, p.miss_ratio) for p in mine if p.policy == policy)
            axis.plot(*zip(*line, strict=True), marker="o", markersize=3, label=policy)
        axis.set(title=trace, xscale="log", xlabel="entries", ylabel="miss ratio")
        sizes = sorted({point.entries for point in mine})
        shown = sizes[:: -(-len(sizes) // TICKS)]
        axis.set_xticks(shown, [f"{entries:,}" for entries in shown])
        axis.xaxis.set_minor_locator(NullLocator())
        axis.yaxis.set_major_formatter(PercentFormatter(1.0))
        axis.grid(alpha=0.3)
    for axis in axes.flat[len(traces) :]:
        axis.set_visible(False)
    axes[0, 0].legend()
    figure.tight_layout()
    try:
        figure.savefig(path, dpi=120, format="png")
    finally:
        plt.close(figure)
