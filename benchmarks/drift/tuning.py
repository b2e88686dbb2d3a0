"""Rivals, the settings of each that are tried, and how they are run in environments of theirs."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable, Sequence
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.drift.scoring import Verdict, score
from benchmarks.drift.series import STEP
from benchmarks.drift.streams import FIRST_ONSET, LENGTH
from benchmarks.eviction.environment import python_with_libcachesim as python_with

CELLS = Path(__file__).resolve().parent / "rivals"
BUILD = Path(__file__).resolve().parents[2] / "build"

Setting = dict[str, Any]
Truth = Sequence[tuple[str, int, int | None]]
"""Kind, seed and onset of each stream."""


class Rival(NamedTuple):
    """A detector of others.

    Attributes:
        name: as shown.
        package: of the environment, and of its program and requirements in `rivals/`.
        settings: that are tried on tuning seeds.
    """

    name: str
    package: str
    settings: tuple[Setting, ...]


def _options(kind: str, pools: Iterable[int], **values: Sequence[Any]) -> tuple[Setting, ...]:
    return tuple(
        {"kind": kind, "pool": pool, "options": dict(zip(values, chosen, strict=True))}
        for pool in pools
        for chosen in product(*values.values())
    )


def _windows(kind: str, limits: Sequence[float]) -> tuple[Setting, ...]:
    return tuple(
        {"kind": kind, "window": window, "limit": limit, "lasting": lasting}
        for window, limit, lasting in product((20, 50), limits, (1, 2, 3, 4))
    )


_POWERS = (2, 3, 4, 6, 8, 10, 12, 16, 20, 25, 30, 40, 60)
"""Of ten: p-values of 10 to the minus these."""

_DISTANCES = (0.25, 0.5, 0.75, 1, 1.5, 2, 2.5, 3, 4, 5, 6, 8)

_INDICES = (0.25, 0.5, 1, 2, 4, 8, 16, 32, 64, 100, 150, 200, 300, 400, 600, 800)
"""Of PSI: it is this high where a window has something in a bin that was empty."""

RIVALS = (
    Rival(
        "river ADWIN",
        "river",
        _options("ADWIN", (1, 10), delta=(1e-6, 1e-9, 1e-12, 1e-16, 1e-24), clock=(1,)),
    ),
    Rival(
        "river KSWIN",
        "river",
        _options(
            "KSWIN",
            (10,),
            alpha=(1e-4, 1e-6, 1e-8),
            window_size=(30, 40),
            stat_size=(10,),
            seed=(1,),
        ),
    ),
    Rival(
        "river Page-Hinkley",
        "river",
        _options("PageHinkley", (1, 10), delta=(0.5, 1.0), threshold=(10, 30, 50, 75, 100)),
    ),
    Rival("frouros KSTest", "frouros", _windows("KSTest", _POWERS)),
    Rival("frouros PSI", "frouros", _windows("PSI", _INDICES)),
    Rival("evidently KS", "evidently", _windows("KS", _POWERS)),
    Rival("evidently Wasserstein", "evidently", _windows("Wasserstein", _DISTANCES)),
)


def run(
    rival: Rival, settings: Sequence[Setting], series: Path, truth: Truth
) -> list[list[Verdict]]:
    """Return the verdicts of each setting.

    Raises:
        NoEnvironment: if the rival's environment cannot be made.
        subprocess.CalledProcessError: if its program fails; stderr is shown.
    """
    place = BUILD / f"drift-{rival.package}"
    python = python_with(place, CELLS / f"{rival.package}.txt")
    request = {"series": str(series), "first": FIRST_ONSET // STEP, "settings": list(settings)}
    answer = subprocess.run(
        [python, CELLS / f"{rival.package}_cell.py"],
        input=json.dumps(request),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout
    return [
        [
            Verdict(kind, seed, onset, LENGTH, None if point is None else point * STEP)
            for (kind, seed, onset), point in zip(truth, points, strict=True)
        ]
        for points in json.loads(answer)
    ]


def tuned(rival: Rival, series: Path, truth: Truth) -> Setting:
    """Return the setting that is most often right on the tuning streams."""
    found = run(rival, rival.settings, series, truth)
    best = max(range(len(found)), key=lambda at: score(found[at]).right)
    return rival.settings[best]


def periodic(truth: Truth) -> int:
    """Return the event of the alarm of a dummy that is most often right."""
    choices = range(FIRST_ONSET + 1_000, LENGTH + 1, 1_000)
    return max(choices, key=lambda at: score(alarming(truth, at)).right)


def alarming(truth: Truth, event: int | None) -> list[Verdict]:
    """Return what a dummy is worth that gives its first alarm at an event, or none at all."""
    return [Verdict(kind, seed, onset, LENGTH, event) for kind, seed, onset in truth]
