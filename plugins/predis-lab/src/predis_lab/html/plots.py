"""Plots for a page, in stand-in colours (predis_lab.html.theme). Series look the same in all.

`series` lists the names of all series in their order, which decides how each looks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, PercentFormatter

from predis_lab.html.theme import STAND_INS, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH = 10.5  # inches, of every figure
# Bars that are narrower than so many inches have their value written upwards.
NARROW = 0.45
# Lines of many points have a mark at each of so many.
SPARSE = 10

# The values of a panel by series.
Panel = Mapping[str, Sequence[float]]
# The points of a line: x and y.
Line = tuple[Sequence[float], Sequence[float]]

_INK, _MUTED, _GRID = STAND_INS["ink"], STAND_INS["muted"], STAND_INS["line"]
_LOOK: dict[Any, Any] = {
    "text.parse_math": False,  # names are names
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "savefig.facecolor": "none",
    "axes.edgecolor": _MUTED,
    "axes.labelcolor": _MUTED,
    "axes.titlecolor": _INK,
    "text.color": _INK,
    "xtick.color": _MUTED,
    "ytick.color": _MUTED,
    "grid.color": _GRID,
    "legend.frameon": False,
    "figure.constrained_layout.wspace": 0.06,
    "hatch.linewidth": 0.8,
}


def grouped_bars(
    groups: Mapping[str, Mapping[str, float]],
    series: Sequence[str],
    *,
    label: str,
    write: Callable[[float], str],
    write_tick: Callable[[float], str],
    x_label: str = "",
) -> Figure:
    """A group of bars for each of `groups`, a bar per series, its value written on it."""
    with _figure(3.6) as figure:
        axis = figure.subplots()
        width = 0.86 / len(series)
        narrow = WIDTH * width / len(groups) < NARROW
        for index, name in enumerate(series):
            look = style(index)
            at = np.arange(len(groups)) + (index - (len(series) - 1) / 2) * width
            bars = axis.bar(
                at,
                [values.get(name, np.nan) for values in groups.values()],
                width * 0.9,
                color=look.color,
                hatch=look.hatch,
                edgecolor=STAND_INS["panel"],
                linewidth=0,
                label=name,
            )
            axis.bar_label(bars, fmt=write, fontsize=8, padding=2, rotation=90 if narrow else 0)
        axis.set_xticks(range(len(groups)), list(groups))
        axis.tick_params(axis="x", length=0, labelcolor=_INK)
        axis.set_xlabel(x_label)
        axis.margins(x=0.02, y=0.22 if narrow else 0.1)
        axis.set_ylabel(label)
        axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: write_tick(value)))
        axis.grid(axis="y")
        _legend(figure, axis)
    return figure


def lines(
    panels: Mapping[str, Mapping[str, Line]],
    series: Sequence[str],
    *,
    x_label: str,
    y_label: str,
    log_entries: bool = False,
) -> Figure:
    """A panel of lines each, shares (0 to 1) upwards.

    log_entries: the x axis is logarithmic, in whole entries, and each point is marked; without it
        x is a share too
    """
    with _figure(3.4 * -(-len(panels) // 3)) as figure:
        axes = _panels(figure, panels)
        for axis, of_panel in zip(axes, panels.values(), strict=True):
            for index, name in enumerate(series):
                if name not in of_panel:
                    continue
                look = style(index)
                axis.plot(
                    *of_panel[name],
                    color=look.color,
                    linestyle=look.line,
                    marker=look.marker,
                    markersize=4,
                    markevery=None if log_entries else (index, SPARSE),
                    linewidth=1.6,
                    label=name,
                )
            if log_entries:
                _logarithmic(axis, lambda value: f"{value:,.0f}")
            else:
                axis.xaxis.set_major_formatter(PercentFormatter(1.0))
                axis.set_xlim(0, 1)
                axis.set_xticks((0, 0.25, 0.5, 0.75, 1))
            axis.yaxis.set_major_formatter(PercentFormatter(1.0))
            axis.set_xlabel(x_label)
            axis.grid()
        axes[0].set_ylabel(y_label)
        # Of all of them, and only when all have their lines; the highest is not to be the edge.
        axes[0].set_ylim(0, 1.05 * axes[0].get_ylim()[1])
        _legend(figure, axes[0])
    return figure


def spans(
    panels: Mapping[str, Panel], series: Sequence[str], points: Sequence[str], *, label: str
) -> Figure:
    """A row per series with a mark for each of `points`, on a logarithmic axis; they ascend."""
    with _figure(0.34 * len(series) + 1.5) as figure:
        axes = _panels(figure, panels, rows=series)
        for axis, of_panel in zip(axes, panels.values(), strict=True):
            for index, name in enumerate(series):
                if name not in of_panel:
                    continue
                values, color = of_panel[name], style(index).color
                axis.plot((values[0], values[-1]), (index, index), color=color, linewidth=1.5)
                for value, marker in zip(values, "oD>", strict=True):
                    axis.plot(value, index, color=color, marker=marker, markersize=6)
            _logarithmic(axis, lambda value: f"{value:g}")
            axis.set_xlabel(label)
            axis.grid(axis="x", which="both")
        handles = [
            Line2D([], [], color=_INK, marker=marker, linestyle="", label=point)
            for marker, point in zip("oD>", points, strict=True)
        ]
        figure.legend(handles=handles, loc="outside upper left", ncols=len(points))
    return figure


def stacks(
    panels: Mapping[str, Panel], series: Sequence[str], parts: Sequence[str], *, label: str
) -> Figure:
    """A bar per series in two parts: the first in full colour, the second an outline."""
    with _figure(0.34 * len(series) + 1.5) as figure:
        axes = _panels(figure, panels, rows=series)
        for axis, of_panel in zip(axes, panels.values(), strict=True):
            for index, name in enumerate(series):
                if name not in of_panel:
                    continue
                color, (full, rest) = style(index).color, of_panel[name]
                axis.barh(index, full, 0.62, color=color, edgecolor=color)
                axis.barh(index, rest, 0.62, left=full, color="none", edgecolor=color)
            axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
            axis.locator_params(axis="x", nbins=4)
            axis.set_xlabel(label)
            axis.grid(axis="x")
        fills = (_INK, "none")
        handles = [
            Patch(facecolor=fill, edgecolor=_INK, label=part)
            for fill, part in zip(fills, parts, strict=True)
        ]
        figure.legend(handles=handles, loc="outside upper left", ncols=len(parts))
    return figure


def series_lines(
    series: Mapping[str, Line],
    *,
    x_label: str,
    y_label: str,
    marks: Sequence[tuple[float, str]] = (),
) -> Figure:
    """Lines of plain numbers in one panel; a mark is a dashed line with its word above."""
    with _figure(3.4) as figure:
        axis = figure.subplots()
        for index, (name, points) in enumerate(series.items()):
            look = style(index)
            axis.plot(
                *points,
                color=look.color,
                linestyle=look.line,
                marker=look.marker,
                markersize=4,
                markevery=max(1, len(points[0]) // SPARSE),
                linewidth=1.6,
                label=name,
            )
        for at, word in marks:
            axis.axvline(at, color=STAND_INS["bad"], linestyle="dashed", linewidth=1.2)
            axis.annotate(
                word,
                (at, 1.0),
                xycoords=("data", "axes fraction"),
                xytext=(0, 3),
                textcoords="offset points",
                ha="center",
                va="bottom",
                fontsize=8,
                color=STAND_INS["bad"],
            )
        axis.set_xlabel(x_label)
        axis.set_ylabel(y_label)
        axis.set_ylim(bottom=min(0.0, axis.get_ylim()[0]))
        axis.grid()
        _legend(figure, axis)
    return figure


@contextmanager
def _figure(height: float) -> Iterator[Figure]:
    with mpl.rc_context(_LOOK):
        yield Figure(figsize=(WIDTH, height), layout="constrained")


def _panels(
    figure: Figure, panels: Mapping[str, object], rows: Sequence[str] | None = None
) -> list[Axes]:
    """An axis with a title for each panel, at most three beside each other.

    rows: what the rows of every panel are, from the top; by default the y axis is for numbers
    """
    columns = min(3, len(panels))
    axes = figure.subplots(-(-len(panels) // columns), columns, squeeze=False, sharey=True).flat
    for axis, name in zip(axes, panels, strict=False):
        axis.set_title(name)
        if rows is not None:
            axis.set_yticks(range(len(rows)), list(rows))
            axis.set_ylim(len(rows) - 0.5, -0.5)
            axis.tick_params(axis="y", length=0, labelcolor=_INK)
    for axis in axes[len(panels) :]:
        axis.set_visible(False)
    return list(axes[: len(panels)])


def _logarithmic(axis: Axes, write: Callable[[float], str]) -> None:
    """Few labels that can be read, and no more than the axis needs."""
    axis.set_xscale("log")
    low, high = axis.get_xlim()
    steps = (1.0, 2.0, 5.0) if high / low < 200 else (1.0,)
    axis.xaxis.set_major_locator(LogLocator(subs=steps, numticks=8))
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: write(value)))
    axis.xaxis.set_minor_formatter(NullFormatter())


def _legend(figure: Figure, axis: Axes) -> None:
    handles, labels = axis.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper left", ncols=min(6, len(labels)))
