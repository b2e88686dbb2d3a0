"""A matplotlib figure as SVG inside an HTML page: no ids in common, text as text, themed."""

from __future__ import annotations

import re
from io import StringIO
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from markupsafe import Markup

from predis_lab.html.theme import STAND_INS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_NO_METADATA = dict.fromkeys(("Creator", "Date", "Format", "Type"))
_REFERENCE = re.compile(r"url\(#([^)]+)\)")
_FONT = re.compile(r"(?<=font-family: )[^;]+|(?<=px )'[^;]+")
_VARIABLES = {color: f"var(--{name})" for name, color in STAND_INS.items()}
_COLOR = re.compile("|".join(_VARIABLES))


def inline_svg(figure: Figure, prefix: str, alt: str) -> Markup:
    """Return an `<svg>` element; equal figures yield equal text.

    prefix: begins every id, so that figures with different prefixes can share a page
    alt: what the plot shows, for those who do not see it
    """
    import matplotlib as mpl

    drawn = StringIO()
    # Without a salt, ids are random; with one, those of some clip paths still are.
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": prefix}):
        figure.savefig(drawn, format="svg", metadata=_NO_METADATA)
    root = ElementTree.fromstring(drawn.getvalue())
    names = _names(root, prefix)
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
        element.attrib = _attributes(element, names)
    for parent in list(root.iter()):
        # matplotlib's rule for every element would be one for the whole page; it is in the page's.
        for child in parent.findall("style"):
            parent.remove(child)
    box = root.attrib["viewBox"]
    root.attrib = {"viewBox": box, "role": "img", "aria-label": alt}
    return Markup(ElementTree.tostring(root, encoding="unicode"))


def _names(root: ElementTree.Element, prefix: str) -> dict[str, str]:
    """New ids for those that something refers to; matplotlib gives one to every group."""
    names: dict[str, str] = {}
    for element in root.iter():
        for name, value in element.attrib.items():
            referred = [value.removeprefix("#")] if name.endswith("href") else []
            for each in (*referred, *_REFERENCE.findall(value)):
                names.setdefault(each, f"{prefix}-{len(names)}")
    return names


def _attributes(element: ElementTree.Element, names: dict[str, str]) -> dict[str, str]:
    def renamed(text: str) -> str:
        return _REFERENCE.sub(lambda found: f"url(#{names[found[1]]})", text)

    kept = {}
    for name, value in element.attrib.items():
        bare = name.rpartition("}")[2]
        if bare == "id":
            if value in names:
                kept["id"] = names[value]
        elif bare == "href":
            kept["href"] = f"#{names[value.removeprefix('#')]}"
        elif bare == "style":
            themed = _COLOR.sub(lambda found: _VARIABLES[found[0]], value)
            kept["style"] = _FONT.sub("inherit", renamed(themed))
        else:
            kept[bare] = renamed(value)
            if value in _VARIABLES:
                # A presentation attribute takes no variable, a style does.
                kept["style"] = f"{bare}: {_VARIABLES[kept.pop(bare)]}"
    return kept
