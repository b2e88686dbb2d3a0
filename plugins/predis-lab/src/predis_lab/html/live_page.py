"""The page about a cache at work: what `[plugins.lab]` recorded of it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from predis_core.clock import NANOSECONDS
from predis_core.pages import ReportPage
from predis_core.plugin import Snapshot
from predis_lab.html import plots
from predis_lab.html.measured import build_facts, duration, metrics_blocks
from predis_lab.html.others import section_of
from predis_lab.html.page import (
    Block,
    Column,
    Facts,
    Figure,
    Page,
    Prose,
    Section,
    Table,
    Tile,
    Tiles,
)
from predis_lab.recording import LOOK_UPS, QUANTILES, Batch, Operation, by_operation, hit_ratio

LEAD = (
    "A program asked this cache for keys in batches. The page shows the last of them, as they were "
    "recorded while the program ran, and what was counted since the cache was opened."
)
# The recorded time is cut into so many parts, each a point of a line.
PARTS = 60
POINTS = tuple(f"p{100 * at:g}" for at in QUANTILES)
COUNTED = (
    "All that was counted since the cache was opened. Of what is measured many times: how often, "
    "and the mean."
)
FOUND = (
    "Of the keys looked up (get, load): those that were in the cache, before any load. Of those "
    "set: those stored. Of others: those that were there."
)


def live_page(
    cache: str,
    batches: Sequence[Batch],
    snapshot: Snapshot | None,
    when: datetime,
    pages: Sequence[ReportPage] = (),
) -> Page:
    """The page of a cache.

    batches: the oldest first
    snapshot: what was measured; None if the cache was gone already
    when: the page is made
    pages: what plugins have to show about the cache
    """
    operations = by_operation(batches)
    sections = [Section("In short", _summary(batches, operations, when))]
    if hit_ratio(operations) is not None:
        sections.append(Section("Hit ratio", (_course(cache, batches),)))
    if operations:
        sections.append(Section("Latency", _latency(cache, operations)))
    sections += [section_of(page) for page in pages]
    if snapshot is not None:
        sections.append(Section("How it was built", (Facts(build_facts(snapshot)),)))
        sections.append(Section("Metrics", (Prose((COUNTED,)), *metrics_blocks([snapshot]))))
    return Page(f"Cache {cache} at work", LEAD, tuple(sections))


def _begin(batches: Sequence[Batch]) -> int:
    """When the first batch began, in nanoseconds."""
    ended, stats = batches[0]
    return ended - stats.nanoseconds


def _summary(
    batches: Sequence[Batch], operations: dict[str, Operation], when: datetime
) -> tuple[Block, ...]:
    made = Prose((f"Made on {when:%Y-%m-%d at %H:%M %Z}.",))
    if not batches:
        return (Prose(("No batch was recorded.",)), made)
    keys = sum(operation.keys for operation in operations.values())
    span = (batches[-1][0] - _begin(batches)) / NANOSECONDS
    tiles = [Tile(f"{len(batches):,}", "batches recorded", f"in the last {duration(span)}")]
    ratio = hit_ratio(operations)
    if ratio is not None:
        tiles.append(Tile(f"{ratio:.1%}", "of the keys looked up were in the cache"))
    tiles.append(
        Tile(
            f"{keys:,}", "keys in these batches", f"{keys / len(batches):,.1f} per batch on average"
        )
    )
    for name, operation in operations.items():
        latencies = zip(POINTS[1:], operation.latencies[1:], strict=True)
        note = ", ".join(f"{point} {duration(seconds)}" for point, seconds in latencies)
        tiles.append(
            Tile(duration(operation.latencies[0]), f"median time of a batch, {name}", note)
        )
    return (Tiles(tuple(tiles)), made)


def _course(cache: str, batches: Sequence[Batch]) -> Figure:
    """Hit ratio over the recorded time."""
    begin, end = _begin(batches), batches[-1][0]
    counts: dict[str, dict[int, list[int]]] = {}
    for ended, stats in batches:
        if stats.operation in LOOK_UPS and stats.keys:
            # Threads may take note of their batches in another order than they ended in.
            part = min(PARTS - 1, max(0, (ended - begin) * PARTS // max(1, end - begin)))
            count = counts.setdefault(stats.operation, {}).setdefault(part, [0, 0])
            count[0] += stats.found
            count[1] += stats.keys
    courses = {
        name: (
            [(part + 0.5) / PARTS for part in sorted(parts)],
            [found / keys for _, (found, keys) in sorted(parts.items())],
        )
        for name, parts in counts.items()
    }
    span = duration((end - begin) / NANOSECONDS)
    ends = (f"{name} from {ys[0]:.1%} to {ys[-1]:.1%}" for name, (_, ys) in courses.items())
    return Figure(
        plots.lines(
            {cache: courses},
            list(courses),
            x_label=f"part of the {span} that were recorded",
            y_label="hit ratio",
        ),
        f"Hit ratio over the recorded time; a point stands for 1/{PARTS} of it. Higher is better.",
        f"Lines: hit ratio over the recorded time, {'; '.join(ends)}.",
    )


def _latency(cache: str, operations: dict[str, Operation]) -> tuple[Block, ...]:
    milliseconds = {
        name: [1e3 * at for at in operation.latencies] for name, operation in operations.items()
    }
    said = (
        f"{name} {' / '.join(map(duration, operation.latencies))}"
        for name, operation in operations.items()
    )
    columns = (
        Column("operation"),
        Column("batches", numeric=True),
        Column("keys", numeric=True),
        Column("found", FOUND, numeric=True),
        *(
            Column(point, f"What {point[1:]} % of the batches took at most.", numeric=True)
            for point in POINTS
        ),
    )
    rows = tuple(
        (
            name,
            f"{operation.batches:,}",
            f"{operation.keys:,}",
            f"{operation.found / operation.keys:.1%}" if operation.keys else "–",
            *map(duration, operation.latencies),
        )
        for name, operation in operations.items()
    )
    return (
        Figure(
            plots.spans({cache: milliseconds}, list(operations), POINTS, label="ms per batch"),
            "How long batches took: median, and the slow end; loads included. The axis is "
            "logarithmic. Further left is better.",
            f"Marks: latency at {', '.join(POINTS)}: {'; '.join(said)}.",
        ),
        Table("The recorded batches by operation", columns, rows),
    )
