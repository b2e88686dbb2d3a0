"""Training a model: epochs over a shuffled data set, read by several workers of several jobs.

Each epoch reads every sample once, in a new random order, so that nothing but the last epoch
predicts the next. Jobs that share a machine and a data set (a search for hyperparameters) read the
same samples: Mohan et al., "Analyzing and Mitigating Data Stalls in DNN Training", VLDB 2021.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from predis_lab.workloads.base import (
    Ids,
    Workload,
    generator,
    lognormal_bytes,
    need_positive,
    spans,
)


class Step(NamedTuple):
    """One mini-batch: `ids` is int64[n], and who asks for it when."""

    epoch: int
    job: int
    worker: int
    ids: Ids


@dataclass(frozen=True, slots=True)
class Training(Workload):
    """`jobs` train on the same `samples` for `epochs`, each loading mini-batches by `workers`.

    A job deals its mini-batches to its workers in turn, and jobs advance side by side.

    same_order: all jobs shuffle alike (they fix the seed of their data, and differ elsewhere)
    median_bytes, sigma: of the lognormal sizes of samples
    """

    samples: int = 50_000
    epochs: int = 3
    jobs: int = 1
    workers: int = 4
    batch: int = 256
    same_order: bool = True
    median_bytes: int = 110_000
    sigma: float = 0.6
    seed: int = 0

    def __post_init__(self) -> None:
        need_positive(
            samples=self.samples,
            epochs=self.epochs,
            jobs=self.jobs,
            workers=self.workers,
            batch=self.batch,
            median_bytes=self.median_bytes,
            sigma=self.sigma,
        )

    def order(self, epoch: int, job: int = 0) -> Ids:
        """The order in which a job reads the samples in an epoch, int64[samples]."""
        stream = 0 if self.same_order else job
        return generator(self.seed, 1, epoch, stream).permutation(self.samples)

    def steps(self) -> Iterator[Step]:
        """Yield the mini-batches in the order in which they are asked for."""
        for epoch in range(self.epochs):
            orders = [self.order(epoch, job) for job in range(self.jobs)]
            for number, (low, high) in enumerate(spans(self.samples, self.batch)):
                for job, order in enumerate(orders):
                    yield Step(epoch, job, number % self.workers, order[low:high])

    def batches(self) -> Iterator[Ids]:
        """Yield the mini-batches' ids, int64[batch]; the last of an epoch may be shorter."""
        return (step.ids for step in self.steps())

    def sizes(self) -> Ids:
        """Bytes of each sample, int64[samples], by id."""
        return lognormal_bytes(generator(self.seed, 0), self.samples, self.median_bytes, self.sigma)
