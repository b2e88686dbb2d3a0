"""Detectors of river, in an environment of theirs: one for each series, an alarm if any gives one.

    python river_cell.py < request.json > alarms.json

A request has `series` (a file of numpy: float32[streams, points, features]), `first` (the point
from which on alarms count) and `settings`; the answer has, for each setting and stream, the point
of the first alarm, or null. What is before `first` is learned from; alarms in it do not count.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np
from river import drift

KINDS = {"ADWIN": drift.ADWIN, "KSWIN": drift.KSWIN, "PageHinkley": drift.PageHinkley}


def first_alarm(stream: Any, first: int, setting: dict[str, Any]) -> int | None:
    pool = setting["pool"]
    points = stream[: len(stream) // pool * pool].reshape(-1, pool, stream.shape[1]).mean(axis=1)
    begin = first // pool
    learned = points[:begin]
    # Spread by what is known before alarms count: the detectors' settings are in its units.
    points = (points - learned.mean(axis=0)) / np.maximum(learned.std(axis=0), 0.02)
    alarms = []
    for column in points.T:
        detector = KINDS[setting["kind"]](**setting["options"])
        for at, value in enumerate(column.tolist()):
            detector.update(value)
            if detector.drift_detected and at >= begin:
                alarms.append((at + 1) * pool)
                break
    return min(alarms, default=None)


def main() -> None:
    request = json.load(sys.stdin)
    streams = np.load(request["series"])
    json.dump(
        [
            [first_alarm(stream, request["first"], setting) for stream in streams]
            for setting in request["settings"]
        ],
        sys.stdout,
    )


main()
