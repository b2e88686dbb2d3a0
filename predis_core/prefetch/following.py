"""Prefetching for live caches: one thread for a cache and its namespaces.

The thread takes the batches that wait, asks the engine what to load, and loads it, one call of the
loader at a time, so that the backend has at most one call of prefetching to serve; calls of loaders
that somebody waits for go first. It uses a share of one core at most. While nothing pays, batches
pass by without being copied, but for short stretches, which tell whether something would. Nothing
pays while every prefetcher is quiet, or where next to nothing that is loaded ahead is asked for
among very many look-ups.
"""

from __future__ import annotations

import logging
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

from predis_core.clock import NANOSECONDS, Clock, stopwatch
from predis_core.config import PrefetchConfig
from predis_core.errors import CacheUnusable
from predis_core.prefetch.engine import Engine, Member, Plan
from predis_core.prefetch.ring import Entry, Ring
from predis_core.table.interface import Bools, Inserted, Keys
from predis_core.types import AccessBatch, PrefetchStats

logger = logging.getLogger("predis")

STRETCH = 8_192
"""Accesses that are followed in one go while the engine is quiet."""

REST = 1.0
"""Seconds from the beginning of one such stretch to the next, at least: to take note of one holds
the GIL for some milliseconds in all, and so slows look-ups down."""

LOOK = 0.1
"""Seconds for which the thread sleeps at most; while batches pass by, it looks as often at how many
keys are looked up."""

_TRIAL = 131_072
"""Accesses that are followed at first, whatever comes of it: much is learnt the second time."""

_WORTH = 128
"""At least one access of so many has to be for what was loaded ahead, if there are many."""

_MANY = 32_768
"""Accesses per second, from which on it matters what it costs to follow them."""

_AT_ONCE = 64
"""Batches that are taken before what they suggest is loaded."""

_FIRST_BATCH = 256
"""Keys per call of the loader at first."""

_SLOW = 0.25
"""Seconds of a loader's call beyond which the next one asks for half as much; else for twice."""

_POLITE = 0.01
"""Seconds that a call waits, at most, for loads that somebody waits for."""

_LONGEST_PAUSE = 60.0
"""Seconds without prefetching after failures of the loader, at most; one at first."""


class Guessed(NamedTuple):
    """What came of loading keys that nobody asked for.

    Attributes:
        stored: bool[n], which of them were stored.
        elsewhere: bool[n], which of them somebody else was loading, so that they were left out.
        inserted: what came of each insertion.
        nbytes: what was loaded.
    """

    stored: Bools
    elsewhere: Bools
    inserted: list[Inserted]
    nbytes: int


class Source(Protocol):
    """What prefetching needs of a cache; every method may raise CacheUnusable."""

    def listen(self, wanted: bool) -> None:
        """Put look-ups into the ring from now on, as at first, or not any longer."""
        ...

    def looked_up(self) -> int:
        """Return how many keys were looked up so far."""
        ...

    def resident(self, keys: Keys) -> Bools:
        """Return which keys are in the cache, noting nothing."""
        ...

    def touch_late(self, keys: Keys) -> Any:
        """Note a use of keys."""
        ...

    def load_guesses(self, keys: Keys, polite: float) -> Guessed:
        """Load keys that nobody loads, and store them as guesses.

        Args:
            polite: seconds to wait, at most, until nobody waits for another load.

        Raises:
            Exception: as loading does.
        """
        ...


class Followed:
    """A cache whose look-ups prefetchers follow.

    Args:
        name: the cache's name.
        source: the cache; not kept alive.
        members: its prefetchers.
        config: limits.
        capacity: entries that fit.
        encode: returns the `Keys` of keys as a prefetcher proposes them; keeps no cache alive.
        wake: set when a batch waits.

    Attributes:
        ring: where its batches go.
        failures: guesses that a loader failed to load.
    """

    def __init__(
        self,
        name: str,
        source: Source,
        members: Sequence[Member],
        config: PrefetchConfig,
        capacity: int,
        encode: Callable[[Any], Keys],
        wake: threading.Event,
    ) -> None:
        self.name = name
        self.ring = Ring(config.ring, wake)
        self.failures = 0
        self._source = weakref.ref(source)
        self._wake = wake
        self._most, self._batch = config.batch, min(_FIRST_BATCH, config.batch)
        self._is_new = False
        self._listens = True
        self._opened_at = 0
        self._pays = True
        self._measured = (0, 0, 0)
        self._looked = (0, 0)
        self._paused_until = 0
        self._in_a_row = 0
        self.engine = Engine(
            members,
            config,
            capacity,
            encode,
            lambda keys: self._there().resident(keys),
            lambda keys: self._there().touch_late(keys),
        )

    @property
    def is_gone(self) -> bool:
        """Whether nobody holds the cache any longer."""
        return self._source() is None

    def stats(self) -> list[PrefetchStats]:
        """Return what each prefetcher did so far."""
        return self.engine.stats()

    def turn(self, now: int) -> None:
        """Take what waits, and load what that suggests. Args: now, monotonic nanoseconds."""
        observed = 0
        while observed < _AT_ONCE and (entry := self.ring.take()) is not None:
            observed += 1
            self._observe(entry)
        if observed == _AT_ONCE:
            self._wake.set()  # there may be more
        self._measure(now)
        self._open_or_shut(now)
        if self._listens != self.ring.is_open:
            self._listens = not self._listens
            self._there().listen(self._listens)
        self._is_new = self._is_new or observed > 0
        if not self._is_new or now < self._paused_until:
            return
        self._is_new = False
        plan = self.engine.plan(now, self._batch)
        if plan is not None:
            self._load(plan, now)

    def _observe(self, entry: Entry) -> None:
        keys = entry.words if entry.refs is None else entry.refs
        self.engine.observe(AccessBatch(self.name, keys, entry.words, entry.hits), entry.number)

    def _measure(self, now: int) -> None:
        """Find out whether what was asked for is worth following, once per stretch."""
        accesses, asked_for, since = self._measured
        seen = self.engine.ledger.accesses
        if seen - accesses < STRETCH:
            return
        found = self.engine.asked_for
        is_much = _WORTH * (found - asked_for) >= seen - accesses
        took = now - max(since, self._opened_at)
        self._pays = is_much or seen < _TRIAL or not _are_many(seen - accesses, took)
        self._measured = seen, found, now

    def _open_or_shut(self, now: int) -> None:
        """Follow for a stretch now and then, if nothing pays; all the time, if something does."""
        ring = self.ring
        if self._pays and not self.engine.is_quiet:
            if ring.is_limited:
                ring.open()
        elif not ring.is_limited or (not ring.is_open and self._may_look_again(now)):
            ring.open(STRETCH)
            self._opened_at = now
            self._looked = now, self._there().looked_up()

    def _may_look_again(self, now: int) -> bool:
        """Return whether batches passed by for long enough, or come slowly by now."""
        if now - self._opened_at >= REST * NANOSECONDS:
            return True
        before, had_been = self._looked
        if now - before < LOOK * NANOSECONDS:
            return False
        looked_up = self._there().looked_up()
        self._looked = now, looked_up
        return looked_up > had_been and not _are_many(looked_up - had_been, now - before)

    def give_up(self) -> None:
        """Follow no longer."""
        self.ring.shut()
        if (source := self._source()) is not None:
            source.listen(False)

    def _load(self, plan: Plan, now: int) -> None:
        begin = stopwatch()
        try:
            guessed = self._there().load_guesses(plan.keys, _POLITE)
        except CacheUnusable:
            raise
        except Exception as error:
            self._failed(plan, now, error)
            return
        now_there = self.ring.tick()
        self._in_a_row = 0
        took = (stopwatch() - begin) / NANOSECONDS
        self._batch = max(1, self._batch // 2) if took > _SLOW else min(self._most, 2 * self._batch)
        for each in guessed.inserted:
            if each.removed is not None:
                self.engine.left(each.removed.keys.words, plan.owners[each.removed.at])
        self.engine.stored(plan, guessed.stored, now_there, guessed.nbytes, guessed.elsewhere)

    def _failed(self, plan: Plan, now: int, error: Exception) -> None:
        self.engine.failed(plan)
        self.failures += len(plan.owners)
        pause = min(2.0**self._in_a_row, _LONGEST_PAUSE)
        self._in_a_row += 1
        self._paused_until = now + round(pause * NANOSECONDS)
        if self._in_a_row == 1:
            logger.warning("cache %r: prefetching pauses, as loading failed: %s", self.name, error)

    def _there(self) -> Source:
        source = self._source()
        if source is None:
            raise CacheUnusable(f"cache {self.name!r} is gone")
        return source


def _are_many(accesses: int, nanoseconds: int) -> bool:
    """Return whether that many accesses in such a time cost something to follow."""
    return accesses * NANOSECONDS > _MANY * nanoseconds


class Following:
    """The thread.

    Args:
        name: of the cache.
        config: limits.
        clock: where the time comes from.
    """

    def __init__(self, name: str, config: PrefetchConfig, clock: Clock) -> None:
        self._config, self._clock = config, clock
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._followed: dict[str, Followed] = {}
        self._thread = threading.Thread(
            target=self._run, name=f"predis-prefetch-{name}", daemon=True
        )
        self._thread.start()

    def follow(
        self,
        name: str,
        source: Source,
        members: Sequence[Member],
        capacity: int,
        encode: Callable[[Any], Keys],
    ) -> Followed:
        """Follow a cache from now on, or one that takes the place of another of its name."""
        followed = Followed(name, source, members, self._config, capacity, encode, self._wake)
        self._followed[name] = followed
        return followed

    def close(self, patience: float) -> bool:
        """End; wait so many seconds for a load that is under way. Return whether it has ended."""
        self._stopping.set()
        self._wake.set()
        if threading.current_thread() is not self._thread:
            self._thread.join(patience)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._wake.wait(LOOK)
            self._wake.clear()
            begin = time.thread_time_ns()
            for followed in list(self._followed.values()):
                if self._stopping.is_set():
                    return
                self._turn(followed)
            busy = (time.thread_time_ns() - begin) / NANOSECONDS
            self._stopping.wait(min(LOOK, busy * (1 / self._config.cpu - 1)))

    def _turn(self, followed: Followed) -> None:
        try:
            followed.turn(self._clock.monotonic())
        except CacheUnusable:
            self._forget(followed)
        except Exception:
            # A fault of ours: the cache goes on without.
            self._forget(followed)
            followed.give_up()
            logger.exception("cache %r: prefetching ends", followed.name)

    def _forget(self, followed: Followed) -> None:
        # Another of its name may have taken its place meanwhile.
        if self._followed.get(followed.name) is followed:
            del self._followed[followed.name]
