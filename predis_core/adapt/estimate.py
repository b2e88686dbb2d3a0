"""From a sample of the keys to all requests.

What sampled keys missed, over the rate, is what all did, give or take what the sample has too many
or too few of: keys that are used a lot, or that miss a lot. Of both, the truth is known: the cache
counts its requests and its misses. How much the misses at another size go with these two, the
groups of the sample tell, each of which is a sample by itself: a line is fitted through them, and
the estimate is moved along it to where the truth is (a regression estimator: Cochran, Sampling
Techniques, 1977, chapter 7). What the line leaves over is the error.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

_FITTED = 3
"""What a line through the groups has: a place, and a slope for each truth."""


class Truth(NamedTuple):
    """What is known of all requests.

    Attributes:
        requests: how many there were.
        misses: how many of them the live cache missed.
    """

    requests: float
    misses: float

    def plus(self, other: Truth) -> Truth:
        """Return what is known of the requests of both."""
        return Truth(self.requests + other.requests, self.misses + other.misses)


NOTHING = Truth(0, 0)


class Groups(NamedTuple):
    """What was found in the groups of a sample, in the units of all requests.

    Attributes:
        requests: float64[g], accesses of each group's keys.
        misses: float64[g], those that the live cache missed.
        would_miss: float64[g, m], those that caches of m sizes would have missed.
    """

    requests: Floats
    misses: Floats
    would_miss: Floats


def estimate(
    would_miss: Floats, groups: Groups, truth: Truth, rate: float
) -> tuple[Floats, Floats]:
    """Return miss ratios and their standard errors (float64[m] each), sizes ascending.

    Args:
        would_miss: float64[m], the sum over all groups, which may be known more exactly.
        groups: the groups.
        truth: of all requests.
        rate: share of the keys that are sampled.
    """
    known = np.stack([groups.requests, groups.misses], axis=1)
    centred = known - known.mean(axis=0)
    spread = groups.would_miss - groups.would_miss.mean(axis=0)
    slopes = np.linalg.lstsq(centred, spread, rcond=None)[0]
    misses = would_miss - (known.sum(axis=0) - np.array(truth, np.float64)) @ slopes
    left = ((spread - centred @ slopes) ** 2).sum(axis=0)
    count = len(groups.requests)
    errors = np.sqrt((1.0 - rate) * left * count / (count - _FITTED)) / truth.requests
    ratios = np.minimum.accumulate(np.clip(misses / truth.requests, 0.0, 1.0))
    return ratios, errors
