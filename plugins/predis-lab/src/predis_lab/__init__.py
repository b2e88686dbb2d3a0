"""The laboratory of Predis: replay traces, generate workloads, measure, compare, report.

It is a plugin too: `[plugins.lab]` records the last batches of a cache while it works. Importing
this package costs next to nothing: what it offers is imported when it is first named.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from predis_core.plugin import PluginSpec
from predis_lab.config import LabConfig

if TYPE_CHECKING:
    from predis_lab.recording import Recording, recording_of
    from predis_lab.replaying import Point, miss_ratio_curve, replay
    from predis_lab.runs import Report
    from predis_lab.traces import Trace, TraceError, open_trace

PLUGIN = PluginSpec(plugin="predis_lab.plugin:Lab", config=LabConfig)
"""What the entry point names."""

_HOMES = {
    "Point": "predis_lab.replaying",
    "Recording": "predis_lab.recording",
    "Report": "predis_lab.runs",
    "Trace": "predis_lab.traces",
    "TraceError": "predis_lab.traces",
    "miss_ratio_curve": "predis_lab.replaying",
    "open_trace": "predis_lab.traces",
    "recording_of": "predis_lab.recording",
    "replay": "predis_lab.replaying",
}

__all__ = [
    "PLUGIN",
    "LabConfig",
    "Point",
    "Recording",
    "Report",
    "Trace",
    "TraceError",
    "miss_ratio_curve",
    "open_trace",
    "recording_of",
    "replay",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'predis_lab' has no attribute {name!r}")
    found = globals()[name] = getattr(importlib.import_module(_HOMES[name]), name)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
