"""Speed beside others: contenders take turns in one process, and medians are reported.

Each round runs every contender once, one after the other, so that what slows the machine down for
a while slows all of them. A ratio is the median of the ratios within the rounds.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter_ns
from typing import Any

import numpy as np
import numpy.typing as npt

ROUNDS = 9
OURS = "predis"
NEAR_ENOUGH = 0.9
"""The share of a physical limit that excuses a row below its bar."""

# Called once per round; what it returns is timed. So each round can have keys of its own.
Prepare = Callable[[], Callable[[], object]]
Times = Mapping[str, Sequence[float]]


class Unavailable(Exception):
    """A row cannot be measured here; the message says what it lacks."""


@dataclass(frozen=True, slots=True)
class Bar:
    """What a ratio of times has to reach.

    The ratio is the product of the times of the contenders in `over`, by that of those in `under`.

    Attributes:
        label: the ratio in words.
        bar: what has to be reached.
        aim: what would be better still.
        at_most: the ratio has to stay below, not above.
    """

    label: str
    over: tuple[str, ...]
    under: tuple[str, ...]
    bar: float
    aim: float
    at_most: bool = False

    def ratios(self, times: Times) -> npt.NDArray[np.float64]:
        """Return the ratio of each round, float64[rounds]."""
        over = np.prod([times[name] for name in self.over], axis=0)
        ratios: npt.NDArray[np.float64] = over / np.prod(
            [times[name] for name in self.under], axis=0
        )
        return ratios

    def reached(self, ratio: float, wanted: float) -> bool:
        """Say whether a ratio is as good as wanted."""
        return ratio <= wanted if self.at_most else ratio >= wanted


def faster_than(peer: str, bar: float, aim: float) -> Bar:
    """Return the bar of being so many times as fast as a peer."""
    return Bar(f"times as fast as {peer}", (peer,), (OURS,), bar, aim)


def time_of(peer: str, bar: float, aim: float) -> Bar:
    """Return the bar of taking at most that share of a peer's time."""
    return Bar(f"share of the time of {peer}", (OURS,), (peer,), bar, aim, at_most=True)


@dataclass(frozen=True, slots=True)
class Row:
    """One comparison.

    Attributes:
        title: what it is about.
        keys: how many keys a timed call handles.
        contenders: who takes part, by name.
        bars: what has to be reached.
        limit: physical limits that add up to the least time there can be: each is named by the
            contenders that show it, of which the fastest counts.
        empty: a contender that does nothing, whose time every other's is counted without.
        cores: how many cores it is about.
    """

    title: str
    keys: int
    contenders: Mapping[str, Prepare]
    bars: Sequence[Bar] = ()
    limit: Sequence[tuple[str, ...]] = ()
    empty: Prepare | None = None
    cores: int = 1


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a row stands to one of its bars.

    Attributes:
        ratio, lowest, highest: the median over the rounds, and its spread.
        share: of the physical limit that was reached, or None if the row has none.
        missing: the contenders that were not there; the ratio is NaN then.
    """

    row: str
    title: str
    bar: Bar
    ratio: float
    lowest: float
    highest: float
    share: float | None
    missing: tuple[str, ...] = ()

    @property
    def standing(self) -> str:
        """`aim`, `met`, `at the limit`, `missed` or `not measured`."""
        if self.missing:
            return "not measured"
        if self.bar.reached(self.ratio, self.bar.aim):
            return "aim"
        if self.bar.reached(self.ratio, self.bar.bar):
            return "met"
        return "at the limit" if (self.share or 0.0) >= NEAR_ENOUGH else "missed"

    @property
    def holds(self) -> bool:
        """Whether nothing is left to be done about it."""
        return self.standing in ("aim", "met", "at the limit")

    def as_dict(self) -> dict[str, Any]:
        """All of it, as JSON can carry it."""
        measured = not self.missing
        return {
            "label": self.bar.label,
            "ratio": self.ratio if measured else None,
            "lowest": self.lowest if measured else None,
            "highest": self.highest if measured else None,
            "bar": self.bar.bar,
            "aim": self.bar.aim,
            "at_most": self.bar.at_most,
            "share_of_limit": self.share,
            "standing": self.standing,
            "missing": list(self.missing),
        }


@dataclass(frozen=True, slots=True)
class Measured:
    """The times of one row: nanoseconds per key by contender, one per round.

    Attributes:
        lacking: why there are none.
    """

    name: str
    title: str
    nanoseconds: Times
    bars: Sequence[Bar] = ()
    limit: Sequence[tuple[str, ...]] = ()
    lacking: str | None = None

    @property
    def medians(self) -> dict[str, float]:
        """Median nanoseconds per key by contender."""
        return {name: float(np.median(times)) for name, times in self.nanoseconds.items()}

    @property
    def ratios(self) -> dict[str, float]:
        """The median over rounds of a contender's time by that of Predis, if it takes part."""
        if OURS not in self.nanoseconds:
            return {}
        ours = np.array(self.nanoseconds[OURS])
        return {
            name: float(np.median(np.array(times) / ours))
            for name, times in self.nanoseconds.items()
        }

    @property
    def share(self) -> float | None:
        """The share of the physical limit that was reached: its time by that of Predis."""
        if not self.limit or OURS not in self.nanoseconds:
            return None
        medians = self.medians
        least = sum(min(medians[name] for name in shown) for shown in self.limit)
        return least / medians[OURS]

    def verdicts(self) -> list[Verdict]:
        """How it stands to each of its bars."""
        found = []
        for bar in self.bars:
            missing = tuple(n for n in (*bar.over, *bar.under) if n not in self.nanoseconds)
            ratios = [np.nan] if missing else bar.ratios(self.nanoseconds)
            median, low, high = (float(of(ratios)) for of in (np.median, np.min, np.max))
            share = self.share
            found.append(Verdict(self.name, self.title, bar, median, low, high, share, missing))
        return found

    def as_dict(self) -> dict[str, Any]:
        """All of it, as JSON can carry it."""
        ratios = self.ratios
        return {
            "row": self.name,
            "title": self.title,
            "lacking": self.lacking,
            "bars": [verdict.as_dict() for verdict in self.verdicts()],
            "share_of_limit": self.share,
            "contenders": {
                name: {
                    "ns_per_key": median,
                    "ns_per_key_rounds": list(self.nanoseconds[name]),
                    "keys_per_second": 1e9 / median,
                    "time_over_predis": ratios.get(name),
                }
                for name, median in self.medians.items()
            },
        }


def spread(rows: Sequence[Measured]) -> float:
    """The noise of a run: how far apart the quartiles of a contender's times are, by their median.

    The median over all contenders of all rows; NaN if there are none.
    """
    apart = [
        float(np.subtract(*np.percentile(times, (75, 25))) / np.median(times))
        for row in rows
        for times in row.nanoseconds.values()
    ]
    return float(np.median(apart)) if apart else float("nan")


def measure(name: str, row: Row, rounds: int = ROUNDS) -> Measured:
    """Run every contender once untimed, then `rounds` times in turns. Garbage waits meanwhile."""
    contenders = {**row.contenders, **({} if row.empty is None else {"": row.empty})}
    times: dict[str, list[float]] = {contender: [] for contender in contenders}
    for prepare in contenders.values():
        prepare()()
    collecting = gc.isenabled()
    gc.disable()
    try:
        for _ in range(rounds):
            for contender, prepare in contenders.items():
                times[contender].append(_timed(prepare) / row.keys)
            gc.collect()
    finally:
        if collecting:
            gc.enable()
    nothing = times.pop("", [0.0] * rounds)
    found = {
        who: [all_of_it - loop for all_of_it, loop in zip(taken, nothing, strict=True)]
        for who, taken in times.items()
    }
    return Measured(name, row.title, found, row.bars, row.limit)


def _timed(prepare: Prepare) -> int:
    """Return the nanoseconds of one run."""
    timed = prepare()
    begin = perf_counter_ns()
    timed()
    return perf_counter_ns() - begin
