"""Requests in order: a scan never returns to a key, a loop returns to each after all others."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from predis_lab.workloads.base import Ids, Workload, generator, need_positive, spans


@dataclass(frozen=True, slots=True)
class Scan(Workload):
    """`requests` different ids in ascending order from `start`: nothing to gain from any cache."""

    requests: int = 100_000
    start: int = 0
    batch: int = 1000
    seed: int = 0

    def __post_init__(self) -> None:
        need_positive(requests=self.requests, batch=self.batch)

    def batches(self) -> Iterator[Ids]:
        """Yield int64[batch] ids; the last batch may be shorter. The seed changes nothing."""
        for low, high in spans(self.requests, self.batch):
            yield np.arange(self.start + low, self.start + high, dtype=np.int64)


@dataclass(frozen=True, slots=True)
class Loop(Workload):
    """The same `keys` ids in the same random order, `rounds` times: LRU's worst case.

    Every reuse has a stack distance of keys - 1, so an LRU of fewer entries never hits.
    """

    keys: int = 10_000
    rounds: int = 10
    batch: int = 1000
    seed: int = 0

    def __post_init__(self) -> None:
        need_positive(keys=self.keys, rounds=self.rounds, batch=self.batch)

    def batches(self) -> Iterator[Ids]:
        """Yield int64[batch] ids; the last batch may be shorter."""
        order = generator(self.seed, 0).permutation(self.keys)
        for low, high in spans(self.keys * self.rounds, self.batch):
            yield order[np.arange(low, high) % self.keys]
