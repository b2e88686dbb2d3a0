"""What prefetching may ask of the backend, whatever it is good for."""

from __future__ import annotations

from predis_core.clock import NANOSECONDS
from predis_core.config import PrefetchConfig
from predis_core.prefetch.ledger import Ledger

_FREE = 64
"""Guesses that may be wasted before the share of waste is looked at."""


class Bucket:
    """Tokens that come at a rate, a second's worth at most (Turner, 1986).

    Args:
        rate: tokens per second; None: any number.
    """

    def __init__(self, rate: float | None) -> None:
        self._rate = rate
        self._tokens = float(rate or 0)
        self._filled: int | None = None

    def room(self, now: int) -> float:
        """Return the tokens that there are at a time, in nanoseconds."""
        if self._rate is None:
            return float("inf")
        if self._filled is not None:
            more = (now - self._filled) * self._rate / NANOSECONDS
            self._tokens = min(self._rate, self._tokens + more)
        self._filled = now
        return self._tokens

    def take(self, tokens: float) -> None:
        """Take tokens; what was not there is owed."""
        self._tokens -= tokens


class Budget:
    """How many guesses may be loaded now.

    Args:
        config: the limits.
        ledger: knows what was wasted, and what is pending.
    """

    def __init__(self, config: PrefetchConfig, ledger: Ledger) -> None:
        self._config, self._ledger = config, ledger
        self._loads = Bucket(config.loads_per_second)
        self._bytes = Bucket(config.bytes_per_second)

    def room(self, now: int) -> int:
        """Return how many guesses may be loaded at a time, in nanoseconds."""
        if self._bytes.room(now) <= 0:
            return 0
        ledger = self._ledger
        waste = _FREE + self._config.waste * ledger.needed - ledger.wasted
        # Of what is pending, as much as the least precision allows may be wasted yet.
        waste -= (1 - self._config.precision) * ledger.pending
        return max(0, int(min(waste / (1 - self._config.precision), self._loads.room(now))))

    def load(self, guesses: int) -> None:
        """Count guesses that are being loaded."""
        self._loads.take(guesses)

    def loaded(self, nbytes: int) -> None:
        """Count what was loaded."""
        self._bytes.take(nbytes)
