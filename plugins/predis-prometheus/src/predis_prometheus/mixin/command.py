"""The command `predis mixin`."""

from __future__ import annotations

from pathlib import Path

import click

from predis_prometheus.mixin import FILES, text_of


@click.command(
    epilog="Exit codes: 0 done, 1 a file could not be written, 2 a mistake in the command line. "
    "Example: predis mixin dashboard > predis.json"
)
@click.argument("part", required=False, type=click.Choice(list(FILES)), metavar="[PART]")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Write every part into this folder, which is made if it is not there.",
)
def mixin(part: str | None, out: Path | None) -> None:
    """Print recording rules, alerts, the Grafana dashboard, or a jsonnet mixin of the three.

    PART is one of rules, alerts, dashboard and jsonnet. Load the first two by `rule_files` of
    prometheus.yml, import the dashboard in Grafana.
    """
    if (part is None) == (out is None):
        raise click.UsageError("give a PART to print, or --out DIR for all of them")
    if part is not None:
        click.echo(text_of(part), nl=False)
    if out is not None:
        try:
            out.mkdir(parents=True, exist_ok=True)
            for name, file in FILES.items():
                (out / file).write_text(text_of(name), "utf-8")
        except OSError as error:
            raise click.ClickException(f"{out}: {error.strerror}") from error
        click.echo(f"{out}: {', '.join(FILES.values())}")
