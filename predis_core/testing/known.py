"""What the model of a cache knows, and how it changes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import numpy as np

from predis_core.clock import NANOSECONDS, Clock
from predis_core.testing.departures import Departures, Held, fail
from predis_core.types import Removals

NEVER_STORED = "was never stored"
COUNTED = ("hits", "misses", "deletions", "refusals", "loads", "load_failures")
_SHOWN = 10


class Pin:
    """How often the entry in one place is pinned."""

    def __init__(self) -> None:
        self.count = 0


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


class Known:
    """What is known of one cache, which starts empty.

    Args:
        capacity: entries that fit.
        clock: the clock that the cache has, too; a `ManualClock` in tests.
        ttl: the cache's default time to live, in seconds or as a timedelta; None for forever.
        same: decides whether two values are alike.
        ways: the fewest places among which a key has to find one: with so many of them pinned, an
            entry may be refused.
        weigh: gets a key and its value and returns the bytes that they count for; None if they are
            not counted.
        limit: what all entries may count for together.
        fits: gets a key and its value and returns whether an empty cache would hold them; by
            default, if they count for no more than the limit.
    """

    def __init__(
        self,
        capacity: int,
        *,
        clock: Clock,
        ttl: float | timedelta | None = None,
        same: Callable[[Any, Any], bool] = same_value,
        ways: int = 1,
        weigh: Callable[[Any, Any], int] | None = None,
        limit: float = math.inf,
        fits: Callable[[Any, Any], bool] | None = None,
    ) -> None:
        self.capacity, self.ways = capacity, ways
        self._weigh, self._limit, self._fits = weigh, limit, fits
        self._clock = clock
        self._ttl = ttl
        self._same = same
        self._held: dict[Any, Held] = {}
        self._unreclaimed: dict[Any, Any] = {}
        self._pinned: dict[Any, Pin] = {}
        self._taken: set[Pin] = set()
        self._departures: Departures | None = None
        self._reasons: dict[Any, str] = {}
        self._forgotten = 0
        self._counted = dict.fromkeys((*COUNTED, "stores", "evictions"), 0)

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

    @property
    def refusals(self) -> int:
        """How many refusals are known."""
        return self._counted["refusals"]

    def told(self, key: Any) -> list[Any]:
        """Return the values of a key that the listener was told of since the last `expect_told`."""
        return [] if self._departures is None else self._departures.heard(key)

    def note_evictions(self, count: int) -> None:
        """Take note that the cache evicted `count` entries without naming them."""
        self._expire()
        self._forgotten += count
        self._counted["evictions"] += count

    def note_failed_loads(self, count: int) -> None:
        """Take note that the load of `count` ids, already asked for, failed."""
        self._counted["load_failures"] += count

    def may_refuse(self, key: Any, value: Any) -> bool:
        """Return whether the cache may refuse an entry now: it is too large, or others are pinned.

        Values that weigh something may wait for pinned ones to leave; others, for a place.
        """
        if self._weigh is None:
            return len(self._taken) >= self.ways
        return bool(self._taken) or not self.fits(key, value)

    def is_pinned(self, key: Any) -> bool:
        """Return whether an entry is held that must not be evicted."""
        return key in self._pinned

    def fits(self, key: Any, value: Any) -> bool:
        """Return whether an empty cache would hold an entry."""
        if self._weigh is None:
            return True
        if self._fits is None:
            return self._weigh(key, value) <= self._limit
        return self._fits(key, value)

    def listen(self) -> Callable[[Removals], None]:
        """Return a listener, to be added to the cache while it is empty.

        From then on `expect_told` knows whether all that left was told.
        """
        if self._held or self._unreclaimed:
            raise ValueError("listen: begin before the first entry is stored")
        self._departures = Departures(self._clock, self._same)
        return self._departures.hear

    # ------------------------------------------------------------------ inside

    def _expect_count(self, name: str, got: int, expected: int) -> None:
        if got != expected:
            fail(f"stats: {name} is {got}, expected {expected}")

    def _expire(self) -> None:
        now = self._clock.monotonic()
        for key in [key for key, held in self._held.items() if 0 < held.deadline <= now]:
            self._unreclaimed[key] = self._held[key].value
            self._drop(key, "has expired")

    def _store(self, key: Any, held: Held) -> None:
        self._held[key] = held
        self._unreclaimed.pop(key, None)
        self._counted["stores"] += 1
        if self._departures is not None:
            self._departures.note_stored(key, held)

    def _take_refusal(self, key: Any, value: Any) -> None:
        if not self.may_refuse(key, value):
            fail(f"set: {key!r} is refused, but it fits and {len(self._taken)} places are pinned")
        self._unreclaimed.pop(key, None)
        self._counted["refusals"] += 1
        if self._departures is not None:
            self._departures.note_refused()

    def _drop(self, key: Any, reason: str) -> None:
        del self._held[key]
        self._reasons[key] = reason
        self._pinned.pop(key, None)

    def _evict(self, what: str, key: Any) -> None:
        if key in self._pinned:
            fail(f"{what}: {key!r} is missing, but it is pinned")
        self._drop(key, "was evicted")

    def _must_hold(self, what: str, key: Any) -> None:
        if key not in self._held:
            fail(f"{what}: found {key!r}, which {self._reasons.get(key, NEVER_STORED)}")

    def _may_lack(self, what: str, key: Any) -> None:
        if key not in self._held:
            return
        if not self._forgotten:
            fail(f"{what}: {key!r} is missing, but was stored and every eviction is accounted for")
        self._evict(what, key)
        self._forgotten -= 1

    def _compare(self, what: str, key: Any, got: Any, expected: Any) -> None:
        if not self._same(got, expected):
            fail(f"{what}: {key!r} has the value {got!r}, expected {expected!r}")

    def _deadlines(self, ttl: Any, n: int) -> list[int]:
        if ttl is None:
            ttl = self._ttl
        if ttl is None:
            return [0] * n
        lives = [ttl] * n if isinstance(ttl, timedelta) or np.ndim(ttl) == 0 else as_list(ttl)
        now = self._clock.monotonic()
        return [now + life if (life := _nanoseconds(one)) else 0 for one in lives]


def _nanoseconds(ttl: float | timedelta) -> int:
    seconds = float(ttl.total_seconds() if isinstance(ttl, timedelta) else ttl)
    return 0 if math.isinf(seconds) else max(1, round(seconds * NANOSECONDS))


def as_list(batch: Any) -> list[Any]:
    """Return keys or values as a list of plain Python objects."""
    found: list[Any] = batch.tolist() if hasattr(batch, "tolist") else list(batch)
    return found


def check_lengths(what: str, keys: Sequence[Any], **parts: Any) -> None:
    """Check that what came with keys is as many."""
    for name, part in parts.items():
        if len(part) != len(keys):
            fail(f"{what}: {len(keys)} keys, but {len(part)} in {name}")


def some(items: Sequence[Any]) -> str:
    """Return how the first of many are shown."""
    more = f" and {len(items) - _SHOWN} more" if len(items) > _SHOWN else ""
    return f"{list(items[:_SHOWN])!r}{more}"
