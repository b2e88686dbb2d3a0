"""Caches that a configuration opened with plugins.

A cache without plugins is a plain `Cache`. One whose plugins neither watch batches nor export
anything differs from it in `close()` only. Only the others pay for being measured, and only those
of whose batches samplers want some pay for the draw.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable
from importlib.metadata import version
from typing import Any, Self

import numpy as np

from predis_core import host, telemetry
from predis_core.adapt.sampled import Noted
from predis_core.cache import Cache
from predis_core.clock import is_stopwatch, stopwatch
from predis_core.errors import CacheUnusable
from predis_core.host import Session
from predis_core.host.sampling import EVENTS
from predis_core.mapping import K, V
from predis_core.snapshot import Subject
from predis_core.table.interface import Bools, Deleted, Keys
from predis_core.telemetry import Latencies
from predis_core.types import BatchStats, Sample

_VERSION = version("predis-core")


class HostedCache(Cache[K, V]):
    """A cache of which plugins know.

    Args:
        session: what the host knows of the cache.
        arguments: as for `Cache`.
    """

    def __init__(self, session: Session, **arguments: Any) -> None:
        self._session = session
        super().__init__(**arguments)

    def close(self) -> None:
        """Let plugins take leave, then give up every entry. Twice is harmless.

        Raises:
            Exception: with `strict`, what a plugin raised; the cache is closed all the same.
        """
        try:
            if self._unusable is None and self._root is None:
                host.close(self._session, "closed")
        finally:
            super().close()

    @property
    def chooses(self) -> bool:
        """Whether it chooses its policy itself, at present."""
        return self._choosing is not None

    def choose_anew(self) -> None:
        """Have it forget what it learned about policies, if it chooses."""
        if self._choosing is not None:
            self._choosing.forget()

    def decoder(self) -> Callable[[Keys], Any]:
        """Return what turns a table's keys into a user's, and does not keep the cache alive."""
        return self._codec.decode

    def sample_keys(self, rate: float, capacity: int) -> None:
        """Note lookups of that share of keys, so many at a time; with rate 0, none any longer."""
        self._check()
        self._sampled.want(self._followable(), "plugins", rate, capacity)

    def sampled_keys(self, since: int, rate: float) -> Noted:
        """Return what was noted, of keys that a lower rate has too; CacheUnusable once closed."""
        self._check()
        return self._sampled.read(self._followable(), since, rate)

    def _subject(self) -> Subject:
        # What plugins keep is about the cache as a whole.
        keeper = self._session.sections if self._root is None else None
        return super()._subject()._replace(keeper=keeper)

    def _room(self) -> int:
        return EVENTS if self._session.samples_keys else 0

    def _beside(self, **arguments: Any) -> Self:
        return super()._beside(session=self._session, **arguments)

    def samples(self) -> list[Sample]:
        """Return what the cache itself and its namespaces measure."""
        found = list(telemetry.samples_of(self.name, self.stats()))
        found += telemetry.samples_of_tiers(self.name, self.tiers())
        found.append(Sample(telemetry.MEMORY, (self.name,), self.nbytes))
        built = (self._table.policy.name, self._codec.kind, str(self._store))
        labels = (self.name, *built, _VERSION)
        found.append(Sample(telemetry.INFO, labels, 1))
        for each in self.namespaces().values():
            with contextlib.suppress(CacheUnusable):  # dropped meanwhile
                found += each.samples()
        return found


class SampledCache(HostedCache[K, V]):
    """A cache of whose batches some are drawn for samplers."""

    def __init__(self, session: Session, **arguments: Any) -> None:
        super().__init__(session, **arguments)
        self._draw = session.draw
        self._numbers = session.draw.numbers
        self._epoch = self._clock.wall() - self._clock.monotonic()

    def _drawn(
        self, number: int, operation: str, keys: Any
    ) -> tuple[Keys, Callable[[Bools], Bools]]:
        """Return the keys of a batch that is due, and what takes its found mask."""
        batch = self._encode(keys)
        time = self._epoch + self._clock.monotonic()
        return batch, self._draw.note(number, operation, time, batch)

    def get_many(self, keys: Any, *, out: Any = None) -> tuple[Any, Bools]:
        number = next(self._numbers)
        if number >= self._draw.due:
            batch, take = self._drawn(number, "get", keys)
            values, hit = Cache.get_many(self, batch, out=out)
            return values, take(hit)
        # `Cache.get_many` and `_encode` without the calls, which pays for the count.
        if self._unusable is not None:
            self._check()
        batch = keys if type(keys) is Keys else self._codec.encode(keys)
        target = self._store.target(len(batch.words), out)
        hit = self._fetch(batch, self._clock.monotonic(), target.buffer, zero=target.zero)
        return (self._store.present(target.array) if out is None else out), hit

    def set_many(self, keys: Any, values: Any, **options: Any) -> Any:
        number = next(self._numbers)
        if number < self._draw.due:
            return Cache.set_many(self, keys, values, **options)
        batch, take = self._drawn(number, "set", keys)
        result = Cache.set_many(self, batch, values, **options)
        take(_stored(result))
        return result

    def contains_many(self, keys: Any) -> Bools:
        number = next(self._numbers)
        if number < self._draw.due:
            return Cache.contains_many(self, keys)
        batch, take = self._drawn(number, "contains", keys)
        return take(Cache.contains_many(self, batch))

    def touch_many(self, keys: Any) -> Bools:
        number = next(self._numbers)
        if number < self._draw.due:
            return Cache.touch_many(self, keys)
        batch, take = self._drawn(number, "touch", keys)
        return take(Cache.touch_many(self, batch))

    def _deleted(self, batch: Any, want_removed: bool = False) -> Deleted:
        number = next(self._numbers)
        if number < self._draw.due:
            return Cache._deleted(self, batch, want_removed)
        _, take = self._drawn(number, "delete", batch)
        gone = Cache._deleted(self, batch, want_removed)
        return gone._replace(deleted=take(gone.deleted))

    def _filled(self, batch: Any, loader: Any, lifetimes: Any) -> tuple[Any, Bools, Bools]:
        number = next(self._numbers)
        if number < self._draw.due:
            return Cache._filled(self, batch, loader, lifetimes)
        _, take = self._drawn(number, "load", batch)
        values, hit, found = Cache._filled(self, batch, loader, lifetimes)
        return values, take(hit), found

    async def _afilled(self, batch: Any, loader: Any, lifetimes: Any) -> tuple[Any, Bools, Bools]:
        number = next(self._numbers)
        if number < self._draw.due:
            return await Cache._afilled(self, batch, loader, lifetimes)
        _, take = self._drawn(number, "load", batch)
        values, hit, found = await Cache._afilled(self, batch, loader, lifetimes)
        return values, take(hit), found


class MeasuredCache(HostedCache[K, V]):
    """A cache whose batches are timed, and of whose batches observers are told."""

    _timed: type[Cache[Any, Any]] = Cache
    """Whose verbs they are."""

    def __init__(self, session: Session, **arguments: Any) -> None:
        super().__init__(session, **arguments)
        if session.load_observers:
            self._loads.told = functools.partial(session.loaded, self.name)
        self._latencies = {operation: Latencies() for operation in telemetry.OPERATIONS}
        self._gets = self._latencies["get"]
        self._observers = session.observers
        self._is_stopwatch = is_stopwatch(self._clock)

    def _took(self, operation: str, found: Bools, nanoseconds: int) -> None:
        self._latencies[operation].add(nanoseconds)
        if self._observers[operation]:
            self._tell(operation, found, nanoseconds)

    def _tell(self, operation: str, found: Bools, nanoseconds: int) -> None:
        hits = int(np.count_nonzero(found))
        stats = BatchStats(self.name, operation, len(found), hits, nanoseconds)
        for observer in self._observers[operation]:
            observer(stats)

    def get_many(self, keys: Any, *, out: Any = None) -> tuple[Any, Bools]:
        begin = stopwatch()
        # `Cache.get_many`, `_encode` and `_took` without the calls, which pays for half of the
        # measuring: of all verbs, this one is called the most.
        if self._unusable is not None:
            self._check()
        batch = keys if type(keys) is Keys else self._codec.encode(keys)
        target = self._store.target(len(batch.words), out)
        now = begin if self._is_stopwatch else self._clock.monotonic()
        hit = self._fetch(batch, now, target.buffer, zero=target.zero)
        values = self._store.present(target.array) if out is None else out
        nanoseconds = stopwatch() - begin
        gets, bits = self._gets, (nanoseconds - 1).bit_length()
        gets.counts[bits] += 1
        gets.total += nanoseconds
        if self._observers["get"]:
            self._tell("get", hit, nanoseconds)
        return values, hit

    def set_many(self, keys: Any, values: Any, **options: Any) -> Any:
        begin = stopwatch()
        result = self._timed.set_many(self, keys, values, **options)
        self._took("set", _stored(result), stopwatch() - begin)
        return result

    def contains_many(self, keys: Any) -> Bools:
        begin = stopwatch()
        present = self._timed.contains_many(self, keys)
        self._took("contains", present, stopwatch() - begin)
        return present

    def touch_many(self, keys: Any) -> Bools:
        begin = stopwatch()
        present = self._timed.touch_many(self, keys)
        self._took("touch", present, stopwatch() - begin)
        return present

    def _deleted(self, batch: Any, want_removed: bool = False) -> Deleted:
        begin = stopwatch()
        gone = self._timed._deleted(self, batch, want_removed)
        self._took("delete", gone.deleted, stopwatch() - begin)
        return gone

    def _filled(self, batch: Any, loader: Any, lifetimes: Any) -> tuple[Any, Bools, Bools]:
        begin = stopwatch()
        values, hit, found = self._timed._filled(self, batch, loader, lifetimes)
        self._took("load", hit, stopwatch() - begin)
        return values, hit, found

    async def _afilled(self, batch: Any, loader: Any, lifetimes: Any) -> tuple[Any, Bools, Bools]:
        begin = stopwatch()
        values, hit, found = await self._timed._afilled(self, batch, loader, lifetimes)
        self._took("load", hit, stopwatch() - begin)
        return values, hit, found

    def samples(self) -> list[Sample]:
        found = super().samples()
        for operation, latencies in self._latencies.items():
            labels = (self.name, operation)
            found.append(Sample(telemetry.BATCH_SECONDS, labels, latencies.read()))
        return found


class MeasuredSampledCache(MeasuredCache[K, V], SampledCache[K, V]):
    """Both."""

    _timed = SampledCache

    def get_many(self, keys: Any, *, out: Any = None) -> tuple[Any, Bools]:
        begin = stopwatch()
        values, hit = SampledCache.get_many(self, keys, out=out)
        self._took("get", hit, stopwatch() - begin)
        return values, hit


KINDS: dict[tuple[bool, bool], type[HostedCache[Any, Any]]] = {
    (False, False): HostedCache,
    (False, True): SampledCache,
    (True, False): MeasuredCache,
    (True, True): MeasuredSampledCache,
}
"""By whether batches are measured and whether some are sampled."""


def _stored(result: Any) -> Bools:
    """Return what was stored, of what `set_many` returns."""
    stored: Bools = result[0] if isinstance(result, tuple) else result
    return stored
