"""How often a key was asked for: a count-min sketch with ageing, one per table.

Cormode, Muthukrishnan: "An improved data stream summary: the count-min sketch", J. Algorithms
2005; halving all counts after a number of additions is TinyLFU's (Einziger, Friedman, Manes, 2017).
Counts are added, never set conservatively, so that the order within a batch does not matter.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from predis_core.policies.contract import MAX_FREQUENCY

ROWS = 4
MULTIPLIERS = (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0xD6E8FEB86659FD93)
"""One odd multiplier per row; a row's cell is the top bits of hash * multiplier."""

ADDITIONS_PER_SLOT = 10
_MIN_WIDTH = 64


def width_bits(slots: int) -> int:
    """Return the binary logarithm of a row's cells: at least one cell per slot."""
    return (max(slots, _MIN_WIDTH) - 1).bit_length()


def halve_after(slots: int) -> int:
    """Return how many additions halve all counts."""
    return ADDITIONS_PER_SLOT * max(slots, _MIN_WIDTH)


class ReferenceSketch:
    """The plain-Python definition of the sketch."""

    def __init__(self, slots: int) -> None:
        self._bits = width_bits(slots)
        self._limit = halve_after(slots)
        self._cells = [[0] * (1 << self._bits) for _ in range(ROWS)]
        self._additions = 0

    def _places(self, hashed: int) -> list[int]:
        return [
            (hashed * multiplier & 0xFFFFFFFFFFFFFFFF) >> (64 - self._bits)
            for multiplier in MULTIPLIERS
        ]

    def estimate(self, hashed: int) -> int:
        """Return how often a hash was added, 0 to 15, never too low since the last halving."""
        return min(row[place] for row, place in zip(self._cells, self._places(hashed), strict=True))

    def add(self, hashes: list[int]) -> None:
        """Count each hash once; halve all counts when enough were added since the last time."""
        for hashed in hashes:
            for row, place in zip(self._cells, self._places(hashed), strict=True):
                row[place] = min(MAX_FREQUENCY, row[place] + 1)
        self._additions += len(hashes)
        if self._additions >= self._limit:
            self._cells = [[cell >> 1 for cell in row] for row in self._cells]
            self._additions >>= 1

    def cells(self) -> npt.NDArray[np.uint8]:
        """Return the cells, uint8[ROWS, width]."""
        return np.array(self._cells, np.uint8)
