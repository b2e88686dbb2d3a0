"""What a plugin adds to a report: text, numbers, tables and plots, as plain data.

Whoever writes reports draws them; nothing here knows how. A plugin registers a function that
returns such a page by `registry.add_report_page(name, page)`.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec


class Text(msgspec.Struct, frozen=True, tag=True):
    """Paragraphs.

    Attributes:
        paragraphs: plain text, one after the other.
        bad: they tell of something wrong.
    """

    paragraphs: tuple[str, ...]
    bad: bool = False


class Number(msgspec.Struct, frozen=True):
    """One headline number.

    Attributes:
        value: as it is shown.
        label: what it is.
        note: a remark in small type.
    """

    value: str
    label: str
    note: str = ""


class Numbers(msgspec.Struct, frozen=True, tag=True):
    """Headline numbers, side by side.

    Attributes:
        numbers: from left to right.
    """

    numbers: tuple[Number, ...]


class Grid(msgspec.Struct, frozen=True, tag=True):
    """A table.

    Attributes:
        caption: what it shows.
        columns: their names.
        rows: cells as text; the first of a row says what it is about.
        numeric: the columns that hold numbers, by position.
    """

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numeric: frozenset[int] = frozenset()

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(f"rows: expected {len(self.columns)} cells, got {row!r}")


class Series(msgspec.Struct, frozen=True):
    """One line, or one set of bars.

    Attributes:
        name: what the legend says.
        values: upwards.
        x: for lines, where each value is.
    """

    name: str
    values: tuple[float, ...]
    x: tuple[float, ...] = ()


class Plot(msgspec.Struct, frozen=True, tag=True):
    """A plot.

    Attributes:
        caption: what it shows, and how to read it.
        alt: the same for those who do not see it.
        kind: "lines" or "bars".
        series: for lines, each with its own `x`; for bars, one value for each category.
        x_label, y_label: of the axes.
        categories: what the bars stand for.
        marks: places on the x axis of lines, each with a word.
    """

    caption: str
    alt: str
    kind: Literal["lines", "bars"]
    series: tuple[Series, ...]
    x_label: str
    y_label: str
    categories: tuple[str, ...] = ()
    marks: tuple[tuple[float, str], ...] = ()

    def __post_init__(self) -> None:
        for series in self.series:
            wanted = len(self.categories) if self.kind == "bars" else len(series.x)
            if len(series.values) != wanted:
                raise ValueError(
                    f"series: {series.name!r}: expected {wanted} values, got {len(series.values)}"
                )


Block: TypeAlias = Text | Numbers | Grid | Plot


class ReportPage(msgspec.Struct, frozen=True):
    """A part of a report.

    Attributes:
        title: its heading.
        blocks: from top to bottom, each a `Text`, `Numbers`, `Grid` or `Plot`.
    """

    title: str
    blocks: tuple[Block, ...]
