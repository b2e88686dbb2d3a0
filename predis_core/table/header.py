"""The words of a CPU table's header: one int64 array that tells its kernels everything.

The lock, the tick and the count of samples are alone in their cache lines. A block per region
follows `REGIONS`. Addresses are 0 while there is no such column.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

LOCK = 0
TICK = 8
LINES = 16
RECORDS = 17
VALUES = 18
REFS = 19
DEADLINES = 20
SKETCH = 21
SKETCH_BITS = 22
SKETCH_LIMIT = 23
ADDITIONS = 24
SEED = 25
SEALED = 27
"""Nonzero: nothing is stored here any more."""
PINS = 28
PINNED = 29
"""How many slots are pinned."""
COSTS = 30
SIZES = 31
"""Column of what each value weighs, or of where each blob lies and how long it is."""
LIMIT = 32
"""What all values may weigh together."""
HAND = 33
"""The set that is relieved next of an entry when values weigh too much."""
SAMPLES = 34
"""Ring of sampled accesses: two words each."""
SAMPLES_MASK = 35
SAMPLE_BELOW = 36
"""Keys whose sample bits are under this are sampled; 0 for none."""
SAMPLED = 40
"""How many were sampled."""
ARENA = 48
"""Where blobs lie: pages, cut into pieces of one class each; see `arena.Arena`."""
PAGE_BYTES = 49
PAGES = 50
"""Per page two words: its class, or -1; how many of its pieces hold something, or the next free."""
PAGE_COUNT = 51
FREE_PAGE = 52
FREE_PAGES = 53
CLASSES = 54
"""Per class four words: bytes of a piece, pieces per page, how many are free, the first free."""
CLASS_COUNT = 55
CLASS_OF = 56
"""Per 16 bytes of size, uint8: the class of the smallest piece that holds them."""
PARAMETERS = 57
"""The policy's parameters, as scalar methods find them."""
POLICY = 58
"""Which policy the table has: `constants.POLICY` of its kernels."""
ORDERS = 59
"""During a change of policy: per set, the order in which its ways would have left; `switching`."""
REGIONS = 64

REGION_WORDS = 24
BASE = 0
SETS = 1
QUOTIENT = 2
REMAINDER = 3
FIRST_SLOT = 4
CAPACITY = 5
COUNTERS = 8
"""Within a region's block; the counters follow in the order of `interface.Counter`."""


def window(
    words: npt.NDArray[np.int64], region: int, sets: range
) -> tuple[npt.NDArray[np.int64], int]:
    """Return the block of a region that is only some sets of another, and its number.

    The block lies in memory of its own, at such a distance from the header that a kernel finds it
    by that number; so threads may look through different ones at a time. The caller keeps it alive
    until the kernel returns. Its counters mean nothing.

    Args:
        words: the header.
        region: the region that the sets are of.
        sets: their numbers in the region, step 1.
    """
    start = REGIONS + region * REGION_WORDS
    whole = words[start : start + REGION_WORDS]
    raw = np.zeros(2 * REGION_WORDS, np.int64)
    distance = (raw.ctypes.data - words.ctypes.data) // 8 - REGIONS
    block = raw[-distance % REGION_WORDS :][:REGION_WORDS]
    quotient, remainder = int(whole[QUOTIENT]), int(whole[REMAINDER])
    block[BASE], block[SETS] = whole[BASE] + sets.start, len(sets)
    block[QUOTIENT], block[REMAINDER] = quotient, min(max(remainder - sets.start, 0), len(sets))
    block[FIRST_SLOT] = whole[FIRST_SLOT] + sets.start * quotient + min(sets.start, remainder)
    block[CAPACITY] = len(sets) * quotient + block[REMAINDER]
    return block, (distance + -distance % REGION_WORDS) // REGION_WORDS
