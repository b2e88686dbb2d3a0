"""The `predis` command: a group whose subcommands are entry points.

A distribution adds a command by an entry point of the group `predis.commands.v1` that names a
`click.Command`; nothing else is needed, no configuration names it. A command's module is imported
when the command is invoked (or its own help is asked for): `predis --help` lists names only, so a
broken plugin spoils neither the list nor the other commands.

Exit codes: 0 done; 1 the command failed; 2 the command line was wrong, or click is missing.

click belongs to the extra `cli`, so this module imports without it and says what to install.
"""

from __future__ import annotations

import difflib
import sys
import traceback
from collections.abc import Sequence
from importlib.metadata import EntryPoint, entry_points, version
from typing import TYPE_CHECKING, Any

from predis_core.errors import PredisError

if TYPE_CHECKING:
    import click

COMMAND_GROUP = "predis.commands.v1"
"""The entry-point group of commands; it carries the major version of the contract."""

_DISTRIBUTION = "predis-core"
_USAGE_ERROR = 2


class CommandError(PredisError):
    """An installed command cannot be used; the message says whose it is and why."""


def installed_commands() -> dict[str, list[EntryPoint]]:
    """Return the entry points of every command by name, sorted by name, importing none of them.

    More than one entry point under a name means that distributions disagree about it.
    """
    found: dict[str, list[EntryPoint]] = {}
    for entry in sorted(entry_points(group=COMMAND_GROUP), key=lambda entry: entry.name):
        found.setdefault(entry.name, []).append(entry)
    return found


def provider(entry: EntryPoint) -> str:
    """Return the distribution and version that an entry point comes from, as "name version"."""
    if entry.dist is None:
        return "an unknown distribution"
    return f"{entry.dist.name} {entry.dist.version}"


def load_command(name: str, candidates: Sequence[EntryPoint]) -> click.Command:
    """Import the command `name`.

    Raises:
        CommandError: two distributions claim the name, or its module cannot be imported, or what
            the entry point names is no `click.Command`.
    """
    import click

    if len(candidates) > 1:
        claims = ", ".join(f"{entry.value} ({provider(entry)})" for entry in candidates)
        raise CommandError(f"command {name!r} is claimed by {claims}; uninstall all but one")
    entry = candidates[0]
    culprit = (
        f"command {name!r} of plugin {entry.module.partition('.')[0]} cannot be used "
        f"(distribution {provider(entry)}, "
        f'entry point "{entry.name} = {entry.value}" in group "{COMMAND_GROUP}")'
    )
    try:
        command = entry.load()
    except Exception as error:  # whatever a plugin's import raises is the plugin's, not a crash
        raise CommandError(f"{culprit}: {type(error).__name__}: {error}") from error
    if not isinstance(command, click.Command):
        raise CommandError(f"{culprit}: it names a {type(command).__name__}, not a click.Command")
    return command


def build() -> click.Group:
    """Return the `predis` group. Needs click (the extra `cli`)."""
    import click

    class CommandGroup(click.Group):
        """A group that finds its commands among the installed distributions."""

        def list_commands(self, ctx: click.Context) -> list[str]:
            return list(installed_commands())

        def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
            candidates = installed_commands().get(cmd_name)
            return load_command(cmd_name, candidates) if candidates else None

        def resolve_command(
            self, ctx: click.Context, args: list[str]
        ) -> tuple[str | None, click.Command | None, list[str]]:
            name = args[0]
            commands = self.list_commands(ctx)
            if name not in commands and not name.startswith("-"):
                ctx.fail(_unknown(name, commands))
            return super().resolve_command(ctx, args)

        def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
            rows = [
                (name, "from " + ", ".join(provider(entry) for entry in candidates))
                for name, candidates in installed_commands().items()
            ]
            with formatter.section("Commands"):
                if rows:
                    formatter.write_dl(rows)
                else:
                    formatter.write_text(_NO_COMMANDS)

        def invoke(self, ctx: click.Context) -> Any:
            try:
                return super().invoke(ctx)
            except (PredisError, OSError) as error:
                # An OSError without a file (a closed pipe, say) is no mistake in the command line.
                if isinstance(error, OSError) and error.filename is None:
                    raise
                if ctx.params.get("show_traceback"):
                    traceback.print_exception(error)
                raise click.ClickException(str(error)) from error

    @click.group(
        cls=CommandGroup,
        name="predis",
        context_settings={"help_option_names": ["-h", "--help"]},
        epilog="'predis COMMAND --help' explains a command.",
    )
    @click.version_option(version(_DISTRIBUTION), prog_name="predis", message=_version_text())
    @click.option(
        "--traceback",
        "show_traceback",
        is_flag=True,
        help="Show where in the code an error came from.",
    )
    def predis(show_traceback: bool) -> None:
        """Predis, the embedded cache: commands of the installed plugins."""

    return predis


def main(args: Sequence[str] | None = None) -> None:
    """Run the `predis` command with `args` (default: the process's own) and exit."""
    try:
        group = build()
    except ModuleNotFoundError as error:
        if error.name != "click":
            raise
        print(
            "predis: the command line needs click, which is not installed; "
            'run: pip install "predis-core[cli]"',
            file=sys.stderr,
        )
        raise SystemExit(_USAGE_ERROR) from None
    group.main(args=None if args is None else list(args), prog_name="predis")


_NO_COMMANDS = 'None is installed yet. To get some, run: pip install "predis-core[lab]"'


def _unknown(name: str, commands: Sequence[str]) -> str:
    """Return the message for a command that no distribution provides."""
    near = difflib.get_close_matches(name, commands, n=1)
    if near:
        return f"No such command {name!r}. Did you mean {near[0]!r}?"
    known = f"Installed commands: {', '.join(commands)}." if commands else _NO_COMMANDS
    return f"No such command {name!r}. {known}"


def _version_text() -> str:
    """Return click's template for `--version`: the core, then each distribution with commands."""
    providers = {
        provider(entry) for candidates in installed_commands().values() for entry in candidates
    }
    return "\n".join(["%(prog)s %(version)s", *(f"  {text}" for text in sorted(providers))])
