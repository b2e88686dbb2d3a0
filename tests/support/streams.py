"""Streams of requests, made from a seed with integers only: the same on every machine."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Int64s = npt.NDArray[np.int64]
_FACTORS = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))


def random_bits(n: int, seed: int) -> npt.NDArray[np.uint64]:
    """Return n words of 63 random bits (splitmix64: Steele, Lea, Flood, OOPSLA 2014)."""
    x = np.arange(1, n + 1, dtype=np.uint64) + np.uint64(seed << 32)
    x = (x ^ (x >> np.uint64(30))) * _FACTORS[0]
    x = (x ^ (x >> np.uint64(27))) * _FACTORS[1]
    return (x ^ (x >> np.uint64(31))) >> np.uint64(1)


def uniform(n: int, distinct: int, seed: int) -> Int64s:
    """Every key as likely as every other."""
    return (random_bits(n, seed) % np.uint64(distinct)).astype(np.int64)


def zipf(n: int, distinct: int, seed: int) -> Int64s:
    """Key k with a probability of 1 / (k + 1)."""
    edges = np.cumsum(2**40 // np.arange(1, distinct + 1, dtype=np.int64))
    return np.searchsorted(edges, uniform(n, int(edges[-1]), seed), side="right").astype(np.int64)


def loop(n: int, distinct: int, seed: int) -> Int64s:
    """All keys in order, again and again."""
    return (np.arange(n, dtype=np.int64) + seed) % distinct


def scans(n: int, distinct: int, seed: int) -> Int64s:
    """A zipf stream over half of the keys, now and then a run through keys never seen again."""
    requests = zipf(n, max(1, distinct // 2), seed)
    fresh = distinct + np.arange(n, dtype=np.int64)
    return np.where(np.arange(n) // max(1, distinct // 2) % 3 == 2, fresh, requests)


def bursts(n: int, distinct: int, seed: int) -> Int64s:
    """A loop in which each key is asked for five times in a row."""
    return np.repeat(loop(-(-n // 5), distinct, seed), 5)[:n]


def phases(n: int, distinct: int, seed: int) -> Int64s:
    """A zipf stream whose popular keys are others after every eighth of it."""
    moved = np.arange(n, dtype=np.int64) * 8 // max(1, n) * (distinct // 3)
    return (zipf(n, distinct, seed) + moved) % distinct


def mix(n: int, distinct: int, seed: int) -> Int64s:
    """A piece each of four of the others."""
    pieces = [kind(n // 4 + 1, distinct, seed) for kind in (zipf, loop, scans, uniform)]
    return np.concatenate(pieces)[:n]


KINDS: dict[str, Callable[[int, int, int], Int64s]] = {
    kind.__name__: kind for kind in (uniform, zipf, loop, scans, bursts, phases, mix)
}
"""The streams by name; each takes the number of requests, of distinct keys, and a seed."""
