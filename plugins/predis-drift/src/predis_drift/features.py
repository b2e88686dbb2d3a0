"""What is watched of sampled look-ups: a compact histogram per feature and block of events.

Scores of models come from elsewhere; their histogram is empty here.

Each feature is made so that it stays as it is as long as the workload does, even where keys come
and go: a key's popularity, for one, is counted in events shortly before, not in the first ones.
No key is kept, only marks of hashes in arrays of a fixed size.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from predis_drift.config import FEATURES, Feature
from predis_drift.gathering import Events

BINS = 32
"""Bins of each feature's histogram; not every feature uses all."""

CATEGORICAL: frozenset[Feature] = frozenset(
    {"hit_ratio", "namespace_share", "new_keys", "model_scores"}
)
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
    "model_scores": 1,
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
_POPULARITY, _REUSE, _NEW = map(FEATURES.index, ("popularity", "reuse_distance", "new_keys"))
Counts = npt.NDArray[np.int64]


class Seen(NamedTuple):
    """What a block of events is made of; a place stands for a key.

    Attributes:
        places: int64[events], the place of each.
        distances: int64[events], how many events ago the place was asked for.
        octaves: float64[events], log2 of the distances.
        known: int64[m], the places, each once.
        sizes: int64[m], how often each was asked for.
        new: int64[k], the events whose places were not asked for in MEMORY blocks.
    """

    places: Counts
    distances: Counts
    octaves: npt.NDArray[np.float64]
    known: Counts
    sizes: Counts
    new: Counts


class Histograms:
    """Turns blocks of events into histograms; remembers what that takes.

    Args:
        block: events of a block.

    Attributes:
        blocks: how many were taken.
        seen: what the last one was made of.
        latest: int64[places], the number of the event in which each was asked for last.
        popular: int32[places], how often each was asked for in the blocks that count for
            popularity.
    """

    def __init__(self, block: int) -> None:
        self._block = block
        self._fine = (_PARTS * np.log2(np.arange(1, SPAN * block + 2))).astype(np.int64)
        self._far = np.log2(FAR * block)
        self.blocks = 0
        self._places = np.zeros((MEMORY, block), np.int32)
        self.latest = np.full(_PLACES, _NEVER, np.int64)
        self.popular = np.zeros(_PLACES, np.int32)
        self._tallies: deque[tuple[Counts, Counts]] = deque(maxlen=LAG + SPAN)
        self._second = np.nan
        self.seen: Seen | None = None

    def places_of(self, block: int) -> Counts:
        """Return int64[events], the places of one of the last MEMORY blocks."""
        found: Counts = self._places[block % MEMORY].astype(np.int64)
        return found

    def take(self, events: Events) -> Iterator[Counts]:
        """Yield int64[features, BINS] for each block of so many whole ones.

        What goes by keys is done block by block, as blocks are asked for; the rest at once, as
        calls cost more than events do.
        """
        block = self._block
        found = np.zeros((len(events.words) // block, len(FEATURES), BINS), np.int64)
        for name, (bins, at) in self._plain(events).items():
            places = at // block * BINS + bins
            row = np.bincount(places, minlength=len(found) * BINS)
            found[:, FEATURES.index(name)] = row.reshape(len(found), BINS)
        with np.errstate(over="ignore"):
            hashes = (events.words.view(np.uint64) * _GOLDEN) >> np.uint64(64 - _BITS)
        for places, counts in zip(hashes.astype(np.int64).reshape(-1, block), found, strict=True):
            yield self._keyed(places, counts.copy())

    def _plain(self, events: Events) -> dict[Feature, tuple[Counts, Counts]]:
        """Return the bins of features that keys are of no matter for, and whose events they are."""
        every = np.arange(len(events.words))
        found: dict[Feature, tuple[Counts, Counts]] = {
            "inter_arrival": _octaves(self._pauses(events.seconds), FIRST_OCTAVE, every),
            "hit_ratio": (events.hits.astype(np.int64), every),
        }
        if events.batches is not None:
            found["batch_size"] = _batch_sizes(events.batches, self._block)
        if events.sizes is not None:
            found["value_size"] = _octaves(events.sizes, 0, every)
        if events.spaces is not None:
            found["namespace_share"] = (events.spaces % BINS, every)
        return found

    def _keyed(self, places: Counts, counts: Counts) -> Counts:
        """Fill in what goes by keys, of one block, and return all of it."""
        popular = self._fine[self.popular[places]]
        distances, known, sizes = self._distances(places)
        octaves = np.log2(distances)
        is_new = distances > MEMORY * self._block
        self.seen = Seen(places, distances, octaves, known, sizes, np.flatnonzero(is_new))
        self._tally(known, sizes)
        self._places[self.blocks % MEMORY] = places
        reuse = (2 * np.minimum(octaves, self._far)).astype(np.int64)
        counts[_POPULARITY] = _blurred(popular)
        counts[_REUSE] = np.bincount(reuse, minlength=BINS)
        counts[_NEW, :2] = len(places) - len(self.seen.new), len(self.seen.new)
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
            marks = self.places_of(block)
            self.latest[marks] = np.arange(self._block) + block * self._block
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
        before[is_first] = self.latest[grouped[is_first]]
        distances = np.empty(count, np.int64)
        distances[at] = now - before
        starts = np.flatnonzero(is_first)
        sizes = np.empty_like(starts)
        np.subtract(starts[1:], starts[:-1], out=sizes[:-1])
        sizes[-1] = count - starts[-1]
        known = grouped[starts]
        self.latest[known] = now[starts + sizes - 1]
        return distances, known, sizes

    def _tally(self, known: Counts, sizes: Counts) -> None:
        """Let a block in that counts for popularity from LAG blocks later on."""
        tallies = self._tallies
        if len(tallies) == tallies.maxlen:
            places, counts = tallies[0]
            self.popular[places] -= counts
        tallies.append((known, sizes.astype(np.int32)))
        if len(tallies) > LAG:
            places, counts = tallies[-1 - LAG]
            self.popular[places] += counts

    def _pauses(self, seconds: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        pauses = np.empty(len(seconds))
        with np.errstate(invalid="ignore"):  # what is no number is left out later on
            np.subtract(seconds[1:], seconds[:-1], out=pauses[1:])
            pauses[0] = seconds[0] - self._second
        self._second = float(seconds[-1])
        return pauses


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


def _octaves(values: npt.NDArray[np.float64], first: int, every: Counts) -> tuple[Counts, Counts]:
    """Return the power of two of each value, from 0 at `first`; what is no number is left out."""
    is_known = np.isfinite(values)
    if not is_known.all():
        values, every = values[is_known], every[is_known]
    logs = np.log2(np.maximum(values, 2.0**first)) - first
    return np.minimum(logs, BINS - 1).astype(np.int64), every


def _batch_sizes(batches: Counts, block: int) -> tuple[Counts, Counts]:
    """Return, for each batch, the power of two of its events in a block, and the last of them."""
    is_end = np.ones(len(batches), bool)
    np.not_equal(batches[1:], batches[:-1], out=is_end[:-1])
    is_end[block - 1 :: block] = True
    ends = np.flatnonzero(is_end)
    return np.log2(np.diff(ends, prepend=-1)).astype(np.int64), ends
