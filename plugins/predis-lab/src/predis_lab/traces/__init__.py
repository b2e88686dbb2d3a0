"""Readers of cache traces: streams of int64 keys out of the formats of the field."""

from __future__ import annotations

from predis_lab.traces.binary import Chunk, Keys, Sized, with_sizes
from predis_lab.traces.errors import TraceError
from predis_lab.traces.trace import CHUNK, FORMATS, Trace, open_trace, rechunk

__all__ = [
    "CHUNK",
    "FORMATS",
    "Chunk",
    "Keys",
    "Sized",
    "Trace",
    "TraceError",
    "open_trace",
    "rechunk",
    "with_sizes",
]
