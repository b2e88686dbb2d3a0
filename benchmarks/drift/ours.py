"""Predis's detector over a stream, as the plugin runs it."""

from __future__ import annotations

import math
import time

from benchmarks.drift.scoring import Verdict
from benchmarks.drift.streams import LENGTH, Stream
from predis_drift.config import DriftConfig
from predis_drift.detector import Detector
from predis_drift.gathering import Events

DRAIN = 500
"""Events that come at once."""

CONFIG = DriftConfig()
"""As shipped: a false alarm a day at 67 sampled events per second, one per 5.8 million."""


def seconds_per_event(stream: Stream, repeats: int = 10) -> float:
    """Return the processor time of the detector, the least of some repeats.

    Events come as they do once a second at a million per minute, and each time what was learned is
    made ready to be kept in a file.
    """
    drain, best = 1_000_000 // 60, math.inf
    for _ in range(repeats):
        detector = Detector(CONFIG)
        begin = time.process_time()
        for start in range(0, LENGTH, drain):
            detector.feed(columns(stream, start, start + drain))
            detector.state()
        best = min(best, (time.process_time() - begin) / LENGTH)
    return best


def columns(stream: Stream, start: int, end: int) -> Events:
    """Return the events from `start` up to `end`, as the plugin gets them."""
    at = slice(start, end)
    return Events(
        stream.words[at],
        stream.seconds[at],
        stream.hits[at],
        stream.sizes[at],
        stream.batches[at],
        stream.spaces[at],
    )


def verdict(stream: Stream, seed: int, config: DriftConfig = CONFIG) -> Verdict:
    """Return the first alarm of a detector that has the default configuration."""
    detector = Detector(config)
    for start in range(0, LENGTH, DRAIN):
        events = columns(stream, start, start + DRAIN)
        if alarms := detector.feed(events):
            first = alarms[0]
            return Verdict(stream.kind, seed, stream.onset, LENGTH, first.event, first.feature)
    return Verdict(stream.kind, seed, stream.onset, LENGTH, None)
