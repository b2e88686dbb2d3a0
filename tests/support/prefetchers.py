"""Prefetchers for tests, and an engine that drives some over a cache's table, inline."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

import predis_core as predis
from predis_core.config import PrefetchConfig
from predis_core.prefetch import Engine, Inline, Member, checked
from predis_core.table.interface import Inserted, Keys
from predis_core.types import AccessBatch

Int64s = npt.NDArray[np.int64]


class Ahead:
    """Proposes the keys that come next if the last one is one of a scan."""

    def __init__(self, depth: int = 16, step: int = 1, name: str = "ahead") -> None:
        self.name = name
        self.seen = 0
        self._depth, self._step = depth, step
        self._last: int | None = None
        self._upto = 0

    def observe(self, batch: AccessBatch) -> None:
        self.seen += len(batch.hits)
        self._last = int(batch.keys[-1])

    def predict(self, limit: int) -> tuple[Any, Any]:
        if self._last is None:
            return [], []
        first = self._last + self._step
        keys = first + self._step * np.arange(min(limit, self._depth))
        if first < self._upto <= keys[-1]:
            keys = keys[keys >= self._upto]
        self._upto = int(keys[-1]) + self._step if len(keys) else self._upto
        self._last = None
        return keys, np.full(len(keys), 0.9)


class Says:
    """Proposes what it is told to, once."""

    name = "says"

    def __init__(self) -> None:
        self.batches: list[AccessBatch] = []
        self.next: Any = []

    def observe(self, batch: AccessBatch) -> None:
        self.batches.append(batch)

    def predict(self, limit: int) -> tuple[Any, Any]:
        keys, self.next = self.next, []
        return keys, [1.0] * len(keys)


class Driven:
    """A cache of int64 keys whose value is ten times the key, with prefetchers, one by one."""

    def __init__(
        self,
        prefetchers: Sequence[Any],
        capacity: int = 4_096,
        latency: int = 0,
        **config: Any,
    ) -> None:
        self.cache: predis.Cache[int, int] = predis.Cache(
            capacity, policy="lru", value=predis.Rows("int64", ()), seed=1
        )
        self.now = 0
        self.misses = 0
        self._table = table = self.cache._table
        members = [Member(each.name, each.observe, checked(each.predict)) for each in prefetchers]
        self.engine = Engine(
            members,
            PrefetchConfig(**config),
            capacity,
            self.cache._codec.encode,
            lambda keys: table.contains(keys, 0),
            lambda keys: table.touch(keys, 0),
        )
        self.inline = Inline(self.engine, self._insert, latency, row_bytes=8)

    def _insert(self, keys: Keys, guess: bool) -> Inserted:
        return self._table.insert(
            keys, keys.words * 10, 0, absent_only=True, guess=guess, want_removed=True
        )

    def ask(self, keys: Any, after: int = 1_000) -> list[bool]:
        """Ask for keys, one request, some nanoseconds after the last; load what is missing."""
        self.now += after
        batch = Keys(np.atleast_1d(np.asarray(keys, np.int64)))
        self.inline.arrive(self.now)
        hits = self._table.lookup(batch, 0) >= 0
        missed = Keys(batch.words[~hits])
        self.misses += len(missed.words)
        if len(missed.words):
            self._table.insert(missed, missed.words * 10, 0, absent_only=True)
        self.inline.follow(AccessBatch("test", batch.words, batch.words, hits), self.now)
        found: list[bool] = hits.tolist()
        return found

    def run(self, keys: Int64s, at_once: int = 1) -> int:
        """Ask for keys, some at once; return how many were missed."""
        before = self.misses
        for start in range(0, len(keys), at_once):
            self.ask(keys[start : start + at_once])
        return self.misses - before

    def accesses_until(self, quiet: bool, keys: Int64s, at_once: int = 1) -> int | None:
        """Return after how many of the keys the engine is quiet, or is not; None: never."""
        for start in range(0, len(keys), at_once):
            self.ask(keys[start : start + at_once])
            if self.engine.is_quiet is quiet:
                return start + at_once
        return None
