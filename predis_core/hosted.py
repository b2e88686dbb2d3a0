"""Caches that a configuration opened with plugins.

A cache without plugins is a plain `Cache`. One whose plugins neither watch batches nor export
anything differs from it in `close()` only. Only the others pay for being measured.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import numpy as np

from predis_core import host, telemetry
from predis_core.cache import Cache
from predis_core.clock import stopwatch
from predis_core.host import Session
from predis_core.mapping import K, V
from predis_core.table.interface import Bools
from predis_core.telemetry import MANY, Latencies
from predis_core.types import BatchStats, Sample

_VERSION = version("predis-core")


class HostedCache(Cache[K, V]):
    """A cache of which plugins know.

    Args:
        session: what the host knows of the cache.
        arguments: as for `Cache`.
    """

    def __init__(self, session: Session, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._session = session

    def close(self) -> None:
        """Let plugins take leave, then give up every entry. Twice is harmless.

        Raises:
            Exception: with `strict`, what a plugin raised; the cache is closed all the same.
        """
        try:
            if self._unusable is None:
                host.close(self._session, "closed")
        finally:
            super().close()

    def samples(self) -> list[Sample]:
        """Return what the cache itself measures."""
        found = list(telemetry.samples_of(self.name, self.stats()))
        found.append(Sample(telemetry.MEMORY, (self.name,), self._table.memory))
        built = (self._table.policy.name, self._codec.kind, str(self._store))
        labels = (self.name, *built, _VERSION)
        found.append(Sample(telemetry.INFO, labels, 1))
        return found


class MeasuredCache(HostedCache[K, V]):
    """A cache whose batches are timed, and of whose batches observers are told."""

    def __init__(self, session: Session, **arguments: Any) -> None:
        super().__init__(session, **arguments)
        self._latencies = {operation: Latencies() for operation in telemetry.OPERATIONS}
        self._gets = self._latencies["get"]

    def _took(self, operation: str, found: Bools, nanoseconds: int) -> None:
        self._latencies[operation].add(nanoseconds)
        if self._session.observers:
            self._tell(operation, found, nanoseconds)

    def _tell(self, operation: str, found: Bools, nanoseconds: int) -> None:
        hits = int(np.count_nonzero(found))
        stats = BatchStats(self.name, operation, len(found), hits, nanoseconds)
        for observer in self._session.observers:
            observer(stats)

    def get_many(self, keys: Any, *, out: Any = None) -> tuple[Any, Bools]:
        begin = stopwatch()
        result = Cache.get_many(self, keys, out=out)
        nanoseconds = stopwatch() - begin
        # `_took` without a call: of all verbs, this one is called the most.
        waiting = self._gets.waiting
        waiting.append(nanoseconds)
        if len(waiting) >= MANY:
            self._gets.count()
        if self._session.observers:
            self._tell("get", result[1], nanoseconds)
        return result

    def set_many(self, keys: Any, values: Any, **options: Any) -> Any:
        begin = stopwatch()
        result = Cache.set_many(self, keys, values, **options)
        stored = result[0] if isinstance(result, tuple) else result
        self._took("set", stored, stopwatch() - begin)
        return result

    def contains_many(self, keys: Any) -> Bools:
        begin = stopwatch()
        present = Cache.contains_many(self, keys)
        self._took("contains", present, stopwatch() - begin)
        return present

    def touch_many(self, keys: Any) -> Bools:
        begin = stopwatch()
        present = Cache.touch_many(self, keys)
        self._took("touch", present, stopwatch() - begin)
        return present

    def _deleted(self, batch: Any, out: Any = None) -> Bools:
        begin = stopwatch()
        present = Cache._deleted(self, batch, out)
        self._took("delete", present, stopwatch() - begin)
        return present

    def _filled(self, batch: Any, loader: Any, lifetimes: Any) -> tuple[Any, Bools, Bools]:
        begin = stopwatch()
        values, hit, found = Cache._filled(self, batch, loader, lifetimes)
        self._took("load", hit, stopwatch() - begin)
        return values, hit, found

    async def _afilled(self, batch: Any, loader: Any, lifetimes: Any) -> tuple[Any, Bools, Bools]:
        begin = stopwatch()
        values, hit, found = await Cache._afilled(self, batch, loader, lifetimes)
        self._took("load", hit, stopwatch() - begin)
        return values, hit, found

    def samples(self) -> list[Sample]:
        found = super().samples()
        for operation, latencies in self._latencies.items():
            labels = (self.name, operation)
            found.append(Sample(telemetry.BATCH_SECONDS, labels, latencies.read()))
        return found
