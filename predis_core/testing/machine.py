"""A Hypothesis state machine that calls every face of a cache and asks the model about each answer.

Subclass `CacheMachine`, say what cache, which keys and which values, and let a test runner collect
its `TestCase`. Hypothesis then looks for a sequence of calls after which the cache breaks a promise
and shrinks it to the shortest one.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Literal

import numpy as np

from predis_core.cache import Cache
from predis_core.clock import ManualClock
from predis_core.errors import LoaderError, MissingKeys
from predis_core.testing.model import CacheModel, same_keys, same_value

try:
    from hypothesis import strategies as st
    from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        'the state machine needs Hypothesis; install it with: pip install "predis-core[testing]"',
        name=error.name,
    ) from error

Strategy = st.SearchStrategy[Any]

_LIVES = (0.5, 1, 2.0, 5, timedelta(seconds=3))
_STEPS = (0.0, 0.25, 0.5, 1.0, 3.0, 10.0)
_LIVES_CHECKED = 8
_ABSENT = object()


def _entries(machine: CacheMachine) -> Strategy:
    def with_values(keys: list[Any]) -> Strategy:
        n = len(keys)
        return st.tuples(st.just(keys), st.lists(machine.values(), min_size=n, max_size=n))

    return machine.batches().flatmap(with_values)


# Strategies of rules are fixed when the class is made; `st.runner()` is the machine that runs.
_KEY = st.runner().flatmap(lambda machine: machine.keys())
_VALUE = st.runner().flatmap(lambda machine: machine.values())
_BATCH = st.runner().flatmap(lambda machine: machine.batches())
_ENTRIES = st.runner().flatmap(_entries)
_LIFE = st.none() | st.sampled_from([*_LIVES, float("inf")])
# One life for all of a batch, or one per entry: these, again and again.
_LIVES_OF_BATCH = _LIFE | st.lists(
    st.sampled_from([0.5, 1.0, 2.0, 5.0, float("inf")]), min_size=1, max_size=4
)


class CacheMachine(RuleBasedStateMachine):
    """Every face of a cache, in any order, against the model.

    Override `make_cache`, `keys` and `values`; the other hooks have defaults. After each call
    `check_invariants()` must pass, `len` must be right, the counters must add up, and what the
    cache iterates over must be what the model holds, less what was evicted.

    Attributes:
        clock: a `ManualClock`, to be given to the cache; some rules move it.
        cache: the cache under test.
        model: what it owes.
    """

    def __init__(self) -> None:
        super().__init__()
        self.clock = ManualClock(start=1000.0)
        self.cache: Cache[Any, Any]
        self.model: CacheModel

    # ------------------------------------------------------------------ hooks

    def make_cache(self) -> Cache[Any, Any]:
        """Return a new cache with `clock=self.clock` and no default time to live."""
        raise NotImplementedError("override make_cache() to return the cache to test")

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

    # ------------------------------------------------------------------ the life of a cache

    @initialize()
    def begin(self) -> None:
        """Open the cache and its model."""
        self.check(self.make_cache())

    def check(self, cache: Cache[Any, Any], ttl: float | timedelta | None = None) -> None:
        """Take a new cache whose default time to live is `ttl` as the one to check."""
        self.cache = cache
        self.model = CacheModel(cache.capacity, clock=self.clock, ttl=ttl)

    def teardown(self) -> None:
        """Close the cache."""
        if hasattr(self, "cache"):
            self.cache.close()
        super().teardown()

    @invariant()
    def owes_nothing(self) -> None:
        """Check the invariants, the counters, the length, what is there and for how long."""
        self.cache.check_invariants()
        self.model.expect_stats(self.cache.stats())
        self.model.expect_len(len(self.cache))
        pairs = list(self.cache.items())
        self.model.expect_items(pairs)
        for key, _ in pairs[:_LIVES_CHECKED]:
            self.model.expect_ttl_left(key, self.cache.ttl_left(key))

    # ------------------------------------------------------------------ the batch face

    @rule(keys=_BATCH)
    def get_many(self, keys: list[Any]) -> None:
        """Look up a batch."""
        values, hit = self.cache.get_many(self.as_keys(keys))
        self.model.expect_get(keys, values, hit, blank=self.blank())

    @rule(keys=_BATCH)
    def get_many_into(self, keys: list[Any]) -> None:
        """Look up a batch into a caller's array; missed rows stay as they were."""
        out = self.make_out(len(keys))
        if out is None:
            return
        before = out.copy()
        values, hit = self.cache.get_many(self.as_keys(keys), out=out)
        assert values is out, "get_many: returns something else than the given out="
        self.model.expect_get(keys, out, hit)
        for position in np.flatnonzero(~np.asarray(hit)):
            assert same_value(out[position], before[position]), (
                f"get_many: wrote to row {position} of out=, which was a miss"
            )

    @rule(entries=_ENTRIES, life=_LIVES_OF_BATCH, named=st.booleans())
    def set_many(self, entries: tuple[list[Any], list[Any]], life: Any, named: bool) -> None:
        """Store a batch, with or without the names of what leaves."""
        keys, values = entries
        ttl = _spread(life, len(keys))
        batch, rows, gone = self.as_keys(keys), self.as_values(values), None
        if named:
            stored, gone = self.cache.set_many(batch, rows, ttl=ttl, return_evicted=True)
        else:
            stored = self.cache.set_many(batch, rows, ttl=ttl)
        self.model.expect_set(keys, values, stored, ttl=ttl, evicted=gone)
        if named:
            evictions = self.cache.stats().evictions
            assert evictions == self.model.evictions, (
                f"set_many: named {self.model.evictions} evictions so far, counted {evictions}"
            )

    @rule(keys=_BATCH)
    def contains_many(self, keys: list[Any]) -> None:
        """Ask for a batch without using it."""
        self.model.expect_present(keys, self.cache.contains_many(self.as_keys(keys)))

    @rule(keys=_BATCH)
    def touch_many(self, keys: list[Any]) -> None:
        """Use a batch without reading it."""
        touched = self.cache.touch_many(self.as_keys(keys))
        self.model.expect_present(keys, touched, what="touch")

    @rule(keys=_BATCH)
    def delete_many(self, keys: list[Any]) -> None:
        """Remove a batch."""
        self.model.expect_delete(keys, self.cache.delete_many(self.as_keys(keys)))

    @rule(
        entries=_ENTRIES,
        life=_LIVES_OF_BATCH,
        unknown=st.none() | st.lists(_KEY, max_size=3),
        mask=st.booleans(),
        meanwhile=st.sampled_from((None, None, None, "set", "delete", "clear")),
    )
    def get_or_load_many(
        self,
        entries: tuple[list[Any], list[Any]],
        life: Any,
        unknown: list[Any] | None,
        mask: bool,
        meanwhile: str | None,
    ) -> None:
        """Load what a batch misses; `unknown` ids are lacking in the loader's mapping.

        With `unknown` None the loader returns aligned values. `meanwhile`, the loader itself sets,
        deletes or clears the first id that it was asked for, and that wins.
        """
        keys, values = entries
        ttl = _spread(life, len(keys))
        first = {key: at for at, key in reversed(list(enumerate(keys)))}
        lost = dict.fromkeys(unknown or ())
        source = {key: values[at] for key, at in first.items() if key not in lost}
        asked: list[Any] = []
        available: dict[Any, Any] = {}

        def loader(ids: Any) -> Any:
            assert not asked, "load: the loader was called twice by one call"
            asked.extend(_listed(ids))
            available.update(self.model.expect_asked(keys, asked))
            if meanwhile is not None:
                self._meddle(meanwhile, asked[0], values[first[asked[0]]])
            if unknown is None:
                return self.as_values([source[key] for key in asked])
            return {key: source[key] for key in asked if key in source}

        lacking = self._load(keys, loader, ttl, mask, asked, available, source)
        overruled = asked if meanwhile == "clear" else asked[:1] if meanwhile else []
        skipped = dict.fromkeys([*overruled, *lacking])
        kept = [key for key in asked if key not in skipped]
        lives = ttl[[first[key] for key in kept]] if isinstance(ttl, np.ndarray) else ttl
        self.model.expect_set(kept, [source[key] for key in kept], [True] * len(kept), ttl=lives)

    @rule(keys=_BATCH, unfit=st.sampled_from(("raises", "none", "too many", "unasked")))
    def load_in_vain(self, keys: list[Any], unfit: str) -> None:
        """Ask a loader that fails: the error names the ids, and nothing is cached."""
        asked: list[Any] = []

        def loader(ids: Any) -> Any:
            asked.extend(_listed(ids))
            if unfit == "raises":
                raise RuntimeError("in vain")
            if unfit == "none":
                return None
            if unfit == "unasked":
                return {_ABSENT: self.blank()}
            return [self.blank()] * (len(asked) + 1)

        try:
            self.cache.get_or_load_many(self.as_keys(keys), loader)
        except LoaderError as error:
            assert asked, "load: an error although nothing was to be loaded"
            assert same_keys(error.ids, asked), f"load: {error.ids!r} instead of {asked!r} failed"
            self.model.note_failed_loads(len(asked))
        else:
            assert not asked, f"load: an unfit loader ({unfit}) goes unnoticed"
        self.model.expect_asked(keys, asked)

    def _meddle(self, verb: str, key: Any, value: Any) -> None:
        """Write to the cache from inside a loader."""
        if verb == "set":
            self.model.expect_set([key], [value], [self.cache.set(key, value)])
            self.model.expect_stats(self.cache.stats())
        elif verb == "delete":
            self.model.expect_delete([key], self.cache.delete_many(self.as_keys([key])))
        else:
            self.clear()

    def _load(
        self,
        keys: list[Any],
        loader: Any,
        ttl: Any,
        mask: bool,
        asked: list[Any],
        available: dict[Any, Any],
        source: dict[Any, Any],
    ) -> list[Any]:
        """Call `get_or_load_many`, check what it returns; return the ids that nobody knows."""
        missing: Literal["mask", "raise"] = "mask" if mask else "raise"
        unknown: list[Any] | None = None
        try:
            result = self.cache.get_or_load_many(
                self.as_keys(keys), loader, ttl=ttl, missing=missing
            )
        except MissingKeys as error:
            assert not mask, "load: missing='mask' raises"
            unknown = error.ids
        if not asked:
            available.update(self.model.expect_asked(keys, []))
        lacking = [key for key in asked if key not in source]
        available.update({key: source[key] for key in asked if key in source})
        if unknown is not None or (lacking and not mask):
            alike = unknown is not None and same_keys(unknown, lacking)
            assert alike, f"load: MissingKeys of {unknown!r} instead of {lacking!r}"
        else:
            values, found = result if mask else (result, [True] * len(keys))
            self.model.expect_filled(keys, values, found, available)
        return lacking

    # ------------------------------------------------------------------ the dict face

    @rule(key=_KEY)
    def getitem(self, key: Any) -> None:
        """Read by subscript."""
        self._expect_one(key, self._or_absent(lambda: self.cache[key]))

    @rule(key=_KEY)
    def get(self, key: Any) -> None:
        """Read with a default."""
        self._expect_one(key, self.cache.get(key, _ABSENT))

    @rule(key=_KEY)
    def contains(self, key: Any) -> None:
        """Ask for one key."""
        self.model.expect_present([key], [key in self.cache])

    @rule(key=_KEY, value=_VALUE, life=_LIFE)
    def set(self, key: Any, value: Any, life: Any) -> None:
        """Store one entry."""
        stored = self.cache.set(key, value, ttl=life)
        self.model.expect_set([key], [value], [stored], ttl=life)

    @rule(key=_KEY, value=_VALUE)
    def setitem(self, key: Any, value: Any) -> None:
        """Store by subscript."""
        self.cache[key] = value
        self.model.expect_set([key], [value], [True])

    @rule(key=_KEY)
    def delitem(self, key: Any) -> None:
        """Remove by subscript."""
        try:
            del self.cache[key]
        except KeyError:
            self.model.expect_delete([key], [False])
        else:
            self.model.expect_delete([key], [True])

    @rule(key=_KEY, has_default=st.booleans())
    def pop(self, key: Any, has_default: bool) -> None:
        """Remove and return one value."""
        if has_default:
            value = self.cache.pop(key, _ABSENT)
        else:
            value = self._or_absent(lambda: self.cache.pop(key))
        self.model.expect_delete([key], [value is not _ABSENT], values=[value])

    @rule()
    def popitem(self) -> None:
        """Remove and return some entry."""
        pair = self._or_absent(self.cache.popitem)
        if pair is _ABSENT:
            self.model.expect_keys([])
        else:
            self.model.expect_delete([pair[0]], [True], values=[pair[1]])

    @rule(entries=_ENTRIES, pairs=st.booleans())
    def update(self, entries: tuple[list[Any], list[Any]], pairs: bool) -> None:
        """Store a mapping, or pairs."""
        given = list(zip(*entries, strict=True))
        self.cache.update(given if pairs else dict(given))
        self.model.expect_set(*entries, [True] * len(given))

    @rule(key=_KEY, value=_VALUE)
    def setdefault(self, key: Any, value: Any) -> None:
        """Read, or store what is missing."""
        was_there = key in self.cache
        got = self.cache.setdefault(key, value)
        self._expect_one(key, got if was_there else _ABSENT)
        if not was_there:
            assert same_value(got, value), f"setdefault: {got!r} instead of {value!r}"
            self.model.expect_set([key], [value], [True])

    @rule(key=_KEY, value=_VALUE, life=_LIFE)
    def get_or_load(self, key: Any, value: Any, life: Any) -> None:
        """Read one entry, or load it with a loader of one key."""
        asked: list[Any] = []

        def loader(asked_key: Any) -> Any:
            asked.append(asked_key)
            return value

        got = self.cache.get_or_load(key, loader, ttl=life)
        available = self.model.expect_asked([key], asked) | dict.fromkeys(asked, value)
        self.model.expect_filled([key], [got], [True], available)
        self.model.expect_set(asked, [value] * len(asked), [True] * len(asked), ttl=life)

    @rule(key=_KEY)
    def ttl_left(self, key: Any) -> None:
        """Ask how long an entry still lives."""
        left = self._or_absent(lambda: self.cache.ttl_left(key))
        if left is _ABSENT:
            self.model.expect_present([key], [False], what="ttl_left")
        else:
            self.model.expect_ttl_left(key, left)

    @rule()
    def iterate(self) -> None:
        """Iterate over keys and values, each by itself; the invariant does over items."""
        listed = list(self.cache)
        self.model.expect_keys(listed)
        assert same_keys(list(self.cache.keys()), listed), "keys(): differs from iteration"
        self.model.expect_items(zip(listed, self.cache.values(), strict=True))

    @rule()
    def clear(self) -> None:
        """Remove everything."""
        held = len(self.cache)
        self.cache.clear()
        self.model.expect_clear(held)
        self.model.expect_len(len(self.cache))

    @rule(seconds=st.sampled_from(_STEPS))
    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.clock.advance(seconds)

    # ------------------------------------------------------------------ what the rules share

    def _expect_one(self, key: Any, value: Any) -> None:
        """Check one read; `_ABSENT` stands for a miss."""
        self.model.expect_get([key], [value], [value is not _ABSENT])

    def _or_absent(self, call: Any) -> Any:
        try:
            return call()
        except KeyError:
            return _ABSENT


def _spread(life: Any, n: int) -> Any:
    """Return the times to live of n entries, as `ttl=` takes them."""
    if not isinstance(life, list):
        return life
    return np.array([life[position % len(life)] for position in range(n)], np.float64)


def _listed(ids: Sequence[Any] | np.ndarray[Any, Any]) -> list[Any]:
    return ids.tolist() if isinstance(ids, np.ndarray) else list(ids)
