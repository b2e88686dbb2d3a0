"""The kernels of this room, kept on disk as those of tables are."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

from predis_core.table import codegen

_ROOM = Path(__file__).parent
_USED = (
    "prefetch/credit.py",
    "prefetch/outcomes.py",
    "table/intrinsics.py",
    "table/machine_code.py",
)
"""Modules of the core from which the kernels take constants and intrinsics."""


@functools.cache
def kernels() -> Any:
    """Return the kernels, each of which is compiled, or loaded, when it is first called."""
    used = [_ROOM.parent / path for path in _USED]
    return codegen.load_module(_ROOM / "kernels.py", __package__, used)
