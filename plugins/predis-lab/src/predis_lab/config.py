"""The section `[plugins.lab]`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

CACHE = "{cache}"
"""What stands for a cache's name in the name of its report."""


class LabConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is recorded of a cache while it works, and where a page about it is written.

    Attributes:
        keep: batches that are remembered per cache, about 200 bytes each; when there are more, the
            oldest is forgotten.
        report: HTML file that a page about the cache is written to when it closes; `{cache}` in
            its name stands for the cache's. Left out: none is written.
    """

    keep: Annotated[int, Meta(ge=1, le=1_000_000)] = 10_000
    report: Path | None = None

    def __post_init__(self) -> None:
        if self.report is not None and CACHE in str(self.report.parent):
            raise ValueError(
                f"report: {CACHE} stands for a name within one folder, got {str(self.report)!r}; "
                "put it into the last part"
            )
