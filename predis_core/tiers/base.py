"""What a tier is: a table under the one that a cache looks into first."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, Protocol, Self

import msgspec
import numpy as np

from predis_core.policies import Policy
from predis_core.table.interface import CacheTable, Removed
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


class TierMove(Protocol):
    """The entries of a tier on their way to its successor; verbs go on meanwhile.

    The cache calls `begin` once, and then takes the steps, one by one. While it is in `begin` or in
    a step, it calls no verb but those that change nothing.

    Attributes:
        successor: what is the tier when all steps are done.
    """

    successor: Any

    def begin(self) -> bool:
        """Have what is stored from now on stored in the successor.

        Returns False if something is pinned; then nothing has changed.
        """
        ...

    def steps(self, now: Callable[[], int]) -> Iterator[None]:
        """Carry everything over, some milliseconds' worth a step; `now` returns nanoseconds.

        It is called anew, and has to go on, if an earlier one was given up halfway.
        """
        ...

    def totals(self) -> tuple[int, int]:
        """Return how many entries came over, and how many left as they or others did not fit."""
        ...


class ResizableTier(Tier, Protocol):
    """A tier that can be resized: both verbs are optional, `resize` and `namespace` need them.

    Until a move's last step the tier answers, and counts, for both, in all verbs: what is not
    there any more is in the successor, and its `newest` is the successor.
    """

    def like(self, layout: Layout) -> Self:
        """Return an empty tier of another size, in other respects the same."""
        ...

    def move_to(self, successor: Self, tell: Callable[[Removed], None] | None) -> TierMove:
        """Return the way of all entries to what `like` returned.

        `tell` gets what leaves for others, or because its time is over.
        """
        ...


class SwitchableTier(Tier, Protocol):
    """A tier whose policy can change: both verbs are optional, `policy="auto"` needs them.

    Its `candidates` are those of the request's `given`. Over any other tier the first one stays.
    """

    def prepare(self, policy: Policy) -> None:
        """Have ready what a candidate needs; other verbs go on meanwhile."""
        ...

    def switch(self, policy: Policy) -> Iterator[None]:
        """Return the steps that give it another policy; between them, other verbs go on."""
        ...


SWITCHING = ("prepare", "switch")
"""The optional verbs by which a tier gets another policy."""

RESIZING = ("like", "move_to")
"""The optional verbs by which a tier is resized."""


class TierRequest(msgspec.Struct, frozen=True):
    """What a tier is to be.

    Attributes:
        cache: name of the cache.
        layout: how many entries fit, and into which sets.
        policy: the eviction policy, the one to begin with.
        seed: int64, fixes where keys go.
        row: dtype of a value, with its shape.
        given: the policy, or the choice among several, for a `SwitchableTier`; None: the policy.
    """

    cache: str
    layout: Layout
    policy: Policy
    seed: int
    row: np.dtype[Any]
    given: Policy | None = None


class NamedTier(NamedTuple):
    """What makes a tier, under the name by which a configuration knows it."""

    name: str
    make: Callable[[TierRequest], Tier]

    def __call__(self, request: TierRequest) -> Tier:
        """Make the tier."""
        return self.make(request)


TierFactory = Callable[[TierRequest], Tier]
"""Makes a tier, when a cache is built."""
