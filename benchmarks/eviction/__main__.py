"""Compare every policy of Predis with every policy of libcachesim, on traces or on workloads.

    python -m benchmarks.eviction [--traces DIR] [--policies NAMES] [--fractions SHARES]

Run it from the root of the repository; `make compare-policies` does. It makes an environment for
libcachesim in build/ and writes a page, a TSV and plots into docs/explanation. Exit codes: 0 done,
1 no environment or no traces, 2 a mistake in the command line.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path

from benchmarks.eviction.comparing import CLASSES, OURS, Plan, Result, compare, known
from benchmarks.eviction.environment import (
    REQUIREMENTS,
    NoEnvironment,
    python_with_libcachesim,
)
from benchmarks.eviction.page import page
from benchmarks.eviction.plots import plot_cells, plot_policies, plot_standings
from benchmarks.eviction.sources import Source, from_folder, synthetic
from benchmarks.eviction.tables import rows_of, standings, write_tsv
from predis_core import policies
from predis_lab.terminal import progress
from predis_lab.traces import TraceError

ROOT = Path(__file__).resolve().parents[2]


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare, write, and return the exit code."""
    given = _parser().parse_args(arguments)
    ours, theirs = given.policies
    plan = Plan(ours, theirs, given.fractions, given.seeds, given.jobs)
    try:
        sources = from_folder(given.traces) if given.traces else synthetic()
        python = python_with_libcachesim()
        results = _run(sources, plan, python)
    except (NoEnvironment, OSError, TraceError) as error:
        print(f"compare-policies: {error}", file=sys.stderr)
        return 1
    given.out.mkdir(parents=True, exist_ok=True)
    _write(results, _made_of(sources, plan, bool(given.traces)), given.out)
    print(f"compare-policies: {len(results):,} results in {given.out}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.eviction", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument(
        "--traces",
        type=Path,
        metavar="DIR",
        help="a folder of traces, in any format that `predis replay` knows by a file's name; "
        "default: synthetic workloads",
    )
    parser.add_argument(
        "--policies",
        type=_policies,
        default=known([*policies.names(), *CLASSES]),
        metavar="NAMES",
        help="with commas; of Predis, of libcachesim, or of both; default: all",
    )
    parser.add_argument(
        "--fractions",
        type=_fractions,
        default=(0.001, 0.01, 0.1),
        metavar="SHARES",
        help="sizes of the caches, as shares of a trace's distinct keys; default: 0.001,0.01,0.1",
    )
    parser.add_argument("--seeds", type=_positive, default=3, help="hash seeds of ours; default: 3")
    parser.add_argument(
        "--jobs", type=_positive, default=1, help="caches replayed into at once; default: 1"
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=ROOT / "docs" / "explanation",
        metavar="DIR",
        help="where to write; default: docs/explanation",
    )
    return parser


def _policies(text: str) -> tuple[list[str], list[str]]:
    try:
        return known(name.strip() for name in text.split(","))
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _fractions(text: str) -> tuple[float, ...]:
    try:
        shares = tuple(float(part) for part in text.split(","))
    except ValueError:
        shares = ()
    if not shares or not all(0 < share <= 1 for share in shares):
        raise argparse.ArgumentTypeError(
            f"{text!r}: write shares above 0 and at most 1, with commas, such as 0.01,0.1"
        )
    return shares


def _positive(text: str) -> int:
    if text.isdecimal() and int(text) > 0:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r}: write a number from 1")


def _run(sources: Sequence[Source], plan: Plan, python: Path) -> list[Result]:
    results: list[Result] = []
    with progress() as bars:
        for source in sources:
            task = bars.add_task(source.name, total=plan.results)
            results += compare(source, plan, python, partial(bars.advance, task))
    return results


def _made_of(sources: Sequence[Source], plan: Plan, traces: bool) -> str:
    kind = "traces" if traces else "synthetic workloads"
    return (
        f"predis-core {version('predis-core')} ({plan.seeds} hash seeds), "
        f"{REQUIREMENTS.read_text(encoding='utf-8').strip().replace('==', ' ')}; "
        f"{len(sources)} {kind}."
    )


def _write(results: Sequence[Result], made_of: str, folder: Path) -> None:
    write_tsv(results, folder / "eviction.tsv")
    (folder / "eviction-table.md").write_text(page(results, made_of), encoding="utf-8")
    rows = [row for row in rows_of(results) if row.settled]
    if not rows:
        return
    found = standings(rows)
    plot_standings(found, folder / "eviction-standings.png")
    plot_cells(rows, folder / "eviction-cells.png")
    names = [standing.policy for standing in found if standing.cache == OURS]
    plot_policies(rows, names, folder / "eviction-policies.png")


if __name__ == "__main__":
    sys.exit(main())
