"""The command `predis top`."""

from __future__ import annotations

import json as json_text
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from predis_core.clock import NANOSECONDS, stopwatch

if TYPE_CHECKING:
    from predis_top.readings import Reading, Readings


@click.command(
    epilog="Exit codes: 0 done, 1 the configuration cannot be read, 2 a mistake in the command "
    "line. Example: predis top predis.toml"
)
@click.argument(
    "configuration",
    required=False,
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="[FILE]",
)
@click.option(
    "--state-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Watch the processes whose configuration has this folder as [host] state_dir; "
    "by default that of FILE.",
)
@click.option(
    "--interval",
    type=click.FloatRange(min=0.1),
    default=2.0,
    show_default=True,
    metavar="SECONDS",
    help="From one look to the next.",
)
@click.option("--once", is_flag=True, help="Look twice, print what happened in between, and end.")
@click.option("--json", "as_json", is_flag=True, help="Print a line of JSON per look.")
def top(
    configuration: Path | None, state_dir: Path | None, interval: float, once: bool, as_json: bool
) -> None:
    """Show what caches do, live: hit ratios, look-ups, latencies, evictions, loads, memory.

    It shows the processes of this user that put a control socket into a folder: [host] state_dir
    of their configuration. Latencies are there if a plugin wants them measured, as [plugins.top]
    does. Keys: q quits, s sorts by another column.
    """
    from predis_core import processes
    from predis_top.readings import Readings

    if state_dir is None and configuration is not None:
        state_dir = processes.folder_of(configuration)
        if state_dir is None:
            raise click.ClickException(
                f"{configuration}: [host] has no state_dir; set it to a folder, for example "
                '"/run/user/1000/predis", and open the caches anew'
            )
    if state_dir is None:
        raise click.UsageError("name a configuration FILE, or a folder with --state-dir")
    watch = _Watch(state_dir, Readings())
    if as_json or once:
        _print(watch, interval, once=once, as_json=as_json)
    else:
        _show(watch, interval)


class _Watch:
    """Looks at the processes of a folder again and again."""

    def __init__(self, folder: Path, readings: Readings) -> None:
        self.folder = folder
        self._readings = readings

    def look(self) -> tuple[list[Reading], list[str]]:
        """Return readings since the last look, and why some processes gave none."""
        from predis_core import processes

        answers, silent = processes.snapshots(self.folder)
        return self._readings.of(answers), silent


def _print(watch: _Watch, interval: float, *, once: bool, as_json: bool) -> None:
    """Print one look, or, as JSON, one after the other, until interrupted."""
    import time

    from rich.console import Console

    from predis_top.screen import Screen

    watch.look()
    while True:
        time.sleep(interval)
        readings, silent = watch.look()
        if as_json:
            document = {"caches": [each.as_dict() for each in readings], "silent": silent}
            click.echo(json_text.dumps(document))
            sys.stdout.flush()
        else:
            screen = Screen(str(watch.folder), interval)
            screen.note(readings)
            console = Console() if sys.stdout.isatty() else Console(width=150)
            console.print(screen.draw(readings, silent, keys=False))
        if once:
            return


def _show(watch: _Watch, interval: float) -> None:
    """Show looks in place, until q is pressed or it is interrupted."""
    from rich.console import Console
    from rich.live import Live

    from predis_top.keys import Keyboard
    from predis_top.screen import Screen

    keyboard, screen = Keyboard(), Screen(str(watch.folder), interval)
    readings: Sequence[Reading] = ()
    silent: Sequence[str] = ()
    due = stopwatch()
    with keyboard.listening(), Live(console=Console(), screen=True, auto_refresh=False) as live:
        while True:
            if stopwatch() >= due:
                readings, silent = watch.look()
                screen.note(readings)
                due = stopwatch() + round(interval * NANOSECONDS)
            live.update(screen.draw(readings, silent, keys=keyboard.is_there), refresh=True)
            key = keyboard.within(max(0.0, (due - stopwatch()) / NANOSECONDS))
            if key == "q":
                return
            if key == "s":
                screen.next_order()
