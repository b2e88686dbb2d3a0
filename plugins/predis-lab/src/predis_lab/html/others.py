"""Pages of other plugins (`predis_core.pages`) as sections of a report."""

from __future__ import annotations

from predis_core import pages
from predis_core.pages import ReportPage
from predis_lab.html import plots
from predis_lab.html.page import Block, Column, Figure, Prose, Section, Table, Tile, Tiles


def section_of(page: ReportPage) -> Section:
    """A plugin's page."""
    return Section(page.title, tuple(map(_block, page.blocks)))


def _block(block: pages.Block) -> Block:
    if isinstance(block, pages.Text):
        return Prose(block.paragraphs, block.bad)
    if isinstance(block, pages.Numbers):
        return Tiles(tuple(Tile(each.value, each.label, each.note) for each in block.numbers))
    if isinstance(block, pages.Grid):
        columns = (
            Column(name, numeric=at in block.numeric) for at, name in enumerate(block.columns)
        )
        return Table(block.caption, tuple(columns), block.rows)
    return _figure(block)


def _figure(plot: pages.Plot) -> Figure:
    if plot.kind == "bars":
        groups = {
            category: {each.name: each.values[at] for each in plot.series}
            for at, category in enumerate(plot.categories)
        }
        drawing = plots.grouped_bars(
            groups,
            [each.name for each in plot.series],
            label=plot.y_label,
            write="{:.3g}".format,
            write_tick="{:g}".format,
            x_label=plot.x_label,
        )
    else:
        drawing = plots.series_lines(
            {each.name: (each.x, each.values) for each in plot.series},
            x_label=plot.x_label,
            y_label=plot.y_label,
            marks=plot.marks,
        )
    return Figure(drawing, plot.caption, plot.alt)
