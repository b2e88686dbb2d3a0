"""How far ahead a prefetcher has to look, so that what it expects is there in time."""

from __future__ import annotations

from predis_core.plugin import AccessBatch

_ENOUGH = 32
"""Guesses after which it is decided anew."""

_TOO_LATE, _IN_TIME = 0.25, 0.02
"""Shares of guesses that came late: from the first on it looks further, up to the second less."""


class Reach:
    """Steps to look ahead: more while guesses come late, fewer once hardly any does.

    Args:
        least: steps at first, and at least.
        most: steps at most.
    """

    def __init__(self, least: int, most: int) -> None:
        self.steps = least
        self._least, self._most = least, most
        self._used = self._late = 0

    def tell(self, batch: AccessBatch) -> None:
        """Take note of what became of guesses."""
        self._used += 0 if batch.used is None else int(batch.used.sum())
        self._late += 0 if batch.late is None else int(batch.late.sum())
        told = self._used + self._late
        if told < _ENOUGH:
            return
        if self._late >= _TOO_LATE * told:
            self.steps = min(2 * self.steps, self._most)
        elif self._late <= _IN_TIME * told:
            self.steps = max(self.steps - 1, self._least)
        self._used = self._late = 0
