"""What the dashboard shows: every panel with its queries, in rows; nothing of Grafana is in here.

In queries, `%` stands for the selector of what the dashboard's variables choose.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

SELECTOR = '{job=~"$job", instance=~"$instance", cache=~"($cache)($namespace)"}'
"""A namespace's metrics carry the label cache="CACHE/NAMESPACE"; `$namespace` has the slash."""

_HITS = "sum{by} (rate(predis_cache_hits_total%[$__rate_interval]))"
_LOOKUPS = (
    "sum{by} (rate(predis_cache_hits_total%[$__rate_interval])"
    " + rate(predis_cache_misses_total%[$__rate_interval]))"
)


class Query(NamedTuple):
    """A query, and what its series are called."""

    expression: str
    legend: str = ""

    @property
    def selected(self) -> str:
        """The expression with the dashboard's selector."""
        return self.expression.replace("%", SELECTOR)


class Panel(NamedTuple):
    """A panel.

    Attributes:
        title: of the panel.
        help: what it says, for whoever points at it.
        unit: Grafana's name of the unit.
        queries: what it shows.
        kind: "stat" (one number of now), "lines", "stack" (lines that add up), "heat" (a histogram
            over time) or "table" (a row for each series, of now).
        width: of 24 columns.
        most: the upper end of its axis, if that is known.
    """

    title: str
    help: str
    unit: str
    queries: tuple[Query, ...]
    kind: Literal["stat", "lines", "stack", "heat", "table"] = "lines"
    width: int = 8
    most: float | None = None


def ratio(by: str = "") -> str:
    """Hits per request, over all that is chosen or by some labels; nothing without requests."""
    return f"{_HITS.format(by=by)} / ({_LOOKUPS.format(by=by)} > 0)"


def rate(metric: str, by: str = " by (cache)", selector: str = "%") -> str:
    """How fast a counter grows, per second."""
    return f"sum{by} (rate({metric}{selector}[$__rate_interval]))"


def _quantile(quantile: float, operation: str) -> Query:
    return Query(
        f"histogram_quantile({quantile}, sum by (le) (rate("
        "predis_cache_batch_duration_seconds_bucket"
        f'{SELECTOR[:-1]}, operation="{operation}"}}[$__rate_interval])))',
        f"{operation} p{100 * quantile:g}",
    )


def _one(expression: str, legend: str = "") -> tuple[Query, ...]:
    return (Query(expression, legend),)


ROWS: dict[str, tuple[Panel, ...]] = {
    "Now": (
        Panel("Hit ratio", "Hits per look-up.", "percentunit", _one(ratio()), "stat", 4, 1),
        Panel(
            "Look-ups", "Keys looked up per second.", "ops", _one(_LOOKUPS.format(by="")), "stat", 4
        ),
        Panel(
            "Fill",
            "Entries held, of those that fit.",
            "percentunit",
            _one("sum(predis_cache_size%) / sum(predis_cache_capacity%)"),
            "stat",
            4,
            1,
        ),
        Panel(
            "Memory",
            "Of the tables, and of what caches learn from; Python objects are not included.",
            "bytes",
            _one("sum(predis_cache_memory_bytes%)"),
            "stat",
            4,
        ),
        Panel(
            "Loads saved",
            "Of the ids that were missing: those that waited for a load already under way.",
            "percentunit",
            _one(
                f"{rate('predis_cache_loads_saved_total', '')} / "
                f"(({rate('predis_cache_loads_saved_total', '')} + "
                f"{rate('predis_cache_loads_total', '')}) > 0)"
            ),
            "stat",
            4,
            1,
        ),
        Panel(
            "Plugins down",
            "Plugins that hang, or of which part is disabled.",
            "none",
            _one("sum(predis_plugin_up% == bool 0) or vector(0)"),
            "stat",
            4,
        ),
    ),
    "Look-ups": (
        Panel(
            "Hit ratio",
            "Hits per look-up, of each cache and namespace.",
            "percentunit",
            _one(ratio(" by (cache)"), "{{cache}}"),
            most=1,
        ),
        Panel(
            "Hits and misses",
            "Keys per second.",
            "ops",
            (
                Query(rate("predis_cache_hits_total", ""), "hits"),
                Query(rate("predis_cache_misses_total", ""), "misses"),
            ),
            "stack",
        ),
        Panel(
            "How long batches take",
            "Half of the batches, and 99 of 100, take at most this; loads included.",
            "s",
            tuple(_quantile(q, verb) for verb in ("get", "load", "set") for q in (0.5, 0.99)),
        ),
        Panel(
            "Durations of look-ups",
            "Batches by how long they took.",
            "s",
            _one(
                "sum by (le) (rate(predis_cache_batch_duration_seconds_bucket"
                f'{SELECTOR[:-1]}, operation="get"}}[$__rate_interval]))',
                "{{le}}",
            ),
            "heat",
            12,
        ),
        Panel(
            "Batches",
            "Calls per second, by what they do.",
            "ops",
            _one(
                rate("predis_cache_batch_duration_seconds_count", " by (operation)"),
                "{{operation}}",
            ),
            "stack",
            12,
        ),
    ),
    "Entries": (
        Panel(
            "What leaves, and why",
            "Entries per second: evicted to make room, expired, deleted, or refused at once.",
            "ops",
            tuple(
                Query(rate(f"predis_cache_{reason}_total", ""), reason)
                for reason in ("evictions", "expirations", "deletions", "refusals")
            ),
            "stack",
        ),
        Panel(
            "What comes in",
            "Entries per second: new keys, and new values of resident ones.",
            "ops",
            (
                Query(rate("predis_cache_insertions_total", ""), "insertions"),
                Query(rate("predis_cache_updates_total", ""), "updates"),
            ),
            "stack",
        ),
        Panel(
            "Fill",
            "Entries held, of those that fit.",
            "percentunit",
            _one(
                "sum by (cache) (predis_cache_size%) / sum by (cache) (predis_cache_capacity%)",
                "{{cache}}",
            ),
            most=1,
        ),
    ),
    "Loads": (
        Panel(
            "Ids asked of loaders",
            "Per second: loaded, failed, and saved because a load was under way already.",
            "ops",
            (
                Query(rate("predis_cache_loads_total", ""), "loads"),
                Query(rate("predis_cache_load_failures_total", ""), "failures"),
                Query(rate("predis_cache_loads_saved_total", ""), "saved"),
            ),
        ),
        Panel(
            "Batches with loads",
            "Half of them, and 99 of 100, take at most this.",
            "s",
            tuple(_quantile(q, "load") for q in (0.5, 0.99)),
        ),
        Panel(
            "Loads that fail",
            "Of the ids that loaders were asked for.",
            "percentunit",
            _one(
                f"{rate('predis_cache_load_failures_total')} / "
                f"({rate('predis_cache_loads_total')} > 0)",
                "{{cache}}",
            ),
            most=1,
        ),
    ),
    "Memory": (
        Panel(
            "Memory",
            "Of the table, and of what the cache learns from.",
            "bytes",
            _one("sum by (cache) (predis_cache_memory_bytes%)", "{{cache}}"),
            "stack",
        ),
        Panel(
            "Bytes of values",
            "What the values weigh that are held; 0 for Python objects without a weigher.",
            "bytes",
            _one("sum by (cache) (predis_cache_bytes%)", "{{cache}}"),
            "stack",
        ),
        Panel(
            "Byte hit ratio",
            "Bytes that hits gave out, per byte asked for.",
            "percentunit",
            _one(
                f"{rate('predis_cache_hit_bytes_total')} / (("
                f"{rate('predis_cache_hit_bytes_total')} + "
                f"{rate('predis_cache_inserted_bytes_total')}) > 0)",
                "{{cache}}",
            ),
            most=1,
        ),
    ),
    "Prefetch": (
        Panel(
            "Loaded ahead",
            "Entries per second that were loaded before anybody asked, and what became of them.",
            "ops",
            tuple(
                Query(rate(f"predis_prefetch_{field}_total", " by (prefetcher)"), legend)
                for field, legend in (
                    ("loads", "loaded, {{prefetcher}}"),
                    ("used", "used, {{prefetcher}}"),
                    ("late", "late, {{prefetcher}}"),
                    ("unused", "unused, {{prefetcher}}"),
                    ("harmful", "harmful, {{prefetcher}}"),
                )
            ),
        ),
        Panel(
            "Credit",
            "Entries that a prefetcher may get loaded ahead; below 1 it is quiet.",
            "short",
            _one(
                "sum by (cache, prefetcher) (predis_prefetch_credit%)", "{{cache}} {{prefetcher}}"
            ),
        ),
        Panel(
            "Lost",
            "Loads ahead that failed, and look-ups that prefetchers did not see, per second.",
            "ops",
            (
                Query(rate("predis_prefetch_failures_total", ""), "failed loads"),
                Query(rate("predis_prefetch_dropped_total", ""), "look-ups not seen"),
            ),
        ),
    ),
    "Namespaces": (
        Panel(
            "Busiest",
            "The ten caches and namespaces that are asked most, in keys per second.",
            "ops",
            _one(f"topk(10, {_LOOKUPS.format(by=' by (cache)')})", "{{cache}}"),
            "table",
            12,
        ),
        Panel(
            "Missing most",
            "The ten caches and namespaces with most misses per second.",
            "ops",
            _one(f"topk(10, {rate('predis_cache_misses_total')})", "{{cache}}"),
            "table",
            12,
        ),
    ),
    "Plugins": (
        Panel(
            "Failures",
            "Times per second that something of a plugin raised.",
            "ops",
            _one(rate("predis_plugin_failures_total", " by (plugin)"), "{{plugin}}"),
        ),
        Panel(
            "What observers cost",
            "Mean time that a plugin's observers take per batch.",
            "s",
            _one("avg by (plugin) (predis_plugin_observer_duration_seconds%)", "{{plugin}}"),
        ),
        Panel(
            "Lost",
            "Events, and sampled accesses, per second that plugins did not keep up with.",
            "ops",
            (
                Query(rate("predis_host_events_dropped_total", ""), "events"),
                Query(rate("predis_sampler_dropped_total", " by (plugin)"), "accesses, {{plugin}}"),
            ),
        ),
    ),
}
"""The panels by the titles of their rows."""
