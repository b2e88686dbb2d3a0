"""Independent requests with Zipf popularity."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from predis_lab.workloads.base import Floats, Ids, Workload, generator, need, need_positive, spans


def zipf_shares(keys: int, exponent: float) -> Floats:
    """The probability of each rank, float64[keys], most popular first: rank ** -exponent, scaled.

    Unlike NumPy's `zipf` it is bounded, so that exponents of 1 and below, the usual ones of caches
    (Breslau et al., "Web Caching and Zipf-like Distributions", INFOCOM 1999), are possible.
    """
    weights: Floats = np.arange(1, keys + 1, dtype=np.float64) ** -exponent
    shares: Floats = weights / weights.sum()
    return shares


def ranks(random: np.random.Generator, cumulated: Floats, count: int) -> Ids:
    """Ranks drawn with the probabilities whose running sum is `cumulated`, int64[count]."""
    drawn: Ids = np.searchsorted(cumulated, random.random(count) * cumulated[-1], side="right")
    return np.minimum(drawn, len(cumulated) - 1, out=drawn)


@dataclass(frozen=True, slots=True)
class Zipf(Workload):
    """`requests` independent draws out of `keys` ids, the r-th most popular with r ** -exponent.

    Which id has which rank is random, so that neighbouring ids are not equally popular.
    """

    requests: int = 1_000_000
    keys: int = 100_000
    exponent: float = 1.0
    batch: int = 1000
    seed: int = 0

    def __post_init__(self) -> None:
        need_positive(requests=self.requests, keys=self.keys, batch=self.batch)
        need(self.exponent >= 0, "exponent", self.exponent, "0 is uniform, more is more skewed")

    def by_popularity(self) -> Ids:
        """The ids, most popular first, int64[keys]."""
        return generator(self.seed, 0).permutation(self.keys)

    def batches(self) -> Iterator[Ids]:
        """Yield int64[batch] ids; the last batch may be shorter."""
        names, cumulated = self.by_popularity(), np.cumsum(zipf_shares(self.keys, self.exponent))
        random = generator(self.seed, 1)
        for low, high in spans(self.requests, self.batch):
            yield names[ranks(random, cumulated, high - low)]
