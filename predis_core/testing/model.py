"""What a cache owes its user, as plain Python: a dict that may forget, but only what it owns up to.

The model knows nothing of sets, policies or kernels. It holds what was stored and has not been
deleted, cleared or evicted, and has not expired. A cache may forget entries, so an entry that the
model holds may turn out to be missing; but every entry that leaves to make room is an eviction, and
evictions are either named (`expect_set(evicted=)`) or counted (`expect_stats`, `note_evictions`).
The model lets as many entries be missing as evictions were counted and not yet named, and no more.
What it never accepts: a wrong value; a hit on a key that was never stored, or was deleted, cleared,
evicted or has expired; one key twice; more entries than fit.

It checks any cache: tell it each call and what the cache answered, and it raises AssertionError
with the key, the reason and both values. Keys are compared as a dict compares them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any, NamedTuple, NoReturn

import numpy as np

from predis_core.clock import NANOSECONDS, Clock
from predis_core.types import Stats

_NEVER_STORED = "was never stored"
_SHOWN = 10


class Held(NamedTuple):
    """An entry of the model: its value, and its deadline in nanoseconds (0 for none)."""

    value: Any
    deadline: int


def same_value(a: Any, b: Any) -> bool:
    """Return whether two values are alike: one object, equal, or arrays equal in shape and content.

    Not-a-number equals itself here: what counts is that a cache returns what it was given.
    """
    if a is b:
        return True
    if not isinstance(a, np.ndarray | np.generic) and not isinstance(b, np.ndarray | np.generic):
        return bool(a == b)
    a, b = np.asarray(a), np.asarray(b)
    return a.shape == b.shape and bool(((a == b) | ((a != a) & (b != b))).all())


def same_keys(a: Sequence[Any], b: Sequence[Any]) -> bool:
    """Return whether two sequences of keys are alike, each key as a dict compares it."""
    return len(a) == len(b) and all(x in {y} for x, y in zip(a, b, strict=True))


class CacheModel:
    """The model of one cache, which starts empty.

    Args:
        capacity: entries that fit.
        clock: the clock that the cache has, too; a `ManualClock` in tests.
        ttl: the cache's default time to live, in seconds or as a timedelta; None for forever.
        same: decides whether two values are alike.
    """

    def __init__(
        self,
        capacity: int,
        *,
        clock: Clock,
        ttl: float | timedelta | None = None,
        same: Callable[[Any, Any], bool] = same_value,
    ) -> None:
        self.capacity = capacity
        self._clock = clock
        self._ttl = ttl
        self._same = same
        self._held: dict[Any, Held] = {}
        self._unreclaimed: dict[Any, None] = {}
        self._reasons: dict[Any, str] = {}
        self._forgotten = 0
        self._counted = dict.fromkeys(
            ("hits", "misses", "stores", "deletions", "evictions", "loads", "load_failures"), 0
        )

    # ------------------------------------------------------------------ what the model knows

    def entries(self) -> dict[Any, Any]:
        """Return what the cache may hold now: key -> value."""
        self._expire()
        return {key: held.value for key, held in self._held.items()}

    @property
    def forgotten(self) -> int:
        """How many entries may be missing: evictions that were counted and not named."""
        return self._forgotten

    @property
    def evictions(self) -> int:
        """How many evictions are known, named or not."""
        return self._counted["evictions"]

    def note_evictions(self, count: int) -> None:
        """Take note that the cache evicted `count` entries without naming them."""
        self._expire()
        self._forgotten += count
        self._counted["evictions"] += count

    def note_failed_loads(self, count: int) -> None:
        """Take note that the load of `count` ids, already asked for, failed."""
        self._counted["load_failures"] += count

    # ------------------------------------------------------------------ reading

    def expect_get(self, keys: Any, values: Any, hit: Any, *, blank: Any = ...) -> None:
        """Check `values, hit = cache.get_many(keys)`.

        Args:
            keys: n keys.
            values: n values; those of misses are compared with `blank`, if that is given.
            hit: bool[n].
            blank: what stands in the place of a missed value.
        """
        listed = _listed(keys)
        _lengths("get", listed, values=values, hit=hit)
        self.expect_present(listed, hit, what="get")
        for key, value, found in zip(listed, values, hit, strict=True):
            if found:
                self._compare("get", key, value, self._held[key].value)
            elif blank is not ... and not self._same(value, blank):
                _fail(f"get: the missed key {key!r} came with {value!r} instead of {blank!r}")
        hits = sum(map(bool, hit))
        self._counted["hits"] += hits
        self._counted["misses"] += len(listed) - hits

    def expect_present(self, keys: Any, present: Any, *, what: str = "contains") -> None:
        """Check `present = cache.contains_many(keys)`, or that of `touch_many`."""
        listed = _listed(keys)
        _lengths(what, listed, present=present)
        self._expire()
        for key, found in zip(listed, present, strict=True):
            if found:
                self._must_hold(what, key)
            else:
                self._may_lack(what, key)

    def expect_ttl_left(self, key: Any, left: float | None) -> None:
        """Check `left = cache.ttl_left(key)`; a KeyError is `expect_present([key], [False])`."""
        self._expire()
        self._must_hold("ttl_left", key)
        deadline = self._held[key].deadline
        expected = (deadline - self._clock.monotonic()) / NANOSECONDS if deadline else None
        if left is None or expected is None:
            alike = left is expected
        else:
            alike = math.isclose(left, expected, rel_tol=1e-9, abs_tol=2e-9)
        if not alike:
            _fail(f"ttl_left: {key!r} has {expected} seconds left, the cache says {left}")

    # ------------------------------------------------------------------ writing

    def expect_set(
        self, keys: Any, values: Any, stored: Any, *, ttl: Any = None, evicted: Any = None
    ) -> None:
        """Check and take over `stored = cache.set_many(keys, values, ttl=ttl)`.

        Args:
            keys, values: n each, the values as the cache is to return them; the last of equal keys
                wins.
            stored: bool[n].
            ttl: as it was passed to the cache.
            evicted: (keys, values) of all that the cache says it evicted, in the order in which it
                did; None if it does not say.
        """
        listed = _listed(keys)
        _lengths("set", listed, values=values, stored=stored)
        self._expire()
        before = dict(self._held)
        deadlines = self._deadlines(ttl, len(listed))
        last = {key: position for position, key in enumerate(listed)}
        for position, key in enumerate(listed):
            if bool(stored[position]) != bool(stored[last[key]]):
                _fail(f"set: {key!r}, twice in the batch, is stored here and refused there")
        for key, position in last.items():
            if stored[position]:
                self._held[key] = Held(values[position], deadlines[position])
                self._unreclaimed.pop(key, None)
                self._counted["stores"] += 1
        if evicted is not None:
            self._take_evicted(evicted, before, {key for key, at in last.items() if stored[at]})

    def expect_delete(self, keys: Any, deleted: Any, *, values: Any = None) -> None:
        """Check and take over `deleted = cache.delete_many(keys)`.

        `values` are n values that came with it, as `pop` returns one, or None.
        """
        listed = _listed(keys)
        _lengths("delete", listed, deleted=deleted)
        for position, key in enumerate(listed):
            self.expect_present([key], [deleted[position]], what="delete")
            if deleted[position]:
                if values is not None:
                    self._compare("delete", key, values[position], self._held[key].value)
                self._drop(key, "was deleted")
                self._counted["deletions"] += 1
            self._unreclaimed.pop(key, None)

    def expect_clear(self, held: int) -> None:
        """Take over `cache.clear()`; `held` is `len(cache)` just before it."""
        self.expect_len(held)
        for key in list(self._held):
            self._drop(key, "was cleared")
        self._unreclaimed.clear()
        self._forgotten = 0
        self._counted["deletions"] += held

    # ------------------------------------------------------------------ loading

    def expect_asked(self, keys: Any, ids: Any) -> dict[Any, Any]:
        """Check what a loader was asked for by `get_or_load_many(keys)`.

        Call it from the loader, or with no ids if the loader was not called. What was loaded is
        stored by a later `expect_set(ids, …)`.

        Returns:
            the values of all the keys that are not to be loaded, by key.
        """
        listed, asked = _listed(keys), _listed(ids)
        wanted = set(asked)
        expected = [key for key in dict.fromkeys(listed) if key in wanted]
        if not same_keys(asked, expected):
            _fail(
                f"load: the loader was asked for {_some(asked)} instead of the distinct missing "
                f"ids in order of first appearance, {_some(expected)}"
            )
        present = [key not in wanted for key in listed]
        self.expect_present(listed, present, what="load")
        self._counted["hits"] += sum(present)
        self._counted["misses"] += len(listed) - sum(present)
        self._counted["loads"] += len(asked)
        return {key: self._held[key].value for key in listed if key not in wanted}

    def expect_filled(
        self, keys: Any, values: Any, found: Any, available: Mapping[Any, Any]
    ) -> None:
        """Check `values, found = cache.get_or_load_many(keys, missing="mask")`.

        `available` holds the values of hits (from `expect_asked`) and those that were loaded.
        """
        listed = _listed(keys)
        _lengths("load", listed, values=values, found=found)
        for key, value, there in zip(listed, values, found, strict=True):
            if bool(there) != (key in available):
                _fail(f"load: {key!r} is{'' if there else ' not'} found, but the loader disagrees")
            if there:
                self._compare("load", key, value, available[key])

    # ------------------------------------------------------------------ the whole

    def expect_len(self, size: int) -> None:
        """Check `size = len(cache)`; expired entries count until they are reclaimed."""
        self._expire()
        if size > self.capacity:
            _fail(f"len: {size} entries in a cache of {self.capacity}")
        least = len(self._held) - self._forgotten
        most = len(self._held) + len(self._unreclaimed)
        if not least <= size <= most:
            _fail(f"len: {size}, but from {least} to {most} entries are accounted for")

    def expect_keys(self, keys: Iterable[Any]) -> None:
        """Check that `keys` are all the keys of the cache; from now on nothing else is held."""
        self._expire()
        listed = _listed(keys)
        seen: set[Any] = set()
        for key in listed:
            self._must_hold("iteration", key)
            if key in seen:
                _fail(f"iteration: {key!r} comes twice")
            seen.add(key)
        missing = [key for key in self._held if key not in seen]
        if len(missing) > self._forgotten:
            _fail(
                f"iteration: {_some(missing)} are missing, but only {self._forgotten} evictions "
                "are not accounted for"
            )
        for key in missing:
            self._drop(key, "was evicted")
        self._forgotten = 0

    def expect_items(self, pairs: Iterable[tuple[Any, Any]]) -> None:
        """Check that `pairs` are all the entries of the cache; see `expect_keys`."""
        listed = list(pairs)
        self.expect_keys([key for key, _ in listed])
        for key, value in listed:
            self._compare("iteration", key, value, self._held[key].value)

    def expect_stats(self, stats: Stats) -> None:
        """Check the counters of `cache.stats()`, and take note of evictions that are new in them.

        All calls since the cache was opened must have been told to this model.
        """
        counted = self._counted
        for name in ("hits", "misses", "deletions", "loads", "load_failures"):
            self._expect_count(name, getattr(stats, name), counted[name])
        stores = stats.insertions + stats.updates
        self._expect_count("insertions + updates", stores, counted["stores"])
        self._expect_count("requests", stats.requests, counted["hits"] + counted["misses"])
        self._expect_count("capacity", stats.capacity, self.capacity)
        left = stats.evictions + stats.expirations + stats.deletions
        self._expect_count("insertions less all that left", stats.insertions - left, stats.size)
        if stats.evictions < counted["evictions"]:
            _fail(f"stats: evictions {stats.evictions}, but {counted['evictions']} are known")
        self.note_evictions(stats.evictions - counted["evictions"])
        self.expect_len(stats.size)

    # ------------------------------------------------------------------ inside

    def _expect_count(self, name: str, got: int, expected: int) -> None:
        if got != expected:
            _fail(f"stats: {name} is {got}, expected {expected}")

    def _expire(self) -> None:
        now = self._clock.monotonic()
        for key in [key for key, held in self._held.items() if 0 < held.deadline <= now]:
            self._drop(key, "has expired")
            self._unreclaimed[key] = None

    def _drop(self, key: Any, reason: str) -> None:
        del self._held[key]
        self._reasons[key] = reason

    def _must_hold(self, what: str, key: Any) -> None:
        if key not in self._held:
            _fail(f"{what}: found {key!r}, which {self._reasons.get(key, _NEVER_STORED)}")

    def _may_lack(self, what: str, key: Any) -> None:
        if key not in self._held:
            return
        if not self._forgotten:
            _fail(f"{what}: {key!r} is missing, but was stored and every eviction is accounted for")
        self._forgotten -= 1
        self._drop(key, "was evicted")

    def _compare(self, what: str, key: Any, got: Any, expected: Any) -> None:
        if not self._same(got, expected):
            _fail(f"{what}: {key!r} has the value {got!r}, expected {expected!r}")

    def _take_evicted(self, evicted: Any, before: dict[Any, Held], stored: set[Any]) -> None:
        """Drop what the cache says it evicted, each with the value that it had then.

        `before` are the entries before the write, `stored` the keys that it stored.
        """
        keys, values = _listed(evicted[0]), evicted[1]
        _lengths("evicted", keys, values=values)
        self._counted["evictions"] += len(keys)
        for key, value in zip(keys, values, strict=True):
            old = key in before and self._same(before[key].value, value)
            new = key in stored and key in self._held and self._same(self._held[key].value, value)
            if not old and not new:
                known = before.get(key, self._held.get(key))
                why = self._reasons.get(key, _NEVER_STORED)
                _fail(
                    f"evicted: {key!r} came with the value {value!r}, "
                    + (f"expected {known.value!r}" if known else f"but it {why}")
                )
            if old and new:
                # Before its own turn or after it? Both are possible: it may be missing now.
                self._forgotten += 1
            elif new or key not in stored:
                self._drop(key, "was evicted")
            before.pop(key, None)

    def _deadlines(self, ttl: Any, n: int) -> list[int]:
        if ttl is None:
            ttl = self._ttl
        if ttl is None:
            return [0] * n
        lives = [ttl] * n if isinstance(ttl, timedelta) or np.ndim(ttl) == 0 else _listed(ttl)
        now = self._clock.monotonic()
        return [now + life if (life := _nanoseconds(one)) else 0 for one in lives]


def _nanoseconds(ttl: float | timedelta) -> int:
    seconds = float(ttl.total_seconds() if isinstance(ttl, timedelta) else ttl)
    return 0 if math.isinf(seconds) else max(1, round(seconds * NANOSECONDS))


def _listed(batch: Any) -> list[Any]:
    listed: list[Any] = batch.tolist() if hasattr(batch, "tolist") else list(batch)
    return listed


def _lengths(what: str, keys: Sequence[Any], **parts: Any) -> None:
    for name, part in parts.items():
        if len(part) != len(keys):
            _fail(f"{what}: {len(keys)} keys, but {len(part)} in {name}")


def _some(items: Sequence[Any]) -> str:
    more = f" and {len(items) - _SHOWN} more" if len(items) > _SHOWN else ""
    return f"{list(items[:_SHOWN])!r}{more}"


def _fail(text: str) -> NoReturn:
    raise AssertionError(text)
