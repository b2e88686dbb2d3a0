"""The command `predis drift`."""

from __future__ import annotations

import json as json_text
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from predis_core import processes
from predis_core.plugin import Snapshot

_STATISTIC, _THRESHOLD = "predis.drift.statistic", "predis.drift.threshold"
_ALARMS, _EVENTS, _WINDOWS, _PATTERNS, _STRENGTH = (
    "predis.drift.alarms",
    "predis.drift.events",
    "predis.drift.windows",
    "predis.drift.patterns",
    "predis.drift.pattern_strength",
)


@click.group()
def drift() -> None:
    """See whether the workload of caches changed."""


@drift.command(
    epilog="Exit codes: 0 done, 1 the configuration cannot be read, 2 a mistake in the command "
    "line. Example: predis drift status predis.toml"
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
    help="Ask the processes whose configuration has this folder as [host] state_dir; "
    "by default that of FILE.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of text.")
def status(configuration: Path | None, state_dir: Path | None, as_json: bool) -> None:
    """Show how far the workload of each cache is from its reference, and what alarms there were."""
    if state_dir is None and configuration is not None:
        state_dir = processes.folder_of(configuration)
        if state_dir is None:
            raise click.ClickException(
                f"{configuration}: [host] has no state_dir; set it to a folder, for example "
                '"/run/user/1000/predis", and open the caches anew'
            )
    if state_dir is None:
        raise click.UsageError("name a configuration FILE, or a folder with --state-dir")
    answers, silent = processes.snapshots(state_dir)
    caches = [
        {"pid": pid, **found}
        for pid, snapshots in sorted(answers.items())
        for found in map(_read, snapshots)
        if found is not None
    ]
    if as_json:
        click.echo(json_text.dumps({"caches": caches, "silent": silent}, indent=2))
        return
    if not caches:
        click.echo(f"No process with a socket in {state_dir} watches a cache for drift.")
    for cache in caches:
        click.echo("\n".join(_lines(cache)))
    for line in silent:
        click.echo(line)


def _read(snapshot: Snapshot) -> dict[str, Any] | None:
    """What a snapshot says about drift; None if the plugin is not there."""
    values: dict[str, float] = {}
    alarms: dict[str, Any] = {}
    features: dict[tuple[str, ...], dict[str, Any]] = {}
    patterns: dict[str, dict[str, Any]] = {}
    for sample in snapshot.samples:
        name = sample.metric.name
        if name in (_EVENTS, _WINDOWS):
            values[name.rpartition(".")[2]] = sample.value  # type: ignore[assignment]
        elif name == _ALARMS:
            alarms[sample.labels[1]] = sample.value
        elif name in (_PATTERNS, _STRENGTH):
            pattern = patterns.setdefault(sample.labels[1], {"pattern": sample.labels[1]})
            pattern["times" if name == _PATTERNS else "strength"] = sample.value
        elif name in (_STATISTIC, _THRESHOLD):
            reading = features.setdefault(
                sample.labels[1:], {"feature": sample.labels[1], "statistic": sample.labels[2]}
            )
            reading["value" if name == _STATISTIC else "threshold"] = sample.value
    if not values:
        return None
    readings = [
        {**reading, "alarms": alarms.get(reading["feature"], 0)} for reading in features.values()
    ]
    return {
        "cache": snapshot.cache,
        **values,
        "alarms": sum(alarms.values()),
        "readings": readings,
        "patterns": list(patterns.values()),
    }


def _lines(cache: dict[str, Any]) -> Iterator[str]:
    yield (
        f"Cache {cache['cache']} of process {cache['pid']}: {cache['alarms']:,} alarms, "
        f"{cache['windows']:,} windows, {cache['events']:,} sampled events"
    )
    if not cache["readings"]:
        yield "  no window was compared yet"
        return
    rows = [("FEATURE", "STATISTIC", "VALUE", "THRESHOLD", "NOW", "ALARMS")]
    for each in cache["readings"]:
        differs = "differs" if each["value"] > each["threshold"] else "as before"
        numbers = (f"{each['value']:.4g}", f"{each['threshold']:.4g}", differs)
        rows.append((each["feature"], each["statistic"], *numbers, f"{each['alarms']:,}"))
    yield from _columns(rows)
    patterns = [("PATTERN", "STRENGTH", "NOW", "EMERGED")]
    for each in cache["patterns"]:
        strength = each.get("strength", 0.0)
        now = "there" if strength > 1 else "-"
        patterns.append((each["pattern"], f"{strength:.2f}", now, f"{each['times']:,}"))
    if len(patterns) > 1:
        yield from _columns(patterns)


def _columns(rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (text.ljust(width) for text, width in zip(row, widths, strict=True))
        yield f"  {'  '.join(cells).rstrip()}"
