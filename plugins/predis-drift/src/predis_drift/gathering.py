"""From what samplers bring to events with times, batch sizes and values' sizes.

The table's ticks count keys, not time: the time of an event is between two drains, in proportion.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from predis_core.plugin import KeySample

Int64s = npt.NDArray[np.int64]


class Events(NamedTuple):
    """Look-ups of sampled keys, in their order.

    Attributes:
        words: int64[n], the keys, or hashes of them.
        seconds: float64[n], when, since the first drain; ascending.
        hits: bool[n].
        sizes: float64[n], bytes of the values, NaN where that is not known; None: nowhere.
        batches: int64[n], the same for look-ups of one batch; None: not known.
        spaces: int64[n], a number for each namespace, from 0; None: not known.
    """

    words: Int64s
    seconds: npt.NDArray[np.float64]
    hits: npt.NDArray[np.bool_]
    sizes: npt.NDArray[np.float64] | None = None
    batches: Int64s | None = None
    spaces: Int64s | None = None


def joined(parts: Sequence[Events]) -> Events:
    """Return events one after the other; what one part does not know, none does."""
    if len(parts) == 1:
        return parts[0]
    columns: list[Any] = [
        None if any(each is None for each in column) else np.concatenate(column)
        for column in zip(*parts, strict=True)
    ]
    return Events(*columns)


def part(events: Events, start: int, end: int, *, copy: bool = False) -> Events:
    """Return the events from `start` up to `end`; a copy does not keep the others in memory."""
    columns: list[Any] = [None if each is None else each[start:end] for each in events]
    return Events(*(each if each is None or not copy else each.copy() for each in columns))


class Gatherer:
    """Gives sampled look-ups their times."""

    def __init__(self) -> None:
        self._tick = 0
        self._seconds: float | None = None

    def take(self, sample: KeySample, seconds: float) -> Events:
        """Return the events of a sample.

        Args:
            sample: what the sampler got.
            seconds: of now, by any clock; one that goes back counts as one that stands still.
        """
        words = np.asarray(sample.words, np.int64)
        ticks = np.asarray(sample.ticks, np.int64)
        if self._seconds is None or not len(ticks) or ticks[0] < self._tick:
            # The first sample, or that of a table that begins anew: there is no drain before it.
            before = seconds
        else:
            before = min(self._seconds, seconds)
        start = min(self._tick, int(ticks.min(initial=self._tick)))
        newest = int(ticks.max(initial=start))
        share = (ticks - start) / max(1, newest - start)
        times = np.maximum.accumulate(before + np.clip(share, 0, 1) * (seconds - before))
        self._tick, self._seconds = newest, max(before, seconds)
        return Events(words, times, np.asarray(sample.hits, bool), batches=ticks)
