"""Distances between histograms; each works on any number of them at once.

The histograms are of samples that were put into bins, so that a two-sample statistic of them is
the one of the samples as far as the bins tell them apart.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

_LITTLE = 1e-3
"""What PSI gives each bin, so that an empty one does not make it infinite."""


def shares(counts: npt.NDArray[Any]) -> Floats:
    """Return float64[..., bins] that sum to 1, or to 0 where nothing was counted."""
    found: Floats = counts / np.maximum(counts.sum(axis=-1, keepdims=True), 1)
    return found


def ks(before: Floats, after: Floats) -> Floats:
    """Return the two-sample statistic of Kolmogorov and Smirnov, over the last axis.

    Args:
        before, after: float64[..., bins], shares of bins that have an order.
    """
    found: Floats = np.abs(np.cumsum(after - before, axis=-1)).max(axis=-1)
    return found


def variation(before: Floats, after: Floats) -> Floats:
    """Return the total variation distance: the share that is in another category.

    Args:
        before, after: float64[..., bins], shares of categories.
    """
    found: Floats = np.abs(after - before).sum(axis=-1) / 2
    return found


def psi(before: Floats, after: Floats) -> Floats:
    """Return the population stability index, over the last axis.

    Args:
        before, after: float64[..., bins], shares.
    """
    whole = 1 + _LITTLE * before.shape[-1]
    p, q = (before + _LITTLE) / whole, (after + _LITTLE) / whole
    found: Floats = ((q - p) * np.log(q / p)).sum(axis=-1)
    return found
