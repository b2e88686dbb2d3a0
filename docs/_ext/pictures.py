"""Drawings become part of the page, so that they take its colours, in the light and the dark theme.

Where Markdown is shown as it is, the same file is an image of its own and brings its own colours.
"""

from __future__ import annotations

from html import escape
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx


def inline(app: Sphinx, doctree: nodes.document) -> None:
    """Replace each SVG image of a page by the drawing itself, with the image's text as its name."""
    for image in list(doctree.findall(nodes.image)):
        if image["uri"].endswith(".svg"):
            _, path = app.env.relfn2path(image["uri"])
            app.env.note_dependency(path)
            drawing = Path(path).read_text(encoding="utf-8")
            named = f'<svg role="img" aria-label="{escape(image["alt"])}" '
            raw = nodes.raw("", drawing.replace("<svg ", named, 1), format="html")
            image.parent.replace(image, raw)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register what this does to a page that was read, before its images are collected."""
    app.connect("doctree-read", inline, priority=100)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
