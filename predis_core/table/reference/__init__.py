"""The plain-Python definition of a table: this file is the specification.

Every other backend must agree with it bit for bit (keys, metadata, states, ghosts, values,
counters) for calls that do not overlap, at an equal layout, policy and seed. It is written to be
read, not to be fast. Python's unbounded integers stand for int64; a policy that leaves int64 raises
here.

What holds between calls:

1. A key is in the set that its hash names, in at most one way; no set exceeds its ways.
2. A lookup writes only the metadata of what it hits. The lookup of a guess (prefetched, not yet
   used) replays `on_insert` for it after all the batch's hits, with no tag, a total of 0 and the
   set's state unchanged, so that nothing depends on the order of a batch.
3. An insert takes the distinct keys of a batch in the order of their last positions.
4. A new key gets the first of: the way in which it expired; a free way; an expired way; the
   lowest-ranked guess (which leaves without a trace: no `on_pass`, no `on_evict`, no ghost); the
   policy's victim. What is pinned does not leave to make room, and its way is free only once it is
   not pinned any more; a key for which no way is left is refused, and nothing is changed.
5. A guess that comes in may not displace a guess unless guesses hold their share of the set; then
   it replaces the lowest-ranked of them, even if ways are free.
6. The sketch is read as it was at the beginning of a batch and updated at its end.
7. Where values weigh something, entries leave before a key is placed until its value fits: one of
   each set in turn, as in 4, but never the key itself. A value that never fits is refused, and what
   it was to replace leaves.
"""

from __future__ import annotations

from predis_core.table.reference.table import ReferenceTable

__all__ = ["ReferenceTable"]
