"""What the trace readers raise."""

from __future__ import annotations

from pathlib import Path

from predis_core.errors import PredisError


class TraceError(PredisError, ValueError):
    """A trace that cannot be read: says which file, where in it, and what to do.

    `path` is the file; `where` names the line or record ("line 7", "record 41"), or is empty
    when the whole file is meant.
    """

    def __init__(self, path: Path, problem: str, *, where: str = "") -> None:
        self.path = path
        self.where = where
        place = f"{path}, {where}" if where else str(path)
        super().__init__(f"{place}: {problem}")
