"""A cache of another size in miniature: small tables that a sample of the keys goes through.

A table with a share of the entries, through which the same share of the keys goes, misses about as
much as the whole one would, whatever its policy (Waldspurger, Saemundsson, Ahmad, Park: Cache
Modeling and Optimization using Miniature Simulations, ATC 2017).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from predis_core.adapt.curve import MissRatioCurve
from predis_core.adapt.estimate import NOTHING, Groups, Truth, estimate
from predis_core.adapt.inline import replayed
from predis_core.adapt.machine import kernels
from predis_core.policies import Policy
from predis_core.table import open_table
from predis_core.table.interface import Bools, Int64s
from predis_core.table.keys import SAMPLE_SPACE, sample_limit

FACTORS = (1 / 8, 1 / 4, 1 / 2, 3 / 4, 1, 3 / 2, 2, 4)
"""Sizes that are simulated, as multiples of the capacity."""

_LARGEST = 1 << 13
"""Entries of the largest table at most: the sample has fewer keys where it would need more."""


class Shadows:
    """Simulates a policy at several sizes.

    Args:
        policy: the eviction policy.
        capacity: entries of the cache that it is of.
        rate: share of the keys that is sampled; of these, it takes as many as it needs.
        seed: int64, of the hash that decides which keys are.
    """

    def __init__(self, policy: Policy, capacity: int, rate: float, seed: int) -> None:
        self.capacity = capacity
        self._limit = sample_limit(min(rate, _LARGEST / (FACTORS[-1] * capacity)))
        self._seed = seed
        self.policy = policy
        entries = sorted({max(1, round(factor * capacity * self.rate)) for factor in FACTORS})
        self._sizes = np.rint(np.array(entries) / self.rate).astype(np.int64)
        self._tables = [open_table(size, policy, seed) for size in entries]
        self._replayed = [replayed(table) for table in self._tables]
        self._machine: Any = kernels()
        self._truth = NOTHING
        self._sampled = 0
        self._requests, self._misses, *self._would_miss = np.zeros(
            (2 + len(entries), self._machine.GROUPS)
        )

    @property
    def rate(self) -> float:
        """The share of keys that goes through the tables."""
        return self._limit / SAMPLE_SPACE

    @property
    def nbytes(self) -> int:
        """Bytes of the tables."""
        return sum(table.memory for table in self._tables)

    def feed(self, words: Int64s, hits: Bools, truth: Truth) -> None:
        """Take the next lookups; see `sampled.Consumer`."""
        self._truth = self._truth.plus(truth)
        below, had = np.empty(len(words), np.int64), np.empty(len(words), np.bool_)
        kept = self._machine.sift(words, hits, self._seed, self._limit, below, had)
        below, had = below[:kept], had[:kept]
        self._sampled += kept
        self._count(below, np.zeros(kept, np.bool_), self._requests)
        self._count(below, had, self._misses)
        for table, would_miss in zip(self._replayed, self._would_miss, strict=True):
            self._count(below, table.replay(below), would_miss)

    def _count(self, words: Int64s, hits: Bools, misses: Any) -> None:
        self._machine.count_misses(words, hits, self._seed, misses)

    def curve(self) -> MissRatioCurve | None:
        """Return the curve of the policy; None if too little went through the tables so far."""
        if not self._sampled or not self._truth.requests:
            return None
        scale = 1.0 / self.rate
        would_miss = scale * np.array(self._would_miss).T
        groups = Groups(scale * self._requests, scale * self._misses, would_miss)
        ratios, errors = estimate(would_miss.sum(axis=0), groups, self._truth, self.rate)
        return MissRatioCurve(
            policy=self.policy.name,
            sizes=self._sizes,
            miss_ratios=ratios,
            error=errors,
            requests=round(self._truth.requests),
            sampled=self._sampled,
            rate=self.rate,
        )
