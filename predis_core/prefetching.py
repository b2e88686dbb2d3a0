"""Caches whose look-ups prefetchers follow."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from predis_core import telemetry
from predis_core.aio.driving import is_async
from predis_core.errors import ConfigurationError
from predis_core.host import Session
from predis_core.hosted import HostedCache
from predis_core.mapping import K, V
from predis_core.prefetch import Guessed
from predis_core.prefetch.ring import Ring
from predis_core.table.interface import Bools, Bytes, CacheTable, Counter, Inserted, Keys
from predis_core.types import PrefetchStats, Sample


class PrefetchingCache(HostedCache[K, V]):
    """A cache of whose look-ups prefetchers are told, and which loads what they propose."""

    def __init__(self, session: Session, **arguments: Any) -> None:
        super().__init__(session, **arguments)
        self._holding = threading.RLock()
        if self._loader is None or is_async(self._loader):
            raise ConfigurationError(
                f"loader: prefetching needs a default loader that is no coroutine function, got "
                f"{self._loader!r}; pass one as open(..., loader=...), name one that a plugin "
                "registers, or leave the plugins out that prefetch"
            )
        self._prefetched = session.follow(self, self.name, self.capacity, self._codec.encode)
        self._ring = self._prefetched.ring
        self.listen(True)

    def _hold(self, table: CacheTable) -> None:
        with self._holding:
            super()._hold(table)
            self._tell_of(self._is_told)

    def prefetch_stats(self) -> list[PrefetchStats]:
        """Return what each prefetcher did since the cache was opened."""
        self._check()
        return self._prefetched.stats()

    def samples(self) -> list[Sample]:
        found = super().samples()
        for stats in self._prefetched.stats():
            labels = (self.name, stats.prefetcher)
            for field, metric in telemetry.PREFETCHED.items():
                found.append(Sample(metric, labels, getattr(stats, field)))
        failures, dropped = self._prefetched.failures, self._prefetched.ring.dropped
        found.append(Sample(telemetry.PREFETCH_FAILURES, (self.name,), failures))
        found.append(Sample(telemetry.PREFETCH_DROPPED, (self.name,), dropped))
        return found

    # ------------------------------------------------------------------ for those who prefetch

    def listen(self, wanted: bool) -> None:
        """Have look-ups noted in the ring, or not; while they are not, it costs them nothing."""
        with self._holding:
            self._tell_of(wanted)

    def _tell_of(self, wanted: bool) -> None:
        fetch = self._table.fetch
        self._fetch = functools.partial(_told, self._ring, fetch) if wanted else fetch
        self._is_told = wanted
        self._scalars.drop(self)  # machine code tells nobody

    def looked_up(self) -> int:
        """Return how many keys were looked up so far."""
        self._check()
        counters = self._table.counters()
        return counters[Counter.HITS] + counters[Counter.MISSES]

    def resident(self, keys: Keys) -> Bools:
        """Return which keys are in the cache, noting nothing."""
        self._check()
        return self._table.contains(keys, self._clock.monotonic())

    def touch_late(self, keys: Keys) -> Any:
        """Note a use of keys."""
        self._check()
        return self._table.touch(keys, self._clock.monotonic())

    def load_guesses(self, keys: Keys, polite: float) -> Guessed:
        """Load keys that nobody loads, and store them as guesses; see `prefetch.Source`."""
        self._check()
        demanded = self._loads.demanded()
        if demanded is not None:
            demanded.ended.wait(polite)
        inserted: list[Inserted] = []
        nbytes = 0

        def store(some: Keys, values: Any, ttl: Any, veto: Bytes, cost: int) -> None:
            nonlocal nbytes
            nbytes += _bytes_of(values)
            inserted.append(self._intake.store(some, values, ttl, veto, cost, guess=True))

        assert self._loader is not None
        claimed = self._loads.guess(keys, self._loader, self._ttl, store)
        stored = inserted[0].stored if inserted else np.zeros(len(keys.words), bool)
        return Guessed(stored, ~claimed, inserted, nbytes)


def _bytes_of(values: npt.NDArray[Any]) -> int:
    """Return what loaded values take; Python objects other than bytes count for nothing."""
    if values.dtype != object:
        return values.nbytes
    return sum(len(value) for value in values.tolist() if isinstance(value, bytes))


@functools.cache
def prefetching(kind: type[HostedCache[Any, Any]]) -> type[PrefetchingCache[Any, Any]]:
    """Return the kind of cache that does the same and prefetches."""
    return type(f"Prefetching{kind.__name__}", (PrefetchingCache, kind), {"__module__": __name__})


def _told(
    ring: Ring, fetch: Callable[..., Bools], keys: Keys, now: int, out: Any, *, zero: bool
) -> Bools:
    """Look keys up and tell the ring, before what is missing is loaded: what follows is, beside."""
    began = ring.now
    hit = fetch(keys, now, out, zero=zero)
    ring.put(began, keys, hit)
    return hit
