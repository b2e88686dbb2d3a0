"""Reuse distances of a stream of lookups, from a sample of its keys: what LRU's curve is made of.

An access hits an LRU cache that is larger than its *reuse distance*: the number of other keys since
the latest access of the same key. Only keys whose hash is below a limit are followed, all accesses
of each, and a distance among these stands for one that is longer by the inverse of the rate.
Where there are more keys than are to be followed, the limit is lowered, so that memory is bounded
(Waldspurger, Park, Garthwaite, Ahmad: Efficient MRC Construction with SHARDS, FAST 2015; there one
key leaves at a time, here a quarter of them).

How many accesses are sampled depends on which of the most used keys are. SHARDS makes up for it
among the shortest distances, `estimate` by what the cache counts of all requests.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from predis_core.adapt.curve import MissRatioCurve
from predis_core.adapt.estimate import NOTHING, Groups, Truth, estimate
from predis_core.adapt.machine import kernels
from predis_core.table.interface import Bools, Int64s
from predis_core.table.keys import SAMPLE_SPACE, mix, sample_bits, sample_limit

Floats = npt.NDArray[np.float64]

KEYS = 1 << 17
"""Keys that are followed at most, by default: up to about 5 MiB, which are taken as they come."""

POINTS = 250
"""Sizes of a curve, about, where nobody names any."""

_FIRST_KEYS = 1 << 10
_SLOTS_PER_KEY = 2
_KEPT = 3 / 4
"""Share of the keys that are still followed where the limit has to be lowered."""


class ReuseDistances:
    """Follows the lookups of a share of the keys.

    Args:
        rate: share of the keys to follow, above 0 and at most 1; 1: exact.
        seed: int64, of the hash that decides which keys are.
        keys: how many are followed at most; beyond, the rate is lowered.
    """

    def __init__(self, rate: float, seed: int, *, keys: int = KEYS) -> None:
        self._limit = sample_limit(rate)
        self._seed = seed
        self._most = keys
        self._machine: Any = kernels()
        self._truth = NOTHING
        self._state = np.zeros(3, np.int64)
        self._by_group = np.zeros((self._machine.GROUPS, self._machine.BINS + 2))
        self._distances: Floats = np.zeros(0)
        self._make(min(_FIRST_KEYS, keys))

    @property
    def rate(self) -> float:
        """The share of keys that is followed now."""
        return self._limit / SAMPLE_SPACE

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        arrays = (self._keys, self._places, self._marks, self._sums, self._distances)
        return sum(array.nbytes for array in (*arrays, self._by_group))

    @property
    def requests(self) -> int:
        """How many lookups there were, of all keys."""
        return round(self._truth.requests)

    @property
    def keys(self) -> int:
        """How many keys were followed so far, at the present rate."""
        return round(float(self._by_group[:, self._machine.COLD].sum()) * self.rate)

    def feed(self, words: Int64s, hits: Bools, truth: Truth) -> None:
        """Take the next lookups; see `sampled.Consumer`."""
        self._truth = self._truth.plus(truth)
        done = self._follow(words, hits, 0)
        while done < len(words):
            self._make_room()
            done = self._follow(words, hits, done)

    def _follow(self, words: Int64s, hits: Bools, start: int) -> int:
        """Take lookups from `start` on, as many as there is room for; return where that ended."""
        reached: int = self._machine.follow(
            words,
            hits,
            start,
            self._seed,
            self._limit,
            SAMPLE_SPACE / self._limit,
            self._bound,
            self._keys,
            self._places,
            self._marks,
            self._sums,
            self._state,
            self._distances,
            self._by_group,
        )
        return reached

    def prepare(self) -> None:
        """Have the kernels compiled, or loaded."""
        self.feed(np.empty(0, np.int64), np.empty(0, np.bool_), NOTHING)
        self._renumber(self._bound)

    def lower(self, rate: float) -> None:
        """Follow that share of the keys from now on, if it is less than so far."""
        limit = sample_limit(rate)
        if limit < self._limit:
            self._lower_limit(limit)
            self._renumber(self._bound)

    def curve(self, sizes: Int64s | None = None) -> MissRatioCurve:
        """Return the curve of LRU.

        Args:
            sizes: int64[m], entries >= 1, ascending; by default about 250, from the least that the
                sample can tell to the most that would make a difference.
        """
        machine, rate = self._machine, self.rate
        cold = self._by_group[:, machine.COLD]
        tail = np.append(np.cumsum(self._distances[::-1])[::-1], 0.0) / rate + cold.sum()
        if sizes is None:
            longest = np.flatnonzero(self._distances)
            sizes = _sizes(rate, int(longest[-1]) + 1 if longest.size else 1)
        distances = np.arange(len(tail)) / rate
        would_miss = np.interp(sizes, distances, tail)
        groups = self._groups(sizes)
        ratios, errors = estimate(would_miss, groups, self._truth, rate)
        # That so many sampled keys lie within a size is uncertain by itself: it shifts the curve.
        blur = np.sqrt((1.0 - rate) / (rate * sizes))
        ends = (np.interp(sizes * (1.0 + side * blur), distances, tail) for side in (-1, 1))
        shift = -np.subtract(*ends) / (2 * self._truth.requests)
        return MissRatioCurve(
            policy="lru",
            sizes=sizes,
            miss_ratios=ratios,
            error=np.hypot(errors, shift),
            requests=self.requests,
            sampled=int(self._state[machine.SAMPLED]),
            rate=rate,
        )

    def _groups(self, sizes: Int64s) -> Groups:
        """Return what each group's keys did, and what they would have missed at those sizes."""
        machine = self._machine
        bins, cold = self._by_group[:, : machine.BINS], self._by_group[:, machine.COLD]
        tails = np.cumsum(bins[:, ::-1], axis=1)[:, ::-1] + cold[:, None]
        edges = _edges(machine.STEPS, machine.OCTAVES)
        would_miss = np.array([np.interp(sizes, edges, tail) for tail in tails])
        return Groups(tails[:, 0], self._by_group[:, machine.MISSED], would_miss)

    # ------------------------------------------------------------------ room

    def _make(self, bound: int) -> None:
        """Have empty arrays for so many keys."""
        slots = 1 << (_SLOTS_PER_KEY * bound - 1).bit_length()
        words = max(1, slots // 64)
        self._bound = bound
        self._keys: Int64s = np.empty(slots, np.int64)
        self._places = np.full(slots, self._machine.EMPTY, np.int32)
        self._marks: Int64s = np.zeros(words, np.int64)
        self._sums = np.zeros(words + 1, np.int32)
        distances = np.zeros(max(bound, len(self._distances)))
        distances[: len(self._distances)] = self._distances
        self._distances = distances

    def _make_room(self) -> None:
        """Have room for another key and another place."""
        bound = self._bound
        if self._state[self._machine.SIZE] == bound:
            if bound < self._most:
                bound = min(2 * bound, self._most)
            else:
                followed = self._keys[self._places != self._machine.EMPTY]
                bits = sample_bits(mix(followed.view(np.uint64), self._seed))
                at = int(_KEPT * len(bits))
                self._lower_limit(max(1, int(np.partition(bits, at)[at])))
        self._renumber(bound)

    def _renumber(self, bound: int) -> None:
        """Take the keys below the limit into new arrays, their places 0, 1, 2 …"""
        old = (self._keys, self._places, self._marks, self._sums)
        self._make(bound)
        new = (self._keys, self._places, self._marks, self._sums)
        size = self._machine.carry_over(self._seed, self._limit, *old, *new)
        self._state[self._machine.SIZE] = self._state[self._machine.NEXT] = size

    def _lower_limit(self, limit: int) -> None:
        """Have what was counted stand for as many accesses at a lower limit."""
        if limit == self._limit:  # fewer keys cannot be told apart: all begin anew
            self._places.fill(self._machine.EMPTY)
        share = limit / self._limit
        self._limit = limit
        nearer = (np.arange(len(self._distances)) * share).astype(np.int64)
        counted = np.bincount(nearer, self._distances * share, len(self._distances))
        self._distances = counted.astype(np.float64)


def _sizes(rate: float, longest: int) -> Int64s:
    """Return sizes, evenly apart on a logarithmic scale, for sampled distances up to `longest`."""
    least, most = max(1, round(1 / rate)), max(1, round(longest / rate))
    spread = np.geomspace(least, max(least, most), POINTS)
    return np.unique(np.rint(spread).astype(np.int64))


def _edges(steps: int, octaves: int) -> Int64s:
    """Return the least distance of each bin; see `kernels.bin_of`."""
    first = np.arange(2 * steps)
    later = np.arange(steps, 2 * steps) << np.arange(1, octaves + 1)[:, None]
    return np.append(first, later.reshape(-1))
