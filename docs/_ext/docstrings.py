"""Docstrings of the house as autodoc expects them: they are prose with `code`, not a markup."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from typing import Any

from sphinx.application import Sphinx

_CODE = re.compile(r"(`[^`]+`)")
_MARKUP = re.compile(r"(?<=.)[*|]")
_NAMES = (
    (re.compile(r"TypeAliasForwardRef\('([\w.]+)'\)"), r"\1"),
    (re.compile(r"<function (\w+)>"), r"\1"),
)


def escaped(line: str) -> str:
    """Return a line in which nothing outside of code is markup."""
    parts = _CODE.split(line)
    parts[::2] = [_MARKUP.sub(r"\\\g<0>", part) for part in parts[::2]]
    return "".join(parts)


def marked(lines: list[str]) -> Iterator[str]:
    """Yield the lines; before each indented block that stands by itself, the mark of a literal."""
    paragraph = ""
    for before, line in itertools.pairwise(["", *lines]):
        stands_alone = not before and line.startswith("    ")
        if stands_alone and not re.match(r"[ *-]|.*::$", paragraph):
            yield from ("::", "")
        paragraph = line or paragraph
        yield escaped(line)


def process(app: Sphinx, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    """Make a docstring's lines reStructuredText, in place, before its sections are read."""
    lines[:] = marked(lines)
    if what == "property":
        # Napoleon takes what stands before a colon in the first line for a type; this is a comment.
        lines[:0] = ["..", ""]


def process_signature(
    app: Sphinx, what: str, name: str, thing: Any, options: Any, call: str | None, result: str
) -> tuple[str, str] | None:
    """Return a signature in which aliases and functions are plain names; a protocol has none."""
    if call is None:
        return None
    if getattr(thing, "_is_protocol", False):
        return "", ""
    for pattern, replacement in _NAMES:
        call, result = pattern.sub(replacement, call), pattern.sub(replacement, result or "")
    return call, result


def setup(app: Sphinx) -> dict[str, bool]:
    """Register what this does to docstrings, ahead of napoleon, and to signatures."""
    app.connect("autodoc-process-docstring", process, priority=100)
    app.connect("autodoc-process-signature", process_signature)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
