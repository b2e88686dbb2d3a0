"""Streams of sampled look-ups, with a change of the workload or without one, from seeds.

A stream is a workload (who is asked for, when, how large, in which batches) and at most one change
that begins at its onset. Half of the changes happen in workloads that are themselves restless.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

LENGTH = 120_000
"""Events of a stream."""

FIRST_ONSET, LAST_ONSET = 40_000, 100_000

WITHOUT = ("stationary", "diurnal", "daily", "bursty", "heavy-tailed", "churn", "recurring scans")
"""Kinds of streams without a change."""

CHANGES = (
    "popularity, sudden",
    "popularity, gradual",
    "new scan",
    "working set grows",
    "rate",
    "size",
    "periodicity",
    "disjoint keys",
)
"""Kinds of streams with one."""

PATTERNS = ("hot group", "slow growth")
"""Kinds with a change that is an emerging pattern, and that no alarm is asked for."""

Int64s = npt.NDArray[np.int64]
Float64s = npt.NDArray[np.float64]
Generator = np.random.Generator


class Stream(NamedTuple):
    """Look-ups in their order, and the truth about them.

    Attributes:
        kind: one of `WITHOUT`, `CHANGES` or `PATTERNS`.
        words: int64[LENGTH], keys.
        seconds: float64[LENGTH], when; ascending.
        hits: bool[LENGTH], whether a cache that keeps what was asked for lately had it.
        sizes: float64[LENGTH], bytes of the value.
        batches: int64[LENGTH], the number of the batch; ascending.
        spaces: int64[LENGTH], the namespace, from 0.
        onset: the event before which nothing changed; None: nothing changes.
    """

    kind: str
    words: Int64s
    seconds: Float64s
    hits: npt.NDArray[np.bool_]
    sizes: Float64s
    batches: Int64s
    spaces: Int64s
    onset: int | None


@dataclass
class Workload:
    """What a stream is made of.

    Attributes:
        keys, skew: of Zipf's law.
        rate: events per second.
        memory: events after which a key that was not asked for is no longer in the cache.
        size, spread, tail: of values: median, sigma of the lognormal law, shape of Pareto's (or 0).
        batch: mean number of events of a batch.
        day, swing, mix: events of a period; by what share the rate, and the share of each half of
            the keys, swing with it; a day of 0 is none.
        bursts: by what the rate is multiplied in bursts; 1: none.
        flashes: events between moments at which one key is asked for a lot; 0: never.
        heavy: shape of the law of pauses (Pareto); 0: exponential.
        life: events after which a key is replaced by a new one; 0: never.
        scans: events between scans, which recur; 0: none.
    """

    keys: int
    skew: float
    rate: float
    memory: int
    size: float
    spread: float
    tail: float
    batch: float
    day: float = 0
    swing: float = 0
    mix: float = 0
    bursts: float = 1
    flashes: int = 0
    heavy: float = 0
    life: int = 0
    scans: int = 0


def make(kind: str, seed: int) -> Stream:
    """Return the stream of a kind and a seed."""
    random = np.random.default_rng([seed, (*WITHOUT, *CHANGES, *PATTERNS).index(kind)])
    changes = kind not in WITHOUT
    base = kind
    if changes:
        base = str(random.choice(WITHOUT)) if random.random() < 0.5 else "stationary"
    workload = _workload(base, changes, random)
    onset = int(random.integers(FIRST_ONSET, LAST_ONSET + 1)) if changes else None
    words = _words(workload, _ranks(workload, random), random)
    pauses = _pauses(workload, random)
    sizes = _sizes(workload, words)
    if onset is not None:
        words, pauses, sizes = _changed(kind, onset, workload, words, pauses, sizes, random)
    return Stream(
        kind,
        words,
        np.cumsum(pauses),
        reuse_gaps(words) <= workload.memory,
        sizes,
        np.cumsum(random.random(LENGTH) < 1 / workload.batch),
        (_mixed(words, 7) >> np.uint64(59)).astype(np.int64) // 8,
        onset,
    )


# ---- workloads -----------------------------------------------------------------------------------


def _workload(base: str, changes: bool, random: Generator) -> Workload:
    workload = Workload(
        keys=int(_between(2_000, 50_000, random)),
        skew=random.uniform(0.8 if changes else 0.6, 1.2),
        rate=_between(20, 2_000, random),
        memory=int(_between(500, 10_000, random)),
        size=_between(100, 10_000, random),
        spread=random.uniform(0.2, 1.5),
        tail=0,
        batch=_between(1, 30, random),
    )
    if base == "diurnal":
        workload.day = _between(6_000, 25_000, random)
        workload.swing, workload.mix = random.uniform(0.2, 0.7), random.uniform(0, 0.3)
    elif base == "daily":
        workload.day = 5_800_000
        workload.swing, workload.mix = random.uniform(0.2, 0.7), random.uniform(0, 0.3)
    elif base == "bursty":
        workload.bursts = random.uniform(3, 20)
        workload.flashes = int(_between(3_000, 8_000, random))
    elif base == "heavy-tailed":
        workload.heavy, workload.tail = random.uniform(1.1, 1.8), random.uniform(1.1, 1.8)
    elif base == "churn":
        workload.life, workload.skew = (
            int(_between(30_000, 300_000, random)),
            random.uniform(0.6, 0.9),
        )
        if changes:
            workload.skew = random.uniform(0.8, 0.9)
    elif base == "recurring scans":
        workload.scans = int(_between(3_000, 10_000, random))
    return workload


def _between(low: float, high: float, random: Generator) -> float:
    """Return a number whose logarithm is uniform."""
    return float(np.exp(random.uniform(np.log(low), np.log(high))))


def _zipf(keys: int, skew: float, count: int, random: Generator) -> Int64s:
    law = np.cumsum(np.arange(1, keys + 1, dtype=np.float64) ** -skew)
    return np.searchsorted(law, random.random(count) * law[-1])


def _phase(workload: Workload, random: Generator) -> Float64s:
    return np.sin(2 * np.pi * (np.arange(LENGTH) / workload.day + random.random()))


def _ranks(workload: Workload, random: Generator) -> Int64s:
    ranks = _zipf(workload.keys, workload.skew, LENGTH, random)
    if workload.day:
        share = 0.5 * (1 + workload.mix * _phase(workload, random))
        is_late = random.random(LENGTH) < share
        # Even ranks are the keys of the day, odd ones those of the night.
        ranks = np.minimum(ranks // 2 * 2 + is_late, workload.keys - 1)
    return ranks


def _words(workload: Workload, ranks: Int64s, random: Generator) -> Int64s:
    salt = int(random.integers(1 << 62))
    names = ranks.astype(np.int64)
    if workload.life:
        begun = random.random(workload.keys)
        generation = (np.arange(LENGTH) / workload.life + begun[ranks]).astype(np.int64)
        names = names + generation * workload.keys
    words = _mixed(names, salt).view(np.int64)
    if workload.flashes:
        for at in np.flatnonzero(random.random(LENGTH) < 1 / workload.flashes):
            end = min(LENGTH, at + int(_between(200, 1_500, random)))
            share = random.uniform(0.1, 0.5)
            words[at:end][random.random(end - at) < share] = words[at]
    if workload.scans:
        length, share = int(_between(300, 1_500, random)), random.uniform(0.3, 0.9)
        for start in range(int(random.integers(workload.scans)), LENGTH, workload.scans):
            at = start + int(random.normal(0, workload.scans / 20))
            at = min(max(0, at), LENGTH)
            end = min(LENGTH, at + length)
            of_scan = random.random(end - at) < share
            count = int(of_scan.sum())
            words[at:end][of_scan] = _mixed(np.arange(count) + (1 << 40), salt).view(np.int64)
    return words


def _pauses(workload: Workload, random: Generator) -> Float64s:
    if workload.heavy:
        pauses = random.pareto(workload.heavy, LENGTH) * (workload.heavy - 1)
    else:
        pauses = random.exponential(1.0, LENGTH)
    rate = np.full(LENGTH, workload.rate)
    if workload.day:
        rate *= 1 + workload.swing * _phase(workload, random)
    if workload.bursts > 1:
        lengths = random.exponential(random.uniform(100, 800), LENGTH // 50)
        states = np.repeat(np.arange(len(lengths)) % 2, lengths.astype(np.int64) + 1)
        states = np.resize(states, LENGTH)
        rate *= np.where(states == 1, workload.bursts, 1)
    return pauses / rate


def _sizes(workload: Workload, words: Int64s) -> Float64s:
    """Return a size for each event that depends on its key alone."""
    uniform = (_mixed(words, 3) >> np.uint64(11)).astype(np.float64) / float(1 << 53)
    other = (_mixed(words, 5) >> np.uint64(11)).astype(np.float64) / float(1 << 53)
    if workload.tail:
        return workload.size * (1 - uniform) ** (-1 / workload.tail)
    normal = np.sqrt(-2 * np.log(1 - uniform)) * np.cos(2 * np.pi * other)
    return workload.size * np.exp(workload.spread * normal)


def _mixed(numbers: npt.NDArray[np.int64], salt: int) -> npt.NDArray[np.uint64]:
    """Return a well mixed word for each number (the finaliser of SplitMix64)."""
    with np.errstate(over="ignore"):
        x = numbers.view(np.uint64) + np.uint64((salt * 2 + 1) * 0x9E3779B97F4A7C15 % (1 << 64))
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return x ^ (x >> np.uint64(31))


def reuse_gaps(words: Int64s) -> Int64s:
    """Return how many events ago each key was asked for before; more than all if never."""
    order = np.argsort(words, kind="stable")
    gaps = np.full(len(words), len(words) + 1, np.int64)
    same = words[order[1:]] == words[order[:-1]]
    gaps[order[1:][same]] = (order[1:] - order[:-1])[same]
    return gaps


# ---- changes -------------------------------------------------------------------------------------


def _changed(
    kind: str,
    onset: int,
    workload: Workload,
    words: Int64s,
    pauses: Float64s,
    sizes: Float64s,
    random: Generator,
) -> tuple[Int64s, Float64s, Float64s]:
    """Return keys, pauses and sizes that change at the onset."""
    count = LENGTH - onset
    after = slice(onset, LENGTH)
    salt = int(random.integers(1 << 62))
    chance = random.random(count)
    if kind == "rate":
        factor = _between(2.5, 6, random)
        pauses[after] *= factor if random.random() < 0.5 else 1 / factor
        return words, pauses, sizes
    if kind == "size":
        factor = _between(3, 10, random)
        chosen = _mixed(words[after], salt) < np.uint64(int(random.uniform(0.5, 1) * 2**63) * 2)
        sizes[after][chosen] *= factor if random.random() < 0.5 else 1 / factor
        return words, pauses, sizes
    if kind == "popularity, sudden":
        new, part = _permuted(words, after, random), chance < random.uniform(0.6, 1)
    elif kind == "popularity, gradual":
        until = _between(3_000, 10_000, random)
        new = _permuted(words, after, random)
        part = chance < random.uniform(0.6, 1) * np.minimum(1, np.arange(count) / until)
    elif kind == "new scan":
        new, part = _mixed(np.arange(count), salt).view(np.int64), chance < random.uniform(0.2, 0.7)
    elif kind == "working set grows":
        keys = int(workload.keys * _between(3, 8, random))
        new = _mixed(_zipf(keys, 0.5 * workload.skew, count, random), salt).view(np.int64)
        until = _between(1, 5_000, random)
        part = chance < random.uniform(0.3, 0.7) * np.minimum(1, np.arange(count) / until)
    elif kind == "hot group":
        keys = random.permutation(np.unique(words[:onset]))[: int(_between(3, 50, random))]
        new, part = random.choice(keys, count), chance < random.uniform(0.15, 0.5)
    elif kind == "slow growth":
        keys = int(workload.keys * _between(2, 5, random))
        new = _mixed(_zipf(keys, 0.5 * workload.skew, count, random), salt).view(np.int64)
        until = random.uniform(20_000, min(60_000, count))
        part = chance < random.uniform(0.4, 0.8) * np.minimum(1, np.arange(count) / until)
    elif kind == "periodicity":
        part = chance < random.uniform(0.25, 0.7)
        loop = random.permutation(np.unique(words[:onset]))[: int(_between(200, 3_000, random))]
        new = words[after].copy()
        new[part] = np.resize(loop, int(part.sum()))
    else:
        new = _mixed(words[after], salt).view(np.int64)
        part = chance < random.uniform(0.4, 1)
    words = words.copy()
    words[after] = np.where(part, new, words[after])
    return words, pauses, _sizes(workload, words)


def _permuted(words: Int64s, after: slice, random: Generator) -> Int64s:
    """Return the keys after the onset, with their popularity exchanged at random."""
    known, places = np.unique(words, return_inverse=True)
    return random.permutation(known)[places[after]]
