"""The page and the figures of a comparison."""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks.drift.scoring import WITHIN, Score, Verdict, score
from benchmarks.drift.streams import CHANGES, FIRST_ONSET, LAST_ONSET, LENGTH, WITHOUT

ASKED = 1 / 5.8
"""False alarms per million events that ours was asked to keep to."""

Results = Mapping[str, list[Verdict]]


def write(
    out: Path, results: Results, settings: Mapping[str, Any], given: Namespace, cost: float
) -> None:
    """Write drift-comparison.md and .json."""
    scores = {name: score(verdicts) for name, verdicts in results.items()}
    (out / "drift-comparison.md").write_text(
        "\n".join(_page(results, scores, settings, given, cost)) + "\n", encoding="utf-8"
    )
    document = {
        "streams": given.streams,
        "tuning_seed": given.tuning,
        "evaluation_seed": given.evaluation,
        "seconds_per_event": round(cost, 9),
        "scores": {name: _plain(each) for name, each in scores.items()},
        "settings": settings,
        "kinds": {
            kind: {name: _right(verdicts, kind) for name, verdicts in results.items()}
            for kind in (*WITHOUT, *CHANGES)
        },
    }
    (out / "drift-comparison.json").write_text(json.dumps(document, indent=1) + "\n", "utf-8")


def _plain(each: Score) -> dict[str, Any]:
    plain = {**each._asdict(), "accuracy": each.accuracy, "per_million": each.false_per_million}
    return {name: None if value != value else round(value, 5) for name, value in plain.items()}


def _right(verdicts: list[Verdict], kind: str) -> int:
    return sum(each.is_right for each in verdicts if each.kind == kind)


def _page(
    results: Results,
    scores: Mapping[str, Score],
    settings: Mapping[str, Any],
    given: Namespace,
    cost: float,
) -> Iterator[str]:
    ours = next(iter(scores.values()))
    yield "# Drift: ours beside others"
    yield ""
    yield "<!-- written by `make compare-drift` -->"
    yield ""
    last = given.evaluation + given.streams - 1
    tuned = f"{given.tuning:,} to {given.tuning + given.tuned_on - 1:,}"
    yield (
        f"{ours.streams:,} streams of {LENGTH:,} sampled look-ups, {given.streams} of each kind, "
        f"seeds {given.evaluation:,} to {last:,}. In {len(CHANGES)} kinds something changes from "
        f"an event between {FIRST_ONSET:,} and {LAST_ONSET:,} on; in {len(WITHOUT)} kinds nothing "
        f"does. A detector is right if its first alarm is within {WITHIN:,} events after the "
        "change, or if it gives none where nothing changes; an alarm before there is a reason is "
        f"false. Ours has its default configuration, which asks for at most {ASKED:.3f} false "
        "alarms per million events. Its constants were fixed on other seeds, as were the settings "
        f"of the others, each the best of those that were tried (on seeds {tuned} of each kind). "
        "How streams are made: `benchmarks/drift/streams.py`. Streams that were made up are not "
        "your traffic."
    )
    yield ""
    yield (
        "| detector | right | 95 % interval | recall | precision | false alarms per million "
        "| delay, median | 95 of 100 |"
    )
    yield "|---|--:|--:|--:|--:|--:|--:|--:|"
    for name, each in sorted(scores.items(), key=lambda item: -item[1].accuracy):
        yield (
            f"| {name} | {each.accuracy:.1%} | {each.low:.1%} to {each.high:.1%} "
            f"| {each.recall:.1%} | {_share(each.precision)} | {each.false_per_million:.2f} "
            f"| {_events(each.delay)} | {_events(each.late)} |"
        )
    yield ""
    yield "Delays are in events, of the alarms that were right. Precision is of first alarms."
    yield (
        f"Ours took {cost * 1e6:.2f} µs of one core per event here: "
        f"{cost * 1e6 / 60:.2%} of a core at a million sampled events per minute."
    )
    for title, kinds in (("Where nothing changes", WITHOUT), ("Where something does", CHANGES)):
        yield ""
        yield f"## {title}: right of {given.streams}"
        yield ""
        yield "| detector | " + " | ".join(kinds) + " |"
        yield "|---|" + "--:|" * len(kinds)
        for name, verdicts in results.items():
            cells = (str(_right(verdicts, kind)) for kind in kinds)
            yield f"| {name} | " + " | ".join(cells) + " |"
    yield ""
    yield "## Settings of the others"
    yield ""
    yield (
        "The others get a series for each feature that ours watches: means of 100 events, of "
        "logarithms where the range is wide, in units of their spread over the first "
        f"{FIRST_ONSET:,} events; alarms before event {FIRST_ONSET:,} are not held against them. "
        "Each feature has a detector of its own, and an alarm of any counts."
    )
    yield ""
    for name, setting in settings.items():
        yield f"- {name}: `{json.dumps(setting)}`"


def _share(value: float) -> str:
    return "–" if value != value else f"{value:.1%}"


def _events(value: float) -> str:
    return "–" if value != value else f"{value:,.0f}"
