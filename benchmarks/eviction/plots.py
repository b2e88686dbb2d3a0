"""The comparison as pictures, readable on a light and on a dark page: nothing is drawn behind."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.eviction.comparing import OURS, THEIRS
from benchmarks.eviction.tables import Row, Standing

_INK = "#7d8590"  # grey enough for either page
_COLORS = {OURS: "#1a9a92", THEIRS: "#c98500"}
_HIGHEST = 0.25
"""What is further above the best than this is drawn at the edge."""


def plot_standings(found: Sequence[Standing], path: Path) -> None:
    """Draw how much every policy misses beyond the best of libcachesim's, in the mean."""
    with _figure(7.2, 0.24 * len(found) + 0.9, path) as axis:
        for at, standing in enumerate(reversed(found)):
            axis.barh(at, standing.above, color=_COLORS[standing.cache], height=0.7)
        axis.set_yticks(range(len(found)), [standing.policy for standing in reversed(found)])
        axis.set_xlabel("misses beyond those of libcachesim's best policy of the cell, mean")
        axis.xaxis.set_major_formatter(_percent())
        axis.grid(axis="x", alpha=0.3)
        _legend(axis, "s", loc="upper right")


def plot_cells(rows: Sequence[Row], path: Path) -> None:
    """Draw a line per cell with a dot per policy: how far from the best of libcachesim's."""
    with _figure(7.2, 0.25 * len(rows) + 0.9, path) as axis:
        for at, row in enumerate(reversed(rows)):
            best = row.best_of_theirs[1]
            for cache, side, shift in ((THEIRS, row.theirs, -0.15), (OURS, row.ours, 0.15)):
                beyond = [min(ratio / best - 1, _HIGHEST) for ratio in side.values()]
                heights = np.full(len(beyond), at + shift)
                axis.scatter(beyond, heights, s=14, color=_COLORS[cache], alpha=0.7, linewidths=0)
        axis.axvline(0, color=_INK, linewidth=1)
        labels = [f"{row.cell.trace}, {row.cell.entries:,}" for row in reversed(rows)]
        axis.set_yticks(range(len(rows)), labels)
        axis.set_xlabel(
            "misses beyond those of libcachesim's best policy "
            f"({_HIGHEST:.0%} and more at the edge)"
        )
        axis.xaxis.set_major_formatter(_percent())
        axis.grid(axis="both", alpha=0.2)
        _legend(axis, "o", loc="lower right")


def plot_policies(rows: Sequence[Row], names: Sequence[str], path: Path) -> None:
    """Draw a field per cell and policy of ours: how far from the best of libcachesim's."""
    beyond = [[row.ours[name] / row.best_of_theirs[1] - 1 for name in names] for row in rows]
    with _figure(0.55 * len(names) + 2.6, 0.25 * len(rows) + 0.9, path) as axis:
        image = axis.imshow(
            beyond, aspect="auto", cmap="RdYlGn_r", vmin=-_HIGHEST / 2, vmax=_HIGHEST / 2
        )
        for at, line in enumerate(beyond):
            for column, value in enumerate(line):
                text = f"{round(100 * value):+d}"
                axis.text(column, at, text, ha="center", va="center", fontsize=7, color="#202020")
        axis.set_xticks(range(len(names)), names, rotation=45, ha="right")
        labels = [f"{row.cell.trace}, {row.cell.entries:,}" for row in rows]
        axis.set_yticks(range(len(rows)), labels)
        image.set_alpha(0.9)


@contextmanager
def _figure(width: float, height: float, path: Path) -> Iterator[Any]:
    """Yield the axis of a figure, which is written afterwards."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    colors = ("axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color", "text.color")
    style: dict[Any, Any] = dict.fromkeys(colors, _INK)
    spines = dict.fromkeys(("axes.spines.top", "axes.spines.right"), False)
    with mpl.rc_context({**style, **spines, "font.size": 8}):
        figure, axis = plt.subplots(figsize=(width, height))
        try:
            yield axis
            figure.savefig(path, dpi=110, transparent=True, bbox_inches="tight")
        finally:
            plt.close(figure)


def _legend(axis: Any, marker: str, **where: Any) -> None:
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], color=color, marker=marker, linestyle="", label=name)
        for name, color in _COLORS.items()
    ]
    axis.legend(handles=handles, frameon=False, labelcolor=_INK, **where)


def _percent() -> Any:
    from matplotlib.ticker import PercentFormatter

    return PercentFormatter(1.0, decimals=0)
