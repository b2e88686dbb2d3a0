"""What the commands show in a terminal while they run. Rich is imported when it is needed."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

    from predis_lab.demo import Result


def progress() -> Progress:
    """Bars on stderr, so that stdout holds only results; none where nobody watches."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeElapsedColumn,
    )

    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
        disable=not sys.stderr.isatty(),
    )


def console() -> Console:
    """Stdout; into a file or a pipe, tables get the width they need."""
    from rich.console import Console

    return Console() if sys.stdout.isatty() else Console(width=140)


class Shown:
    """Shows how a demo gets on: one bar for all of it, and a line for each part that is done."""

    def __init__(self, bars: Progress) -> None:
        self._bars = bars
        self._task = bars.add_task("generating the workloads", total=None)

    def begin(self, rows: int) -> None:
        self._bars.update(self._task, total=rows)

    def preparing(self, cache: str) -> None:
        self._bars.update(self._task, description=f"{cache}: loading or compiling its kernels")

    def part(self, cache: str, workload: str) -> None:
        self._bars.update(self._task, description=f"{workload} through {cache}")

    def rows(self, count: int) -> None:
        self._bars.advance(self._task, count)

    def done(self, result: Result) -> None:
        saved = "" if result.loads_saved is None else f", {result.loads_saved:,} loads saved"
        if result.ahead:
            saved += f", {result.ahead:,} loaded ahead, {result.used:,} of them asked for"
        self._bars.console.print(
            f"{result.cache}, {result.workload}: {result.hit_ratio:.1%} hits, "
            f"{result.rows_per_second:,.0f} rows/s{saved}",
            markup=False,
            highlight=False,
        )
