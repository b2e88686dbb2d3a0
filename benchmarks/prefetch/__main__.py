"""Compare lru with our prefetchers with lru without, and with libCacheSim's prefetchers.

    python -m benchmarks.prefetch --traces DIR [--fractions SHARES] [--keep] [--jobs N]

Run it from the root of the repository; `make compare-prefetch` does. It writes a page, a TSV and a
plot into docs/explanation. What libCacheSim's prefetchers miss is read from DIR/EXPECTED.tsv if it
is there (its package for Python has no prefetchers, so those figures are not measured here). Exit
codes: 0 done, 1 no traces, 2 a mistake in the command line.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.prefetch.comparing import cells, compare, known
from benchmarks.prefetch.page import page, plot, read, write

ROOT = Path(__file__).resolve().parents[2]


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare, write, and return the exit code."""
    given = _parser().parse_args(arguments)
    table = given.out / "prefetch.tsv"
    given.out.mkdir(parents=True, exist_ok=True)
    rows = read(table) if given.keep else []
    if given.traces is not None:
        fractions = [float(share) for share in given.fractions.split(",")]
        chosen = list(cells(given.traces, fractions))
        if not chosen:
            print(f"compare-prefetch: {given.traces} has no traces (.npy)", file=sys.stderr)
            return 1
        for row in compare(chosen, known(given.traces / "EXPECTED.tsv"), given.jobs):
            at = row["trace"], row["entries"]
            rows = [other for other in rows if (other["trace"], other["entries"]) != at]
            rows.append(row)
            write(rows, table)
            print(f"{row['trace']}, {row['entries']} entries: {row['saved']:.1%} saved", flush=True)
    (given.out / "prefetch-table.md").write_text(page(read(table)), encoding="utf-8")
    plot(read(table), given.out / "prefetch-table.png")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.prefetch", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument(
        "--traces", type=Path, metavar="DIR", help="a folder of .npy traces; none: only the page"
    )
    parser.add_argument(
        "--fractions",
        default="0.01,0.1",
        metavar="SHARES",
        help="sizes of the caches, as shares of a trace's distinct keys; default: 0.01,0.1",
    )
    parser.add_argument("--keep", action="store_true", help="keep rows that are not measured anew")
    parser.add_argument("--jobs", type=int, default=2, help="replays at the same time; default: 2")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "explanation")
    return parser


if __name__ == "__main__":
    sys.exit(main())
