"""Streams as rivals get them: a few numbers per STEP events, computed without Predis.

Detectors of change in general know nothing of keys. So that they have the same chance, they get a
series for each feature that ours watches.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from benchmarks.drift.streams import LENGTH, Int64s, Stream, reuse_gaps

STEP = 100
"""Events per point."""

NAMES = (
    "popularity",
    "reuse_distance",
    "inter_arrival",
    "batch_size",
    "value_size",
    "hit_ratio",
    "namespace_share",
    "new_keys",
)

_FAR, _MEMORY = 8_000, 16_000
_LAG, _SPAN, _PIECE = 5_000, 10_000, 1_000


def series(stream: Stream) -> npt.NDArray[np.float32]:
    """Return float32[LENGTH / STEP, features]: logarithms of what has a wide range, and shares."""
    gaps = reuse_gaps(stream.words)
    sizes_of_batches = np.bincount(stream.batches)[stream.batches]
    pauses = np.diff(stream.seconds, prepend=stream.seconds[0])
    columns = (
        _popularity(stream.words),
        np.log2(np.minimum(gaps, _FAR)),
        np.log2(np.maximum(pauses, 1e-6)),
        np.log2(sizes_of_batches),
        np.log2(np.maximum(stream.sizes, 1)),
        stream.hits,
        stream.spaces == 0,
        gaps > _MEMORY,
    )
    whole = np.stack([np.asarray(column, np.float64) for column in columns], axis=1)
    return whole.reshape(-1, STEP, len(NAMES)).mean(axis=1).astype(np.float32)


def _popularity(words: Int64s) -> npt.NDArray[np.float64]:
    """Return the logarithm of how often each key was asked for, some time before."""
    found = np.zeros(LENGTH)
    for start in range(_LAG + _SPAN, LENGTH, _PIECE):
        known, counts = np.unique(words[start - _LAG - _SPAN : start - _LAG], return_counts=True)
        now = words[start : start + _PIECE]
        at = np.minimum(np.searchsorted(known, now), len(known) - 1)
        found[start : start + _PIECE] = np.log2(1 + np.where(known[at] == now, counts[at], 0))
    return found
