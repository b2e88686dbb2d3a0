"""Patterns that emerge: a hot group, a scan, a period, another size of the working set.

An alarm says that the workload is another one; a pattern says what came up, by measures of each
block that are compared with those of the blocks before. Of keys there are marks only, as for
features.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from predis_drift.config import PATTERNS, PatternName
from predis_drift.features import MEMORY, Counts, Histograms, Seen
from predis_drift.interface import Pattern
from predis_drift.statistics import Floats

KEPT, LATELY, LEARNED = 120, 20, 24
"""Blocks that are compared with: the last KEPT but for LATELY, and LEARNED at least."""

_REFRESHED = 20
"""Blocks after which what is usual is computed anew."""

RECENT = 3
"""Blocks over which a key has to be hot, and over which a scan is averaged."""

RETURNS = 6
"""Blocks within which a new key has not come again that counts as scanned."""

PASSES = 4
"""Blocks over which a period is looked for."""

_HOT, _EACH, _TIMES, _LAGGED = 8, 2, 4, 0.3
"""A hot key's look-ups in RECENT blocks, and in each; by how much they are more than before, where
RECENT blocks are this part of those that popularity is counted in."""

_OCTAVES, _PARTS, _NEAR = 7, 8, 7
"""Of the distances in which a period is looked for: octaves, bins of each, where they begin."""

DISTANCES = _OCTAVES * _PARTS
_SIDE = 3
"""Bins of a peak, and of what is beside it."""

_HEIGHT = 5.0
"""Spreads above what is usual at which a measure is a pattern."""

_FLOORS = {"hot_group": 0.02, "scan": 0.012, "period": 0.012, "working_set": 0.04}
"""Added to the spread of each measure: shares of look-ups; of the working set, of a logarithm."""

_LASTS = {"hot_group": 3, "scan": 3, "period": 3, "working_set": MEMORY + 4}
"""Blocks in a row. Where keys are exchanged, both old and new ones are in use for MEMORY blocks."""

_RESTS = 10
"""Blocks in a row without a pattern before it can be told again."""

_RETURNED = 0.03
"""Of the new keys of a scan: the share that comes again, at most."""


class _Measures(NamedTuple):
    """Of a block.

    Attributes:
        hot, hot_keys, growth: share of the look-ups of hot keys, how many they are, and how many
            times as much they are asked for as before.
        scanned, returned: shares of look-ups of new keys that did not come again, and that did.
        in_use: the logarithm of the keys of MEMORY blocks.
    """

    hot: float
    hot_keys: float
    growth: float
    scanned: float
    returned: float
    in_use: float


class _Usual(NamedTuple):
    """What measures are as a rule, and where patterns begin.

    Attributes:
        levels, limits: of each pattern but the period.
        returned: as in _Measures.
        distances, peaks: float64[DISTANCES], shares of look-ups, and the limits of peaks of them.
    """

    levels: dict[PatternName, float]
    limits: dict[PatternName, float]
    returned: float
    distances: Floats
    peaks: Floats


class _Found(NamedTuple):
    """What a pattern is in a block; see Pattern."""

    level: float
    usual: float
    limit: float
    keys: int
    growth: float
    period: int = 0


class Kept(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is kept of patterns.

    Attributes:
        measures: float64[blocks, measures].
        distances: int32[blocks, DISTANCES].
        told: of each pattern.
    """

    measures: bytes
    distances: bytes
    told: tuple[bool, ...]


class Patterns:
    """Watches the blocks of one stream.

    Args:
        block: events of a block.
        watched: which patterns are told.

    Attributes:
        strengths: for each pattern that is watched, its measure as a multiple of the limit.
    """

    def __init__(self, block: int, watched: tuple[PatternName, ...] = PATTERNS) -> None:
        self._block, self._watched = block, watched
        self._measures: deque[_Measures] = deque(maxlen=KEPT)
        self._distances: deque[Counts] = deque(maxlen=KEPT)
        self._is_told = dict.fromkeys(PATTERNS, False)
        self._at = np.arange(block)
        self._forget_blocks()

    def _forget_blocks(self) -> None:
        self.strengths: dict[PatternName, float] = {}
        self._usual: _Usual | None = None
        self._age = 0
        self._recent: deque[tuple[Counts, Counts]] = deque(maxlen=RECENT)
        self._new: deque[tuple[Counts, Counts]] = deque(maxlen=RETURNS + 1)
        self._last: Counts | None = None
        self._rows = dict.fromkeys(PATTERNS, 0)
        self._rests = dict.fromkeys(PATTERNS, 0)

    def take(self, histograms: Histograms) -> list[Pattern]:
        """Look at the block that histograms took last, and return what is sure by now."""
        seen = histograms.seen
        if not self._watched or seen is None or not self._measured(histograms, seen):
            return []
        if len(self._measures) < LEARNED + RECENT:
            return []
        if self._usual is None or self._age % _REFRESHED == 0:
            self._learn()
        self._age += 1
        every = {
            "hot_group": self._hot_group,
            "scan": self._scan,
            "period": self._period,
            "working_set": self._working_set,
        }
        assert self._usual is not None
        found = {name: every[name](self._usual, seen) for name in self._watched}
        return list(self._sure(found, histograms.blocks * self._block))

    def _sure(self, every: Mapping[PatternName, _Found | None], event: int) -> Iterator[Pattern]:
        """Yield the patterns that last, once each."""
        for name, found in every.items():
            is_there = found is not None and found.level > found.limit
            self.strengths[name] = 0.0 if found is None else found.level / found.limit
            self._rows[name] = self._rows[name] + 1 if is_there else 0
            self._rests[name] = 0 if is_there else self._rests[name] + 1
            if self._rests[name] >= _RESTS:
                self._is_told[name] = False
            if found is None or self._rows[name] < _LASTS[name] or self._is_told[name]:
                continue
            self._is_told[name] = True
            yield Pattern(
                pattern=name,
                keys=found.keys,
                growth=round(found.growth, 3),
                level=round(found.level, 6),
                usual=round(found.usual, 6),
                threshold=round(found.limit, 6),
                period=found.period,
                event=event,
            )

    # ------------------------------------------------------------------ measures of blocks

    def _measured(self, histograms: Histograms, seen: Seen) -> bool:
        """Take the measures of a block; say whether there is enough before it to do so."""
        block, number = self._block, histograms.blocks - 1
        self._recent.append((seen.known, seen.sizes))
        self._new.append((seen.places[seen.new], seen.new + number * block))
        in_use = self._distinct(histograms, seen)
        if number < MEMORY + RETURNS or len(self._new) <= RETURNS:
            return False
        # Nearer ones and farther ones have a bin each, that does not count.
        bins = np.clip(_PARTS * (seen.octaves - _NEAR) + 1, 0, DISTANCES + 1).astype(np.int64)
        self._distances.append(np.bincount(bins, minlength=DISTANCES + 2)[1:-1])
        places, at = self._new[0]
        scanned = int(np.count_nonzero(histograms.latest[places] == at))
        returned = (len(places) - scanned) / block
        hot = self._hot(histograms.popular)
        self._measures.append(_Measures(*hot, scanned / block, returned, math.log(max(1, in_use))))
        return True

    def _hot(self, popular: npt.NDArray[np.int32]) -> tuple[float, int, float]:
        """Return the first measures: of keys that were hot in each of the last blocks."""
        *before, (known, sizes) = self._recent
        known, total = known[sizes >= _EACH], sizes[sizes >= _EACH]
        for others, sizes in before:
            at = np.minimum(np.searchsorted(others, known), len(others) - 1)
            here = np.where(others[at] == known, sizes[at], 0)
            known, total = known[here >= _EACH], (total + here)[here >= _EACH]
        was = _LAGGED * popular[known]
        is_hot = (total >= _HOT) & (total > _TIMES * np.maximum(1, was))
        count = int(total[is_hot].sum())
        growth = count / max(1.0, float(was[is_hot].sum()))
        return count / (RECENT * self._block), int(is_hot.sum()), growth

    def _distinct(self, histograms: Histograms, seen: Seen) -> int:
        """Return how many keys were asked for in the last MEMORY blocks."""
        block, number = self._block, histograms.blocks - 1
        if self._last is None:
            begin = max(0, number - MEMORY + 1) * block
            latest = histograms.latest[histograms.latest >= begin]
            self._last = np.bincount(number - latest // block, minlength=MEMORY)
        else:
            # Keys that were asked for in this block leave the one in which they were last.
            ages = (seen.distances - self._at + block - 1) // block
            left = np.bincount(np.minimum(ages, MEMORY), minlength=MEMORY)[1:MEMORY]
            self._last[1:] = self._last[:-1]
            self._last[1:] -= left
            self._last[0] = len(seen.known)
        return int(self._last.sum())

    # ------------------------------------------------------------------ what is usual

    def _learn(self) -> None:
        """Compute what is usual, from blocks that are not the last ones."""
        end = max(LEARNED, len(self._measures) - LATELY)
        # As the fields of _Measures.
        hot, _, _, scanned, returned, in_use = np.array(self._measures)[:end].T
        measures: dict[PatternName, Floats] = {
            "hot_group": hot,
            "scan": np.convolve(scanned, np.ones(RECENT) / RECENT, "valid"),
            "working_set": in_use,
        }
        levels = {name: float(values.mean()) for name, values in measures.items()}
        limits = {
            name: levels[name] + _HEIGHT * (float(values.std()) + _FLOORS[name])
            for name, values in measures.items()
        }
        passes = np.cumsum(np.array(self._distances)[:end], axis=0)
        passes[PASSES:] -= passes[:-PASSES].copy()
        shares = passes[PASSES - 1 :] / (PASSES * self._block)
        usual = shares.mean(axis=0)
        found = peaks(shares - usual)
        self._usual = _Usual(
            levels,
            limits,
            float(returned.mean()),
            usual,
            _widest(found.mean(axis=0) + _HEIGHT * (found.std(axis=0) + _FLOORS["period"])),
        )

    # ------------------------------------------------------------------ patterns

    def _hot_group(self, usual: _Usual, _: Seen) -> _Found:
        last, limit = self._measures[-1], usual.limits["hot_group"]
        was = usual.levels["hot_group"]
        return _Found(last.hot, was, limit, int(last.hot_keys), last.growth)

    def _scan(self, usual: _Usual, _: Seen) -> _Found | None:
        last = [self._measures[-1 - at] for at in range(RECENT)]
        level = sum(each.scanned for each in last) / RECENT
        returned = sum(each.returned for each in last) / RECENT
        was = usual.levels["scan"]
        if returned - usual.returned > _RETURNED * (level - was):
            return None
        growth = level / max(was, 1 / self._block)
        keys = round(RECENT * level * self._block)
        return _Found(level, was, usual.limits["scan"], keys, growth)

    def _working_set(self, usual: _Usual, _: Seen) -> _Found:
        now, was = self._measures[-1].in_use, usual.levels["working_set"]
        limit = usual.limits["working_set"] - was
        return _Found(abs(now - was), 0.0, limit, round(math.exp(now)), math.exp(now - was))

    def _period(self, usual: _Usual, seen: Seen) -> _Found:
        last = sum(self._distances[-1 - at] for at in range(PASSES))
        found = peaks(last / (PASSES * self._block) - usual.distances)
        at = int(np.argmax(found / usual.peaks))
        level, limit = float(found[at]), float(usual.peaks[at])
        was = float(usual.distances[max(0, at - 1) : at + 2].sum())
        is_of = np.abs(seen.octaves - (_NEAR + (at + 0.5) / _PARTS)) < 1.5 / _PARTS
        if level <= limit or not is_of.any():
            return _Found(level, was, limit, 0, 1.0)
        growth = (was + level) / max(was, 1 / self._block)
        keys = len(np.unique(seen.places[is_of]))
        return _Found(level, was, limit, keys, growth, round(np.median(seen.distances[is_of])))

    # ------------------------------------------------------------------ what is kept

    def state(self) -> Kept:
        """Return what `restore` needs; what is of the last blocks only is seen again."""
        return Kept(
            measures=np.array(self._measures, np.float64).tobytes(),
            distances=np.array(self._distances, np.int32).tobytes(),
            told=tuple(self._is_told.values()),
        )

    def restore(self, kept: Kept) -> None:
        """Go on from what `state` returned.

        Raises:
            ValueError: if it does not fit; nothing is changed then.
        """
        try:
            rows = np.frombuffer(kept.measures).reshape(-1, len(_Measures._fields))
            distances = np.frombuffer(kept.distances, np.int32).reshape(-1, DISTANCES)
        except ValueError:
            raise ValueError("the patterns of this state are damaged") from None
        is_whole = len(rows) == len(distances) and len(kept.told) == len(PATTERNS)
        if not is_whole or not np.isfinite(rows).all() or (distances < 0).any():
            raise ValueError("the patterns of this state are damaged")
        self._measures = deque((_Measures(*row) for row in rows.tolist()), maxlen=KEPT)
        self._distances = deque(distances.astype(np.int64), maxlen=KEPT)
        self._is_told = dict(zip(PATTERNS, kept.told, strict=True))
        self._forget_blocks()


def peaks(found: Floats) -> Floats:
    """Return how much more is in a bin and its neighbours than beside them, over the last axis."""
    width = found.shape[-1]
    padded = np.zeros((*found.shape[:-1], width + 2 * _SIDE + 3))
    padded[..., _SIDE + 2 : _SIDE + 2 + width] = found
    sums = np.cumsum(padded, axis=-1)
    threes = sums[..., _SIDE:] - sums[..., :-_SIDE]
    before, here, after = (threes[..., at : at + width] for at in (0, _SIDE, 2 * _SIDE))
    higher: Floats = here - np.maximum(0, (before + after) / 2)
    return higher


def _widest(limits: Floats) -> Floats:
    """Return the highest limit of a bin and of two on both sides: a period may waver."""
    padded = np.pad(limits, 2, mode="edge")
    widest: Floats = np.max([padded[at : at + len(limits)] for at in range(5)], axis=0)
    return widest
