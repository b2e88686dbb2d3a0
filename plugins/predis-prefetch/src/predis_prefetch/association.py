"""The prefetcher `association`: what followed a key before follows it again."""

from __future__ import annotations

from typing import Any

import numpy as np

from predis_core.plugin import AccessBatch
from predis_prefetch.config import AssociationConfig
from predis_prefetch.lateness import Reach
from predis_prefetch.mining import (
    ENTRY_BYTES,
    WAYS,
    WINDOW,
    find_all,
    learn,
    move,
    new_expected,
    new_log,
    new_memory,
    new_trust,
    propose,
)

_FIRST_ENTRIES, _FIRST_PLACES = 4_096, 1_024
"""Keys and look-ups for which there is room at first."""

_MOST_AT_ONCE = 8_192
"""Look-ups that count as asked for at the same time, at most."""

_MOST_EXPECTED = 4_096
"""Keys that are expected at a time, at most."""

_DEEPEST = 8
"""Steps from a key to those that are expected after it, at most."""


class Association:
    """Proposes what followed a key before.

    For a key of a batch its successors begin with the same place of the next batch, for what is
    asked for at the same time need not be loaded ahead.

    Args:
        config: limits.
        holds_objects: whether keys are Python objects; then one of each known key is kept, too.
    """

    name = "association"

    def __init__(self, config: AssociationConfig, holds_objects: bool = False) -> None:
        self._least = config.confidence
        self._most_entries = max(WAYS, _power_of_two(config.memory // ENTRY_BYTES))
        entries = min(_FIRST_ENTRIES, self._most_entries)
        self._memory, self._trust = new_memory(entries), new_trust()
        self._log = new_log(_FIRST_PLACES)
        self._expected = new_expected(_MOST_EXPECTED)
        self._count = 0
        self._reach = Reach(1, _DEEPEST)
        self._objects = np.full(entries, None, object) if holds_objects else None

    @property
    def nbytes(self) -> int:
        """What its arrays take, in bytes; key objects are not counted."""
        arrays = (*self._memory, *self._log, *self._trust, *self._expected)
        objects = 0 if self._objects is None else self._objects.nbytes
        return sum(array.nbytes for array in arrays) + objects

    def observe(self, batch: AccessBatch) -> None:
        """Learn from a batch of look-ups, and find what follows it."""
        self._reach.tell(batch)
        words = np.ascontiguousarray(batch.words)
        for start in range(0, len(words), _MOST_AT_ONCE):
            part = slice(start, start + _MOST_AT_ONCE)
            self._learn(words[part], batch.keys[part])
        if self._count == _MOST_EXPECTED:
            self._count = 0  # what was expected so long ago has passed
        self._count = propose(
            self._memory,
            self._trust,
            self._log,
            words[-_MOST_AT_ONCE:],
            self._reach.steps,
            self._least,
            self._expected,
            self._count,
        )

    def predict(self, limit: int) -> tuple[Any, Any]:
        """Return what is expected since the last call, most probable first."""
        count, self._count = self._count, 0
        if not count:
            return self._expected.keys[:0], self._expected.confidences[:0]
        order = np.argsort(-self._expected.confidences[:count], kind="stable")
        keys = self._expected.keys[:count][order]
        confidences = self._expected.confidences[:count][order]
        if self._objects is None:
            return keys, confidences
        entries = np.empty(count, np.int64)
        find_all(self._memory, keys, entries)
        objects = self._objects[entries]  # an unknown key's is the last entry's, and left out
        known = entries >= 0
        return objects[known].tolist(), confidences[known]

    def _learn(self, words: Any, keys: Any) -> None:
        if len(self._log.keys) < 4 * (len(words) + WINDOW):
            self._log = new_log(2 * _power_of_two(4 * (len(words) + WINDOW)))
        entries = np.empty(len(words), np.int64)
        learn(self._memory, self._trust, self._log, words, entries)
        if self._objects is not None:
            self._objects[entries] = keys
        room = len(self._memory.known)
        if self._memory.left[0] > room // 16 and room < self._most_entries:
            self._grow()

    def _grow(self) -> None:
        """Make room for twice as many keys."""
        old, self._memory = self._memory, new_memory(2 * len(self._memory.known))
        places = np.empty(len(old.known), np.int64)
        move(old, self._memory, places)
        if self._objects is not None:
            objects, self._objects = self._objects, np.full(2 * len(places), None, object)
            self._objects[places[places >= 0]] = objects[places >= 0]


def _power_of_two(number: int) -> int:
    """Return the largest power of two that is not above a number."""
    return 1 << (max(1, number).bit_length() - 1)
