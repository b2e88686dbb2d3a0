"""The command `predis bench`. What it needs is imported when it runs: `--help` is quick."""

from __future__ import annotations

import json as json_text
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from predis_lab.options import FILE, NEW_FILE, listed, need_writable, print_json, told, writable
from predis_lab.terminal import console, progress

if TYPE_CHECKING:
    from predis_lab.bench.measuring import Measured

STDOUT = "-"


def _row(name: str) -> str:
    from difflib import get_close_matches

    from predis_lab.bench.rows import rows

    names = tuple(rows())
    if name not in names:
        near = get_close_matches(name, names, 1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"there is no row {name!r}.{hint} The rows are {', '.join(names)}")
    return name


def _document(_: click.Context, __: click.Parameter, name: str | None) -> str | None:
    if name not in (None, STDOUT):
        need_writable(Path(name))
    return name


def _page(_: click.Context, __: click.Parameter, path: Path | None) -> Path | None:
    from predis_lab.bench.showing import BEGIN, END, page_takes_figures

    if path is not None and not page_takes_figures(path):
        raise click.BadParameter(f"{path} has no lines {BEGIN!r} and {END!r} to write between")
    return path


def _picture(context: click.Context, option: click.Parameter, path: Path | None) -> Path | None:
    if path is not None and path.suffix not in (".png", ".svg"):
        raise click.BadParameter(f"{path} is neither .png nor .svg")
    return writable(context, option, path)


@click.command(
    epilog="Exit codes: 0 done, 1 a bar does not hold and --check was given, or a file could not "
    "be written, 2 a mistake in the command line."
)
@click.option(
    "--rows",
    "names",
    callback=listed(_row),
    metavar="NAMES",
    help="Which rows, with commas: get, set, scalar-get … (a wrong name lists them all). All of "
    "them by default.",
)
@click.option(
    "--rounds",
    type=click.IntRange(1),
    default=9,
    show_default=True,
    help="How often every contender is timed; the median counts.",
)
@click.option(
    "--json",
    "document",
    is_flag=False,
    flag_value=STDOUT,
    callback=_document,
    metavar="[FILE]",
    help="Also write one JSON document into FILE; without FILE print it instead of tables.",
)
@click.option(
    "--plot",
    "picture",
    type=NEW_FILE,
    callback=_picture,
    metavar="FILE",
    help="Also draw the rows that have a bar, as .png or .svg.",
)
@click.option(
    "--page",
    type=FILE,
    callback=_page,
    metavar="FILE.md",
    help="Also put the figures into this page, in place of those it has.",
)
@click.option("--check", is_flag=True, help="Fail if a bar does not hold.")
def bench(
    names: list[str] | None,
    rounds: int,
    document: str | None,
    picture: Path | None,
    page: Path | None,
    check: bool,
) -> None:
    """Measure a Predis cache beside other caches, NumPy, pandas and Redis.

    The contenders take turns in one process, on one core where the system allows to choose it, and
    each row says which ratio it has to reach. Peers that are installed take part: those of the
    extra predis-lab[bench], and a redis-server that is started for it. Physical limits of the
    machine are measured in the same rows.
    """
    from predis_lab.bench.machine import cores, machine

    measured = _measured(names, rounds)
    about = {**machine(), "pinned_to": cores()[:1], "rounds": rounds}
    today = date.today().isoformat()
    whole = {"date": today, "machine": about, "rows": [row.as_dict() for row in measured]}
    _show(measured, about, whole if document == STDOUT else None)
    with told(OSError):
        if document not in (None, STDOUT):
            Path(document).write_text(json_text.dumps(whole, indent=1) + "\n", encoding="utf-8")
        if picture is not None:
            from predis_lab.bench.showing import plot

            plot(measured, picture)
        if page is not None:
            from predis_lab.bench.showing import write_page

            write_page(page, about, measured, today)
    if check:
        _need_all_bars(measured)


def _measured(names: list[str] | None, rounds: int) -> list[Measured]:
    """Build and measure the rows, each on as many cores as it is about."""
    from predis_lab.bench.machine import pinned
    from predis_lab.bench.measuring import Measured, Unavailable, measure
    from predis_lab.bench.rows import rows

    chosen = {name: build for name, build in rows().items() if names is None or name in names}
    found = []
    with progress() as bars:
        task = bars.add_task("rows", total=len(chosen))
        for name, build in chosen.items():
            bars.update(task, description=name)
            try:
                with pinned(1):
                    row = build()
                with pinned(row.cores):
                    found.append(measure(name, row, rounds))
            except Unavailable as lacking:
                found.append(Measured(name, "", {}, lacking=str(lacking)))
            bars.advance(task)
    return found


def _show(measured: list[Measured], about: dict[str, Any], document: dict[str, Any] | None) -> None:
    if document is not None:
        print_json(document)
        return
    from predis_lab.bench.showing import bar_table, conditions, row_table

    shown = console()
    for row in measured:
        if row.nanoseconds:
            shown.print(row_table(row))
    shown.print(bar_table(measured))
    shown.print(conditions(about, measured), highlight=False)


def _need_all_bars(measured: list[Measured]) -> None:
    missed = [
        f"{verdict.row}: {verdict.bar.label}: {verdict.standing}"
        for row in measured
        for verdict in row.verdicts()
        if not verdict.holds
    ]
    missed += [f"{row.name}: {row.lacking}" for row in measured if row.lacking is not None]
    if missed:
        raise click.ClickException("bars that do not hold:\n" + "\n".join(missed))
