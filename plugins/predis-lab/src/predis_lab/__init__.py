"""The laboratory of Predis: replay traces, generate workloads, measure, compare, report."""

from __future__ import annotations

from predis_lab.replay import Point, Report, miss_ratio_curve, replay
from predis_lab.traces import Trace, TraceError, open_trace

__all__ = [
    "Point",
    "Report",
    "Trace",
    "TraceError",
    "miss_ratio_curve",
    "open_trace",
    "replay",
]
