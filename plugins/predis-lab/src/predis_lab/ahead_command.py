"""`predis replay --prefetch`: options, replays, tables."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from predis_lab.options import listed, print_json, told
from predis_lab.terminal import console, progress

if TYPE_CHECKING:
    from predis_lab.sizes import Size
    from predis_lab.traces import Trace


def ahead_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of replays with prefetchers."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def _latency(_: click.Context, __: click.Parameter, text: str) -> float:
    """Seconds; 0 is a latency, though no duration."""
    from predis_core.plugin import Duration

    if text.strip() == "0":
        return 0.0
    try:
        return float(Duration.parse(text))
    except ValueError as error:
        raise click.BadParameter(f"{error}, or 0") from error


_OPTIONS = (
    click.option(
        "--prefetch",
        callback=listed(str),
        metavar="NAMES",
        help="Load ahead what these prefetchers propose, together, and show what that saves beside "
        "the same cache without: of any installed plugin, with commas, such as "
        "association,readahead; or plugins, of which all are taken. Traces are read into memory.",
    ),
    click.option(
        "--loader-latency",
        callback=_latency,
        default="1ms",
        show_default=True,
        metavar="DURATION",
        help="With --prefetch: what a load takes.",
    ),
    click.option(
        "--arrival-rate",
        type=click.FloatRange(0.0, min_open=True),
        default=10_000.0,
        show_default=True,
        metavar="RATE",
        help="With --prefetch: requests per second.",
    ),
    click.option(
        "--instantaneous",
        is_flag=True,
        help="With --prefetch: loads take no time; what is loaded ahead is there before the next "
        "request, as --loader-latency 0.",
    ),
)


class Asked(NamedTuple):
    """What `--prefetch` was given, and what goes with it.

    Attributes:
        names: prefetchers, or plugins.
        latency: seconds that a load takes.
        rate: requests per second.
        report: where a page goes.
        as_json: whether a document is printed in place of a table.
    """

    names: Sequence[str]
    latency: float
    rate: float
    report: Path | None
    as_json: bool


def replay_with_prefetch(
    traces: Sequence[Trace], policies: Sequence[str], sizes: Sequence[Size], asked: Asked
) -> None:
    """Replay traces with prefetchers and without, and show what that saves."""
    import numpy as np

    from predis_core.errors import ConfigurationError, PredisError
    from predis_lab.ahead import Ahead, offered, replay_ahead
    from predis_lab.traces import TraceError

    with told(ConfigurationError):
        choice = offered(asked.names)
    found: list[Ahead] = []
    with told(PredisError, TraceError, OSError), progress() as bars:
        for trace in traces:
            chunks = list(trace.chunks())
            if not sum(map(len, chunks)):
                raise TraceError(trace.path, "holds no requests")
            keys = np.concatenate(chunks)
            distinct = len(np.unique(keys))
            for policy, size in product(policies, sizes):
                task = bars.add_task(f"{trace.name}: {policy}, {size}", total=len(keys))

                def advance(done: int, _: int, task: Any = task) -> None:
                    bars.update(task, completed=done)

                found.append(
                    replay_ahead(
                        keys,
                        size.of(distinct),
                        policy,
                        **choice,
                        latency=asked.latency,
                        rate=asked.rate,
                        name=trace.name,
                        progress=advance,
                    )
                )
    if asked.report is not None:
        from predis_lab.html.ahead_page import ahead_page

        with told(OSError):
            ahead_page(found, asked.names, asked.rate).write(asked.report)
    _show(found, asked.as_json)


def _show(found: Sequence[Any], as_json: bool) -> None:
    from predis_lab.ahead import HEAD, rows

    if as_json:
        print_json({"replays": [each.as_dict() for each in found]})
        return
    from rich.table import Table

    table = Table(*HEAD, box=None, header_style="bold", padding=(0, 1))
    for column in table.columns[2:]:
        column.justify = "right"
    for row in rows(found):
        table.add_row(*row)
    console().print(table)
