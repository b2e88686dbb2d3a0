"""Pages of the site that lie outside docs/, so that relative links work where Markdown is shown in
a repository browser and in the site alike.

`outside_pages` has glob patterns, relative to the repository. A README is named like its folder,
every other page like itself; `outside_names` has the files that stand for a page which exists. An
example (`*.py`) becomes a page of its docstring and its code.
"""

from __future__ import annotations

import ast
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx
from sphinx.project import Project


class House(Project):
    """The source files of docs/, and those outside of it.

    Args:
        inside: the project that Sphinx made.
        patterns: `outside_pages`.
        names: `outside_names`.
    """

    def __init__(self, inside: Project, patterns: Iterable[str], names: dict[str, str]) -> None:
        super().__init__(inside.srcdir, inside.source_suffix)
        self.restore(inside)
        root = Path(inside.srcdir).parent
        self._paths = {
            name_of(path, root): path for pattern in patterns for path in root.glob(pattern)
        }
        self._names = {path: name for name, path in self._paths.items()}
        self._names.update({root / path: name for path, name in names.items()})

    def discover(
        self, exclude_paths: Iterable[str] = (), include_paths: Iterable[str] = ("**",)
    ) -> set[str]:
        """Find the pages, inside and outside."""
        self.docnames = super().discover(exclude_paths, include_paths) | set(self._paths)
        return self.docnames

    def path2doc(self, filename: str | os.PathLike[str]) -> str | None:
        """Return the name of a file's page; None if it has none."""
        path = Path(os.path.normpath(Path(self.srcdir) / filename))
        if path in self._names or not path.is_relative_to(self.srcdir):
            return self._names.get(path)
        return super().path2doc(filename)

    def doc2path(self, docname: str, absolute: bool) -> Any:
        """Return the file of a page; one outside is always absolute."""
        return self._paths.get(docname) or super().doc2path(docname, absolute)


def name_of(path: Path, root: Path) -> str:
    """Return the name of the page that a file outside becomes."""
    page = path.parent if path.stem == "README" else path.with_suffix("")
    return page.relative_to(root).as_posix().lower()


def install(app: Sphinx) -> None:
    """Let the build find the pages outside."""
    app.project = House(app.project, app.config.outside_pages, app.config.outside_names)
    app.env.project = app.project


def as_markdown(app: Sphinx, docname: str, source: list[str]) -> None:
    """Turn an example into Markdown: its name, its docstring, its code."""
    path = Path(app.env.doc2path(docname))
    if path.suffix != ".py":
        return
    [text] = source
    module = ast.parse(text)
    end = module.body[0].end_lineno
    code = "\n".join(text.splitlines()[end:]).strip("\n")
    source[0] = f"# {path.name}\n\n{ast.get_docstring(module)}\n\n```python\n{code}\n```\n"


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the settings and what this does while a site is built."""
    app.add_config_value("outside_pages", [], "env")
    app.add_config_value("outside_names", {}, "env")
    app.connect("builder-inited", install)
    app.connect("source-read", as_markdown)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
