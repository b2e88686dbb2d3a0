"""What the core's commands print."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from predis_core import telemetry
from predis_core.config import Configuration
from predis_core.errors import ConfigurationError
from predis_core.host import discovery
from predis_core.host.states import HostStatus, PluginStatus
from predis_core.planning import MemoryPlan
from predis_core.types import Snapshot


class Row(NamedTuple):
    """A plugin as `predis plugins` lists it.

    Attributes:
        name: its section's name.
        distribution, version: what it comes with; "" if it is not installed.
        state: "installed", "enabled", "skipped" or "failing".
        reason: why, if it is skipped or failing.
    """

    name: str
    distribution: str
    version: str
    state: str
    reason: str = ""

    def as_dict(self) -> dict[str, str]:
        """Return the row for JSON."""
        return self._asdict()


def installed(configuration: Configuration | None) -> list[Row]:
    """Return all installed plugins and all that a configuration names."""
    available = discovery.installed_plugins()
    rows = {
        name: _row(candidates, "installed") for name, candidates in available.items() if candidates
    }
    for section in () if configuration is None else configuration.plugins.values():
        there = available.get(section.name, ())
        try:
            discovery.load(section, available)
        except ConfigurationError as error:
            state = "failing" if section.required else "skipped"
            missing = Row(section.name, "", "", state)
            row = _row(there, state) if there else missing
            rows[section.name] = row._replace(reason=str(error))
        else:
            rows[section.name] = _row(there, "enabled")
    return [rows[name] for name in sorted(rows)]


def _row(candidates: Sequence[discovery.Installed], state: str) -> Row:
    first = candidates[0]
    return Row(first.name, first.distribution, first.version, state)


def columns(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return rows of text under a header, each column as wide as it needs to be."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    lines = (
        "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
        for row in (header, *rows)
    )
    return "\n".join(lines)


def table_of_plugins(rows: Sequence[Row]) -> str:
    """Return installed and enabled plugins as text, with reasons below."""
    if not rows:
        return 'No plugin is installed. To get some, run: pip install "predis-core[all]"'
    lines = [(row.name, row.state, f"{row.distribution} {row.version}".strip()) for row in rows]
    told = [f"{row.name}: {row.reason}" for row in rows if row.reason]
    return "\n".join([columns(("PLUGIN", "STATE", "DISTRIBUTION"), lines), *told])


def processes(running: Sequence[HostStatus], silent: Sequence[str], folder: Path) -> str:
    """Return how the plugins of running processes are, as text."""
    if not running and not silent:
        return f"\nNo process with caches has a socket in {folder}."
    parts = [_process(status) for status in running]
    return "\n".join(["", *parts, *silent])


def _process(status: HostStatus) -> str:
    caches = ", ".join(
        f"{cache.name} ({cache.stats['size']:,} of {cache.stats['capacity']:,} entries)"
        for cache in status.caches
    )
    head = f"Process {status.pid}, predis-core {status.version}, caches: {caches or 'none'}"
    if not status.plugins:
        return head
    header = (
        *("PLUGIN", "STATE", "VERSION", "CACHES", "FAILURES", "OBSERVERS PER BATCH"),
        "SAMPLED (DROPPED)",
    )
    table = columns(header, [_cells(plugin) for plugin in status.plugins])
    told = [f"{plugin.name}: {plugin.reason}" for plugin in status.plugins if plugin.reason]
    return "\n".join([head, table, *told])


def _cells(plugin: PluginStatus) -> tuple[str, ...]:
    failures = sum(function.failures for function in plugin.functions)
    observing = any(function.what.startswith("observer ") for function in plugin.functions)
    sampling = any(function.what.startswith("sampler ") for function in plugin.functions)
    return (
        plugin.name,
        plugin.state,
        plugin.version,
        ", ".join(plugin.caches),
        str(failures),
        f"{plugin.observer_seconds * 1e6:.2f} µs" if observing else "none",
        f"{plugin.sampled:,} ({plugin.dropped:,})" if sampling else "none",
    )


_PREFETCHED = {metric.name: field for field, metric in telemetry.PREFETCHED.items()}


def prefetching(found: Mapping[int, Sequence[Snapshot]]) -> list[dict[str, Any]]:
    """Return what prefetchers did, of snapshots by process: one document for each of a cache."""
    documents: dict[tuple[int, str, str], dict[str, Any]] = {}
    for pid, snapshots in found.items():
        for sample in (sample for each in snapshots for sample in each.samples):
            field = _PREFETCHED.get(sample.metric.name)
            if field is not None:
                cache, prefetcher = sample.labels
                row = documents.setdefault(
                    (pid, cache, prefetcher),
                    {"process": pid, "cache": cache, "prefetcher": prefetcher},
                )
                row[field] = sample.value
    return list(documents.values())


def table_of_prefetching(documents: Sequence[Mapping[str, Any]]) -> str:
    """Return what prefetchers did, as text."""
    if not documents:
        return "No cache of these processes prefetches."
    header = (
        "PROCESS",
        "CACHE",
        "PREFETCHER",
        "STATE",
        "LOADED",
        "USED",
        "LATE",
        "UNUSED",
        "HARMFUL",
    )
    rows = []
    for each in documents:
        credit = each["credit"]
        state = "quiet" if credit < 1 else f"active, credit {credit:,.0f}"
        counts = (f"{each[field]:,}" for field in ("loads", "used", "late", "unused", "harmful"))
        rows.append((str(each["process"]), each["cache"], each["prefetcher"], state, *counts))
    return columns(header, rows)


def memory(plan: MemoryPlan) -> dict[str, Any]:
    """Return where a cache's memory goes, for JSON: entries, bytes, and both and a share by part.

    Python objects come on top of it: keys always, values where no weigher counts them.
    """
    parts = {name: size for name, size in plan.parts.items() if size is not None}
    return {
        "entries": plan.capacity,
        "bytes": plan.total,
        "parts": [
            {"part": name, "bytes": size, "share": round(size / plan.total, 4)}
            for name, size in parts.items()
        ],
    }


def table_of_memory(plan: MemoryPlan) -> str:
    """Return where a cache's memory goes, as text."""
    shown = memory(plan)
    rows = [(part["part"], f"{part['bytes']:,}", f"{part['share']:.1%}") for part in shown["parts"]]
    table = columns(("MEMORY", "BYTES", "SHARE"), [*rows, ("all", f"{plan.total:,}", "")])
    return f"\n{table}\nfor {plan.capacity:,} entries\n"


def tree(shown: Mapping[str, Any]) -> str:
    """Return a configuration's tables as TOML-like lines."""
    return "\n".join(_lines(shown, ""))


def _lines(table: Mapping[str, Any], path: str) -> Iterator[str]:
    plain = {key: value for key, value in table.items() if not _is_section(path, value)}
    if path and (plain or not table):
        yield f"[{path}]"
    yield from (f"{key} = {_text(value)}" for key, value in plain.items() if value is not None)
    for key, value in table.items():
        if _is_section(path, value):
            yield from _lines(value, f"{path}.{key}" if path else key)


def _is_section(path: str, value: Any) -> bool:
    return isinstance(value, Mapping) and path in ("", "plugins")


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        inner = ", ".join(f"{k} = {_text(v)}" for k, v in value.items() if v is not None)
        return f"{{ {inner} }}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_text, value))}]"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    return str(value)
