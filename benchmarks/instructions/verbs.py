"""The verbs whose instructions are counted: what each one asks, of which cache.

Every cache has 10,000 slots and a fixed seed, and s3fifo where no policy is named. A call is one
batch of 1,000 keys, or one key where the verb's name says so; keys are drawn with a fixed seed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

import predis_core as predis

CAPACITY = 10_000
BATCH = 1_000
BATCHES = 20
SINGLES = 200
RESIDENT = 4_000
"""Ids 0 … 3,999 are resident when a verb begins: few enough that every set has room for its own."""
HOUR = 3_600

Ids = npt.NDArray[np.int64]
Cache = predis.Cache[Any, Any]


@dataclass(frozen=True)
class Task:
    """Calls on one cache.

    Attributes:
        cache: the cache.
        call: what is called.
        arguments: the argument of each call that is counted.
        before: those of the calls before, which are not; by default the same.
    """

    cache: Cache
    call: Callable[[Any], Any]
    arguments: list[Any]
    before: list[Any] | None = None

    def warm_up(self) -> None:
        """Make the calls that are not counted: they take what is done once only."""
        self._make(self.arguments if self.before is None else self.before)

    def run(self) -> None:
        """Make the calls that are counted."""
        self._make(self.arguments)

    def _make(self, arguments: list[Any]) -> None:
        call = self.call
        for argument in arguments:
            call(argument)


@dataclass(frozen=True)
class Verb:
    """A verb to count: its name, and what makes a task of it."""

    name: str
    prepare: Callable[[], Task]


@dataclass(frozen=True)
class Kind:
    """Caches of one kind, and how ids become their keys.

    Attributes:
        name: what verbs call it.
        store: what makes the store.
        key_kind: as `predis.Cache(keys=)`.
        keys: makes keys of ids.
        policy: the eviction policy.
    """

    name: str
    store: Callable[[], Any]
    key_kind: Any
    keys: Callable[[Ids], Any]
    policy: str = "s3fifo"

    def cache(self) -> Cache:
        """Return a cache with the resident entries."""
        cache: Cache = predis.Cache(
            CAPACITY, policy=self.policy, value=self.store(), keys=self.key_kind, seed=7
        )
        cache.set_many(self.keys(np.arange(RESIDENT)), self.values(RESIDENT))
        return cache

    def values(self, n: int) -> Any:
        """Return n values."""
        store = self.store()
        if isinstance(store, predis.Rows):
            return np.ones((n, *store.shape), store.dtype)
        return [None] * n

    def drawn(self, first: int = 0, end: int = RESIDENT) -> list[Any]:
        """Return batches of distinct keys, of ids from `first` to below `end`."""
        random = np.random.default_rng(7)
        picks = (random.permutation(end - first)[:BATCH] for _ in range(BATCHES))
        return [self.keys(first + pick) for pick in picks]

    def new(self, turn: int) -> list[Any]:
        """Return batches of keys that no other turn has; together they are twice the capacity."""
        first = RESIDENT + turn * BATCHES * BATCH
        ids = first + np.arange(BATCHES * BATCH).reshape(BATCHES, BATCH)
        return [self.keys(batch) for batch in ids]


def texts(ids: Ids) -> list[str]:
    """Return a text per id."""
    return [f"user:{number}" for number in ids.tolist()]


NUMBERS = Kind("int64 rows", partial(predis.Rows, "int64"), "int64", np.asarray)
WINDOWED = replace(NUMBERS, name="int64 rows, wtinylfu", policy="wtinylfu")
VECTORS = Kind("float32[64] rows", partial(predis.Rows, "float32", (64,)), "int64", np.asarray)
OBJECTS = Kind("objects by str", predis.Objects, "str", texts)
ANYTHING = Kind("objects by any key", predis.Objects, "any", texts)


# ------------------------------------------------------------------ batches


def hits(kind: Kind) -> Task:
    cache = kind.cache()
    return Task(cache, cache.get_many, kind.drawn())


def misses(kind: Kind) -> Task:
    cache = kind.cache()
    return Task(cache, cache.get_many, kind.drawn(RESIDENT, 2 * RESIDENT))


def hits_with_ttl(kind: Kind) -> Task:
    cache = kind.cache()
    cache.set_many(kind.keys(np.arange(RESIDENT)), kind.values(RESIDENT), ttl=HOUR)
    return Task(cache, cache.get_many, kind.drawn())


def nothing_to_load(kind: Kind) -> Task:
    def loader(ids: Any) -> NoReturn:
        raise AssertionError(f"everything is resident, and {len(ids)} ids are loaded")

    cache = kind.cache()
    return Task(cache, partial(cache.get_or_load_many, loader=loader), kind.drawn())


def updates(kind: Kind) -> Task:
    cache = kind.cache()
    return Task(cache, partial(cache.set_many, values=kind.values(BATCH)), kind.drawn())


def evicting(kind: Kind) -> Task:
    cache = kind.cache()
    call = partial(cache.set_many, values=kind.values(BATCH))
    return Task(cache, call, kind.new(1), before=kind.new(0))


def delete_and_set(kind: Kind) -> Task:
    cache, values = kind.cache(), kind.values(BATCH)

    def both(keys: Any) -> None:
        cache.delete_many(keys)
        cache.set_many(keys, values)

    return Task(cache, both, kind.drawn())


def contains(kind: Kind) -> Task:
    cache = kind.cache()
    return Task(cache, cache.contains_many, kind.drawn())


def touches(kind: Kind) -> Task:
    cache = kind.cache()
    return Task(cache, cache.touch_many, kind.drawn())


# ------------------------------------------------------------------ one key


def singles(kind: Kind) -> list[Any]:
    """Return some resident keys."""
    keys = kind.keys(np.arange(SINGLES))
    return keys.tolist() if isinstance(keys, np.ndarray) else list(keys)


def get_one(kind: Kind) -> Task:
    cache = kind.cache()
    return Task(cache, lambda key: cache.get(key), singles(kind))


def set_one(kind: Kind) -> Task:
    cache = kind.cache()
    return Task(cache, lambda key: cache.set(key, 1), singles(kind))


def evict_one(kind: Kind) -> Task:
    cache = kind.cache()
    before, arguments = ([key for keys in kind.new(turn) for key in keys] for turn in (0, 1))
    return Task(cache, lambda key: cache.set(key, 1), arguments[:SINGLES], before=before)


def memoized() -> Task:
    cache = ANYTHING.cache()
    function = cache.memoize(lambda first, second=0: first + second)
    return Task(cache, partial(function, second=1), list(range(SINGLES)))


BATCH_TASKS: dict[str, Callable[[Kind], Task]] = {
    "get_many, hits": hits,
    "get_many, misses": misses,
    "get_or_load_many, hits": nothing_to_load,
    "contains_many": contains,
    "touch_many": touches,
    "set_many, updates": updates,
    "set_many, evicting": evicting,
    "delete_many and set_many": delete_and_set,
}

VERBS: tuple[Verb, ...] = (
    *(
        Verb(f"{name}, {kind.name}", partial(task, kind))
        for kind in (NUMBERS, VECTORS, OBJECTS)
        for name, task in BATCH_TASKS.items()
    ),
    Verb("get_many, hits with ttl, int64 rows", partial(hits_with_ttl, NUMBERS)),
    Verb(f"get_many, hits, {WINDOWED.name}", partial(hits, WINDOWED)),
    Verb(f"set_many, evicting, {WINDOWED.name}", partial(evicting, WINDOWED)),
    *(
        Verb(f"{name}, one, {kind.name}", partial(task, kind))
        for kind in (NUMBERS, ANYTHING)
        for name, task in (("get", get_one), ("set", set_one))
    ),
    Verb(f"set, one, evicting, {ANYTHING.name}", partial(evict_one, ANYTHING)),
    Verb("memoize, one hit", memoized),
)
