"""The command `predis datadog`."""

from __future__ import annotations

import click

from predis_datadog import boards


@click.command()
@click.argument("document", type=click.Choice(["dashboard", "monitors"]))
@click.option("--prefix", default="", help="What `prefix` in [plugins.datadog] is.")
@click.option("--notify", default="", help="Whom the monitors tell, as @slack-search.")
def datadog(document: str, prefix: str, notify: str) -> None:
    """Print the dashboard, or the list of monitors, as JSON for Datadog's API or its page."""
    if document == "dashboard":
        click.echo(boards.as_text(boards.dashboard(prefix)), nl=False)
    else:
        click.echo(boards.as_text(boards.monitors(prefix, notify)), nl=False)
