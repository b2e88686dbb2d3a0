"""The words of a CPU table's header: one int64 array that tells its kernels everything.

The lock and the tick are alone in their cache lines. A block per region follows `REGIONS`.
"""

from __future__ import annotations

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
