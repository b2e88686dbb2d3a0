"""What is watched of sampled look-ups: a compact histogram per feature and block of events.

Each feature is made so that it stays as it is as long as the workload does, even where keys come
and go: a key's popularity, for one, is counted in events shortly before, not in the first ones.
No key is kept, only marks of hashes in arrays of a fixed size.
"""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np
import numpy.typing as npt

from predis_drift.config import FEATURES, Feature
from predis_drift.gathering import Events

BINS = 32
"""Bins of each feature's histogram; not every feature uses all."""

CATEGORICAL: frozenset[Feature] = frozenset({"hit_ratio", "namespace_share", "new_keys"})
"""Features whose bins have no order."""

LAG, SPAN = 5, 10
"""A key's popularity is counted in SPAN blocks, of which the last was LAG blocks ago."""

FAR = 8
"""Blocks beyond which a reuse distance is not told from another."""

MEMORY = 16
"""Blocks after which a key counts as new again."""

WARM: dict[Feature, int] = {
    "popularity": LAG + SPAN,
    "reuse_distance": FAR,
    "inter_arrival": 1,
    "batch_size": 1,
    "value_size": 1,
    "hit_ratio": FAR,
    "namespace_share": 1,
    "new_keys": MEMORY,
}
"""Blocks before a feature is what it will be."""

FIRST_OCTAVE = -20
"""Of pauses, in seconds: a microsecond and less share a bin."""

IS_CATEGORICAL = np.array([name in CATEGORICAL for name in FEATURES])

_PARTS = 16
"""Of a bin of popularity; its histogram counts them."""

_BITS = 18
_PLACES = 1 << _BITS
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_NEVER = -(1 << 40)
Counts = npt.NDArray[np.int64]


class Histograms:
    """Turns blocks of events into histograms; remembers what that takes.

    Args:
        block: events of a block.

    Attributes:
        blocks: how many were taken.
    """

    def __init__(self, block: int) -> None:
        self._block = block
        self._fine = (_PARTS * np.log2(np.arange(1, SPAN * block + 2))).astype(np.int64)
        self.blocks = 0
        self._places = np.zeros((MEMORY, block), np.int32)
        self._latest = np.full(_PLACES, _NEVER, np.int64)
        self._popular = np.zeros(_PLACES, np.int32)
        self._tallies: deque[tuple[Counts, Counts]] = deque(maxlen=LAG + SPAN)
        self._second = np.nan

    def take(self, events: Events) -> Counts:
        """Return int64[features, BINS], the histograms of one whole block."""
        counts = np.zeros((len(FEATURES), BINS), np.int64)
        with np.errstate(over="ignore"):
            hashes = (events.words.view(np.uint64) * _GOLDEN) >> np.uint64(64 - _BITS)
        places = hashes.astype(np.int64)
        popular = self._fine[self._popular[places]]
        distances, known, sizes = self._distances(places)
        self._tally(known, sizes)
        self._places[self.blocks % MEMORY] = places
        near = np.minimum(distances, FAR * self._block)
        bins: dict[Feature, Any] = {
            "reuse_distance": (2 * np.log2(near)).astype(np.int64),
            "inter_arrival": self._pauses(events.seconds),
            "batch_size": _batch_sizes(events.batches),
            "value_size": _octaves(events.sizes, 0),
            "hit_ratio": events.hits.astype(np.int64),
            "namespace_share": None if events.spaces is None else events.spaces % BINS,
            "new_keys": (distances > MEMORY * self._block).astype(np.int64),
        }
        for row, name in enumerate(FEATURES):
            found = bins.get(name)
            if name == "popularity":
                counts[row] = _blurred(popular)
            elif found is not None:
                counts[row] = np.bincount(found, minlength=BINS)
        self.blocks += 1
        return counts

    def state(self) -> tuple[int, bytes]:
        """Return what `restore` needs."""
        return self.blocks, self._places.tobytes()

    def restore(self, blocks: int, places: bytes) -> None:
        """Go on from what `state` returned.

        Raises:
            ValueError: if it is of blocks of another size, or holds what cannot be.
        """
        found = np.frombuffer(places, np.int32)
        if found.size != self._places.size or blocks < 0:
            raise ValueError("expected marks of blocks of the same size")
        if found.size and not 0 <= found.min() <= found.max() < _PLACES:
            raise ValueError("expected marks within the table")
        self.__init__(self._block)  # type: ignore[misc]
        self._places[:] = found.reshape(self._places.shape)
        self.blocks = blocks
        for block in range(max(0, blocks - MEMORY), blocks):
            marks = self._places[block % MEMORY].astype(np.int64)
            self._latest[marks] = np.arange(self._block) + block * self._block
            self._tally(*np.unique(marks, return_counts=True))

    def _distances(self, places: Counts) -> tuple[Counts, Counts, Counts]:
        """Return how many events ago each place was asked for, the places, and how often each."""
        count, start = len(places), self.blocks * self._block
        order = np.sort(places << 32 | np.arange(count))
        grouped, at = order >> 32, order & 0xFFFFFFFF
        is_first = np.ones(count, bool)
        np.not_equal(grouped[1:], grouped[:-1], out=is_first[1:])
        now = at + start
        before = np.empty(count, np.int64)
        before[1:] = now[:-1]
        before[is_first] = self._latest[grouped[is_first]]
        distances = np.empty(count, np.int64)
        distances[at] = now - before
        starts = np.flatnonzero(is_first)
        sizes = np.empty_like(starts)
        np.subtract(starts[1:], starts[:-1], out=sizes[:-1])
        sizes[-1] = count - starts[-1]
        known = grouped[starts]
        self._latest[known] = now[starts + sizes - 1]
        return distances, known, sizes

    def _tally(self, known: Counts, sizes: Counts) -> None:
        """Let a block in that counts for popularity from LAG blocks later on."""
        tallies = self._tallies
        if len(tallies) == tallies.maxlen:
            places, counts = tallies[0]
            self._popular[places] -= counts
        tallies.append((known, sizes.astype(np.int32)))
        if len(tallies) > LAG:
            places, counts = tallies[-1 - LAG]
            self._popular[places] += counts

    def _pauses(self, seconds: npt.NDArray[np.float64]) -> Any:
        pauses = np.empty(len(seconds))
        with np.errstate(invalid="ignore"):  # what is no number is left out below
            np.subtract(seconds[1:], seconds[:-1], out=pauses[1:])
            pauses[0] = seconds[0] - self._second
        self._second = float(seconds[-1])
        return _octaves(pauses, FIRST_OCTAVE)


def _blurred(fine: Counts) -> Counts:
    """Return a histogram in which each event is shared out to the two bins that it is between.

    Else a hot key whose popularity is on the edge of a bin, and is counted anew all the time, would
    move all of its events from one bin to the next one and back.
    """
    parts: Counts = np.bincount(fine, minlength=BINS * _PARTS).reshape(BINS, _PARTS)
    upper = parts @ np.arange(_PARTS)
    counts: Counts = _PARTS * parts.sum(axis=1) - upper
    counts[1:] += upper[:-1]
    return counts


def _octaves(values: Any, first: int) -> Any:
    """Return the power of two of each value, from 0 at `first`; what is no number is left out."""
    if values is None:
        return None
    is_known = np.isfinite(values)
    known = values if is_known.all() else values[is_known]
    logs = np.log2(np.maximum(known, 2.0**first)) - first
    return np.minimum(logs, BINS - 1).astype(np.int64)


def _batch_sizes(batches: Any) -> Any:
    """Return, for each batch, the power of two of its events in the block."""
    if batches is None:
        return None
    ends = np.flatnonzero(batches[1:] != batches[:-1])
    edges = np.concatenate(([-1], ends, [len(batches) - 1]))
    return np.log2(edges[1:] - edges[:-1]).astype(np.int64)
