"""How often patterns are told that emerge, and how often those that do not."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from benchmarks.drift.ours import DRAIN, columns
from benchmarks.drift.streams import CHANGES, LENGTH, PATTERNS, WITHOUT, make
from predis_drift import config
from predis_drift.detector import Detector

PART = "patterns"

SOON, LATER = 20_000, 40_000
"""Events after the change within which a pattern is looked for."""

BRINGS: Mapping[str, str] = {
    "popularity, sudden": "hot_group",
    "popularity, gradual": "hot_group",
    "disjoint keys": "hot_group",
    "hot group": "hot_group",
    "new scan": "scan",
    "periodicity": "period",
    "working set grows": "working_set",
    "slow growth": "working_set",
}
"""The pattern that has to be told, by the kind of change; others bring none."""

ALSO: Mapping[str, tuple[str, ...]] = {
    "popularity, sudden": ("working_set",),
    "popularity, gradual": ("working_set",),
    "disjoint keys": ("working_set",),
    "hot group": ("working_set",),
    "new scan": ("working_set",),
    "periodicity": ("working_set", "hot_group"),
    "working set grows": ("scan",),
    "slow growth": ("scan",),
}
"""What is there as well: other keys are in use than before, or more or fewer; keys of a short loop
are hot; keys of a large working set have not come again yet. To tell of it is right, and not to
tell is no mistake."""


class Told(NamedTuple):
    """A stream, and what was told: (pattern, event) of each."""

    kind: str
    onset: int | None
    patterns: tuple[tuple[str, int], ...]


def told(job: tuple[str, int]) -> Told:
    """Return what a detector that has the default configuration tells of a stream."""
    stream = make(*job)
    detector = Detector(config.DriftConfig())
    found = []
    for start in range(0, LENGTH, DRAIN):
        detector.feed(columns(stream, start, start + DRAIN))
        found += [(each.pattern, each.event) for each in detector.emerged()]
    return Told(stream.kind, stream.onset, tuple(found))


def measured(
    run: Callable[[Callable[[Any], Any], Iterable[Any]], Sequence[Told]], seed: int, each: int
) -> dict[str, Any]:
    """Return what a document has of them."""
    kinds = (*WITHOUT, *CHANGES, *PATTERNS)
    streams = run(told, [(kind, seed + at) for kind in kinds for at in range(each)])
    return {
        "seed": seed,
        "each": each,
        "streams": len(streams),
        "patterns": {name: _scored(streams, name) for name in config.PATTERNS},
        "kinds": {
            kind: {
                name: sum(
                    any(pattern == name for pattern, _ in stream.patterns)
                    for stream in streams
                    if stream.kind == kind
                )
                for name in config.PATTERNS
            }
            for kind in kinds
        },
    }


def _scored(streams: Sequence[Told], name: str) -> dict[str, Any]:
    """Return the figures of a pattern."""
    given = right = wanted = soon = lasted = later = 0
    delays = []
    for stream in streams:
        is_of = BRINGS.get(stream.kind) == name
        may = is_of or name in ALSO.get(stream.kind, ())
        events = [event for pattern, event in stream.patterns if pattern == name]
        given += len(events)
        onset = LENGTH if stream.onset is None else stream.onset
        after = [event - onset for event in events if event > onset]
        right += len(after) if may else 0
        if is_of:
            wanted += 1
            soon += bool(after) and after[0] <= SOON
            if onset + LATER <= LENGTH:
                lasted += 1
                later += bool(after) and after[0] <= LATER
            delays += after[:1]
    return {
        "given": given,
        "precision": _share(right, given),
        "wanted": wanted,
        "soon": _share(soon, wanted),
        "lasted": lasted,
        "later": _share(later, lasted),
        "delay": float(np.median(delays)) if delays else None,
        "late": float(np.quantile(delays, 0.95)) if delays else None,
    }


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None
