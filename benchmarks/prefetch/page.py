"""The comparison as a page of the documentation, a table of its own, and a plot."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

from benchmarks.prefetch.comparing import (
    COLUMNS,
    ENTRY_BYTES,
    LATENCY,
    METADATA,
    MOST,
    RATE,
    THEIRS,
    Row,
)

_BEGINNING = f"""\
# Prefetch on every trace

`make compare-prefetch` measures these figures and writes them here and into
[prefetch.tsv](prefetch.tsv): lru in sets of 28 ways with both prefetchers of
[predis-prefetch](../../plugins/predis-prefetch/README.md), as they ship and the same for all
traces, against lru without; losers included. A size is a share of a trace's distinct keys.

- **saved**: the share of lru's misses that there are no longer; what is loaded ahead is there
  before the next request, and metadata is free, as in the published figures of others.
- **fetches**: keys that the backend loads, per key that it loads for lru. **precision**: the share
  of what was loaded ahead that was asked for; *quiet* where so little was that it stopped.
- **charged**: saved, with metadata in the place of entries of {ENTRY_BYTES:,} bytes, {METADATA:.0%}
  of the cache, against lru with all entries; the first {MOST:,} requests.
- **timed**: a load takes {LATENCY * 1_000:g} ms, and {RATE:,.0f} requests come per second: the
  seconds that nobody waits any longer, of how many, and the precision; the first {MOST:,} requests.
- **mithril**, **obl**, **pg**: saved by libCacheSim's prefetchers over its lru, which is fully
  associative, by figures that came with the traces.

![The share of lru's misses that is saved](prefetch-table.png)
"""


def read(path: Path) -> list[Row]:
    """Return the rows of a table; none if there is no file."""
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as lines:
        return [
            {name: value if name == "trace" else _number(value) for name, value in row.items()}
            for row in csv.DictReader(lines, delimiter="\t")
        ]


def write(rows: Iterable[Row], path: Path) -> None:
    """Write rows as a table, in order."""
    with path.open("w", encoding="utf-8", newline="") as lines:
        table = csv.DictWriter(lines, COLUMNS, delimiter="\t", lineterminator="\n")
        table.writeheader()
        for row in sorted(rows, key=lambda row: (row["trace"], row["entries"])):
            table.writerow(
                {key: f"{v:.5g}" if isinstance(v, float) else v for key, v in row.items()}
            )


def page(rows: Sequence[Row]) -> str:
    """Return the page in Markdown."""
    head = (
        "trace | size | entries | lru | ours | saved | fetches | precision | charged | timed | "
        "precision | mithril | obl 1 | obl 4 | pg"
    )
    lines = [f"| {head} |", "|---" + "|---:" * 14 + "|"]
    for row in rows:
        waiting = f"{row['timed_seconds']:,.1f} of {row['timed_of']:,.0f} s"
        cells = [
            row["trace"],
            f"{row['fraction']:.0%}",
            f"{row['entries']:,.0f}",
            f"{row['lru']:.4f}",
            f"{row['ours']:.4f}",
            f"**{_percent(row['saved'])}**",
            f"{row['fetches']:.2f}",
            _precision(row, ""),
            _percent(row["charged_saved"]),
            waiting,
            _precision(row, "timed_"),
            *(_percent(row[policy]) for policy in THEIRS),
        ]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return _BEGINNING + "\n" + "\n".join(lines) + "\n\n" + _summary(rows)


def _summary(rows: Sequence[Row]) -> str:
    mithril = THEIRS[0]
    bound = [row for row in rows if row[mithril] != "" and row[mithril] >= 0.05]
    met = [row for row in bound if row["saved"] >= row[mithril] and row["fetches"] <= 1.2]
    known = [
        row["timed_precision"]
        for row in rows
        if row["timed_precision"] != "" and not row["timed_is_quiet"]
    ]
    return (
        f"On {len(met)} of the {len(bound)} cells on which mithril saves 5 % or more, ours saves "
        f"at least as much with at most 20 % more fetches. It saves "
        f"{sum(row['saved'] for row in rows) / len(rows):.1%} on average, and "
        f"{min(row['saved'] for row in rows):.2%} where it saves least. Where loads take time, "
        f"at least {min(known, default=0):.0%} of what was loaded ahead was asked for, but for "
        f"where prefetchers had become quiet.\n"
    )


def plot(rows: Sequence[Row], path: Path) -> None:
    """Draw what ours and mithril save, by cell."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(9, 0.28 * len(rows) + 1.2), layout="constrained")
    places = range(len(rows))
    axes.barh(places, [100 * row["saved"] for row in rows], 0.7, color="#2f6f8f", label="Predis")
    known = [(at, 100 * row[THEIRS[0]]) for at, row in enumerate(rows) if row[THEIRS[0]] != ""]
    axes.plot(
        [value for _, value in known],
        [at for at, _ in known],
        "D",
        color="#d1802b",
        label="libCacheSim's mithril",
    )
    axes.set_yticks(places, [f"{row['trace']}, {row['fraction']:.0%}" for row in rows])
    axes.invert_yaxis()
    axes.set_xlabel("misses of lru that are saved, %")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    figure.savefig(path, dpi=120)


def _number(text: str) -> str | float:
    if text.isdecimal():
        return int(text)
    return float(text) if text else ""


def _precision(row: Row, kind: str) -> str:
    shown = _percent(row[f"{kind}precision"])
    return f"{shown} (quiet)" if row[f"{kind}is_quiet"] and shown != "–" else shown


def _percent(value: str | float) -> str:
    return "–" if isinstance(value, str) else f"{value:.1%}"
