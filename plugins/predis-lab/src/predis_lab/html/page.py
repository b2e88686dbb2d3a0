"""A report: a title, and sections of prose, figures and tables; rendered as one HTML file.

Blocks hold text and drawings only, and what they hold is escaped. Nothing here knows what a report
is about.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from predis_lab.html import theme
from predis_lab.html.svg import inline_svg

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing


@dataclass(frozen=True, slots=True)
class Prose:
    """Paragraphs. `bad`: they tell of a failure."""

    paragraphs: tuple[str, ...]
    bad: bool = False
    kind: ClassVar[str] = "prose"


class Tile(NamedTuple):
    """One headline number: what it is, and a remark in small type."""

    value: str
    label: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Tiles:
    """Headline numbers, side by side."""

    tiles: tuple[Tile, ...]
    kind: ClassVar[str] = "tiles"


@dataclass(frozen=True, slots=True)
class Facts:
    """Terms and what is to be said about them."""

    facts: tuple[tuple[str, str], ...]
    kind: ClassVar[str] = "facts"


@dataclass(frozen=True, slots=True)
class Figure:
    """A plot (predis_lab.html.plots), what it shows, and the same for those who do not see it."""

    drawing: Drawing
    caption: str
    alt: str
    kind: ClassVar[str] = "figure"

    def svg(self, number: int) -> Markup:
        """The plot as an element; `number` is another one for each figure of a page."""
        return inline_svg(self.drawing, f"plot-{number}", self.alt)


class Column(NamedTuple):
    """A column of a table. `help` says how to read it and is shown below the table."""

    name: str
    help: str = ""
    numeric: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """Cells as text.

    headers: so many cells at the start of a row say what the row is about
    marked: (row, column) of the cells that stand out
    """

    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]
    headers: int = 1
    marked: frozenset[tuple[int, int]] = frozenset()
    kind: ClassVar[str] = "table"

    @property
    def helps(self) -> tuple[tuple[str, str], ...]:
        """The columns that need an explanation, and it."""
        return tuple((column.name, column.help) for column in self.columns if column.help)


Block = Prose | Tiles | Facts | Figure | Table


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a page, listed in its table of contents."""

    title: str
    blocks: tuple[Block, ...]

    @property
    def slug(self) -> str:
        """The title as a part of an id."""
        return re.sub(r"[^a-z0-9]+", "-", self.title.lower()).strip("-")


@dataclass(frozen=True, slots=True)
class Page:
    """A report. `lead` says in a sentence or two what it is about."""

    title: str
    lead: str
    sections: tuple[Section, ...]

    def render(self) -> str:
        """The whole page as HTML; equal pages yield equal text."""
        environment = Environment(
            loader=PackageLoader("predis_lab.html"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        script = _source("page.js")
        digest = base64.b64encode(sha256(script.encode()).digest()).decode()
        return environment.get_template("page.html.j2").render(
            page=self,
            light=theme.LIGHT,
            dark=theme.DARK,
            style=Markup(_source("page.css")),
            script=Markup(script),
            script_digest=digest,
        )

    def write(self, path: Path) -> None:
        """Render into a file, UTF-8. Raises OSError."""
        path.write_text(self.render(), encoding="utf-8")


def _source(name: str) -> str:
    """A file that goes into the page as it is."""
    return (files("predis_lab.html") / "templates" / name).read_text(encoding="utf-8")
