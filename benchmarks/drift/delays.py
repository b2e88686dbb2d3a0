"""How long it takes to tell of a change, by how many look-ups are sampled per second."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from benchmarks.drift.ours import columns
from benchmarks.drift.streams import CHANGES, make
from predis_drift.config import DriftConfig
from predis_drift.detector import LEARNED, Detector

PART = "delays"

RATES = (1, 3, 10, 30, 67, 200, 670)
"""Sampled look-ups per second, on average up to the change."""

WINDOWS = (500, 2_000)

DRAIN = 1.0
"""Seconds between drains, as those of the plugin."""

Mapper = Callable[[Callable[[Any], Any], Iterable[Any]], Sequence[Any]]


class Job(NamedTuple):
    """A stream, its pace, and a window."""

    kind: str
    seed: int
    rate: int
    window: int


def delay(job: Job) -> float:
    """Return seconds from the change to the drain that told of it.

    Infinite if none did, or one did before there was a reason.
    """
    stream = make(job.kind, job.seed)
    assert stream.onset is not None
    seconds = stream.seconds * (stream.onset / stream.seconds[stream.onset] / job.rate)
    detector = Detector(DriftConfig(window=job.window))
    ends = np.searchsorted(seconds, np.arange(DRAIN, seconds[-1] + DRAIN, DRAIN), side="right")
    start = 0
    for drain, end in enumerate(ends.tolist(), 1):
        if end == start:
            continue
        events = columns(stream._replace(seconds=seconds), start, end)
        start = end
        if alarms := detector.feed(events):
            if alarms[0].event <= stream.onset:
                return np.inf
            return float(drain * DRAIN - seconds[stream.onset])
    return np.inf


def measured(run: Mapper, seed: int, each: int) -> dict[str, Any]:
    """Return what a document has of them."""
    jobs = {
        (window, rate): [
            Job(kind, seed + at, rate, window) for kind in CHANGES for at in range(each)
        ]
        for window in WINDOWS
        for rate in RATES
    }
    found = run(delay, [job for some in jobs.values() for job in some])
    rows = []
    count = len(CHANGES) * each
    for number, (window, rate) in enumerate(jobs):
        delays = np.sort(found[number * count : (number + 1) * count])
        rows.append(
            {
                "window": window,
                "rate": rate,
                "learned": LEARNED * window / 2 / rate,
                "median": _finite(delays[count // 2]),
                "late": _finite(delays[min(count - 1, int(np.ceil(0.9 * count)) - 1)]),
                "in_five_minutes": float(np.mean(delays <= 300)),
                "in_an_hour": float(np.mean(delays <= 3_600)),
            }
        )
    return {"seed": seed, "each": each, "streams": count, "rows": rows}


def _finite(value: float) -> float | None:
    return round(float(value), 1) if np.isfinite(value) else None
