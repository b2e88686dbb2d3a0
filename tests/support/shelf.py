"""Plugins that are there for one test: distributions in a folder, found as any other is."""

from __future__ import annotations

import contextlib
import importlib
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

PREAMBLE = """
from __future__ import annotations
import threading, time
import msgspec
from predis_core.plugin import *
"""


class Shelf:
    """A folder on `sys.path` into which plugins are put.

    Args:
        folder: an empty folder that is on the path already.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._modules: list[str] = []

    def put(
        self,
        name: str,
        code: str = "",
        *,
        kind: str = "Plugin",
        spec: str | None = None,
        entry: str | None = None,
        group: str = "predis.plugins.v1",
        distribution: str | None = None,
        version: str = "1.2.3",
    ) -> str:
        """Put a plugin there: its code, and metadata with an entry point; return its module's name.

        Args:
            name: of the entry point.
            code: of the module; what a plugin imports is imported already.
            kind: the plugin's class in it.
            spec: arguments of the PluginSpec after `plugin=`.
            entry: what the entry point names, in place of the spec.
            group: of the entry point.
            distribution, version: its distribution.
        """
        distribution = distribution or f"predis-{name}"
        module = distribution.replace("-", "_") + "_module"
        more = "" if spec is None else f", {spec}"
        made = f'PLUGIN = PluginSpec(plugin="{module}:{kind}"{more})'
        body = "\n".join([PREAMBLE, textwrap.dedent(code), made, ""])
        (self.folder / f"{module}.py").write_text(body, encoding="utf-8")
        info = self.folder / f"{distribution.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n", encoding="utf-8"
        )
        (info / "entry_points.txt").write_text(
            f"[{group}]\n{name} = {entry or f'{module}:PLUGIN'}\n", encoding="utf-8"
        )
        self._modules.append(module)
        importlib.invalidate_caches()
        return module

    def module(self, name: str) -> Any:
        """Return a plugin's module."""
        return importlib.import_module(name)

    def clear(self) -> None:
        """Forget the modules that were imported from here."""
        for module in self._modules:
            sys.modules.pop(module, None)


@contextlib.contextmanager
def shelf_in(folder: Path) -> Iterator[Shelf]:
    """Have a shelf in a folder, and on the path, for a while."""
    place = folder / "shelf"
    place.mkdir()
    with pytest.MonkeyPatch.context() as patched:
        patched.syspath_prepend(place)
        shelf = Shelf(place)
        yield shelf
        shelf.clear()
