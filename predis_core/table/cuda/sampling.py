"""The lookups of sampled keys, noted in a ring on the device; nothing waits until it is read."""

from __future__ import annotations

from typing import Any

import numpy as np

from predis_core.table.cuda.batch import Batch
from predis_core.table.cuda.inspection import Inspection
from predis_core.table.cuda.source import PIECE, TABLE, place_of
from predis_core.table.interface import Int64s, Sampled
from predis_core.table.keys import sample_limit

_AT = place_of(TABLE)
_NO_INT64: Int64s = np.empty(0, np.int64)


class Sampling(Inspection):
    """The part of a table on a GPU that notes lookups."""

    def sample_keys(self, rate: float, capacity: int) -> None:
        """Note the counted lookups of some keys in a ring; see `drain_sampled`.

        Args:
            rate: the share of keys whose lookups are noted, all of them; 0 for none.
            capacity: lookups that the ring holds at least.
        """
        if rate and "samples" not in self._columns:
            places = 1 << max(capacity - 1, 1).bit_length()
            self._put("samples", self._device.zeros(2 * places, np.int64))
            self._put("sampled", self._device.zeros(1, np.int64))
            self._set(samples_mask=places - 1)
        self._set(sample_below=sample_limit(rate) if rate else 0)

    def drain_sampled(self, since: int) -> tuple[Sampled, int, int]:
        """Return what was sampled since an earlier call, which it named, or 0; waits.

        Returns:
            (lookups, what to pass the next time, how many were overwritten before they were read).
        """
        ring, give = self._columns.get("samples"), self._device.give
        if ring is None:
            return Sampled(_NO_INT64, _NO_INT64, np.empty(0, bool)), since, 0
        places = len(ring) // 2
        until = int(give(self._columns["sampled"])[0])
        first = max(since, until - places)
        at = np.arange(first, until) & (places - 1)
        # They lie in two pieces where the ring begins anew.
        turn = 1 + int(np.argmax(at)) if len(at) else 0
        pieces = [piece for piece in (at[:turn], at[turn:]) if len(piece)]
        taken = [give(ring[2 * int(piece[0]) : 2 * int(piece[-1]) + 2]) for piece in pieces]
        words, notes = np.concatenate([_NO_INT64, *taken]).reshape(-1, 2).T
        return Sampled(words.copy(), notes >> 1, (notes & 1).astype(bool)), until, first - since

    def _sample(self, batch: Batch, region: int) -> None:
        """Note what a batch found of its sampled keys."""
        if self._words[region][_AT["sample_below"]]:
            batch.room("sums", np.int64, batch.n // PIECE + 1)
            batch.launch("count_sampled")
            batch.launch("note_sampled")
            batch.launch("settle_sampled")

    def _sample_on(self, older: Sampling) -> None:
        """Go on noting in another table's ring."""
        if "samples" in older._columns:
            for name in ("samples", "sampled"):
                self._put(name, older._columns[name])
            names = ("samples_mask", "sample_below")
            self._set(**{name: int(older._words[0][_AT[name]]) for name in names})

    def _set(self, **values: int) -> None:
        """Say what some words are, for every region."""
        for words in self._words:
            for name, value in values.items():
                words[_AT[name]] = value

    def _put(self, name: str, column: Any) -> None:
        """Have a column, or another one than so far."""
        self._columns[name] = column
        for words in self._words:
            words[_AT[name]] = self._device.address(column)
