"""What a prefetcher may load: it pays for each guess, and is paid for each that was used.

A guess costs one, and a used one gives back 1 / `precision`: a prefetcher whose guesses are used
less often than that runs out of credit, and is quiet. Over any time, then,

    loads <= used / precision + late + what there was at first.

Credit grows with success, as a window of TCP does while it starts slowly (Jacobson, 1988), and is
bounded, and with it what a change of the workload can waste. Who has none left is not loaded for,
but its proposals are noted and compared with what is asked for (*shadows*): each one that would
have been used earns a little, each that would not costs as much more as keeps to the precision.
"""

from __future__ import annotations

FIRST = 64.0
"""Credit at the start: guesses that may fail before a prefetcher is quiet."""

_SHADOW = 0.25
"""What a shadow earns: four that would have been used pay for one guess."""


class Credit:
    """The credit of one prefetcher.

    Args:
        precision: the share of guesses, above 0 and below 1, that have to be used.
        most: what it may have at most.
    """

    def __init__(self, precision: float, most: float) -> None:
        self.left = min(FIRST, most)
        self._reward = 1 / precision
        self._penalty = _SHADOW * precision / (1 - precision)
        self._most = most

    @property
    def is_quiet(self) -> bool:
        """Whether there is too little for a single guess."""
        return self.left < 1

    def spend(self, guesses: int) -> None:
        """Pay for guesses that are being loaded."""
        self.left -= guesses

    def used(self) -> None:
        """Take the reward for a guess that was used."""
        self._earn(self._reward)

    def back(self) -> None:
        """Take back what a guess cost that wasted nothing: it was late, or not stored."""
        self._earn(1)

    def harmed(self) -> None:
        """Pay for an entry that left for a guess and was asked for."""
        self.left = max(0.0, self.left - 1)

    def shadow_used(self) -> None:
        """A proposal that was not loaded would have been used."""
        self._earn(_SHADOW)

    def shadow_unused(self) -> None:
        """A proposal that was not loaded would not have been used."""
        self.left = max(0.0, self.left - self._penalty)

    def _earn(self, much: float) -> None:
        self.left = min(self._most, self.left + much)
