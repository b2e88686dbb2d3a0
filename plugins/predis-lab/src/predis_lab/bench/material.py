"""What rows are made of: their sizes, keys, queries, and loops over them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np

import predis_core as predis
from predis_core import policies
from predis_lab.bench.measuring import Prepare
from predis_lab.workloads import Ids
from predis_lab.workloads.zipf import ranks, zipf_shares

ABSENT = 0.03
"""The share of queries that miss, in the rows that are about hits."""

BITS = 63
FILLED = 10_000
"""Entries that are stored at a time before anything is measured."""

_PATIENCE = 10.0
"""Seconds after which a cache that does not come to rest is measured as it is."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """How large the rows are.

    Attributes:
        entries, many: of the smaller and the larger caches.
        hot: keys that are asked for again and again.
        batch, large_batch: keys per call, of int64 values and of rows.
        large_batches: calls of a large batch per round.
    """

    entries: int = 100_000
    many: int = 1_000_000
    hot: int = 1_000
    batch: int = 1_000
    large_batch: int = 65_536
    large_batches: int = 16


class Keys:
    """Distinct int64 keys spread over 63 bits, in random order; the same in every run.

    Attributes:
        all: int64[count], those that a cache is filled with.
        stored: those of them that it holds; see `keep`.
        absent: int64[count], others.
    """

    def __init__(self, count: int) -> None:
        self._random = np.random.default_rng(count)
        drawn = np.unique(self._random.integers(0, 1 << BITS, 2 * count + 1_000))
        self._random.shuffle(drawn)
        self.all = self.stored = drawn[:count]
        self.absent = drawn[count : 2 * count]

    def slots(self, count: int, exponent: float = 0.0) -> Ids:
        """Draw places among the stored keys, int64[count]: evenly, or by a Zipf law."""
        if not exponent:
            return self._random.integers(0, len(self.stored), count)
        cumulated = np.cumsum(zipf_shares(len(self.stored), exponent))
        by_popularity = self._random.permutation(len(self.stored))
        drawn: Ids = by_popularity[ranks(self._random, cumulated, count)]
        return drawn

    def with_absent(self, queries: Ids) -> Ids:
        """Return queries a share of which was replaced by keys that were never stored."""
        missing = self._random.random(len(queries)) < ABSENT
        return np.where(missing, self._random.choice(self.absent, len(queries)), queries)

    def keep(self, cache: predis.Cache[int, Any]) -> None:
        """Have only those count as stored that a cache still holds."""
        self.stored = self.all[cache.contains_many(self.all)]


def table(capacity: int, **options: Any) -> predis.Cache[int, Any]:
    """Return a cache of int64 keys and int64 values, unless `options` say otherwise."""
    given: dict[str, Any] = {"value": predis.Rows("int64", ()), "keys": "int64"}
    return predis.Cache(capacity, **{**given, "seed": 0, "device": "cpu", **options})


def fresh_keys(count: int) -> Callable[[], Ids]:
    """Return what draws int64[count] keys that were not drawn before, all but certainly."""
    random = np.random.default_rng(count + 1)
    return lambda: random.integers(0, 1 << BITS, count)


def batches(ids: Ids, size: int) -> list[Ids]:
    """Return ids in parts of `size`, each an array of its own."""
    return [part.copy() for part in np.split(ids, range(size, len(ids), size))]


def fill(cache: predis.Cache[Any, Any], keys: Any, values: Any) -> None:
    """Store values under their keys, in batches, and come to rest."""
    for first in range(0, len(keys), FILLED):
        cache.set_many(keys[first : first + FILLED], values[first : first + FILLED])
    _rest(cache, keys[:FILLED])


def _rest(cache: predis.Cache[Any, Any], keys: Any) -> None:
    """Look up until a cache that chooses its policy has the one for when nothing leaves."""
    default = policies.get(policies.DEFAULT)
    beginning = default.candidates[0].name if isinstance(default, policies.Auto) else None
    patience = perf_counter() + _PATIENCE
    while cache.policy == beginning and perf_counter() < patience:
        cache.get_many(keys)


def over(call: Callable[[Any], object], items: Iterable[Any]) -> Prepare:
    """A timed loop of one call per item; the same items every round."""

    def timed() -> None:
        for item in items:
            call(item)

    return lambda: timed


def through(items: Iterable[Any]) -> Prepare:
    """The same loop without a call."""

    def timed() -> None:
        for _ in items:
            pass

    return lambda: timed


def all_at_once(calls: Sequence[Callable[[], object]]) -> Prepare:
    """A timed run of several calls, one after the other."""

    def timed() -> None:
        for call in calls:
            call()

    return lambda: timed
