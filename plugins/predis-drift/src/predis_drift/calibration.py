"""Thresholds from the reference itself: how far parts of it are from the rest of it.

Look-ups depend on those before them, so that a p-value from a textbook, which supposes that they
do not, would cry wolf all the time. Instead each run of windows of the reference is held out and
compared with what is left, just as later windows are compared with all of it: mean and spread of
that are what a workload that does not change gives. How many spreads above the mean the threshold
is depends on the false alarms that are accepted, by a curve that was measured on the tuning
streams of `benchmarks/drift`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from predis_drift.config import FEATURES
from predis_drift.features import IS_CATEGORICAL, Counts
from predis_drift.statistics import Floats, ks, psi, shares, variation

PER_WINDOW = 2
"""Blocks of a window; windows overlap by all but one block."""

FLOOR, FLOOR_OF_PSI = 0.02, 0.05
"""Added to the spread: what no threshold should depend on, however quiet the reference was."""

_SPREADS, _AT, _SLOPE = 5.0, 1 / 5_800_000, 1.7
"""So many spreads for that many false alarms per event, and how fast alarms become rarer."""

_FEWEST = 3
"""Runs of windows that the reference has to have for a feature."""


class Limits(NamedTuple):
    """A reference, and what is above it.

    Attributes:
        shares: float64[features, bins].
        limits: float64[features], of `ks` or `variation`; infinite where nothing can be said.
        limits_of_psi: float64[features].
    """

    shares: Floats
    limits: Floats
    limits_of_psi: Floats


def spreads(false_alarms: float, features: int = len(FEATURES)) -> float:
    """Return how many spreads above the mean a threshold has to be.

    Args:
        false_alarms: accepted ones per event, over all features together.
        features: how many are watched; each gets its part of the false alarms.
    """
    each = false_alarms * len(FEATURES) / features
    return float(np.clip(_SPREADS + math.log(_AT / each) / _SLOPE, 2.0, 12.0))


def windows(blocks: Counts) -> Counts:
    """Return the sums of each PER_WINDOW blocks in a row, along the first axis."""
    sums = np.cumsum(blocks, axis=0)
    sums[PER_WINDOW:] -= sums[:-PER_WINDOW].copy()
    return sums[PER_WINDOW - 1 :]


def distances(before: Floats, after: Floats, is_categorical: npt.NDArray[np.bool_]) -> Floats:
    """Return `variation` of features that are categorical, and `ks` of the others."""
    found: Floats = np.where(is_categorical, variation(before, after), ks(before, after))
    return found


def lasting(found: Floats, confirmation: int) -> Floats:
    """Return the smallest of `confirmation` windows in a row that share no event, along axis 0."""
    count = len(found) - PER_WINDOW * (confirmation - 1)
    if count <= 0:
        return found[:0]
    starts = range(0, PER_WINDOW * confirmation, PER_WINDOW)
    least: Floats = np.min([found[start : start + count] for start in starts], axis=0)
    return least


def calibrate(blocks: Counts, cold: list[int], confirmation: int, height: float) -> Limits:
    """Return the reference that blocks make.

    Args:
        blocks: int64[blocks, features, bins], in their order.
        cold: for each feature, how many of the first blocks do not count yet.
        confirmation: windows in a row that have to differ.
        height: spreads above the mean, from `spreads`.
    """
    features = len(FEATURES)
    reference = np.zeros(blocks.shape[1:])
    limits, limits_of_psi = np.full(features, np.inf), np.full(features, np.inf)
    for feature in range(features):
        warm = blocks[cold[feature] :, feature]
        if len(warm) < PER_WINDOW * confirmation + _FEWEST or not warm.any():
            continue
        whole, held_out = warm.sum(axis=0), windows(warm)
        held_out = held_out[held_out.any(axis=-1)]
        rest, apart = shares(whole - held_out), shares(held_out)
        reference[feature] = shares(whole)
        null = lasting(distances(rest, apart, IS_CATEGORICAL[feature]), confirmation)
        if len(null) < _FEWEST:
            continue
        limits[feature] = _limit(null, height, FLOOR)
        null = lasting(psi(rest, apart), confirmation)
        limits_of_psi[feature] = _limit(null, height, FLOOR_OF_PSI)
    return Limits(reference, limits, limits_of_psi)


def calibrate_visits(visits: Sequence[Counts], confirmation: int, height: float) -> Limits:
    """Return the reference that visits of an hour make: each is held out as a whole.

    One day is not like the other, so that windows are compared with those of other days.

    Args:
        visits: int64[blocks, features, bins] each, in their order.
        confirmation, height: as for `calibrate`.
    """
    total = np.sum([visit.sum(axis=0) for visit in visits], axis=0)
    nulls, nulls_of_psi = [], []
    for visit in visits:
        rest, apart = shares(total - visit.sum(axis=0)), shares(windows(visit))
        nulls.append(lasting(distances(rest, apart, IS_CATEGORICAL), confirmation))
        nulls_of_psi.append(lasting(psi(rest, apart), confirmation))
    null, null_of_psi = np.concatenate(nulls), np.concatenate(nulls_of_psi)
    # What one of the days does not have cannot be compared between days.
    is_known = np.all([visit.any(axis=(0, 2)) for visit in visits], axis=0)
    is_known &= len(null) >= _FEWEST
    limits, limits_of_psi = np.full(len(FEATURES), np.inf), np.full(len(FEATURES), np.inf)
    for feature in np.flatnonzero(is_known):
        limits[feature] = _limit(null[:, feature], height, FLOOR)
        limits_of_psi[feature] = _limit(null_of_psi[:, feature], height, FLOOR_OF_PSI)
    return Limits(shares(total), limits, limits_of_psi)


def _limit(null: Floats, height: float, floor: float) -> float:
    """Return the limit that distances without a change make."""
    return float(null.mean() + height * (null.std() + floor))
