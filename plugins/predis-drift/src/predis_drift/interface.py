"""What the plugin needs of a detector, and gets from it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

import msgspec

from predis_drift.gathering import Events


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


class Reading(msgspec.Struct, frozen=True):
    """What a statistic of a feature is now, and what it has to exceed for an alarm."""

    feature: str
    statistic: str
    value: float
    threshold: float


class Detecting(Protocol):
    """Compares events with a reference, window by window."""

    def feed(self, events: Events) -> list[Alarm]:
        """Take the next events, and return what is sure by now."""
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
