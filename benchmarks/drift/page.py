"""The page of a comparison, from the document beside it: each part of it can be measured alone."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.drift import delays, emerging, splices
from benchmarks.drift.scoring import WITHIN, Score, Verdict, score
from benchmarks.drift.streams import CHANGES, FIRST_ONSET, LAST_ONSET, LENGTH, PATTERNS, WITHOUT

ASKED = 1 / 5.8
"""False alarms per million events that ours was asked to keep to."""

STEM = "drift-comparison"

Results = Mapping[str, Sequence[Verdict]]
Document = dict[str, Any]


def table(results: Results, kinds: Sequence[str]) -> Document:
    """Return what a document has of the verdicts of each detector."""
    return {
        "scores": {name: _plain(score(verdicts)) for name, verdicts in results.items()},
        "kinds": {
            kind: {
                name: sum(each.is_right for each in verdicts if each.kind == kind)
                for name, verdicts in results.items()
            }
            for kind in kinds
        },
    }


def write(out: Path, measured: Document) -> None:
    """Write drift-comparison.md and .json; what was not measured now is kept from before."""
    out.mkdir(parents=True, exist_ok=True)
    path = out / f"{STEM}.json"
    document = json.loads(path.read_text("utf-8")) if path.exists() else {}
    document |= measured
    path.write_text(json.dumps(document, indent=1) + "\n", "utf-8")
    lines = ["# Drift: ours beside others", "", "<!-- written by `make compare-drift` -->"]
    for name, part in PARTS.items():
        if name in document:
            lines += ["", *part(document[name])]
    (out / f"{STEM}.md").write_text("\n".join(lines) + "\n", "utf-8")


def _plain(each: Score) -> Document:
    plain = {**each._asdict(), "accuracy": each.accuracy, "per_million": each.false_per_million}
    return {name: None if value != value else round(value, 5) for name, value in plain.items()}


def _streams(found: Document) -> Iterator[str]:
    count, first, tuned_from = found["streams"], found["evaluation_seed"], found["tuning_seed"]
    tuned = f"{tuned_from:,} to {tuned_from + found['tuned_on'] - 1:,}"
    yield (
        f"{count * len(found['kinds']):,} streams of {LENGTH:,} sampled look-ups, {count} of each "
        f"kind, seeds {first:,} to {first + count - 1:,}. In {len(CHANGES)} kinds something "
        f"changes from an event between {FIRST_ONSET:,} and {LAST_ONSET:,} on; in {len(WITHOUT)} "
        f"kinds nothing does. A detector is right if its first alarm is within {WITHIN:,} events "
        "after the change, or if it gives none where nothing changes; an alarm before there is a "
        "reason is false. Ours has its default configuration, which asks for at most "
        f"{ASKED:.3f} false alarms per million events. Its constants were fixed on other seeds, as "
        "were the settings of the others, each the best of those that were tried (on seeds "
        f"{tuned} of each kind). How streams are made: `benchmarks/drift/streams.py`. Streams that "
        "were made up are not your traffic."
    )
    yield ""
    yield from _scores(found["scores"])
    yield ""
    yield "Delays are in events, of the alarms that were right. Precision is of first alarms."
    cost = found["seconds_per_event"]
    yield (
        f"Ours took {cost * 1e6:.2f} µs of one core per event here, with patterns and what is kept "
        f"each second: {cost * 1e6 / 60:.2%} of a core at a million sampled events per minute."
    )
    for title, kinds in (("Where nothing changes", WITHOUT), ("Where something does", CHANGES)):
        yield from ("", f"## {title}: right of {count}", "")
        yield from _kinds({kind: found["kinds"][kind] for kind in kinds})
    yield from ("", "## Settings of the others", "")
    yield (
        "The others get a series for each feature that ours watches: means of 100 events, of "
        "logarithms where the range is wide, in units of their spread over the first "
        f"{FIRST_ONSET:,} events; alarms before event {FIRST_ONSET:,} are not held against them. "
        "Each feature has a detector of its own, and an alarm of any counts."
    )
    yield ""
    for name, setting in found["settings"].items():
        yield f"- {name}: `{json.dumps(setting)}`"


def _spliced(found: Document) -> Iterator[str]:
    count = found["streams"]
    yield from ("## Splices of traces", "")
    yield (
        f"{len(found['traces'])} traces that people recorded, of at least {splices.FEWEST:,} "
        f"look-ups: {', '.join(found['traces'])}. A splice is a stretch of one that goes on as a "
        f"stretch of another; a control is a stretch of one. Both are cut into blocks of "
        f"{splices.BLOCK:,} look-ups, and shuffled, as traces change all by themselves; what is "
        f"left of that counts as nothing here, so that this table has no bar. {count} of each, "
        f"from seed {found['seed']:,}; the times, sizes and batches are those of streams in which "
        "nothing changes, and the detectors are those of above, with the same settings."
    )
    yield ""
    yield from _scores(found["scores"])
    yield ""
    yield from _kinds(found["kinds"])


def _delays(found: Document) -> Iterator[str]:
    yield from ("## How long it takes, by how much is sampled", "")
    yield (
        f"{found['streams']:,} streams in which something changes ({found['each']} of each kind, "
        f"from seed {found['seed']:,}), at another pace each time, and drained once a second, as a "
        "cache is. Shares are of all streams: one that gave no alarm, or gave one before there was "
        "a reason, was never in time."
    )
    yield ""
    yield (
        "| window | sampled look-ups per second | learned after | median | 90 of 100 | "
        "within 5 minutes | within the hour |"
    )
    yield "|--:|--:|--:|--:|--:|--:|--:|"
    for row in found["rows"]:
        yield (
            f"| {row['window']:,} | {row['rate']:,} | {_time(row['learned'])} "
            f"| {_time(row['median'])} | {_time(row['late'])} | {row['in_five_minutes']:.1%} "
            f"| {row['in_an_hour']:.1%} |"
        )


def _emerging(found: Document) -> Iterator[str]:
    yield from ("## Patterns that emerge", "")
    yield (
        f"{found['streams']:,} streams, {found['each']} of each kind, from seed "
        f"{found['seed']:,}: those of above, and {len(PATTERNS)} kinds more. What has to be told: "
        f"{_by_pattern((name, kind) for kind, name in emerging.BRINGS.items())}. What is there as "
        "well, so that to tell of it is right and not to tell is no mistake: "
        + _by_pattern((name, kind) for kind, also in emerging.ALSO.items() for name in also)
        + ". Everything else is wrong, above all what is told before anything changes. A working "
        "set is told late by design: while keys are exchanged, old and new ones are in use."
    )
    yield ""
    yield (
        "| pattern | told | precision | of streams | within "
        f"{emerging.SOON:,} events | within {emerging.LATER:,}, where the stream lasts so long "
        "| delay, median | 95 of 100 |"
    )
    yield "|---|--:|--:|--:|--:|--:|--:|--:|"
    for name, each in found["patterns"].items():
        yield (
            f"| {name} | {each['given']} | {_share(each['precision'])} | {each['wanted']} "
            f"| {_share(each['soon'])} | {_share(each['later'])} of {each['lasted']} "
            f"| {_events(each['delay'])} | {_events(each['late'])} |"
        )
    yield from (
        "",
        f"Streams of {found['each']} in which a pattern was told, at whatever time:",
        "",
    )
    yield "| kind | " + " | ".join(found["patterns"]) + " |"
    yield "|---|" + "--:|" * len(found["patterns"])
    for kind, counts in found["kinds"].items():
        yield f"| {kind} | " + " | ".join(str(count or "") for count in counts.values()) + " |"


def _by_pattern(pairs: Iterable[tuple[str, str]]) -> str:
    """Return which kinds each pattern is of."""
    kinds: dict[str, list[str]] = {}
    for name, kind in pairs:
        kinds.setdefault(name, []).append(f"*{kind}*")
    return "; ".join(f"{name}, in {' and '.join(some)}" for name, some in kinds.items())


PARTS: Mapping[str, Callable[[Document], Iterator[str]]] = {
    "drift": _streams,
    delays.PART: _delays,
    emerging.PART: _emerging,
    splices.PART: _spliced,
}
"""What the page has, in its order, by the name of the part in the document."""


def _scores(scores: Mapping[str, Document]) -> Iterator[str]:
    yield (
        "| detector | right | 95 % interval | recall | precision | false alarms per million "
        "| delay, median | 95 of 100 |"
    )
    yield "|---|--:|--:|--:|--:|--:|--:|--:|"
    for name, each in sorted(scores.items(), key=lambda item: -item[1]["accuracy"]):
        yield (
            f"| {name} | {each['accuracy']:.1%} | {each['low']:.1%} to {each['high']:.1%} "
            f"| {_share(each['recall'])} | {_share(each['precision'])} | {each['per_million']:.2f} "
            f"| {_events(each['delay'])} | {_events(each['late'])} |"
        )


def _kinds(kinds: Mapping[str, Mapping[str, int]]) -> Iterator[str]:
    yield "| detector | " + " | ".join(kinds) + " |"
    yield "|---|" + "--:|" * len(kinds)
    for name in next(iter(kinds.values())):
        cells = (str(right[name]) for right in kinds.values())
        yield f"| {name} | " + " | ".join(cells) + " |"


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"


def _events(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f}"


def _time(seconds: float | None) -> str:
    if seconds is None:
        return "never"
    for size, unit in ((3_600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"
