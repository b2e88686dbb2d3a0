"""A dashboard for New Relic, as the JSON that its import takes."""

from __future__ import annotations

import json
from typing import NamedTuple

_COLUMNS = 12


class Widget(NamedTuple):
    """A widget.

    Attributes:
        title: of the widget.
        query: in NRQL.
        kind: "line", "area", "billboard" or "bar".
        width: of 12 columns.
    """

    title: str
    query: str
    kind: str = "line"
    width: int = 4


_BY_CACHE = "FACET cache TIMESERIES"
_HITS, _MISSES = "sum(predis.cache.hits)", "sum(predis.cache.misses)"
_RATIO = f"100 * {_HITS} / ({_HITS} + {_MISSES})"


def _of(*names: str) -> str:
    return ", ".join(f"sum(predis.cache.{name}) AS '{name.replace('_', ' ')}'" for name in names)


WIDGETS = (
    Widget("Hit ratio, %", f"SELECT {_RATIO} AS 'hit ratio' FROM Metric", "billboard"),
    Widget(
        "Look-ups per second",
        f"SELECT rate({_HITS} + {_MISSES}, 1 second) AS 'keys' FROM Metric",
        "billboard",
    ),
    Widget(
        "Fill, %",
        "SELECT 100 * sum(fill) AS 'fill' FROM (SELECT latest(predis.cache.size) / "
        "latest(predis.cache.capacity) AS fill FROM Metric FACET cache)",
        "billboard",
    ),
    Widget("Hit ratio, %, by cache", f"SELECT {_RATIO} FROM Metric {_BY_CACHE}"),
    Widget("Hits and misses", f"SELECT {_of('hits', 'misses')} FROM Metric TIMESERIES", "area"),
    Widget(
        "How long batches take, s",
        "SELECT max(predis.cache.batch.duration.p50) AS 'p50', "
        "max(predis.cache.batch.duration.p99) AS 'p99' FROM Metric FACET operation TIMESERIES",
    ),
    Widget(
        "What leaves, and why",
        f"SELECT {_of('evictions', 'expirations', 'deletions', 'refusals')} FROM Metric TIMESERIES",
        "area",
    ),
    Widget(
        "What comes in",
        f"SELECT {_of('insertions', 'updates')} FROM Metric TIMESERIES",
        "area",
    ),
    Widget(
        "Loads, failures, and what single flight saved",
        f"SELECT {_of('loads', 'load_failures', 'loads_saved')} FROM Metric TIMESERIES",
    ),
    Widget("Memory, bytes", f"SELECT latest(predis.cache.memory) FROM Metric {_BY_CACHE}"),
    Widget(
        "Busiest caches and namespaces",
        f"SELECT {_HITS} + {_MISSES} AS 'keys' FROM Metric FACET cache LIMIT 10",
        "bar",
    ),
    Widget(
        "Plugins that do not work",
        "SELECT latest(predis.plugin.up) FROM Metric FACET cache, plugin TIMESERIES",
    ),
)


def build() -> str:
    """Return the dashboard as JSON; whoever imports it chooses the account."""
    widgets, column, row = [], 1, 1
    for widget in WIDGETS:
        if column + widget.width - 1 > _COLUMNS:
            column, row = 1, row + 3
        widgets.append(
            {
                "title": widget.title,
                "layout": {"column": column, "row": row, "width": widget.width, "height": 3},
                "visualization": {"id": f"viz.{widget.kind}"},
                "rawConfiguration": {"nrqlQueries": [{"accountIds": [], "query": widget.query}]},
            }
        )
        column += widget.width
    page = {"name": "Caches", "description": None, "widgets": widgets}
    board = {
        "name": "Predis",
        "description": "Caches of Predis: what they hit, hold, load and lose.",
        "permissions": "PUBLIC_READ_WRITE",
        "pages": [page],
        "variables": [],
    }
    return json.dumps(board, indent=2) + "\n"
