"""What the rules of the state machine share: the hooks, the strategies, and a few helpers."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import numpy as np

from predis_core.cache import Cache
from predis_core.clock import ManualClock
from predis_core.snapshot import Codec
from predis_core.table.layout import Layout
from predis_core.testing.known import same_value
from predis_core.testing.model import CacheModel
from predis_core.testing.searching import RuleBasedStateMachine, st

Strategy = st.SearchStrategy[Any]

ABSENT = object()
STEPS = (0.0, 0.25, 0.5, 1.0, 3.0, 10.0)
_LIVES = (0.5, 1, 2.0, 5, timedelta(seconds=3))


def _entries(machine: Rules) -> Strategy:
    def with_values(keys: list[Any]) -> Strategy:
        n = len(keys)
        return st.tuples(st.just(keys), st.lists(machine.values(), min_size=n, max_size=n))

    return machine.batches().flatmap(with_values)


# Strategies of rules are fixed when the class is made; `st.runner()` is the machine that runs.
KEY = st.runner().flatmap(lambda machine: machine.keys())
VALUE = st.runner().flatmap(lambda machine: machine.values())
BATCH = st.runner().flatmap(lambda machine: machine.batches())
ENTRIES = st.runner().flatmap(_entries)
LIFE = st.none() | st.sampled_from([*_LIVES, float("inf")])
# One life for all of a batch, or one per entry: these, again and again.
LIVES_OF_BATCH = LIFE | st.lists(
    st.sampled_from([0.5, 1.0, 2.0, 5.0, float("inf")]), min_size=1, max_size=4
)


class Rules(RuleBasedStateMachine):
    """A machine without rules yet.

    Attributes:
        clock: a `ManualClock`, to be given to the cache; some rules move it.
        cache: the cache under test.
        model: what it owes.
        takes_snapshots: whether its keys and values can be written to a snapshot.
        can_resize: whether it can be resized, and has namespaces.
    """

    takes_snapshots = False
    can_resize = True

    def __init__(self) -> None:
        super().__init__()
        self.clock = ManualClock(start=1000.0)
        self.cache: Cache[Any, Any]
        self.model: CacheModel

    # ------------------------------------------------------------------ hooks

    def make_cache(self) -> Cache[Any, Any]:
        """Return a new cache with `clock=self.clock` and no default time to live."""
        raise NotImplementedError("override make_cache() to return the cache to test")

    def make_another(self, capacity: int) -> Cache[Any, Any] | None:
        """Return a cache that differs from the first in its capacity only; None: do without."""
        return None

    def make_model(self, cache: Cache[Any, Any], ttl: float | timedelta | None) -> CacheModel:
        """Return the model of a new cache whose default time to live is `ttl`."""
        return CacheModel(cache.capacity, clock=self.clock, ttl=ttl, ways=ways_of(cache.capacity))

    def keys(self) -> Strategy:
        """Return a strategy of single keys: few different ones, twice the capacity at most."""
        raise NotImplementedError("override keys() to return a strategy of keys")

    def values(self) -> Strategy:
        """Return a strategy of single values, as the cache gives them back."""
        raise NotImplementedError("override values() to return a strategy of values")

    def batches(self) -> Strategy:
        """Return a strategy of lists of keys."""
        return st.lists(self.keys(), max_size=12)

    def as_keys(self, keys: list[Any]) -> Any:
        """Return a batch of keys in the form in which the cache is to get it."""
        return keys

    def as_values(self, values: list[Any]) -> Any:
        """Return a batch of values in the form in which the cache is to get it."""
        return values

    def blank(self) -> Any:
        """Return what stands in the place of a missed value."""
        return None

    def make_out(self, n: int) -> Any:
        """Return an `out=` for n values, or None if this cache knows none."""
        return None

    def codec(self) -> Codec | None:
        """Return what snapshots need for keys and values of types that they do not know."""
        return None

    # ------------------------------------------------------------------ what the rules share

    def expect_one(self, key: Any, value: Any) -> None:
        """Check one read; `ABSENT` stands for a miss."""
        self.model.expect_get([key], [value], [value is not ABSENT])

    def expect_batch_stored(
        self, keys: list[Any], values: list[Any], refusals: int, *, ttl: Any = None
    ) -> None:
        """Take over a batch of distinct keys of which nobody said which ones were stored.

        Args:
            keys, values: the batch.
            refusals: how many the cache counts as refused by it.
            ttl: as it was passed.
        """
        stored = [True] * len(keys)
        if refusals:
            there = self.cache.contains_many(self.as_keys(keys))
            gone = [at for at in np.flatnonzero(~there) if not self._was_told(keys[at], values[at])]
            assert refusals <= len(gone), f"{refusals} were refused, but {len(gone)} are missing"
            # What is too large, or was pinned and is gone, was refused; others may have left since.
            gone.sort(
                key=lambda at: (
                    self.model.fits(keys[at], values[at]) and not self.model.is_pinned(keys[at])
                )
            )
            for at in gone[:refusals]:
                stored[at] = False
        self.model.expect_set(keys, values, stored, ttl=ttl)

    def _was_told(self, key: Any, value: Any) -> bool:
        """Return whether a listener was told by now that this entry left."""
        return any(same_value(value, one) for one in self.model.told(key))


def ways_of(capacity: int) -> int:
    """Return the fewest places among which a key has to find one, in a cache of a capacity."""
    (region,) = Layout.build(capacity).regions
    return region.ways(region.sets - 1)


def or_absent(call: Callable[[], Any]) -> Any:
    """Return what a call does, or `ABSENT` if it raises KeyError."""
    try:
        return call()
    except KeyError:
        return ABSENT


def spread(life: Any, n: int) -> Any:
    """Return the times to live of n entries, as `ttl=` takes them."""
    if not isinstance(life, list):
        return life
    return np.array([life[position % len(life)] for position in range(n)], np.float64)
