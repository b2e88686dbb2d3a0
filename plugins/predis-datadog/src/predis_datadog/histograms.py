"""What is told of a histogram: a few figures of the observations since the last export.

A snapshot has counts per bucket, not observations. So what is exact stays exact, their number and
their sum, and the rest has the error of the buckets, whose bounds are powers of two.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

QUANTILES = {"p50": 0.50, "p95": 0.95, "p99": 0.99, "max": 1.0}
"""By the end of a metric's name."""


def quantile(bounds: Sequence[float], counts: Sequence[int], share: float) -> float:
    """Return the upper bound of the bucket that holds a quantile: the true one is not above it.

    Args:
        bounds: upper bounds of the buckets, ascending; the last bucket has none, and stands for
            twice the last bound.
        counts: observations per bucket, one more than `bounds`, at least one in all.
        share: 0 to 1.
    """
    rank = max(1, math.ceil(share * sum(counts)))
    passed = 0
    for number, count in enumerate(counts):
        passed += count
        if passed >= rank:
            return _upper(bounds, number)
    raise ValueError("a quantile of no observations")


def representatives(
    bounds: Sequence[float], counts: Sequence[int], total: float
) -> list[tuple[int, float]]:
    """Return (bucket, value) of each bucket that is not empty: what all in it are sent as.

    The values are at the same share of each bucket's width, chosen so that their sum is the
    observations' own: the distribution's sum and mean are exact. That share is in 0 to 1, as each
    observation is in its bucket; the last bucket ends at twice the last bound or later.

    Args:
        bounds: as for `quantile`.
        counts: observations per bucket.
        total: their sum.
    """
    held = [(number, count) for number, count in enumerate(counts) if count > 0]
    least = sum(_lower(bounds, number) * count for number, count in held)
    width = sum((_upper(bounds, n) - _lower(bounds, n)) * count for n, count in held)
    share = (total - least) / width if width else 0.0
    if counts[-1] <= 0:  # else an observation may be as long as it likes
        share = min(share, 1.0)
    share = max(share, 0.0)
    return [
        (n, _lower(bounds, n) + share * (_upper(bounds, n) - _lower(bounds, n))) for n, _ in held
    ]


def _lower(bounds: Sequence[float], number: int) -> float:
    return bounds[number - 1] if number else 0.0


def _upper(bounds: Sequence[float], number: int) -> float:
    return bounds[number] if number < len(bounds) else 2 * bounds[-1]
