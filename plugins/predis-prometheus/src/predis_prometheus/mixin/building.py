"""The Grafana dashboard, built of `panels`: `python -m predis_prometheus.mixin.building` writes it.

Needs `grafana-foundation-sdk`, which whoever uses the dashboard does not.
"""

from __future__ import annotations

import itertools
import json
import string
from pathlib import Path
from typing import Any

from grafana_foundation_sdk.builders import (
    common,
    dashboard,
    heatmap,
    prometheus,
    stat,
    table,
    timeseries,
)
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common as common_models
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models import heatmap as heatmap_models
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from predis_prometheus.mixin import FILES
from predis_prometheus.mixin.panels import ROWS, Panel

_SOURCE = models.DataSourceRef(type_val="prometheus", uid="$datasource")
_HEIGHTS = {"stat": 4, "lines": 8, "stack": 8, "heat": 8, "table": 8}
_BUILDERS: dict[str, Any] = {
    "stat": stat.Panel,
    "lines": timeseries.Panel,
    "stack": timeseries.Panel,
    "heat": heatmap.Panel,
    "table": table.Panel,
}


def build() -> str:
    """Return the dashboard as JSON."""
    board = (
        dashboard.Dashboard("Predis")
        .uid("predis")
        .description("Caches of Predis: what they hit, hold, load and lose.")
        .tags(["predis", "cache"])
        .time("now-1h", "now")
        .refresh("30s")
        .timezone("browser")
        .editable()
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
    )
    board.with_variable(
        dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus")
    )
    for variable in _variables():
        board.with_variable(variable)
    number = itertools.count(1)
    for title, panels in ROWS.items():
        board.with_row(dashboard.Row(title).id(next(number)))
        for panel in panels:
            board.with_panel(_panel(panel).id(next(number)))
    return json.dumps(board.build(), cls=JSONEncoder, indent=2, sort_keys=True) + "\n"


def _variables() -> list[dashboard.QueryVariable]:
    """Each is narrowed by those before it."""
    info = "predis_cache_info"
    job, instance = 'job=~"$job"', 'instance=~"$instance"'
    return [
        _variable("job", f"label_values({info}, job)"),
        _variable("instance", f"label_values({info}{{{job}}}, instance)"),
        _variable("cache", f"label_values({info}{{{job}, {instance}}}, cache)").regex(
            "/^[^\\/]+$/"
        ),
        _variable(
            "namespace",
            f'label_values(predis_cache_size{{{job}, {instance}, cache=~"($cache)/.*"}}, cache)',
        )
        .regex("/^[^\\/]+(?<value>\\/(?<text>.+))$/")
        .all_value("|/.*"),
    ]


def _variable(name: str, query: str) -> dashboard.QueryVariable:
    return (
        dashboard.QueryVariable(name)
        .label(name.capitalize())
        .datasource(_SOURCE)
        .query(query)
        .multi(True)
        .include_all(True)
        .current(models.VariableOption(text="All", value="$__all", selected=True))
        .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(models.VariableSort.ALPHABETICAL_ASC)
    )


def _panel(panel: Panel) -> Any:
    built = _BUILDERS[panel.kind]()
    built.title(panel.title).description(panel.help).unit(panel.unit).datasource(_SOURCE)
    built.span(panel.width).height(_HEIGHTS[panel.kind]).min(0)
    if panel.most is not None:
        built.max(panel.most)
    for letter, query in zip(string.ascii_uppercase, panel.queries, strict=False):
        target = prometheus.Dataquery().expr(query.selected).legend_format(query.legend)
        target.ref_id(letter)
        if panel.kind in ("stat", "table"):
            target.instant()
        if panel.kind == "table":
            target.format(PromQueryFormat.TABLE)
        if panel.kind == "heat":
            target.format(PromQueryFormat.HEATMAP)
        built.with_target(target)
    if panel.kind in ("lines", "stack"):
        _lines(built, stacked=panel.kind == "stack")
    elif panel.kind == "heat":
        built.y_axis(heatmap.YAxisConfig().unit(panel.unit))
        built.color(
            heatmap.HeatmapColorOptions()
            .scheme("Blues")
            .mode(heatmap_models.HeatmapColorMode.SCHEME)
            .steps(64)
        )
    elif panel.kind == "stat":
        built.graph_mode(common_models.BigValueGraphMode.NONE)
        built.color_mode(common_models.BigValueColorMode.NONE)
        built.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
    else:
        built.with_transformation(
            models.DataTransformerConfig(
                id_val="organize", options={"excludeByName": {"Time": True}}
            )
        )
    return built


def _lines(built: timeseries.Panel, *, stacked: bool) -> None:
    built.line_width(1).fill_opacity(20 if stacked else 0)
    built.show_points(common_models.VisibilityMode.NEVER)
    if stacked:
        built.stacking(common.StackingConfig().mode(common_models.StackingMode.NORMAL))
    built.legend(
        common.VizLegendOptions()
        .display_mode(common_models.LegendDisplayMode.LIST)
        .placement(common_models.LegendPlacement.BOTTOM)
        .show_legend(True)
    )
    built.tooltip(common.VizTooltipOptions().mode(common_models.TooltipDisplayMode.MULTI))


if __name__ == "__main__":
    Path(__file__).with_name(FILES["dashboard"]).write_text(build(), "utf-8")
