"""What prefetching may ask of the backend, whatever it is good for."""

from __future__ import annotations

from predis_core.clock import NANOSECONDS
from predis_core.config import PrefetchConfig

_FREE = 64
"""Guesses that may be wasted before the share of waste is looked at."""

_WINDOW = 65_536
"""Loads over which the share is taken: what is older counts half, and half of that, and so on."""


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

    Attributes:
        wasted: guesses that were not used, of late.
        needed: loads that the backend had to do anyhow, of late: misses, and guesses that were used
            in place of some.
    """

    def __init__(self, config: PrefetchConfig) -> None:
        self.wasted = 0.0
        self.needed = 0.0
        self._config = config
        self._loads = Bucket(config.loads_per_second)
        self._bytes = Bucket(config.bytes_per_second)

    def room(self, now: int, pending: int) -> int:
        """Return how many guesses may be loaded at a time (ns), if so many are yet to be used."""
        if self._bytes.room(now) <= 0:
            return 0
        waste = _FREE + self._config.waste * self.needed - self.wasted
        # Of what is pending, as much as the least precision allows may be wasted yet.
        waste -= (1 - self._config.precision) * pending
        return max(0, int(min(waste / (1 - self._config.precision), self._loads.room(now))))

    def load(self, guesses: int) -> None:
        """Count guesses that are being loaded."""
        self._loads.take(guesses)

    def loaded(self, nbytes: int) -> None:
        """Count what was loaded."""
        self._bytes.take(nbytes)

    def need(self, loads: int) -> None:
        """Count loads that had to be done, or would have had to be."""
        self.needed += loads
        if self.needed > _WINDOW:
            self.needed /= 2
            self.wasted /= 2

    def waste(self) -> None:
        """Count a guess that was not used."""
        self.wasted += 1
