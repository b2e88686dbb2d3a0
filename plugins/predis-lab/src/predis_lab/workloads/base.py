"""What all workloads share: a frozen configuration that yields batches of ids."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt

Ids = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


class Workload(ABC):
    """A reproducible stream of requests. Equal configurations yield equal streams.

    Subclasses are frozen dataclasses; all of them have a `seed`, and every pass starts anew.
    """

    @abstractmethod
    def batches(self) -> Iterator[Ids]:
        """Yield the requested ids in order, int64[n] per batch."""

    def ids(self) -> Ids:
        """All ids at once, int64[requests]: for workloads that fit into memory."""
        return np.concatenate([*self.batches(), np.empty(0, dtype=np.int64)])


def need(condition: bool, field: str, value: object, rule: str) -> None:
    """Raise ValueError that names a configuration's field unless its condition holds."""
    if not condition:
        raise ValueError(f"{field} is {value!r}: {rule}")


def need_positive(**fields: float) -> None:
    """Raise ValueError for the first field that is not above zero."""
    for field, value in fields.items():
        need(value > 0, field, value, "it must be above 0")


def generator(seed: int, *stream: int) -> np.random.Generator:
    """A generator for one numbered part of a workload, independent of its other parts."""
    return np.random.default_rng((seed, *stream))


def spans(total: int, size: int) -> Iterable[tuple[int, int]]:
    """[low, high) of the consecutive batches of `size` that make up `total`."""
    return ((low, min(low + size, total)) for low in range(0, total, size))


def lognormal_bytes(random: np.random.Generator, count: int, median: float, sigma: float) -> Ids:
    """Sizes in whole bytes, int64[count], at least 1; file and asset sizes are near lognormal."""
    return np.maximum(1, random.lognormal(np.log(median), sigma, count)).astype(np.int64)
