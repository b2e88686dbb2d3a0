"""Windows of series beside what was first: shared by the programs of frouros and evidently.

A statistic is computed once per window and series, and each setting then says which of them are
above its limit: there is an alarm after `lasting` windows in a row in which some series is.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

Statistic = Callable[[str, Any], Callable[[Any], float]]
"""From a kind and what was first to what compares a window with it; higher is more different."""


def statistics(stream: Any, first: int, window: int, prepare: Callable[[Any], Any]) -> Any:
    """Return float64[windows, features]."""
    compare = [prepare(column) for column in stream[:first].T.astype(np.float64)]
    ends = range(first + window, len(stream) + 1, window)
    return np.array(
        [
            [
                one(column)
                for one, column in zip(
                    compare, stream[end - window : end].T.astype(np.float64), strict=True
                )
            ]
            for end in ends
        ]
    )


def alarm(found: Any, first: int, setting: dict[str, Any]) -> int | None:
    """Return the point at which enough windows in a row were above the limit."""
    row = 0
    for at, differs in enumerate((found > setting["limit"]).any(axis=1)):
        row = row + 1 if differs else 0
        if row >= setting["lasting"]:
            return int(first + (at + 1) * setting["window"])
    return None


def main(statistic: Statistic) -> None:
    """Answer a request; see river_cell.py."""
    request = json.load(sys.stdin)
    streams, first = np.load(request["series"]), request["first"]
    answers: list[list[int | None]] = [[] for _ in request["settings"]]
    for stream in streams:
        known: dict[tuple[str, int], Any] = {}
        for answer, setting in zip(answers, request["settings"], strict=True):
            kind, window = setting["kind"], setting["window"]
            if (kind, window) not in known:
                known[kind, window] = statistics(
                    stream, first, window, lambda column, kind=kind: statistic(kind, column)
                )
            answer.append(alarm(known[kind, window], first, setting))
    json.dump(answers, sys.stdout)
