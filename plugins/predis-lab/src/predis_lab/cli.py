"""The commands `predis demo`, `predis replay` and `predis bench`.

Only what a command needs is imported, when it runs: `--help` is quick. Mistakes in the command line
end with exit code 2, files that cannot be read as what they are said to be with 1.
"""

from __future__ import annotations

import json as json_text
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from predis_lab.terminal import Shown, console, progress

if TYPE_CHECKING:
    from predis_lab.demo import Performance, Plan
    from predis_lab.expected import Excess
    from predis_lab.replaying import Point
    from predis_lab.sizes import Size
    from predis_lab.traces import Trace


def _listed(read: Callable[[str], Any]) -> Callable[..., list[Any] | None]:
    """A callback for an option that is a list with commas; `read` may raise ValueError."""

    def split(_: click.Context, __: click.Parameter, value: str | None) -> list[Any] | None:
        if value is None:
            return None
        items = dict.fromkeys(item.strip() for item in value.split(",") if item.strip())
        if not items:
            raise click.BadParameter("name at least one")
        try:
            return [read(item) for item in items]
        except ValueError as error:
            raise click.BadParameter(str(error)) from error

    return split


def _policy(name: str) -> str:
    from predis_core import policies

    return policies.get(name).name


def _size(text: str) -> Size:
    from predis_lab.sizes import Size

    return Size.parse(text)


def _row(name: str) -> str:
    from difflib import get_close_matches

    from predis_lab.bench_rows import rows

    names = tuple(rows())
    if name not in names:
        near = get_close_matches(name, names, 1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"there is no row {name!r}.{hint} The rows are {', '.join(names)}")
    return name


def _column(_: click.Context, __: click.Parameter, value: str | None) -> str | int | None:
    """A column's index if it is written as one, else its name."""
    if value is not None and value.removeprefix("-").isdecimal():
        return int(value)
    return value


def _writable(_: click.Context, __: click.Parameter, path: Path | None) -> Path | None:
    if path is not None:
        _need_writable(path)
    return path


def _need_writable(path: Path, option: str | None = None) -> None:
    """That a file cannot be written had better not turn up after an hour."""
    folder = path.resolve().parent
    if not folder.is_dir():
        raise click.BadParameter(f"there is no folder {path.parent}", param_hint=option)
    if not path.exists() and not os.access(folder, os.W_OK):
        raise click.BadParameter(
            f"the folder {folder} cannot be written to; name another file", param_hint=option
        )


FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
NEW_FILE = click.Path(dir_okay=False, writable=True, path_type=Path)
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
    callback=_listed(_policy),
    metavar="NAMES",
    default="fifo,lru,sieve,s3fifo",
    show_default=True,
    help="Eviction policies, with commas.",
)
@click.option(
    "--sizes",
    callback=_listed(_size),
    metavar="SIZES",
    default="1%,10%",
    show_default=True,
    help="Cache sizes, with commas: entries, or shares of the distinct keys (rounded).",
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
    "--png",
    type=NEW_FILE,
    callback=_writable,
    help="Also draw the miss-ratio curves into this file.",
)
@click.option(
    "--report",
    type=NEW_FILE,
    callback=_writable,
    metavar="FILE.html",
    help="Also write a page with the curves and the tables.",
)
@JSON_OPTION
def replay(
    traces: tuple[Path, ...],
    policies: list[str],
    sizes: list[Size],
    seeds: int,
    batch: int,
    threads: int,
    format_: str | None,
    column: str | int | None,
    expected: Path | None,
    png: Path | None,
    report: Path | None,
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

    with _told(ExpectedError):
        ratios = read_expected(expected) if expected else None
    with _told(TraceError, usage=True):
        opened = [open_trace(path, format_, column=column) for path in traces]
    curve = partial(
        miss_ratio_curve,
        policies=policies,
        sizes=sizes,
        seeds=range(seeds),
        batch=batch,
        threads=threads or _cores(),
    )
    points = _replayed(opened, curve)
    excesses = compare(points, ratios) if ratios is not None else None
    if png is not None:
        from predis_lab.reports import curve_png

        with _told(OSError):
            curve_png(points, png)
    if report is not None:
        from predis_lab.html.replay_page import replay_page

        with _told(OSError):
            replay_page(points, excesses).write(report)
    _show_replay(points, excesses, as_json)


def _cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _replayed(traces: list[Trace], curve: Callable[..., list[Point]]) -> list[Point]:
    """The points of every trace's curve, with a bar for each trace."""
    from predis_lab.traces import TraceError

    points: list[Point] = []
    with _told(TraceError, OSError), progress() as bars:
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


def _show_replay(points: list[Point], excesses: list[Excess] | None, as_json: bool) -> None:
    from predis_lab.expected import SETTLED, mean_points, worst_points

    if as_json:
        document: dict[str, Any] = {"points": [point.as_dict() for point in points]}
        if excesses is not None:
            document |= {
                "excesses": [excess.as_dict() for excess in excesses],
                "mean_excess_points": mean_points(excesses),
                "worst_excess_points": worst_points(excesses),
                "mean_and_worst_from_entries": SETTLED,
            }
        _print_json(document)
        return
    from predis_lab.reports import curve_table, excess_table

    shown = console()
    shown.print(curve_table(points))
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
    callback=_listed(_policy),
    metavar="NAMES",
    default="fifo,lru,sieve,s3fifo",
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
    """The main job: one embedded cache in front of a slow store, three workloads, many threads.

    Model training, market ticks and game assets go through a cache of each policy, opened with its
    plugins, and through cachetools and cachebox if they are installed. Every row that comes back is
    checked.
    """
    from predis_core.errors import ConfigurationError
    from predis_lab.contenders import Setting
    from predis_lab.demo import Plan, perform

    if not no_report:
        _need_writable(report, "--report")
    with _told(ConfigurationError):
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
        _print_json(
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
    from predis_lab.bench import machine
    from predis_lab.html.demo_page import demo_page

    with _told(OSError):
        demo_page(plan, performance, machine(), datetime.now().astimezone()).write(path)
    return path.resolve()


@click.command(epilog="Exit codes: 0 done, 2 a mistake in the command line.")
@click.option(
    "--rows",
    "names",
    callback=_listed(_row),
    metavar="NAMES",
    help="Which rows, with commas: get, get-ttl, set, contains, load, object. All of "
    "them by default.",
)
@click.option(
    "--rounds",
    type=click.IntRange(1),
    default=9,
    show_default=True,
    help="How often every contender is timed; the median counts.",
)
@JSON_OPTION
def bench(names: list[str] | None, rounds: int, as_json: bool) -> None:
    """Measure a Predis cache beside other caches and a dict.

    The contenders take turns in one process, on one core where the system allows to choose it.
    Peers that are installed take part: cachebox, cachetools.
    """
    from predis_lab.bench import machine, measure, one_core
    from predis_lab.bench_rows import rows

    chosen = {name: build for name, build in rows().items() if names is None or name in names}
    measured = []
    with progress() as bars, one_core() as core:
        task = bars.add_task("rows", total=len(chosen))
        for name, build in chosen.items():
            bars.update(task, description=name)
            measured.append(measure(name, build(), rounds))
            bars.advance(task)
    about = {**machine(), "pinned_to_core": core, "rounds": rounds}
    if as_json:
        _print_json({"machine": about, "rows": [row.as_dict() for row in measured]})
        return
    from predis_lab.reports import bench_table

    shown = console()
    for row in measured:
        shown.print(bench_table(row))
    pinned = "not pinned to a core" if core is None else f"pinned to core {core}"
    versions = ", ".join(f"{name} {number}" for name, number in about["versions"].items())
    shown.print(
        f"{about['processor']}, {about['cores']} cores, {about['system']}; {pinned}; "
        f"medians of {rounds} rounds, in turns; Python {about['python']}, {versions}",
        highlight=False,
    )


@contextmanager
def _told(*mistakes: type[Exception], usage: bool = False) -> Iterator[None]:
    """Turn a user's mistakes into a message and an exit code; whatever else fails is a bug."""
    try:
        yield
    except mistakes as error:
        if usage:
            raise click.UsageError(str(error)) from error
        raise click.ClickException(str(error)) from error


def _print_json(document: dict[str, Any]) -> None:
    click.echo(json_text.dumps(document, indent=2))
