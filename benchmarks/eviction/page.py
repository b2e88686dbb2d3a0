"""The comparison as a page of the documentation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from benchmarks.eviction.comparing import OURS, THEIRS, Result
from benchmarks.eviction.tables import (
    CLOSE,
    SETTLED,
    Row,
    Standing,
    fewest,
    rows_of,
    standings,
    times,
)

_BEGINNING = """\
# Every policy on every trace

`make compare-policies` measures these figures and writes them here and into
[eviction.tsv](eviction.tsv): every policy of Predis, in sets of 28 ways as they ship, beside every
policy of libcachesim, fully associative. One request at a time, get then insert; a size is a share
of a trace's distinct keys. Where the traces come from and what the figures mean is in
[Eviction](eviction.md)."""


def page(results: Iterable[Result], made_of: str) -> str:
    """Return the page in Markdown; `made_of` says what was compared, in which versions."""
    rows = rows_of(results)
    parts = [_BEGINNING, made_of]
    if any(row.settled for row in rows):
        parts += [_standings(standings(rows)), _candidates([row for row in rows if row.settled])]
    parts += [
        _bests(rows),
        _ratios("Predis, miss ratios", rows, [row.ours for row in rows]),
        _ratios("libcachesim, miss ratios", rows, [row.theirs for row in rows]),
    ]
    return "\n\n".join(parts) + "\n"


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]], left: int = 1) -> str:
    """Return a table, all but the first so many columns flush right."""
    rule = ["---" if at < left else "---:" for at in range(len(head))]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, rule, *rows))


def _standings(found: Sequence[Standing]) -> str:
    head = ["policy", "of", "mean miss ratio", "above the best of theirs", "at worst", "within 2 %"]
    rows = [
        [
            standing.policy,
            standing.cache,
            f"{standing.mean:.4f}",
            f"{standing.above:+.1%}",
            f"{standing.worst:+.1%}",
            f"{standing.close:.0%}",
        ]
        for standing in found
    ]
    return (
        f"## Over all caches of {SETTLED} entries or more\n\n"
        "What a policy misses beyond the best of libcachesim's in the same cell, as a share of\n"
        "that one's misses: the mean, the worst cell, and in how many cells it is at most 2 %.\n\n"
        f"{markdown(head, rows, 2)}"
    )


def _candidates(settled: Sequence[Row]) -> str:
    rows = []
    for chosen in fewest(settled):
        found = times(chosen, settled)
        close = sum(ratio <= CLOSE for ratio in found)
        mean = f"{sum(found) / len(found) - 1:+.1%}"
        rows.append([", ".join(chosen), mean, f"{max(found) - 1:+.1%}", f"{close} of {len(found)}"])
    head = ["policies", "above the best of theirs", "at worst", "within 2 %"]
    return (
        "## If one could choose\n\n"
        "The least miss ratio of a few policies of Predis, in the same cells: each set has the\n"
        f"policy more that helps most.\n\n{markdown(head, rows)}"
    )


def _bests(rows: Sequence[Row]) -> str:
    head = ["trace", "size", "entries", "requests", "Belady", THEIRS, "", OURS, "", "difference"]
    lines = []
    for row in rows:
        their_name, theirs = row.best_of_theirs
        our_name, ours = row.best_of_ours
        bound = "" if row.bound is None else f"{row.bound:.4f}"
        best = [f"{theirs:.4f}", their_name, f"{ours:.4f}", our_name, f"{row.times - 1:+.1%}"]
        lines.append([*_where(row), f"{row.cell.requests:,}", bound, *best])
    return f"## The best of both\n\n{markdown(head, lines)}"


def _ratios(title: str, rows: Sequence[Row], sides: Sequence[Mapping[str, float]]) -> str:
    names = sorted({name for side in sides for name in side})
    lines = []
    for row, side in zip(rows, sides, strict=True):
        best = min(side.values())
        shown = [_shown(side.get(name), best) for name in names]
        lines.append([*_where(row), *shown])
    return f"## {title}\n\n{markdown(['trace', 'size', 'entries', *names], lines)}"


def _shown(ratio: float | None, best: float) -> str:
    """A miss ratio, in bold if no other looks lower; a dash for a cache that failed."""
    if ratio is None:
        return "–"
    text = f"{ratio:.4f}"
    return f"**{text}**" if text == f"{best:.4f}" else text


def _where(row: Row) -> list[str]:
    return [row.cell.trace, f"{row.cell.fraction:.1%}", f"{row.cell.entries:,}"]
