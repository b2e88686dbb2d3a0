"""What a tier is: a table under the one that a cache looks into first."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import msgspec
import numpy as np

from predis_core.policies import Policy
from predis_core.table.interface import CacheTable
from predis_core.table.layout import Layout

MEMORY = "memory"
"""What the tier in host memory is called in a configuration, and in metrics."""


class Tier(CacheTable, Protocol):
    """A table of int64 keys and rows that holds every entry of a cache.

    The table above has copies of some. So what a cache promises, its tier keeps: what is in it, for
    how long, what is pinned, what leaves and why. It is called with one verb at a time, but for
    `unpin`, and for verbs that change nothing. What it raises, the caller of the cache gets: it is
    part of the data path. It must not call the cache.
    """


class TierRequest(msgspec.Struct, frozen=True):
    """What a tier is to be.

    Attributes:
        cache: name of the cache.
        layout: how many entries fit, and into which sets.
        policy: the eviction policy.
        seed: int64, fixes where keys go.
        row: dtype of a value, with its shape.
    """

    cache: str
    layout: Layout
    policy: Policy
    seed: int
    row: np.dtype[Any]


class NamedTier(NamedTuple):
    """What makes a tier, under the name by which a configuration knows it."""

    name: str
    make: Callable[[TierRequest], Tier]

    def __call__(self, request: TierRequest) -> Tier:
        """Make the tier."""
        return self.make(request)


TierFactory = Callable[[TierRequest], Tier]
"""Makes a tier, when a cache is built."""
