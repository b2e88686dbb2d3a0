"""Mixes: workloads one after the other, or at the same time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from predis_lab.traces import rechunk
from predis_lab.workloads.base import Ids, Workload, generator, need, need_positive

# Parts keep their ids below it, so that part i can have the range from i * RANGE to itself.
RANGE = 1 << 48


def _own_range(part: int, ids: Ids, disjoint: bool) -> Ids:
    return ids + part * RANGE if disjoint else ids


@dataclass(frozen=True, slots=True)
class Phases(Workload):
    """`parts` one after the other, `rounds` times: what suits a cache changes at each border.

    disjoint: give each part a range of ids of its own; else equal ids of two parts are one id
    """

    parts: tuple[Workload, ...]
    rounds: int = 1
    disjoint: bool = False

    def __post_init__(self) -> None:
        need(len(self.parts) > 0, "parts", self.parts, "a mix has at least one part")
        need_positive(rounds=self.rounds)

    def batches(self) -> Iterator[Ids]:
        """Yield the parts' own batches."""
        for _ in range(self.rounds):
            for index, part in enumerate(self.parts):
                for ids in part.batches():
                    yield _own_range(index, ids, self.disjoint)


@dataclass(frozen=True, slots=True)
class Interleaved(Workload):
    """`parts` at the same time: each request is the next one of a part drawn by `weights`.

    A part keeps its own order. When one has ended the others go on until all have.

    weights: how often each part is drawn; None for equally often
    disjoint: give each part a range of ids of its own; else equal ids of two parts are one id
    """

    parts: tuple[Workload, ...]
    weights: tuple[float, ...] | None = None
    disjoint: bool = False
    batch: int = 1000
    seed: int = 0

    def __post_init__(self) -> None:
        need(len(self.parts) > 0, "parts", self.parts, "a mix has at least one part")
        need_positive(batch=self.batch)
        if self.weights is not None:
            need(
                len(self.weights) == len(self.parts) and min(self.weights) > 0,
                "weights",
                self.weights,
                f"one above 0 for each of the {len(self.parts)} parts",
            )

    def batches(self) -> Iterator[Ids]:
        """Yield int64[batch] ids; the last batch may be shorter."""
        yield from rechunk(self._drawn(), self.batch)

    def _drawn(self) -> Iterator[Ids]:
        random = generator(self.seed, 0)
        queues = [_Queue(part.batches()) for part in self.parts]
        weights = np.array(self.weights or [1.0] * len(self.parts))
        while weights.any():
            turns = random.choice(len(queues), self.batch, p=weights / weights.sum())
            ids = np.empty(self.batch, dtype=np.int64)
            filled = np.zeros(self.batch, dtype=np.bool_)
            for index in np.unique(turns):
                at = np.flatnonzero(turns == index)
                taken = queues[index].take(len(at))
                ids[at[: len(taken)]] = _own_range(int(index), taken, self.disjoint)
                filled[at[: len(taken)]] = True
                if len(taken) < len(at):
                    weights[index] = 0.0
            yield ids[filled]


class _Queue:
    """Requests of one part, taken any number at a time."""

    def __init__(self, batches: Iterator[Ids]) -> None:
        self._batches = batches
        self._held = np.empty(0, dtype=np.int64)

    def take(self, count: int) -> Ids:
        """The next `count` ids, fewer only at the end."""
        while len(self._held) < count and (more := next(self._batches, None)) is not None:
            self._held = np.concatenate([self._held, more])
        taken, self._held = self._held[:count], self._held[count:]
        return taken
