"""What the bins of histograms stand for, for people."""

from __future__ import annotations

import math

import numpy as np

from predis_drift.config import Feature
from predis_drift.features import FIRST_OCTAVE
from predis_drift.scales import PARTS
from predis_drift.statistics import Floats

_TIMES = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"))


def compact(
    feature: Feature, before: Floats, after: Floats
) -> tuple[tuple[str, ...], tuple[float, ...], tuple[float, ...]]:
    """Return labels and both histograms, from the first bin that is in use to the last one."""
    used = np.flatnonzero((before > 0) | (after > 0))
    bins = range(used[0], used[-1] + 1) if len(used) else range(0)
    return (
        tuple(label(feature, at) for at in bins),
        tuple(round(float(before[at]), 6) for at in bins),
        tuple(round(float(after[at]), 6) for at in bins),
    )


def label(feature: Feature, at: int) -> str:
    """Return what a bin of a feature stands for."""
    match feature:
        case "popularity":
            return str((1 << at) - 1)
        case "reuse_distance":
            return _range(math.ceil(2 ** (at / 2)), math.ceil(2 ** ((at + 1) / 2)) - 1)
        case "inter_arrival":
            return _time(2.0 ** (at + FIRST_OCTAVE))
        case "value_size":
            return f"{1 << at} B"
        case "batch_size":
            return _range(1 << at, (2 << at) - 1)
        case "hit_ratio":
            return ("miss", "hit")[at] if at < 2 else str(at)
        case "new_keys":
            return ("known", "new")[at] if at < 2 else str(at)
        case "namespace_share":
            return f"namespace {at}"
        case "model_scores":
            return f"model {at // PARTS + 1}, {at % PARTS + 1} of {PARTS}"


def _range(low: int, high: int) -> str:
    return str(low) if high <= low else f"{low}-{high}"


def _time(seconds: float) -> str:
    for unit, name in _TIMES:
        if seconds >= unit:
            return f"{seconds / unit:.3g} {name}"
    return f"{seconds / 1e-6:.2g} µs"
