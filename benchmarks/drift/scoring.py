"""What alarms are worth: right, wrong, and how sure that is."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

WITHIN = 20_000
"""Events after the onset within which an alarm counts."""


class Verdict(NamedTuple):
    """One stream, and the first alarm in it.

    Attributes:
        kind, seed: of the stream.
        onset: of the change, or None.
        length: events of the stream.
        alarm: the event of the first alarm, or None.
        named: the feature that it names, or "".
    """

    kind: str
    seed: int
    onset: int | None
    length: int
    alarm: int | None
    named: str = ""

    @property
    def is_false(self) -> bool:
        """Whether there was an alarm before there was a reason."""
        return self.alarm is not None and (self.onset is None or self.alarm <= self.onset)

    @property
    def is_right(self) -> bool:
        """An alarm in (onset, onset + WITHIN] and none before; or none where nothing changes."""
        if self.onset is None:
            return self.alarm is None
        return self.alarm is not None and self.onset < self.alarm <= self.onset + WITHIN


class Score(NamedTuple):
    """Figures of a detector over streams; shares are of 1, delays in events."""

    streams: int
    right: int
    low: float
    high: float
    recall: float
    precision: float
    false_alarms: int
    quiet_events: int
    delay: float
    late: float

    @property
    def accuracy(self) -> float:
        return self.right / self.streams

    @property
    def false_per_million(self) -> float:
        return 1e6 * self.false_alarms / self.quiet_events


def wilson(right: int, count: int, z: float = 1.959964) -> tuple[float, float]:
    """Return the 95 % interval of a share, after Wilson (1927)."""
    share = right / count
    middle = share + z * z / (2 * count)
    half = z * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    whole = 1 + z * z / count
    return max(0.0, (middle - half) / whole), min(1.0, (middle + half) / whole)


def score(verdicts: Sequence[Verdict]) -> Score:
    """Return the figures of all streams together.

    Quiet events are those at which an alarm would have been false: all of a stream without a
    change, and those before the onset. A detector is asked for its first alarm only.
    """
    right = sum(each.is_right for each in verdicts)
    changed = [each for each in verdicts if each.onset is not None]
    found = [each for each in changed if each.is_right]
    given = sum(each.alarm is not None for each in verdicts)
    delays = [each.alarm - each.onset for each in found if each.alarm and each.onset is not None]
    low, high = wilson(right, len(verdicts))
    return Score(
        streams=len(verdicts),
        right=right,
        low=low,
        high=high,
        recall=len(found) / len(changed) if changed else math.nan,
        precision=len(found) / given if given else math.nan,
        false_alarms=sum(each.is_false for each in verdicts),
        quiet_events=sum(_quiet(verdicts)),
        delay=float(np.median(delays)) if delays else math.nan,
        late=float(np.quantile(delays, 0.95)) if delays else math.nan,
    )


def _quiet(verdicts: Iterable[Verdict]) -> Iterable[int]:
    for each in verdicts:
        until = each.length if each.onset is None else each.onset
        yield min(until, each.alarm) if each.alarm is not None else until
