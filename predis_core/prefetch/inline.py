"""Prefetching one request after the other, in the caller's thread and time: for replays."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import numpy as np

from predis_core.prefetch.engine import Engine, Plan
from predis_core.table.batches import part_of
from predis_core.table.interface import Inserted, Keys
from predis_core.types import AccessBatch


class Inline:
    """An engine whose loads take a time that is given, as many at once as it likes.

    For each request the caller first lets `arrive` what is due, then looks up, and then has the
    batch followed.

    Args:
        engine: decides.
        insert: stores keys, as guesses if the second argument says so, absent ones only, and
            returns what came of it, what was removed included.
        latency: nanoseconds from a plan until it is in the cache; 0: it is there at once.
        row_bytes: what a value takes, for the budget of bytes.

    Attributes:
        fetched: keys that were loaded.
    """

    def __init__(
        self,
        engine: Engine,
        insert: Callable[[Keys, bool], Inserted],
        latency: int = 0,
        row_bytes: int = 0,
    ) -> None:
        self.fetched = 0
        self._engine, self._insert = engine, insert
        self._latency, self._row_bytes = latency, row_bytes
        self._arriving: deque[tuple[int, Plan]] = deque()
        self._due: dict[int, int] = {}

    def arrive(self, now: int) -> None:
        """Have everything stored that has been loaded by a time, in nanoseconds."""
        while self._arriving and self._arriving[0][0] <= now:
            _, plan = self._arriving.popleft()
            for word in plan.keys.words.tolist():
                self._due.pop(word, None)
            self._store(plan)

    def due(self, word: int) -> int | None:
        """Return when a key that is being loaded will be there; None if it is not being loaded."""
        return self._due.get(word)

    def follow(self, batch: AccessBatch, now: int) -> None:
        """Take note of a batch of look-ups at a time, and begin to load what that suggests."""
        self._engine.observe(batch)
        plan = self._engine.plan(now)
        if plan is None:
            return
        self.fetched += len(plan.owners)
        if not self._latency:
            self._store(plan)
            return
        due = now + self._latency
        self._arriving.append((due, plan))
        self._due |= dict.fromkeys(plan.keys.words.tolist(), due)

    def _store(self, plan: Plan) -> None:
        # Who asked for a key meanwhile has it already: that one is no guess any longer.
        still = self._engine.ledger.are_pending(plan.keys.words)
        stored = np.zeros(len(still), bool)
        for some, guess in ((np.flatnonzero(still), True), (np.flatnonzero(~still), False)):
            if not len(some):
                continue
            inserted = self._insert(part_of(plan.keys, some), guess)
            stored[some] = inserted.stored
            if inserted.removed is not None:
                owners = plan.owners[some[inserted.removed.at]]
                self._engine.left(inserted.removed.keys.words, owners)
        self._engine.stored(plan, stored, nbytes=self._row_bytes * len(still))
