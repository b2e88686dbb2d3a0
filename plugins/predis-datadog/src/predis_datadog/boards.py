"""A dashboard and monitors, made from the catalogue: no query names what is not measured.

The documents are those of Datadog's API: `POST /api/v1/dashboard` takes the dashboard, `POST
/api/v1/monitor` each of the monitors. The package carries them, made without a prefix, in `data/`;
`python -m predis_datadog.boards` writes these anew.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from predis_core import telemetry
from predis_core.plugin import Metric
from predis_datadog import feed

Document = dict[str, Any]

VARIABLES = ("cache", "env", "service", "host")
"""Tags by which the dashboard can be narrowed down."""

_SCOPE = ",".join(f"${variable}" for variable in VARIABLES)
_COUNTERS, _GAUGES = telemetry.COUNTERS, telemetry.GAUGES
_DURATION = telemetry.BATCH_SECONDS.name


def dashboard(prefix: str = "") -> Document:
    """Return the dashboard of caches whose metrics have a prefix."""
    return _Board(prefix).document()


def monitors(prefix: str = "", notify: str = "") -> list[Document]:
    """Return the monitors of such caches.

    Args:
        prefix: as `prefix` in the section.
        notify: whom to tell, as "@slack-search"; "" for nobody.
    """
    return _Monitors(prefix, notify).documents()


def as_text(document: Any) -> str:
    """Return a document as JSON."""
    return json.dumps(document, indent=2) + "\n"


class _Queries:
    """Metric queries of Datadog's language."""

    def __init__(self, prefix: str) -> None:
        self.prefix = f"{prefix.rstrip('.')}." if prefix else ""

    def of(
        self,
        how: str,
        metric: Metric | str,
        *,
        by: Sequence[str] = ("cache",),
        where: str = _SCOPE,
        count: bool = False,
    ) -> str:
        """Return a query: how hosts are put together, and whether a counter's values are counts."""
        name = self.prefix + (metric if isinstance(metric, str) else metric.name)
        groups = f" by {{{','.join(by)}}}" if by else ""
        return f"{how}:{name}{{{where}}}{groups}" + (".as_count()" if count else "")

    def ratio(self, by: Sequence[str], where: str = _SCOPE) -> dict[str, str]:
        """Return the queries of hits and misses."""
        return {
            field: self.of("sum", _COUNTERS[field], by=by, where=where, count=True)
            for field in ("hits", "misses")
        }


class _Board(_Queries):
    """The dashboard."""

    def document(self) -> Document:
        return {
            "title": "Predis",
            "description": "Embedded caches: hits, latency, evictions, loads, memory, plugins.",
            "layout_type": "ordered",
            "template_variables": [
                {"name": name, "prefix": name, "available_values": [], "defaults": ["*"]}
                for name in VARIABLES
            ],
            "widgets": [
                _group("Overview", "vivid_blue", self._overview()),
                _group("Latency", "vivid_purple", self._latency()),
                _group("Entries that come and go", "vivid_green", self._entries()),
                _group("Loads", "vivid_orange", self._loads()),
                _group("Prefetch", "vivid_yellow", self._prefetch()),
                _group("Memory", "vivid_pink", self._memory()),
                _group("Plugins", "gray", self._plugins()),
            ],
        }

    def _overview(self) -> list[Document]:
        ratio = "100 * hits / (hits + misses)"
        size = {"size": self.of("sum", _GAUGES["size"])}
        size["capacity"] = self.of("sum", _GAUGES["capacity"])
        return [
            _value("Hit ratio", self.ratio(by=()), ratio, "%"),
            _series("Hit ratio by cache, %", self.ratio(by=("cache",)), {"hit ratio": ratio}),
            self._counts("Lookups", "hits", "misses"),
            _series("How full, %", size, {"full": "100 * size / capacity"}),
        ]

    def _latency(self) -> list[Document]:
        found = []
        for operation in ("get", "load", "set"):
            where = f"{_SCOPE},operation:{operation}"
            queries = {
                end: self.of("max", f"{_DURATION}.{end}", where=where)
                for end in ("p50", "p95", "p99")
            }
            title = f"A batch of {operation}: quantiles of the slowest host, s"
            found.append(_series(title, queries, {end: end for end in queries}))
        by = ("cache", "operation")
        mean = {
            "time": self.of("sum", f"{_DURATION}.sum", by=by, count=True),
            "batches": self.of("sum", f"{_DURATION}.count", by=by, count=True),
        }
        found.append(_series("A batch: mean, s", mean, {"mean": "time / batches"}))
        found.append(_series("Batches", {"batches": mean["batches"]}, {"batches": "batches"}))
        return found

    def _entries(self) -> list[Document]:
        return [
            self._counts("Stored", "insertions", "updates", "refusals"),
            self._counts("Left", "evictions", "expirations", "deletions"),
            self._counts("Evictions from a full set of a cache that was not full", "conflicts"),
        ]

    def _loads(self) -> list[Document]:
        saved = {
            field: self.of("sum", _COUNTERS[field], count=True)
            for field in ("loads", "loads_saved")
        }
        return [
            self._counts("Ids loaded", "loads", "load_failures", "loads_saved"),
            _series(
                "What single flight saved, %",
                saved,
                {"saved": "100 * loads_saved / (loads + loads_saved)"},
            ),
        ]

    def _prefetch(self) -> list[Document]:
        by = ("cache", "prefetcher")
        guesses = {
            field: self.of("sum", metric, by=by, count=True)
            for field, metric in telemetry.PREFETCHED.items()
            if metric.kind == "counter"
        }
        credit = {"credit": self.of("sum", telemetry.PREFETCHED["credit"], by=by)}
        lost = {
            "failed": self.of("sum", telemetry.PREFETCH_FAILURES, count=True),
            "unseen": self.of("sum", telemetry.PREFETCH_DROPPED, count=True),
        }
        return [
            _series("Loaded ahead", guesses, {field: field for field in guesses}),
            _series("Credit", credit, {"credit": "credit"}),
            _series("Loads that failed, look-ups not seen", lost, {name: name for name in lost}),
        ]

    def _memory(self) -> list[Document]:
        queries = {
            "table": self.of("sum", telemetry.MEMORY),
            "values": self.of("sum", _GAUGES["bytes"]),
        }
        return [
            _series("Memory, bytes", queries, {name: name for name in queries}),
            self._counts("Bytes of values", "hit_bytes", "inserted_bytes"),
        ]

    def _plugins(self) -> list[Document]:
        by = ("cache", "plugin")
        up = {"up": self.of("min", telemetry.PLUGIN_UP, by=by)}
        failures = {"failures": self.of("sum", telemetry.PLUGIN_FAILURES, by=by, count=True)}
        observers = {"seconds": self.of("avg", telemetry.OBSERVER_SECONDS, by=by)}
        dropped = {
            "events of the host": self.of("sum", telemetry.EVENTS_DROPPED, count=True),
            "sampled accesses": self.of("sum", telemetry.SAMPLER_DROPPED, count=True),
            "values for Datadog": self.of("sum", feed.POINTS_DROPPED, count=True),
            "events for Datadog": self.of("sum", feed.EVENTS_DROPPED, count=True),
        }
        named = {f"q{number}": query for number, query in enumerate(dropped.values())}
        exports = {
            "exports": self.of("sum", feed.EXPORTS, by=("cache", "result"), count=True),
        }
        return [
            _series("Works (1) or not (0)", up, {"up": "up"}),
            _series("Failures", failures, {"failures": "failures"}),
            _series("Observers: s per batch", observers, {"seconds": "seconds"}),
            _series("Dropped", named, dict(zip(dropped, named, strict=True))),
            _series("Exports to Datadog", exports, {"exports": "exports"}),
        ]

    def _counts(self, title: str, *fields: str) -> Document:
        queries = {field: self.of("sum", _COUNTERS[field], count=True) for field in fields}
        return _series(title, queries, {field: field for field in fields})


class _Monitors(_Queries):
    """The monitors."""

    def __init__(self, prefix: str, notify: str) -> None:
        super().__init__(prefix)
        self._notify = notify

    def documents(self) -> list[Document]:
        hits, misses = (
            self.of("sum", _COUNTERS[field], where="*", count=True) for field in ("hits", "misses")
        )
        failures, loads = (
            self.of("sum", _COUNTERS[field], where="*", count=True)
            for field in ("load_failures", "loads")
        )
        slow = self.of("max", f"{_DURATION}.p99", where="operation:get", by=("cache", "host"))
        plugins = self.of("min", telemetry.PLUGIN_UP, where="*", by=("cache", "host", "plugin"))
        return [
            self._metric(
                "Predis: the hit ratio of {{cache.name}} is low",
                f"sum(last_15m):100 * {hits} / ({hits} + {misses})",
                ("<", 50, 70),
                "Fewer than {{threshold}} % of the keys that were looked up were found.",
            ),
            self._metric(
                "Predis: loads for {{cache.name}} fail",
                f"sum(last_5m):100 * {failures} / {loads}",
                (">", 5, 1),
                "{{value}} % of the ids that a loader was asked for could not be loaded.",
            ),
            self._metric(
                "Predis: look-ups of {{cache.name}} on {{host.name}} are slow",
                f"min(last_10m):{slow}",
                (">", 0.1, 0.05),
                "One batch of a hundred takes over {{value}} s.",
            ),
            self._metric(
                "Predis: plugin {{plugin.name}} of {{cache.name}} on {{host.name}} does not work",
                f"max(last_5m):{plugins}",
                ("<", 1, None),
                "It hangs, or part of it is disabled after failures; `predis plugins` says why.",
            ),
            self._silence(),
        ]

    def _metric(
        self,
        name: str,
        query: str,
        condition: tuple[str, float, float | None],
        message: str,
    ) -> Document:
        sign, critical, warning = condition
        thresholds = {"critical": critical}
        if warning is not None:
            thresholds["warning"] = warning
        return {
            "name": name,
            "type": "query alert",
            "query": f"{query} {sign} {critical}",
            "message": self._told(message),
            "tags": ["integration:predis"],
            "options": {
                "thresholds": thresholds,
                "notify_no_data": False,
                "require_full_window": False,
                "include_tags": True,
            },
        }

    def _silence(self) -> Document:
        return {
            "name": "Predis: nothing is heard of {{cache.name}} on {{host.name}}",
            "type": "service check",
            "query": f'"{feed.CHECK}".over("*").by("cache","host").last(4).count_by_status()',
            "message": self._told(
                "No process on that host exports this cache any longer, or a plugin of it does "
                "not work."
            ),
            "tags": ["integration:predis"],
            "options": {
                "thresholds": {"ok": 1, "warning": 3, "critical": 3},
                "notify_no_data": True,
                "no_data_timeframe": 10,
                "include_tags": True,
            },
        }

    def _told(self, message: str) -> str:
        return f"{message} {self._notify}".rstrip()


def _group(title: str, colour: str, widgets: list[Document]) -> Document:
    return _widget(
        {
            "type": "group",
            "title": title,
            "background_color": colour,
            "layout_type": "ordered",
            "widgets": widgets,
        }
    )


def _series(title: str, queries: dict[str, str], formulas: dict[str, str]) -> Document:
    return _widget(
        {
            "type": "timeseries",
            "title": title,
            "show_legend": True,
            "legend_layout": "auto",
            "requests": [
                {
                    "response_format": "timeseries",
                    "display_type": "line",
                    "queries": [_query(name, query) for name, query in queries.items()],
                    "formulas": [
                        {"alias": alias, "formula": formula} for alias, formula in formulas.items()
                    ],
                }
            ],
        }
    )


def _value(title: str, queries: dict[str, str], formula: str, unit: str) -> Document:
    named = [_query(name, query) | {"aggregator": "sum"} for name, query in queries.items()]
    request = {
        "response_format": "scalar",
        "queries": named,
        "formulas": [{"formula": formula}],
    }
    return _widget(
        {
            "type": "query_value",
            "title": title,
            "autoscale": False,
            "custom_unit": unit,
            "precision": 1,
            "requests": [request],
        }
    )


def _query(name: str, query: str) -> Document:
    return {"name": name, "data_source": "metrics", "query": query}


def _widget(definition: Document) -> Document:
    return {"definition": definition}


if __name__ == "__main__":
    folder = Path(__file__).parent / "data"
    (folder / "dashboard.json").write_text(as_text(dashboard()), "utf-8")
    (folder / "monitors.json").write_text(as_text(monitors()), "utf-8")
