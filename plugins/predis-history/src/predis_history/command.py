"""The command `predis export`."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

import click

from predis_core.clock import NANOSECONDS, Clock
from predis_core.plugin import Duration
from predis_history.database import Damaged, Foreign, open_to_read
from predis_history.formats import FORMATS, NoArrow, arrow
from predis_history.reading import Choice, Row, rows_of


def moment_of(context: click.Context, option: click.Parameter, text: str | None) -> int | None:
    """Return the nanoseconds since the Unix epoch of a time in ISO 8601, or so long ago.

    Raises:
        click.BadParameter: if it is neither.
    """
    if text is None:
        return None
    with contextlib.suppress(ValueError):
        return Clock().wall() - round(Duration.parse(text) * NANOSECONDS)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise click.BadParameter(
            f"{text!r} is no time; give one as 2027-01-31, as 2027-01-31T12:00:00+01:00 (in UTC "
            'without an offset), or how long ago, as "1h"'
        ) from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return round(moment.timestamp() * 1e6) * 1_000


@click.command(
    epilog="Exit codes: 0 done, 1 the file cannot be read or written, 2 a mistake in the command "
    "line. Example: predis export history.db --since 1d --metric '*.hits' > hits.csv"
)
@click.argument("history", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE")
@click.option(
    "--format",
    "kind",
    type=click.Choice(list(FORMATS)),
    help="Default: what the name of --out ends in, else csv.",
)
@click.option(
    "--since",
    callback=moment_of,
    metavar="TIME",
    help="A time, or how long ago: 2027-01-31T12:00, 1h.",
)
@click.option(
    "--until", callback=moment_of, metavar="TIME", help="The same; that moment is left out."
)
@click.option(
    "--metric", "metrics", multiple=True, metavar="PATTERN", help="Names with * and ?; repeatable."
)
@click.option("--cache", "caches", multiple=True, metavar="PATTERN", help="The same of caches.")
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="PATH",
    help="Write there, in place of what is there. Default: standard output.",
)
def export(
    history: Path,
    kind: str | None,
    since: int | None,
    until: int | None,
    metrics: tuple[str, ...],
    caches: tuple[str, ...],
    out: Path | None,
) -> None:
    """Export what predis-history has kept in FILE: a line per time, series and statistic.

    The columns are time, cache, host, pid, metric, kind, unit, labels, statistic and value. A
    histogram has a count and a sum since the cache was opened, and p50, p90 and p99 since the
    snapshot before. Processes may go on writing to FILE.
    """
    ends = "" if out is None else out.suffix.removeprefix(".").lower()
    kind = kind or (ends if ends in FORMATS else "csv")
    if kind == "parquet" and out is None:
        raise click.UsageError("--format parquet needs --out PATH: it is no text")
    choice = Choice(metrics=metrics, caches=caches)
    choice = choice if since is None else choice._replace(since=since)
    choice = choice if until is None else choice._replace(until=until)
    try:
        if kind == "parquet":
            arrow()
        with contextlib.closing(open_to_read(history)) as connection:
            _write(rows_of(connection, choice), kind, out)
    except NoArrow as error:
        raise click.ClickException(str(error)) from error
    except Foreign as error:
        raise click.ClickException(str(error)) from error
    except Damaged as error:
        raise click.ClickException(f"{history}: is damaged, or no history: {error}") from error
    except sqlite3.Error as error:
        raise click.ClickException(f"{history}: cannot be read: {error}") from error


def _write(rows: Iterable[Row], kind: str, out: Path | None) -> None:
    write = FORMATS[kind]
    if out is None:
        write(rows, sys.stdout.buffer)
        sys.stdout.buffer.flush()
        return
    # Whoever looks at the file finds the former one, or the whole new one.
    part = out.with_name(f"{out.name}.part")
    try:
        with part.open("wb") as file:
            write(rows, file)
        os.replace(part, out)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
