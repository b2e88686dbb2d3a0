"""The core's own commands: `predis plugins`, `check`, `prefetch` and `warmup`."""

from __future__ import annotations

import json as json_text
from pathlib import Path
from typing import Any

import click
import msgspec

from predis_core import clock, config, opening, processes, showing
from predis_core.config import Configuration
from predis_core.errors import ConfigurationError
from predis_core.host import discovery
from predis_core.host.states import HostStatus
from predis_core.planning import MemoryPlan

FILE = click.Path(dir_okay=False, path_type=Path)
JSON_OPTION = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON document instead of tables."
)


@click.command(epilog="Exit codes: 0 done, 1 the configuration cannot be read.")
@click.argument("configuration", required=False, type=FILE, metavar="[FILE]")
@click.option(
    "--state-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Ask the processes whose configuration has this folder as [host] state_dir; "
    "by default that of FILE.",
)
@JSON_OPTION
def plugins(configuration: Path | None, state_dir: Path | None, as_json: bool) -> None:
    """List plugins: what is installed, what FILE enables, and how they are in running processes.

    Without FILE: the installed plugins, none of which is imported. With FILE, those that it names
    are imported and their sections read, but they are not started. For running processes: how each
    plugin is and why, its failures, what its observers cost a batch, and of how many accesses its
    samplers were told.
    """
    decoded = None if configuration is None else config.load(configuration)
    if state_dir is None and decoded is not None:
        state_dir = decoded.host.state_dir
    rows = showing.installed(decoded)
    running: list[HostStatus] = []
    silent: list[str] = []
    if state_dir is not None:
        found, silent = processes.statuses(state_dir)
        running = list(found.values())
    if as_json:
        document: dict[str, Any] = {"plugins": [row.as_dict() for row in rows]}
        if state_dir is not None:
            document |= {"processes": msgspec.to_builtins(running), "silent": silent}
        click.echo(json_text.dumps(document, indent=2))
        return
    click.echo(showing.table_of_plugins(rows))
    if state_dir is not None:
        click.echo(showing.processes(running, silent, state_dir))


@click.command(epilog="Exit codes: 0 a cache can be opened with it, 1 it cannot.")
@click.argument("configuration", type=FILE, metavar="FILE")
@JSON_OPTION
def check(configuration: Path, as_json: bool) -> None:
    """Check a configuration: read FILE, import the plugins that it names, and show what holds.

    Environment variables that override it are taken into account. Secrets are not shown. No plugin
    is started. Where the memory of the cache goes is shown too, unless a plugin may choose its
    policy.
    """
    decoded = config.load(configuration)
    problems: list[str] = []
    warnings: list[str] = []
    sections: dict[str, Any] = {}
    kinds: list[type[Any]] = []
    available = discovery.installed_plugins()
    for section in decoded.plugins.values():
        try:
            loaded = discovery.load(section, available)
        except ConfigurationError as error:
            (problems if section.required else warnings).append(str(error))
        else:
            kinds.append(loaded.kind)
            sections[section.name] = config.redacted(loaded.options)
    # A plugin that is not started has not offered its policies yet.
    plan: MemoryPlan | None = None
    if not any(hasattr(kind, hook) for kind in kinds for hook in opening.HAVE_A_SAY):
        try:
            plan = opening.plan_of(decoded)
        except ConfigurationError as error:
            problems.append(str(error))
    whole = decoded.cache.capacity if plan is None else plan.capacity
    if whole is not None:
        try:
            opening.check_namespaces(decoded, whole)
        except ConfigurationError as error:
            problems.append(str(error))
    shown = {
        "host": config.redacted(decoded.host),
        "cache": config.redacted(decoded.cache),
        "plugins": sections,
    }
    if as_json:
        document = {
            "configuration": shown,
            "memory": None if plan is None else showing.memory(plan),
            "problems": problems,
            "warnings": warnings,
        }
        click.echo(json_text.dumps(document, indent=2))
    else:
        click.echo(showing.tree(shown))
        if plan is not None:
            click.echo(showing.table_of_memory(plan))
        for text in warnings:
            click.echo(f"skipped: {text}")
    if problems:
        raise click.ClickException("\n".join(problems))
    if not as_json:
        click.echo(f"{decoded.source}: a cache can be opened with it.")


@click.group()
def prefetch() -> None:
    """Look at what is loaded before anybody asks for it."""


@prefetch.command(
    epilog="Exit codes: 0 done, 1 the configuration cannot be read, or has no state_dir. "
    "Example: predis prefetch status predis.toml"
)
@click.argument("configuration", required=False, type=FILE, metavar="[FILE]")
@click.option(
    "--state-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Ask the processes whose configuration has this folder as [host] state_dir; "
    "by default that of FILE.",
)
@JSON_OPTION
def status(configuration: Path | None, state_dir: Path | None, as_json: bool) -> None:
    """Show what prefetchers do for the caches of running processes.

    For each prefetcher of each cache: whether it is quiet, and how many of the entries that were
    loaded because of it were used, came late, were not used, or did harm.
    """
    if state_dir is None and configuration is not None:
        state_dir = processes.folder_of(configuration)
    if state_dir is None:
        raise click.ClickException(
            "no processes to ask: give --state-dir, or a FILE with state_dir in [host]"
        )
    found, silent = processes.snapshots(state_dir)
    documents = showing.prefetching(found)
    if as_json:
        click.echo(json_text.dumps({"prefetchers": documents, "silent": silent}, indent=2))
        return
    click.echo("\n".join([showing.table_of_prefetching(documents), *silent]))


@click.command(
    epilog="Exit codes: 0 done, 1 the configuration cannot be read, 2 a mistake in the command "
    "line. Example: predis warmup predis.toml"
)
@click.argument("configuration", required=False, type=FILE, metavar="[FILE]")
@click.option("--policy", help="An eviction policy, in place of FILE's. Default: auto.")
def warmup(configuration: Path | None, policy: str | None) -> None:
    """Compile the kernels that the cache of FILE needs, so that its process need not.

    They are kept in $PREDIS_CACHE_DIR, else in the user's cache folder. Run it while an image is
    built, as the user that will open the cache. Without FILE: for a cache as Cache(capacity)
    makes it.
    """
    from predis_core.warming import warm

    decoded = (
        config.load({"cache": {"capacity": 1}})
        if configuration is None
        else config.load(configuration)
    )
    chosen = opening.policy_of(_with_policy(decoded, policy))
    section = decoded.cache
    store = opening.store_of(section.value)
    begin = clock.stopwatch()
    weighed, sampled = section.memory is not None, section.sampling is not None
    prefetched = opening.offers(decoded, "predis_prefetchers")
    warm(chosen, store, section.keys, weighed=weighed, sampled=sampled, prefetched=prefetched)
    seconds = (clock.stopwatch() - begin) / clock.NANOSECONDS
    kind = section.key_kind
    click.echo(f"policy {chosen.name}, {kind} keys, {store}: ready after {seconds:.1f} s")


def _with_policy(decoded: Configuration, policy: str | None) -> Configuration:
    if policy is None:
        return decoded
    cache = msgspec.structs.replace(decoded.cache, policy=policy)
    return msgspec.structs.replace(decoded, cache=cache)
