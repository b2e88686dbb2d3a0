"""What the plugin needs of a detector, and gets from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, Protocol

import msgspec

from predis_drift.config import PatternName
from predis_drift.gathering import Events
from predis_drift.scales import Scored


class Alarm(msgspec.Struct, frozen=True, kw_only=True):
    """A change of the workload.

    Attributes:
        feature: what changed.
        statistic: by which test, as "ks" or "psi".
        value, threshold: of the statistic, and what it had to exceed.
        psi: the population stability index of the feature, in the last window.
        also: other features that changed, too.
        severity: "info", "warning" or "error".
        labels: what the bars of both histograms stand for.
        before, after: shares, one for each label.
        event: the number of the sampled event at which it was sure.
    """

    feature: str
    statistic: str
    value: float
    threshold: float
    psi: float = 0.0
    also: tuple[str, ...] = ()
    severity: Literal["info", "warning", "error"] = "warning"
    labels: tuple[str, ...] = ()
    before: tuple[float, ...] = ()
    after: tuple[float, ...] = ()
    event: int = 0


class Pattern(msgspec.Struct, frozen=True, kw_only=True):
    """Something that came up in the workload.

    Attributes:
        pattern: "hot_group", "scan", "period" or "working_set".
        keys: how many sampled keys make it.
        growth: how many times as much as before: their look-ups, or the keys of a working set.
        level: how strong it is: the share of look-ups, or the logarithm of the growth.
        usual, threshold: what that is as a rule, and what it had to exceed.
        period: after how many sampled look-ups a key comes again; 0 if there is no period.
        event: the number of the sampled event at which it was sure.
    """

    pattern: str
    keys: int
    growth: float
    level: float
    usual: float
    threshold: float
    period: int = 0
    event: int = 0


class Reading(msgspec.Struct, frozen=True):
    """What a statistic of a feature is now, and what it has to exceed for an alarm."""

    feature: str
    statistic: str
    value: float
    threshold: float


class Detecting(Protocol):
    """Compares events with a reference, window by window."""

    def feed(self, events: Events, wall: float = 0.0, scored: Sequence[Scored] = ()) -> list[Alarm]:
        """Take the next events, and return what is sure by now.

        Args:
            events: in their order.
            wall: the time, in seconds since the epoch; of no matter but for seasons.
            scored: what models scored meanwhile.
        """
        ...

    def emerged(self) -> list[Pattern]:
        """Return the patterns that emerged since it was called before."""
        ...

    @property
    def strengths(self) -> Mapping[PatternName, float]:
        """How strong each pattern is now, as a multiple of what makes it one."""
        ...

    def readings(self) -> Sequence[Reading]:
        """Return the statistics of the last window."""
        ...

    @property
    def windows(self) -> int:
        """Windows that were complete so far."""
        ...

    def state(self) -> bytes:
        """Return all that `restore` needs."""
        ...

    def restore(self, data: bytes) -> None:
        """Go on from what `state` returned; ValueError if it does not fit."""
        ...
