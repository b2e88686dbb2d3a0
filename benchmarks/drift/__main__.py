"""Compare Predis's detector of drift with others, on streams that change and on those that do not.

    python -m benchmarks.drift [--streams N] [--tuning SEED] [--evaluation SEED] [--rivals NAMES]

Run it from the root of the repository; `make compare-drift` does. It makes environments for the
rivals in build/, and writes a page and figures into docs. Exit codes: 0 done, 1 no environment, 2 a
mistake in the command line.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from multiprocessing import Pool
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.drift import ours, tuning
from benchmarks.drift.page import write
from benchmarks.drift.scoring import Verdict, score
from benchmarks.drift.series import series
from benchmarks.drift.streams import CHANGES, WITHOUT, make
from benchmarks.eviction.environment import NoEnvironment
from predis_drift.config import DriftConfig

ROOT = Path(__file__).resolve().parents[2]
OURS = "predis-drift"


class _Made(NamedTuple):
    """What is known of a stream once it was made."""

    truth: tuple[str, int, int | None]
    points: np.ndarray  # type: ignore[type-arg]
    verdict: Verdict


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare, write, and return the exit code."""
    given = _parser().parse_args(arguments)
    wanted = [each for each in tuning.RIVALS if given.rivals in ("all", each.package)]
    settings: dict[str, object] = {}
    results: dict[str, list[Verdict]] = {}
    try:
        with Pool(given.jobs) as pool, tempfile.TemporaryDirectory() as folder:
            trial = _streams(pool, given.tuning, given.tuned_on)
            final = _streams(pool, given.evaluation, given.streams)
            paths = [
                _saved(Path(folder), name, made) for name, made in (("t", trial), ("f", final))
            ]
            tuned_on, truth = ([each.truth for each in made] for made in (trial, final))
            results[OURS] = [each.verdict for each in final]
            _tell(OURS, results[OURS])
            for window in given.windows:
                name = f"{OURS}, window = {window:,}"
                jobs = [(kind, seed, window) for kind, seed, _ in truth]
                results[name] = pool.map(_with_window, jobs, chunksize=4)
                _tell(name, results[name])
            for rival in wanted:
                setting = tuning.tuned(rival, paths[0], tuned_on)
                settings[rival.name] = setting
                (results[rival.name],) = tuning.run(rival, [setting], paths[1], truth)
                _tell(rival.name, results[rival.name])
    except (NoEnvironment, subprocess.CalledProcessError) as error:
        print(f"compare-drift: {error}", file=sys.stderr)
        return 1
    settings["periodic alarm"] = {"event": tuning.periodic(tuned_on)}
    results["periodic alarm"] = tuning.alarming(truth, tuning.periodic(tuned_on))
    results["no alarm at all"] = tuning.alarming(truth, None)
    given.out.mkdir(parents=True, exist_ok=True)
    cost = ours.seconds_per_event(make("stationary", given.evaluation))
    write(given.out, results, settings, given, cost)
    print(f"compare-drift: {given.out}/drift-comparison.md")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.drift", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument(
        "--streams", type=int, default=40, help="streams of each kind to evaluate on (40)"
    )
    parser.add_argument(
        "--tuned-on", type=int, default=4, help="streams of each kind to tune rivals on (4)"
    )
    parser.add_argument("--tuning", type=int, default=1_000, help="the first seed of those")
    parser.add_argument(
        "--evaluation", type=int, default=770_000, help="the first seed of the others (770000)"
    )
    parser.add_argument(
        "--rivals",
        choices=("all", "none", *sorted({each.package for each in tuning.RIVALS})),
        default="all",
        help="whose detectors to run beside ours (all)",
    )
    parser.add_argument(
        "--windows", type=int, nargs="*", default=[500, 1_000], help="others of ours (500 1000)"
    )
    parser.add_argument("--jobs", type=int, default=2, help="processes (2)")
    parser.add_argument(
        "--out", type=Path, default=ROOT / "docs" / "explanation", help="where the page goes"
    )
    return parser


def _made(job: tuple[str, int]) -> _Made:
    kind, seed = job
    stream = make(kind, seed)
    return _Made((kind, seed, stream.onset), series(stream), ours.verdict(stream, seed))


def _with_window(job: tuple[str, int, int]) -> Verdict:
    kind, seed, window = job
    return ours.verdict(make(kind, seed), seed, DriftConfig(window=window))


def _streams(pool: Pool, first: int, count: int) -> list[_Made]:  # type: ignore[valid-type]
    jobs = [(kind, first + at) for kind in (*WITHOUT, *CHANGES) for at in range(count)]
    return pool.map(_made, jobs, chunksize=4)  # type: ignore[attr-defined,no-any-return]


def _saved(folder: Path, name: str, made: list[_Made]) -> Path:
    path = folder / f"{name}.npy"
    np.save(path, np.stack([each.points for each in made]))
    return path


def _tell(name: str, verdicts: list[Verdict]) -> None:
    found = score(verdicts)
    print(
        f"{name}: {found.accuracy:.1%} right ({found.low:.1%} to {found.high:.1%}), "
        f"{found.false_per_million:.2f} false alarms per million events",
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main())
