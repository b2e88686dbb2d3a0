"""The command `predis newrelic`."""

from __future__ import annotations

import click

from predis_newrelic.dashboard import build


@click.group()
def newrelic() -> None:
    """What New Relic needs to know of Predis."""


@newrelic.command(epilog="Example: predis newrelic dashboard > predis.json")
def dashboard() -> None:
    """Print a dashboard as JSON, for "Import dashboard"."""
    click.echo(build(), nl=False)
