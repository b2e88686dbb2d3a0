"""Miss-ratio curves of traces: what a cache that works would tell of other sizes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from predis_core import MissRatioCurve
from predis_core.errors import CurveError
from predis_core.policies import Policy
from predis_lab.replaying import replay
from predis_lab.traces import Trace

ROWS = 15
"""Sizes of a curve that are shown, about."""


@dataclass(frozen=True, slots=True)
class Curve:
    """What a trace would miss: `lru` at any size, and a policy at the sizes of `live`."""

    trace: str
    lru: MissRatioCurve
    live: MissRatioCurve

    def live_ratio(self, size: int) -> str:
        """What the policy misses at a size, as text; a dash where it was not simulated."""
        inside = self.live.sizes[0] <= size <= self.live.sizes[-1]
        return f"{self.live.miss_ratio(size):.4f}" if inside else "–"

    def as_dict(self) -> dict[str, Any]:
        """All of it, as JSON can carry it."""
        return {"trace": self.trace, **self.lru.as_dict()}


def trace_curves(
    trace: Trace, policies: Iterable[str | Policy], capacity: int, *, sampling: float = 1.0
) -> Iterator[Curve]:
    """Replay a trace into a cache of each policy, and yield the curves that it finds on the way.

    sampling: share of the keys from which they are made

    Raises CurveError if that is too small for the trace.
    """
    for policy in policies:
        report = replay(trace, capacity, policy, curve=True, sampling=sampling)
        assert report.curve is not None
        if report.curve.live is None:
            raise CurveError(f"{sampling:g} of the keys are too few to simulate {report.policy}")
        yield Curve(trace.name, report.curve, report.curve.live)


def by_trace(curves: Sequence[Curve]) -> dict[str, list[Curve]]:
    """The curves of each trace."""
    found: dict[str, list[Curve]] = {}
    for curve in curves:
        found.setdefault(curve.trace, []).append(curve)
    return found


def shown_sizes(curve: MissRatioCurve) -> npt.NDArray[np.int64]:
    """Return some sizes of a curve (int64[m]), evenly apart on a logarithmic scale."""
    some = np.linspace(0, len(curve.sizes) - 1, min(ROWS, len(curve.sizes)))
    return curve.sizes[np.rint(some).astype(np.int64)]
