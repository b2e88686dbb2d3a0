"""Splices of traces: a stretch of one that goes on as a stretch of another, and controls."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks.drift.streams import (
    FIRST_ONSET,
    LAST_ONSET,
    LENGTH,
    Generator,
    Int64s,
    Stream,
    make,
    reuse_gaps,
)
from benchmarks.eviction.sources import from_folder

PART = "splices"

FEWEST = LENGTH
"""Look-ups that a trace has to have."""

BLOCK = 1_000
"""Look-ups that stay together when a stretch is shuffled."""

KINDS = ("control", "splice")

_MEMORY = 5_000
"""Events after which a key that was not asked for is no longer in the cache."""


def traces(folder: Path) -> dict[str, Int64s]:
    """Return the keys of the traces that are long enough, by name."""
    found = {source.name: source.read() for source in from_folder(folder)}
    return {name: keys for name, keys in found.items() if len(keys) >= FEWEST}


def streams(known: dict[str, Int64s], seed: int, count: int) -> list[Stream]:
    """Return `count` controls, and `count` splices.

    Times, sizes, batches and namespaces are those of streams in which nothing changes: traces do
    not have them.
    """
    random = np.random.default_rng(seed)
    names = list(known)
    found = []
    for kind in KINDS:
        for at in range(count):
            stream = make("stationary", seed + at)
            onset = None
            if kind == "control":
                words = _stretch(known[names[at % len(names)]], LENGTH, random)
            else:
                onset = int(random.integers(FIRST_ONSET, LAST_ONSET + 1))
                # Each trace is as often the first one as the others are.
                step = 1 + at // len(names) % (len(names) - 1)
                first, second = names[at % len(names)], names[(at + step) % len(names)]
                words = np.concatenate(
                    [
                        _stretch(known[first], onset, random),
                        # Keys of two traces have nothing to do with each other.
                        ~_stretch(known[second], LENGTH - onset, random),
                    ]
                )
            hits = reuse_gaps(words) <= _MEMORY
            found.append(stream._replace(kind=kind, words=words, hits=hits, onset=onset))
    return found


def _stretch(keys: Int64s, count: int, random: Generator) -> Int64s:
    """Return so many look-ups in a row, in blocks that were shuffled."""
    begin = int(random.integers(len(keys) - count + 1))
    blocks = [
        keys[at : min(at + BLOCK, begin + count)] for at in range(begin, begin + count, BLOCK)
    ]
    return np.concatenate([blocks[at] for at in random.permutation(len(blocks))])
