"""The kernels of this room, kept on disk as those of tables are."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

from predis_core.table import codegen, packages

_NAME = "kernels"
_ROOM = Path(__file__).parent
_USED = ("table/intrinsics.py", "table/keys.py", "table/machine_code.py")
"""Modules of the core from which the kernels take constants and intrinsics."""


@functools.cache
def kernels() -> Any:
    """Return the kernels, each of which is compiled, or loaded, when it is first called."""
    source = (_ROOM / f"{_NAME}.py").read_text("utf-8")
    used = ((_ROOM.parent / path).read_text("utf-8") for path in _USED)
    name = codegen.package_name(source, *used)
    folder = packages.provide(name, {"__init__.py": "", f"{_NAME}.py": source})
    if folder is None:
        # Nothing can be kept: as it stands here, it is compiled in each process.
        return codegen.Kernels(__package__, (_NAME,))
    codegen.import_folder(name, folder)
    return codegen.Kernels(name, (_NAME,))
