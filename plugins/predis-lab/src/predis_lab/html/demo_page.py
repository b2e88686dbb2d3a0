"""The report of `predis demo`, for readers who have not met Predis before."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from predis_core.plugin import Snapshot
from predis_lab import peers
from predis_lab.contenders import WIDTH
from predis_lab.demo import (
    ABOUT,
    QUANTILES,
    Performance,
    Plan,
    PluginStatus,
    Result,
    single_flight,
)
from predis_lab.html import plots
from predis_lab.html.measured import metrics_blocks
from predis_lab.html.page import (
    Block,
    Column,
    Facts,
    Figure,
    Page,
    Prose,
    Section,
    Table,
    Tile,
    Tiles,
)

TITLE = "One embedded cache, four workloads"
LEAD = (
    "A cache keeps the rows that a program will ask for again, so that it need not fetch them from "
    "a slow store. Predis is such a cache inside a Python process, asked in batches. This page "
    "shows what it did with four workloads, beside other Python caches where they are installed."
)
POINTS = tuple(f"p{100 * at:g}" for at in QUANTILES)

# Results by workload, then by cache, each in the order of the run.
_Grid = dict[str, dict[str, Result]]


def demo_page(
    plan: Plan, performance: Performance, machine: Mapping[str, Any], when: datetime
) -> Page:
    """The page of a run.

    machine: of `predis_lab.bench.machine`
    when: the run ended
    """
    results = performance.results
    grid: _Grid = {}
    for result in results:
        grid.setdefault(result.workload, {})[result.cache] = result
    caches = list(dict.fromkeys(result.cache for result in results))
    sections = [
        Section("In short", (_headline(grid, results),)),
        _what_was_run(plan, grid, machine, when),
        _hit_ratios(grid, caches),
        _speed(grid, caches),
        _single_flight(grid, caches, results),
        Section("All results", (_table(grid),)),
    ]
    if performance.plugins:
        sections.append(_plugins(performance.plugins))
    if performance.snapshots:
        sections.append(_metrics(performance.snapshots))
    return Page(TITLE, LEAD, (*sections, _verification(results)))


def _headline(grid: _Grid, results: Sequence[Result]) -> Tiles:
    wrong = sum(result.wrong for result in results)
    saved, wanted = single_flight(results)
    tiles = [
        Tile(
            f"{sum(result.requests for result in results):,}",
            "rows delivered and checked",
            f"{wrong:,} were wrong" if wrong else "none was wrong",
        ),
        Tile(
            f"{saved / max(1, wanted):.1%}",
            "of the rows that Predis lacked were already on their way for another thread",
            f"{saved:,} of {wanted:,} were not fetched twice: single flight",
        ),
    ]
    for workload, of_cache in grid.items():
        ours, others = _split(of_cache)
        best = max(ours, key=lambda result: result.hit_ratio)
        note = f"with {best.cache}"
        if others:
            other = max(others, key=lambda result: result.hit_ratio)
            note += f"; best peer: {other.hit_ratio:.1%}, {other.cache}"
        tiles.append(
            Tile(f"{best.hit_ratio:.1%}", f"highest hit ratio of Predis, {workload}", note)
        )
    if ratios := _speed_ratios(grid):
        tiles.append(
            Tile(
                f"{min(ratios.values()):.2f} to {max(ratios.values()):.2f}×",
                "rows per second: the fastest Predis cache over the fastest peer",
                ", ".join(f"{workload} {ratio:.2f}×" for workload, ratio in ratios.items()),
            )
        )
    return Tiles(tuple(tiles))


def _split(of_cache: Mapping[str, Result]) -> tuple[list[Result], list[Result]]:
    """Results of Predis, which has single flight, and those of peers, which have not."""
    ours = [result for result in of_cache.values() if result.loads_saved is not None]
    return ours, [result for result in of_cache.values() if result.loads_saved is None]


def _speed_ratios(grid: _Grid) -> dict[str, float]:
    """By workload, rows per second of the fastest Predis cache over those of the fastest peer."""
    ratios = {}
    for workload, of_cache in grid.items():
        ours, others = (
            max((result.rows_per_second for result in results), default=0.0)
            for results in _split(of_cache)
        )
        if others:
            ratios[workload] = ours / others
    return ratios


def _what_was_run(plan: Plan, grid: _Grid, machine: Mapping[str, Any], when: datetime) -> Section:
    story = (
        f"{plan.threads} threads take turns at the batches of a workload. A thread asks the cache "
        "for the rows of its batch; what the cache lacks is fetched from a store in one call, "
        f"which costs a round trip of {plan.latency * 1e3:g} ms, and is kept until something "
        "else needs its place. Which row has to leave then is the decision of the eviction "
        "policy, the second word in the names of the Predis caches below. One more of them loads "
        "rows ahead of being asked for, if predis-prefetch is installed.",
        "Every cache starts empty and goes through the workloads in the order shown here.",
    )
    workloads = tuple(
        (name, f"{ABOUT.get(name, '')} {max(r.requests for r in of_cache.values()):,} rows.")
        for name, of_cache in grid.items()
    )
    versions = ", ".join(f"{name} {number}" for name, number in machine["versions"].items())
    setting = (
        ("Capacity", f"{plan.capacity:,} rows of {WIDTH} float32 numbers per cache"),
        ("Threads", f"{plan.threads}"),
        ("Store", f"{plan.latency * 1e3:g} ms per fetch, however many rows it brings"),
        ("Policies", ", ".join(plan.policies)),
        ("Configuration", plan.setting.source),
        ("Machine", f"{machine['processor']}, {machine['cores']} cores, {machine['system']}"),
        ("Versions", f"Python {machine['python']}, {versions}"),
        ("Time", f"{when:%Y-%m-%d %H:%M %Z}"),
    )
    return Section("What was run", (Prose(story), Facts(workloads), Facts(setting)))


def _hit_ratios(grid: _Grid, caches: Sequence[str]) -> Section:
    ratios = {
        workload: {name: result.hit_ratio for name, result in of_cache.items()}
        for workload, of_cache in grid.items()
    }
    courses = {
        workload: {name: _course(result, of_cache) for name, result in of_cache.items()}
        for workload, of_cache in grid.items()
    }
    bars = plots.grouped_bars(
        ratios, caches, label="hit ratio", write="{:.1%}".format, write_tick="{:.0%}".format
    )
    course = plots.lines(courses, caches, x_label="part of the workload", y_label="hit ratio")
    return Section(
        "Hit ratio",
        (
            Prose(
                (
                    "The share of rows that were in the cache when they were asked for. More is "
                    "better, and how much is possible depends on the workload: shuffled epochs "
                    "hold little that can be foreseen, players move little from step to step.",
                )
            ),
            Figure(
                bars,
                "Hit ratio of each cache in each workload. Higher is better.",
                _alt("Bars: hit ratio.", grid, lambda result: f"{result.hit_ratio:.1%}"),
            ),
            Figure(
                course,
                "Hit ratio as the workload goes on, each point over the requests since the one "
                "before. It begins low because the cache holds none of its rows yet.",
                "Lines: hit ratio over the course of each workload, one per cache. "
                + "; ".join(_ends(name, of_cache) for name, of_cache in grid.items())
                + ".",
            ),
        ),
    )


def _course(result: Result, of_cache: Mapping[str, Result]) -> plots.Line:
    """Where the points lie in the workload (0 to 1), and the hit ratio since the one before."""
    whole = max(other.requests for other in of_cache.values())
    at, ratios, last = [], [], (0, 0)
    for requests, hits in result.course:
        at.append(requests / whole)
        ratios.append((hits - last[1]) / (requests - last[0]))
        last = requests, hits
    return at, ratios


def _ends(workload: str, of_cache: Mapping[str, Result]) -> str:
    ends = [course[-1] for r in of_cache.values() if (course := _course(r, of_cache)[1])]
    return f"{workload} ends between {min(ends):.0%} and {max(ends):.0%}" if ends else workload


def _alt(what: str, grid: _Grid, write: Callable[[Result], str]) -> str:
    """A plot in words: all of its values."""
    said = (
        f"{workload}: " + ", ".join(f"{name} {write(result)}" for name, result in of_cache.items())
        for workload, of_cache in grid.items()
    )
    return f"{what} {'; '.join(said)}."


def _speed(grid: _Grid, caches: Sequence[str]) -> Section:
    rates = {
        workload: {name: result.rows_per_second for name, result in of_cache.items()}
        for workload, of_cache in grid.items()
    }
    latencies = {
        workload: {name: [1e3 * at for at in r.latencies] for name, r in of_cache.items()}
        for workload, of_cache in grid.items()
    }
    return Section(
        "Speed",
        (
            Prose(
                (
                    "Rows per second count what all threads got together, fetches from the store "
                    "included: a cache that hits more waits less. Latency is what one thread "
                    "waits for one batch; of a thousand batches, 500 took at most p50, 990 at "
                    "most p99, and 999 at most p99.9.",
                    "These figures depend on the machine and on what else it did. Run the demo "
                    "again before you draw conclusions from small differences.",
                )
            ),
            Figure(
                plots.grouped_bars(
                    rates, caches, label="rows per second", write=_thousands, write_tick=_thousands
                ),
                "Rows per second, all threads together. Higher is better.",
                _alt("Bars: rows per second.", grid, lambda r: f"{r.rows_per_second:,.0f}"),
            ),
            Figure(
                plots.spans(latencies, caches, POINTS, label="ms per batch"),
                "Latency of a batch: median, and the slow end. The axis is logarithmic. Further "
                "left is better.",
                _alt(
                    f"Marks: latency at {', '.join(POINTS)} in milliseconds.",
                    grid,
                    lambda r: " / ".join(f"{1e3 * at:.2f}" for at in r.latencies),
                ),
            ),
        ),
    )


def _thousands(value: float) -> str:
    if value < 1e3:
        return f"{value:.0f}"
    return f"{value / 1e6:.3g} M" if value >= 1e6 else f"{value / 1e3:.3g} k"


def _single_flight(grid: _Grid, caches: Sequence[str], results: Sequence[Result]) -> Section:
    saved, wanted = single_flight(results)
    parts = {
        workload: {name: (r.missed, r.loads_saved or 0) for name, r in of_cache.items()}
        for workload, of_cache in grid.items()
    }
    return Section(
        "What single flight saved",
        (
            Prose(
                (
                    "If two threads lack the same row at the same time, Predis fetches it once and "
                    "gives it to both. Caches without this fetch it twice, which is work for the "
                    "store just when it is slow.",
                    f"Predis lacked {wanted:,} rows in this run. {saved:,} of them "
                    f"({saved / max(1, wanted):.1%}) were on their way already.",
                )
            ),
            Figure(
                plots.stacks(parts, caches, ("fetched", "not fetched again"), label="rows"),
                "Rows that a cache lacked: fetched from the store, and waited for because another "
                "thread was fetching them. Shorter full bars are less work for the store.",
                _alt(
                    "Bars: rows fetched and rows not fetched again.",
                    grid,
                    lambda r: f"{r.missed:,} and {r.loads_saved or 0:,}",
                ),
            ),
        ),
    )


COLUMNS = (
    Column("workload", "What asked for rows."),
    Column("cache", "Predis and the eviction policy of the cache, or another library."),
    Column("rows", "Rows asked for.", numeric=True),
    Column("hit ratio", "The share of rows that were in the cache.", numeric=True),
    Column("rows/s", "Rows delivered per second, by all threads together.", numeric=True),
    Column("loaded", "Rows fetched from the store.", numeric=True),
    Column(
        "loads saved",
        "Rows that waited for the fetch of another thread instead of starting one of their own; – "
        "where the library has no single flight.",
        numeric=True,
    ),
    Column(
        "ahead",
        "Rows of those loaded that nobody had asked for yet, and the share of them that somebody "
        "asked for then; – where nothing is loaded ahead.",
        numeric=True,
    ),
    *(
        Column(f"{point} ms", f"The latency that {point[1:]} % of the batches kept.", numeric=True)
        for point in POINTS
    ),
    Column("wrong", "Rows that were not what the store holds.", numeric=True),
)
_HIT_RATIO = 3


def _table(grid: _Grid) -> Table:
    rows: list[tuple[str, ...]] = []
    marked = set()
    for workload, of_cache in grid.items():
        best = max(f"{result.hit_ratio:.4f}" for result in of_cache.values())
        for result in of_cache.values():
            if f"{result.hit_ratio:.4f}" == best:
                marked.add((len(rows), _HIT_RATIO))
            rows.append(
                (
                    workload,
                    result.cache + (" (cut short)" if result.cut_short else ""),
                    f"{result.requests:,}",
                    f"{result.hit_ratio:.1%}",
                    f"{result.rows_per_second:,.0f}",
                    f"{result.loaded:,}",
                    "–" if result.loads_saved is None else f"{result.loads_saved:,}",
                    _ahead(result),
                    *(f"{1e3 * latency:.2f}" for latency in result.latencies),
                    f"{result.wrong:,}",
                )
            )
    caption = "Every workload through every cache; the highest hit ratio of each is marked"
    return Table(caption, COLUMNS, tuple(rows), headers=2, marked=frozenset(marked))


def _ahead(result: Result) -> str:
    if result.ahead is None:
        return "–"
    return f"{result.ahead:,} ({(result.used or 0) / max(1, result.ahead):.0%})"


def _plugins(plugins: Sequence[PluginStatus]) -> Section:
    what = Prose(
        (
            "The Predis caches were opened with these plugins, and went through the workloads with "
            "them. One that is skipped is not installed, and not required.",
        )
    )
    columns = (Column("plugin"), Column("state"), Column("what it is, or why it is so"))
    return Section("Plugins", (what, Table("Plugins during the run", columns, tuple(plugins))))


def _metrics(snapshots: Sequence[Snapshot]) -> Section:
    what = Prose(
        (
            "What plugins that export metrics get to see of each cache, as it was at the end of "
            "the run, over all of the workloads. Of what is measured many times: how often, and "
            "the mean.",
        )
    )
    return Section("Metrics", (what, *metrics_blocks(snapshots)))


def _verification(results: Sequence[Result]) -> Section:
    rows, wrong = (sum(r.requests for r in results), sum(r.wrong for r in results))
    what = "none was wrong" if not wrong else f"{wrong:,} were not what the store holds"
    blocks: list[Block] = [
        Prose((f"All {rows:,} rows were checked: {what}.",), bad=bool(wrong)),
        Prose(
            (
                "The numbers in a row follow from its id. Each thread computes them for every row "
                f"it gets and compares all {WIDTH}, after the clock of its batch has stopped.",
            )
        ),
    ]
    if cut := [f"{r.workload} through {r.cache}" for r in results if r.cut_short]:
        blocks.append(
            Prose((f"Time ran out for {', '.join(cut)}: their figures are of the part that ran.",))
        )
    if missing := peers.absent():
        blocks.append(
            Prose(
                (
                    f"Not installed, so not compared: {', '.join(missing)} "
                    '(pip install "predis-core[bench]").',
                )
            )
        )
    return Section("Verification", tuple(blocks))
