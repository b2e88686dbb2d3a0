"""What each hour of the day, or of the week, was like the last few times."""

from __future__ import annotations

import time
import zlib
from collections import deque
from typing import Literal

import msgspec
import numpy as np

from predis_drift.config import FEATURES
from predis_drift.features import BINS, Counts

VISITS = 4
"""Of each hour: the last ones are kept."""

RUN, RUNS = 10, 2
"""Blocks in a row that are kept of each part of an hour, and parts of it."""

_HOUR = 3_600
_DAYS = {"day": 1, "week": 7}


class KeptSeasons(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is kept of hours.

    Attributes:
        hours: for each hour, its visits: int32[blocks, features, BINS] each, compressed.
        begun: year, day and hour of the visit that is now; () before there was any.
        hour, part, visit: of it: the hour, the part, and what there is so far.
    """

    hours: tuple[tuple[bytes, ...], ...]
    begun: tuple[int, ...]
    hour: int
    part: int
    visit: bytes


class Seasons:
    """Remembers some blocks of each hour. The memory is bounded, whatever the pace is.

    Args:
        season: "day" or "week".

    Attributes:
        hour: the one that is now, from 0; of a week, from Monday's; -1 before there was any.
    """

    def __init__(self, season: Literal["day", "week"]) -> None:
        self._days = _DAYS[season]
        self._hours: list[deque[bytes]] = [deque(maxlen=VISITS) for _ in range(24 * self._days)]
        self._visit: list[Counts] = []
        self._in_part = 0
        self._part = self.hour = -1
        self._begun: tuple[int, ...] = ()

    def enter(self, wall: float) -> bool:
        """Say what time it is, in seconds since the epoch; return whether another hour begins.

        Hours are local ones: people sleep by them.
        """
        local = time.localtime(wall)
        hour = local.tm_hour + (24 * local.tm_wday if self._days > 1 else 0)
        part = (60 * local.tm_min + local.tm_sec) * RUNS // _HOUR
        begun = (local.tm_year, local.tm_yday, local.tm_hour)
        is_other = begun != self._begun
        if is_other:
            if self._visit:
                self._hours[self.hour].append(_packed(self._visit))
            self._visit, self.hour, self._begun = [], hour, begun
        if is_other or part != self._part:
            self._part, self._in_part = part, 0
        return is_other

    def add(self, counts: Counts) -> None:
        """Take a block of the hour that is now."""
        if self._in_part < RUN:
            self._in_part += 1
            self._visit.append(counts)

    def visits(self) -> list[Counts]:
        """Return earlier visits of the hour: int64[blocks, features, BINS] each."""
        return [_unpacked(each) for each in self._hours[self.hour]] if self.hour >= 0 else []

    def state(self) -> KeptSeasons:
        """Return what `restore` needs."""
        return KeptSeasons(
            hours=tuple(tuple(hour) for hour in self._hours),
            begun=self._begun,
            hour=self.hour,
            part=self._part,
            visit=_packed(self._visit),
        )

    def restore(self, kept: KeptSeasons) -> None:
        """Go on from what `state` returned.

        Raises:
            ValueError: if it does not fit; nothing is changed then.
        """
        count = len(self._hours)
        if len(kept.hours) != count or not -1 <= kept.hour < count:
            raise ValueError("the hours of this state are those of another `season`")
        for visit in (kept.visit, *(each for hour in kept.hours for each in hour)):
            _unpacked(visit)
        self._hours = [deque(hour, maxlen=VISITS) for hour in kept.hours]
        self._visit = list(_unpacked(kept.visit))
        self.hour, self._part, self._begun = kept.hour, kept.part, kept.begun
        self._in_part = RUN  # those of this part may all be there

    @property
    def size(self) -> int:
        """Bytes of what is remembered."""
        return sum(len(visit) for hour in self._hours for visit in hour)


def _packed(blocks: list[Counts]) -> bytes:
    return zlib.compress(np.array(blocks, np.int32).tobytes(), 1)


def _unpacked(visit: bytes) -> Counts:
    try:
        found = np.frombuffer(zlib.decompress(visit), np.int32)
        blocks = found.reshape(-1, len(FEATURES), BINS).astype(np.int64)
    except (zlib.error, ValueError):
        raise ValueError("the hours of this state are damaged") from None
    if (blocks < 0).any():
        raise ValueError("the hours of this state are damaged")
    return blocks
