"""The commands `predis demo`, `predis replay` and `predis bench`.

Only what a command needs is imported, when it runs: `--help` is quick. Mistakes in the command line
end with exit code 2, files that cannot be read as what they are said to be with 1.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from predis_lab.ahead_command import Asked, ahead_options, replay_with_prefetch
from predis_lab.bench.command import bench
from predis_lab.options import FILE, NEW_FILE, listed, need_writable, print_json, told, writable
from predis_lab.terminal import Shown, console, progress

if TYPE_CHECKING:
    from predis_lab.curves import Curve
    from predis_lab.demo import Performance, Plan
    from predis_lab.expected import Excess
    from predis_lab.replaying import Point
    from predis_lab.sizes import Memory, Size
    from predis_lab.traces import Trace

__all__ = ["bench", "demo", "replay"]


def _policy(name: str) -> str:
    from predis_core import policies

    return policies.get(name).name


def _size(text: str) -> Size:
    from predis_lab.sizes import Size

    return Size.parse(text)


def _memory(text: str) -> Memory:
    from predis_lab.sizes import Memory

    return Memory.parse(text)


def _column(_: click.Context, __: click.Parameter, value: str | None) -> str | int | None:
    """A column's index if it is written as one, else its name."""
    if value is not None and value.removeprefix("-").isdecimal():
        return int(value)
    return value


JSON_OPTION = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON document instead of tables."
)


@click.command(
    epilog="Exit codes: 0 done, 1 a file could not be read, 2 a mistake in the command "
    "line. Example: predis replay t.npy.zst --policies lru,s3fifo --sizes 1%,500"
)
@click.argument("traces", nargs=-1, required=True, type=FILE, metavar="TRACE...")
@click.option(
    "--policies",
    callback=listed(_policy),
    metavar="NAMES",
    default="fifo,lru,sieve,s3fifo,auto",
    show_default=True,
    help="Eviction policies, with commas.",
)
@click.option(
    "--sizes",
    callback=listed(_size),
    metavar="SIZES",
    default="1%,10%",
    show_default=True,
    help="Cache sizes, with commas: entries, or shares of the distinct keys (rounded).",
)
@click.option(
    "--memory",
    callback=listed(_memory),
    metavar="BYTES",
    help="In place of --sizes, with commas: what values may take together such as 64MiB, or shares "
    "of what those of all keys take. There are six slots for each value of mean size that fits.",
)
@click.option(
    "--value-sizes",
    metavar="SIZES",
    help="What values take: 4KiB for all; uniform:low=1KiB,high=64KiB or "
    "lognormal:median=4KiB,sigma=1.5 by key, and ,seed=7 for others; column:NAME of a csv or tsv, "
    "column:size of an oracle. Bytes that missed are then shown, too.",
)
@click.option(
    "--costs",
    metavar="COSTS",
    help="What values cost to load, as --value-sizes: 5ms, uniform:low=1ms,high=1s or "
    "lognormal:median=5ms,sigma=1. What misses cost is then shown, too.",
)
@click.option(
    "--seeds",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Replay with so many hash seeds, and take the mean.",
)
@click.option(
    "--batch",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Requests looked up before those that missed are inserted.",
)
@click.option(
    "--threads",
    type=click.IntRange(0),
    default=0,
    help="Caches replayed into at the same time; 0 for one per core, the default. The seconds "
    "reported are exact only with 1.",
)
@click.option(
    "--format",
    "format_",
    metavar="FORMAT",
    help="Format of the traces, where the file's name does not tell it: npy, csv, tsv, "
    "text, arc, arc-io, lirs, oracle.",
)
@click.option(
    "--column",
    callback=_column,
    metavar="NAME|INDEX",
    help="csv and tsv: the column that holds the key.",
)
@click.option(
    "--expected",
    type=FILE,
    metavar="FILE.tsv",
    help="Compare with known miss ratios: columns trace, cache_fraction, entries, "
    "policy, miss_ratio.",
)
@click.option(
    "--curve",
    is_flag=True,
    help="Also show what lru would miss at every size, and each policy from an eighth of the "
    "largest of --sizes to four times as much.",
)
@click.option(
    "--sampling",
    type=click.FloatRange(0.0, 1.0, min_open=True),
    default=1.0,
    show_default=True,
    help="With --curve: the share of the keys that it is made from, as by a cache that works; "
    "with 1, that of lru is exact.",
)
@click.option(
    "--png",
    type=NEW_FILE,
    callback=writable,
    help="Also draw the miss-ratio curves into this file.",
)
@click.option(
    "--report",
    type=NEW_FILE,
    callback=writable,
    metavar="FILE.html",
    help="Also write a page with the curves and the tables.",
)
@ahead_options
@JSON_OPTION
def replay(
    traces: tuple[Path, ...],
    policies: list[str],
    sizes: list[Size],
    memory: list[Memory] | None,
    value_sizes: str | None,
    costs: str | None,
    seeds: int,
    batch: int,
    threads: int,
    format_: str | None,
    column: str | int | None,
    expected: Path | None,
    curve: bool,
    sampling: float,
    png: Path | None,
    report: Path | None,
    prefetch: list[str] | None,
    loader_latency: float,
    arrival_rate: float,
    instantaneous: bool,
    as_json: bool,
) -> None:
    """Replay traces: the miss ratio of every policy at every size.

    A trace is .npy (int64), .csv or .tsv, .txt (one key per line), .lis (ARC), .trc (LIRS) or
    .oracleGeneral (libCacheSim), each also compressed as .gz or .zst. Each request is looked up and
    inserted if it missed, one at a time.
    """
    from predis_lab.expected import ExpectedError, compare, read_expected
    from predis_lab.replaying import miss_ratio_curve
    from predis_lab.traces import TraceError, open_trace
    from predis_lab.values import Values

    with told(ExpectedError):
        ratios = read_expected(expected) if expected else None
    if memory is not None and (curve or expected or value_sizes is None):
        raise click.UsageError(
            "--memory goes with --value-sizes, and with neither --curve nor --expected, which are "
            "about entries"
        )
    with told(TraceError, ValueError, usage=True):
        Values.read(value_sizes, costs)
        opened = [open_trace(path, format_, column=column) for path in traces]
    if prefetch is not None:
        if value_sizes or costs or expected or curve or png or batch > 1 or seeds > 1:
            raise click.UsageError(
                "--prefetch goes with --policies, --sizes, --loader-latency, --arrival-rate, "
                "--instantaneous, --report and --json, and with no other way to replay"
            )
        latency = 0.0 if instantaneous else loader_latency
        asked = Asked(prefetch, latency, arrival_rate, report, as_json)
        replay_with_prefetch(opened, policies, sizes, asked)
        return
    replayed = partial(
        miss_ratio_curve,
        policies=policies,
        sizes=sizes,
        seeds=range(seeds),
        batch=batch,
        threads=threads or _cores(),
        memory=memory,
        value_sizes=value_sizes,
        costs=costs,
    )
    points = _replayed(opened, replayed)
    curves = _curves(opened, points, sampling) if curve else []
    excesses = compare(points, ratios) if ratios is not None else None
    if png is not None:
        from predis_lab.reports import curve_png

        with told(OSError):
            curve_png(points, png)
    if report is not None:
        from predis_lab.html.replay_page import replay_page

        with told(OSError):
            replay_page(points, excesses, curves).write(report)
    _show_replay(points, excesses, curves, as_json)


def _cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _replayed(traces: list[Trace], curve: Callable[..., list[Point]]) -> list[Point]:
    """The points of every trace's curve, with a bar for each trace."""
    from predis_lab.traces import TraceError

    points: list[Point] = []
    with told(TraceError, OSError), progress() as bars:
        tasks = [bars.add_task(trace.name, total=None, start=False) for trace in traces]
        for task, trace in zip(tasks, traces, strict=True):
            bars.start_task(task)

            def advance(done: int, total: int, task: Any = task) -> None:
                bars.update(task, completed=done, total=total)

            of_trace = curve(trace, progress=advance)
            if not of_trace[0].reports[0].requests:
                raise TraceError(trace.path, "holds no requests")
            points += of_trace
    return points


def _curves(traces: list[Trace], points: list[Point], sampling: float) -> list[Curve]:
    """The curves of every trace, around the largest cache that it was replayed into."""
    from predis_core.errors import CurveError
    from predis_lab.curves import trace_curves
    from predis_lab.traces import TraceError

    curves = []
    each = len(points) // len(traces)  # a point per pair of policy and size, trace by trace
    with told(TraceError, OSError), progress() as bars:
        for at, trace in enumerate(traces):
            mine = points[at * each : (at + 1) * each]
            capacity = max(point.entries for point in mine)
            policies = list(dict.fromkeys(point.policy for point in mine))
            task = bars.add_task(f"{trace.name}: curves", total=len(policies))
            try:
                for curve in trace_curves(trace, policies, capacity, sampling=sampling):
                    curves.append(curve)
                    bars.advance(task)
            except CurveError as error:
                raise TraceError(trace.path, f"--curve: {error}") from error
    return curves


def _show_replay(
    points: list[Point], excesses: list[Excess] | None, curves: list[Curve], as_json: bool
) -> None:
    from predis_lab.expected import SETTLED, mean_points, worst_points

    if as_json:
        document: dict[str, Any] = {"points": [point.as_dict() for point in points]}
        if curves:
            document["curves"] = [curve.as_dict() for curve in curves]
        if excesses is not None:
            document |= {
                "excesses": [excess.as_dict() for excess in excesses],
                "mean_excess_points": mean_points(excesses),
                "worst_excess_points": worst_points(excesses),
                "mean_and_worst_from_entries": SETTLED,
            }
        print_json(document)
        return
    from predis_lab.reports import curve_tables, excess_table, size_tables

    shown = console()
    for table in [*curve_tables(points), *size_tables(curves)]:
        shown.print(table)
    if excesses:
        shown.print(excess_table(excesses))
    elif excesses is not None:
        shown.print("None of these traces, sizes and policies is in the file of expected ratios.")


@click.command(
    epilog="Exit codes: 0 done, 1 a wrong row was delivered or no cache can be opened with the "
    "configuration, 2 a mistake in the command line."
)
@click.option(
    "--config",
    "configuration",
    type=FILE,
    metavar="FILE.toml",
    help="Open the Predis caches with this file and its plugins, in place of the one that comes "
    "with predis-lab. Its [cache] name, capacity, policy, keys and value are left to the demo.",
)
@click.option(
    "--policies",
    callback=listed(_policy),
    metavar="NAMES",
    default="lru,sieve,s3fifo,auto",
    show_default=True,
    help="Eviction policies, with commas.",
)
@click.option(
    "--seconds",
    type=click.FloatRange(1.0),
    default=20.0,
    show_default=True,
    help="About how long it may take on two cores; the workloads are as long as that allows.",
)
@click.option("--quick", is_flag=True, help="The same as --seconds 5.")
@click.option(
    "--threads",
    type=click.IntRange(1),
    default=4,
    show_default=True,
    help="Threads that ask for rows.",
)
@click.option(
    "--latency",
    type=click.FloatRange(0.0),
    default=1.0,
    show_default=True,
    metavar="MS",
    help="Round trip to the store behind the cache, in milliseconds.",
)
@click.option(
    "--report",
    type=NEW_FILE,
    metavar="FILE.html",
    default=Path("predis-demo.html"),
    show_default=True,
    help="Where to write the page with plots and tables.",
)
@click.option("--no-report", is_flag=True, help="Write no page.")
@JSON_OPTION
def demo(
    configuration: Path | None,
    policies: list[str],
    seconds: float,
    quick: bool,
    threads: int,
    latency: float,
    report: Path,
    no_report: bool,
    as_json: bool,
) -> None:
    """The main job: one embedded cache in front of a slow store, four workloads, many threads.

    A report, model training, market ticks and game assets go through a cache of each policy, opened
    with its plugins, through one that loads ahead if predis-prefetch is installed, and through
    cachetools and cachebox if they are. Every row that comes back is checked.
    """
    from predis_core.errors import ConfigurationError
    from predis_lab.contenders import Setting
    from predis_lab.demo import Plan, perform

    if not no_report:
        need_writable(report, "--report")
    with told(ConfigurationError):
        setting = Setting.read(configuration)
        plan = Plan(tuple(policies), 5.0 if quick else seconds, threads, latency / 1e3, setting)
        with progress() as bars:
            performance = perform(plan, Shown(bars))
    page = None if no_report else _write_demo_page(plan, performance, report)
    _show_demo(plan, performance, page, as_json)
    if wrong := sum(result.wrong for result in performance.results):
        raise click.ClickException(f"{wrong:,} rows were not what the store holds")


def _show_demo(plan: Plan, performance: Performance, page: Path | None, as_json: bool) -> None:
    if as_json:
        print_json(
            {
                "configuration": plan.setting.source,
                "plugins": [plugin._asdict() for plugin in performance.plugins],
                "capacity": plan.capacity,
                "threads": plan.threads,
                "latency_ms": plan.latency * 1e3,
                "wrong_rows": sum(result.wrong for result in performance.results),
                "results": [result.as_dict() for result in performance.results],
                "report": None if page is None else str(page),
            }
        )
        return
    from predis_lab.demo import summary
    from predis_lab.reports import demo_table

    shown = console()
    shown.print(demo_table(performance.results))
    shown.print(summary(plan, performance), markup=False, highlight=False)
    if page is not None:
        click.echo(f"Report: {page}")


def _write_demo_page(plan: Plan, performance: Performance, path: Path) -> Path:
    """Write the report of a demo, and return where it is."""
    from predis_lab.bench.machine import machine
    from predis_lab.html.demo_page import demo_page

    with told(OSError):
        demo_page(plan, performance, machine(), datetime.now().astimezone()).write(path)
    return path.resolve()
