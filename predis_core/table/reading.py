"""The verbs of the CPU table that move no entry: they look keys up."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from predis_core.arrays import address
from predis_core.packed import Packed
from predis_core.table import packing
from predis_core.table.equality import Resolver, chunks
from predis_core.table.inspection import Inspected
from predis_core.table.interface import Bools, Int64s, Keys

_NO_INT64 = np.empty(0, np.int64)
_NO_BYTES = np.empty(0, np.uint8)
_CHUNK = 256
"""Keys that a lookup handles under one lock: `kernels.lookups.CHUNK`."""
_MOST_SPARE = 1 << 20
"""Bytes that are kept for the next lookup of blobs at most, by each thread that does some."""


class Reading(Inspected):
    """The part of a CPU table that looks keys up."""

    _holds_gil: bool
    _row_bytes: int
    _spares: list[Packed]
    _value_refs: bool

    def lookup(
        self, keys: Keys, now: int, *, out: Any = None, count: bool = True, region: int = 0
    ) -> Int64s:
        """See `interface.Table`; rows of misses are left as they are in `out`."""
        return self._lookup(keys, now, out, False, count, region)[0]

    def fetch(
        self, keys: Keys, now: int, out: Any, *, zero: bool, count: bool = True, region: int = 0
    ) -> Bools:
        """Copy the values of hits to `out` and return the hit mask (bool[n]).

        `out` is n values in C order, of blobs also `Packed`; with `zero`, rows of misses are
        cleared.
        """
        return self._lookup(keys, now, out, zero, count, region)[1]

    def _lookup(
        self, keys: Keys, now: int, out: Any, zero: bool, count: bool, region: int
    ) -> tuple[Int64s, Bools]:
        n = len(keys.words)
        slots, found = np.empty(n, np.int64), np.empty(n, np.bool_)
        counted = count and self._move is None
        if self._holds_gil or self._arena is not None:
            tick, guesses = self._look_up_parts(keys, now, out, zero, counted, region, slots, found)
        else:
            tick, guesses, _ = self._kernels.lookup(
                self._header,
                self._parameters,
                region,
                keys.words,
                0,
                now,
                -1,
                self._value_bytes(out),
                _NO_INT64,
                zero,
                counted,
                slots,
                found,
            )
        if guesses:
            self._kernels.replay(self._header, self._parameters, region, keys.words, tick, slots)
        if self.policy.sketch:
            self._kernels.count_in_sketch(self._header, keys.words, found)
        if self._move is not None:
            self._move.look_up(keys, now, out, count, counted, slots, found)
        elif count and not counted:
            # A resize that was about to begin, and did not.
            hits = int(np.count_nonzero(found))
            self._kernels.count_lookups(self._header, hits, n - hits)
        return slots, found

    def _look_up_parts(
        self,
        keys: Keys,
        now: int,
        out: Any,
        zero: bool,
        counted: bool,
        region: int,
        slots: Int64s,
        found: Bools,
    ) -> tuple[int, int]:
        """Look up references or blobs; return (tick, guesses)."""
        tick = -1
        if self._holds_gil:
            keys, tick = self._resolved(keys, region), self._advance(len(slots))
        if self._arena is not None and out is not None:
            packed = out if isinstance(out, Packed) else self._spare()
            found_in = (keys, now, tick, packed, counted, region, slots, found)
            tick, guesses = self._look_up_blobs(*found_in)
            if packed is not out:
                packing.give(packed, found, out)
                if len(packed.room) <= _MOST_SPARE:
                    self._spares.append(packed)
            return tick, guesses
        guesses = 0
        for part, words, refs in self._parts(keys):
            tick, unused, _ = self._kernels.lookup(
                self._header,
                self._parameters,
                region,
                words,
                refs,
                now,
                tick,
                self._value_bytes(out, part),
                _NO_INT64,
                zero,
                counted,
                slots[part],
                found[part],
            )
            guesses += unused
        return tick, guesses

    def _spare(self) -> Packed:
        """Return memory that values pass through: what an earlier lookup took, if there is some."""
        try:
            return self._spares.pop()
        except IndexError:
            return Packed()

    def _look_up_blobs(
        self,
        keys: Keys,
        now: int,
        tick: int,
        out: Packed,
        count: bool,
        region: int,
        slots: Int64s,
        found: Bools,
    ) -> tuple[int, int]:
        """Look up blobs, with more memory whenever it is not enough; return (tick, guesses)."""
        n, guesses = len(slots), 0
        offsets = np.zeros(n + 1, np.int64)
        data = out.room
        for part in chunks(0, n) if self._holds_gil else (slice(0, n),):
            start = part.start
            while True:
                here = slice(start, part.stop)
                tick, unused, stopped = self._kernels.lookup(
                    self._header,
                    self._parameters,
                    region,
                    keys.words[here],
                    0 if keys.refs is None else address(keys.refs[here]),
                    now,
                    tick,
                    data,
                    offsets[start : part.stop + 1],
                    False,
                    count,
                    slots[here],
                    found[here],
                )
                guesses += unused
                start += stopped
                if start == part.stop:
                    break
                # The kernel says what the next keys need; the rest will probably be alike.
                done = min(start + _CHUNK, n)
                needed = int(offsets[start : done + 1].max())
                data = out.grow(max(needed, int(needed / done * n * 1.1)), int(offsets[start]))
        out.fill(data, offsets)
        return tick, guesses

    def touch(self, keys: Keys, now: int, *, region: int = 0) -> Bools:
        """See `interface.Table`."""
        return self._lookup(keys, now, None, False, False, region)[1]

    def contains(self, keys: Keys, now: int, *, region: int = 0) -> Bools:
        """See `interface.Table`."""
        found = np.empty(len(keys.words), np.bool_)
        for part, words, refs in self._parts(self._resolved(keys, region)):
            self._kernels.contains(self._header, region, words, refs, now, found[part])
        if self._move is not None:
            present: Bools = self.deadlines(keys, now, region=region) >= 0
            return present
        return found

    def deadlines(self, keys: Keys, now: int, *, region: int = 0) -> Int64s:
        """See `interface.Table`."""
        found = np.empty(len(keys.words), np.int64)
        for part, words, refs in self._parts(self._resolved(keys, region)):
            self._kernels.peek(self._header, region, words, refs, now, found[part])
        if self._move is not None:
            self._move.look_up_deadlines(keys, now, found)
        return found

    # ------------------------------------------------------------------ what the verbs share

    def _advance(self, n: int) -> int:
        tick: int = self._kernels.advance(self._header, n)
        return tick

    def _parts(
        self, keys: Keys, *, locks_whole: bool = False
    ) -> Iterator[tuple[slice, Int64s, int]]:
        """Yield the parts of a batch that kernels take: where, words, address of references.

        With `locks_whole`, for kernels that have the lock for all that they are given.
        """
        n = len(keys.words)
        for part in chunks(0, n) if self._holds_gil or locks_whole else (slice(0, n),):
            refs = 0 if keys.refs is None else address(keys.refs[part])
            yield part, keys.words[part], refs

    def _value_bytes(self, values: Any, part: slice | None = None) -> Any:
        """Values, or those of a part of the batch, as kernels take them: see `kernels.values`.

        Rows may come as such or, without their shape and dtype, as uint8[m].
        """
        if values is None:
            return 0 if self._value_refs else _NO_BYTES
        if self._value_refs:
            return address(values if part is None else values[part])
        flat = values
        if values.dtype != np.uint8 or values.ndim != 1:
            flat = values.reshape(-1).view(np.uint8)
        if part is None:
            return flat
        return flat[self._row_bytes * part.start : self._row_bytes * part.stop]

    def _resolved(self, keys: Keys, region: int) -> Keys:
        """Replace each key that is a reference by the equal one that the table holds, if any."""
        if keys.refs is None:
            return keys
        resolver = Resolver(self._kernels, self._header, region, keys)
        resolver.resolve(0, len(keys.words))
        return Keys(keys.words, resolver.refs)
