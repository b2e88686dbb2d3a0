"""What a prefetcher may load: it pays for each guess, and is paid for each that was used.

A guess costs one, and a used one gives back 1 / `precision`: a prefetcher whose guesses are used
less often than that runs out of credit, and is quiet. A late one was right, and gives back what it
cost and a quarter, or who looks ahead too little could never look further. Over any time, then,

    loads <= used / precision + 1.25 late + what there was at first.

Credit grows with success, as a window of TCP does while it starts slowly (Jacobson, 1988), and is
bounded, and with it what a change of the workload can waste. Who has none left is not loaded for,
but its proposals are noted and compared with what is asked for (*shadows*): each one that would
have been used earns a little, each that would not costs as much more as keeps to the precision.

The arithmetic is in `kernels`, for a credit changes with each guess.
"""

from __future__ import annotations

FIRST = 64.0
"""Credit at the start: guesses that may fail before a prefetcher is quiet."""

SHADOW = 0.25
"""What a shadow earns, and a late guess beyond its cost: four that would have been used pay for one
guess."""

LEFT, REWARD, PENALTY, MOST, WORDS = range(5)
"""Words of a credit, float64: what is left, what a used guess and a shadow that was not used change
it by, and what there may be at most."""


def opening(precision: float, most: float) -> tuple[float, float, float, float]:
    """Return the words of a credit at first.

    Args:
        precision: the share of guesses, above 0 and below 1, that have to be used.
        most: what there may be at most.
    """
    return min(FIRST, most), 1 / precision, SHADOW * precision / (1 - precision), most
