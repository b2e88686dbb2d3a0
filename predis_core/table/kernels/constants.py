"""What kernels are compiled for. Generated packages have this file written anew (see `codegen`)."""

from __future__ import annotations

CACHED = True  # whether compiled kernels are kept on disk
HOLDER = 16  # bytes from where a cache is to its slot with a context; of `methods` only
HOLDS_GIL = False  # keys or values are references, and the GIL is the lock
KEY_REFS = False
VALUE_REFS = False
ROW_BYTES = 0  # of a value that is a row; 0 for a table without rows
BLOBS = False  # values are bytes in an arena
WEIGHED = False  # values that are references weigh something
POLICY = 0  # tells these kernels' policy from others
PARAMETERS = 0  # how many the policy has
VISIBLE_BITS = 0  # of the metadata, those that on_hit sees
SLOT_MASK = (1 << 39) - 1
SET_MASK = 0
HAS_ON_HIT = False
HAS_TALLY = False
HAS_SEGMENT = False
HAS_ON_PASS = False
HAS_ON_EVICT = False
HAS_ON_VALUE = False
HAS_GHOSTS = False
HAS_SKETCH = False
STATE = -1  # byte offsets in a set's record, see layout.Record
CONFLICTS = 0
COLUMN = 4
COLUMN_BYTES = 4
GHOSTS = -1
STRIDE = 120
