"""The lookups of sampled keys of a cache with a tier: one each, whichever table answered."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from predis_core.table.interface import Bools, Int64s, Sampled
from predis_core.table.keys import mix, sample_bits, sample_limit

_NO_NOTES: Int64s = np.empty((0, 2), np.int64)


class Notes:
    """A ring of the lookups of the keys whose hash is below a limit; for one thread at a time.

    Neither table could tell: the one above takes for a miss what the tier has, and the tier is not
    asked for the rest. The keys are those that a table of the same seed would note.

    Args:
        seed: int64, the tables'.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._limit = self._noted = 0
        self._ring = _NO_NOTES

    @property
    def nbytes(self) -> int:
        """Bytes of the ring."""
        return self._ring.nbytes

    def want(self, rate: float, capacity: int) -> None:
        """Note the lookups of that share of the keys, 0 for none; of so many there is room."""
        if rate and not len(self._ring):
            self._ring = np.zeros((1 << max(capacity - 1, 1).bit_length(), 2), np.int64)
        self._limit = sample_limit(rate) if rate else 0

    def note(self, words: Int64s, hits: Bools, tick: int) -> None:
        """Note a batch, where the oldest lookups make room.

        Args:
            words: int64[n], the keys, in C order.
            hits: bool[n], which were found in either table.
            tick: of the batch.
        """
        if not self._limit:
            return
        bits = sample_bits(mix(words.view(np.uint64), self._seed))
        sampled = np.flatnonzero(bits < self._limit)
        places = len(self._ring)
        until = self._noted + len(sampled)
        kept = sampled[-places:]
        at = np.arange(until - len(kept), until) & (places - 1)
        self._ring[at, 0] = words[kept]
        self._ring[at, 1] = tick << 1 | hits[kept]
        self._noted = until

    def read(self, since: int) -> tuple[Sampled, int, int]:
        """Return lookups since an earlier call, what to pass the next time, and how many are lost.

        Args: since, what the earlier call said; 0 at first.
        """
        until, places = self._noted, len(self._ring)
        first = max(since, until - places)
        taken: npt.NDArray[np.int64] = self._ring[np.arange(first, until) & (places - 1)]
        words, notes = taken.T
        return Sampled(words.copy(), notes >> 1, (notes & 1).astype(bool)), until, first - since
