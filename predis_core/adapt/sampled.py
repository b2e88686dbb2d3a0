"""The sampled lookups of a cache: who wants them, and where they come from.

The table notes every lookup of the keys whose hash is below a limit, in a ring. There is one limit,
the highest that somebody wants; a lower rate's keys are among a higher one's. Everybody reads the
ring from where they stopped, so plugins and the cache's own consumers need not know each other.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np

from predis_core.adapt.estimate import Truth
from predis_core.policies import Policy
from predis_core.table.interface import Bools, CacheTable, Int64s, Sampled
from predis_core.table.keys import SAMPLE_SPACE, mix, sample_bits, sample_limit

_NEWEST = 1 << 62
"""More than was ever noted."""


class FollowedTable(CacheTable, Protocol):
    """A table that notes the lookups of some keys.

    Attributes:
        given: the policy, or the choice among several.
    """

    given: Policy

    def sample_keys(self, rate: float, capacity: int) -> None:
        """Note the lookups of that share of keys, 0 for none, in a ring of so many at least."""
        ...

    def drain_sampled(self, since: int) -> tuple[Sampled, int, int]:
        """Return lookups since an earlier call, what to pass the next time, and how many are lost.

        Args: since, what the earlier call said; 0 at first.
        """
        ...


class Noted(NamedTuple):
    """Lookups of sampled keys, in their order.

    Attributes:
        words, ticks, hits: int64[m], int64[m] and bool[m], as in `KeySample`.
        rate: the share of keys that are sampled.
        since: where the next ones begin.
        lost: how many were overwritten before they were read.
    """

    words: Int64s
    ticks: Int64s
    hits: Bools
    rate: float
    since: int
    lost: int


class Consumer(Protocol):
    """What learns from sampled lookups."""

    @property
    def rate(self) -> float:
        """The share of keys that it follows; of others that come as well, it takes none."""
        ...

    def feed(self, words: Int64s, hits: Bools, truth: Truth) -> None:
        """Take the next lookups.

        Args:
            words: int64[n] in C order, the sampled keys.
            hits: bool[n], which of them were hits of the live cache.
            truth: what is known of all lookups, also of other keys, of the same stretch.
        """
        ...

    def lower(self, rate: float) -> None:
        """Follow that share of the keys from now on, if it is less than so far."""
        ...

    def aim(self, policy: Policy, capacity: int) -> None:
        """The live cache has that policy, and so many entries, from now on."""
        ...


class SampledLookups:
    """Reads what a table notes of the lookups of some keys.

    A cache's table changes when it is resized, so every call names the present one.

    Args:
        seed: int64, the table's, which decides what keys are sampled.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._limits: dict[str, int] = {}
        self._highest = 0

    def want(self, table: FollowedTable, who: str, rate: float, capacity: int) -> None:
        """Have that share of the keys noted for somebody; 0: none any longer.

        `capacity` is how many lookups may wait to be read; the first who wants any decides.
        """
        self._limits[who] = sample_limit(rate) if rate else 0
        limit = max(self._limits.values())
        self._highest = max(self._highest, limit)
        table.sample_keys(limit / SAMPLE_SPACE, capacity)

    def noted(self, table: FollowedTable) -> int:
        """Return how many lookups were noted so far, the last of which may just be written."""
        _, until, _ = table.drain_sampled(_NEWEST)
        return until

    def read(self, table: FollowedTable, since: int, rate: float, until: int = _NEWEST) -> Noted:
        """Return what was noted since an earlier reading, which named that, of a rate's keys.

        Of what was lost at a higher rate, the share is counted that the lower one has of it.

        Args:
            table: the cache's, at present.
            since: what an earlier reading named, or 0.
            rate: not above what is wanted.
            until: of the lookups that were noted later, none; they stay for the next reading.
        """
        (words, ticks, hits), newest, lost = table.drain_sampled(since)
        # Another table may begin with a lower count.
        since = min(newest, max(since + lost, until))
        count = max(0, len(words) - (newest - since))
        words, ticks, hits = words[:count], ticks[:count], hits[:count]
        limit = sample_limit(rate)
        if limit < self._highest:
            kept = sample_bits(mix(words.view(np.uint64), self._seed)) < limit
            words, ticks, hits = words[kept], ticks[kept], hits[kept]
            lost = round(lost * limit / self._highest)
        return Noted(words, ticks, hits, limit / SAMPLE_SPACE, since, lost)
