"""The words of a CPU table's header: one int64 array that tells its kernels everything.

The lock and the tick are alone in their cache lines. A block per region follows `REGIONS`.
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
NONE = 26
REGIONS = 32

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
