"""Which of some policies suits the lookups best: each has a table of its own, in miniature.

Shadow tables see the same share of the keys and have the same share of the entries, so each misses
about as often as the whole cache would under its policy (miniature simulation, as in `shadows`).
As all see the same lookups, two policies differ only where one hits and the other misses. Of such
lookups, which of the two it was is a coin's toss if neither is better; so the count of both tells
how sure a difference is (McNemar: "Note on the sampling error of the difference between correlated
proportions", Psychometrika 1947). Older lookups count less and less, so that the choice follows a
workload that changes.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from predis_core.policies import Policy
from predis_core.table import open_table
from predis_core.table.interface import Int64s
from predis_core.table.keys import SAMPLE_SPACE, mix, sample_bits, sample_limit

LARGEST = 1 << 11
"""Entries of a shadow table at most: of a larger cache, fewer keys are followed."""

_WINDOW = 256
"""Followed lookups between two choices at least."""

_SPANS = ((2, 0.20), (8, 0.02))
"""Lookups per entry of a shadow table after which the past counts for 1/e, and the share of the
misses that a change of policy has to save over that span: much, if it is short."""

_SURE = 4.0
"""Standard deviations by which a challenger has to win."""


class Choice:
    """Follows the lookups of a share of the keys.

    Args:
        candidates: the policies to choose from.
        live: the one that the cache has.
        capacity: entries of the cache that they are for.
        rate: share of the keys that is sampled; of these, it follows as many as it needs.
        seed: int64, of the hash that decides which keys are.

    Attributes:
        capacity: as given.
    """

    def __init__(
        self,
        candidates: tuple[Policy, ...],
        live: Policy,
        capacity: int,
        rate: float,
        seed: int,
    ) -> None:
        self._candidates = candidates
        self.capacity = capacity
        self._seed = seed
        self._limit = sample_limit(min(rate, LARGEST / capacity))
        entries = max(1, round(capacity * self.rate))
        self._tables = [open_table(entries, policy, seed) for policy in candidates]
        self._window = max(_WINDOW, entries // 2)
        self._waiting: list[Int64s] = []
        self._count = 0
        self._best = candidates.index(live)
        spans = [(span * max(entries, _WINDOW), worth) for span, worth in _SPANS]
        self._spans = [_Span(len(candidates), self._window / span, worth) for span, worth in spans]

    @property
    def rate(self) -> float:
        """The share of keys that goes through the tables."""
        return self._limit / SAMPLE_SPACE

    @property
    def best(self) -> Policy:
        """The policy that suits best; the one chosen before, unless another surely wins."""
        return self._candidates[self._best]

    @property
    def nbytes(self) -> int:
        """Bytes of the tables."""
        return sum(table.memory for table in self._tables)

    def prepare(self) -> None:
        """Have the kernels compiled, or loaded, before lookups wait for them."""
        for table in self._tables:
            table.replay(np.empty(0, np.int64))

    def feed(self, words: Int64s) -> None:
        """Take the next lookups, of the keys that are sampled (int64[n])."""
        below = words[sample_bits(mix(words.view(np.uint64), self._seed)) < self._limit]
        start = 0
        while start < len(below):
            stop = min(len(below), start + self._window - self._count)
            self._waiting.append(below[start:stop])
            self._count += stop - start
            start = stop
            if self._count == self._window:
                self._play(np.concatenate(self._waiting))
                self._waiting, self._count = [], 0

    def _play(self, words: Int64s) -> None:
        """Send a window of lookups through all tables, and choose."""
        hit = np.array([table.replay(words) for table in self._tables], np.float32)
        for span in self._spans:
            span.add(hit)
        for span in reversed(self._spans):
            best = span.winner_over(self._best)
            if best != self._best:
                self._best = best
                return


class _Span:
    """What the latest lookups say of each pair of candidates.

    Args:
        candidates: how many.
        part: the share of the span that a window is.
        worth: share of the misses that a winner has to save.
    """

    def __init__(self, candidates: int, part: float, worth: float) -> None:
        self._kept, self._worth = math.exp(-part), worth
        # By winner and loser: followed lookups that one hit and the other missed, old ones less.
        self._won = np.zeros((candidates, candidates))
        self._misses = np.zeros(candidates)

    def add(self, hit: npt.NDArray[np.float32]) -> None:
        """Take a window: 1 where a candidate hit, else 0 (float32[candidates, n])."""
        self._won = self._kept * self._won + hit @ (1 - hit).T
        self._misses = self._kept * self._misses + (1 - hit).sum(axis=1)

    def winner_over(self, live: int) -> int:
        """Return who surely missed less than `live`, or that."""
        challenger = int(np.argmin(self._misses))
        won, lost = self._won[challenger, live], self._won[live, challenger]
        is_sure = won - lost > _SURE * math.sqrt(won + lost)
        is_worth_it = won - lost > self._worth * self._misses[live]
        return challenger if is_sure and is_worth_it else live
