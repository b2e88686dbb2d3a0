"""Compare Predis's detector of drift with others, on streams that change and on those that do not.

    python -m benchmarks.drift [PART ...] [--streams N] [--tuning SEED] [--evaluation SEED]
        [--rivals NAMES] [--traces DIR]

The parts are `drift` (the comparison), `delays` (how long it takes at which pace), `patterns` (that
emerge) and, with --traces, `splices` (of traces). Run it from the root of the repository; `make
compare-drift` does. It makes environments for the rivals in build/, and writes a page and figures
into docs; parts that are not measured stay there as they are. Exit codes: 0 done, 1 no environment,
no comparison to take settings from or no traces, 2 a mistake in the command line.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from functools import partial
from multiprocessing import Pool
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.drift import delays, emerging, ours, splices, tuning
from benchmarks.drift.page import STEM, table, write
from benchmarks.drift.scoring import Verdict, score
from benchmarks.drift.series import series
from benchmarks.drift.streams import CHANGES, WITHOUT, Stream, make
from benchmarks.eviction.environment import NoEnvironment
from predis_drift.config import DriftConfig

ROOT = Path(__file__).resolve().parents[2]
OURS = "predis-drift"
NEVER = "no alarm at all"
PERIODIC = "periodic alarm"


class _Made(NamedTuple):
    """What is known of a stream once it was made."""

    truth: tuple[str, int, int | None]
    points: np.ndarray  # type: ignore[type-arg]
    verdict: Verdict


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, write, and return the exit code."""
    parser = _parser()
    given = parser.parse_args(arguments)
    parts = given.parts or [part for part in PARTS if part != splices.PART or given.traces]
    if unknown := set(parts) - set(PARTS):
        parser.error(f"there is no part {min(unknown)!r}; there are {', '.join(PARTS)}")
    if splices.PART in parts and not given.traces:
        parser.error("splices are of traces; name their folder with --traces")
    try:
        with Pool(given.jobs) as pool:
            for part in parts:
                write(given.out, {part: PARTS[part](given, pool)})
    except (NoEnvironment, subprocess.CalledProcessError, FileNotFoundError) as error:
        print(f"compare-drift: {error}", file=sys.stderr)
        return 1
    print(f"compare-drift: {given.out}/{STEM}.md")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.drift", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)} (all)")
    parser.add_argument(
        "--streams", type=int, default=40, help="streams of each kind to evaluate on (40)"
    )
    parser.add_argument(
        "--tuned-on", type=int, default=4, help="streams of each kind to tune rivals on (4)"
    )
    parser.add_argument("--tuning", type=int, default=1_000, help="the first seed of those")
    parser.add_argument(
        "--evaluation", type=int, default=5_310_000, help="the first seed of the others (5310000)"
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
    parser.add_argument("--traces", type=Path, help="a folder of traces, for `splices`")
    parser.add_argument("--jobs", type=int, default=2, help="processes (2)")
    parser.add_argument(
        "--out", type=Path, default=ROOT / "docs" / "explanation", help="where the page goes"
    )
    return parser


# ---- parts ---------------------------------------------------------------------------------------


def _compared(given: argparse.Namespace, pool: Any) -> dict[str, Any]:
    """Return ours, others and dummies, on streams that change and on those that do not."""
    results: dict[str, list[Verdict]] = {}
    with tempfile.TemporaryDirectory() as folder:
        trial = _streams(pool, given.tuning, given.tuned_on)
        final = _streams(pool, given.evaluation, given.streams)
        paths = [_saved(Path(folder), name, made) for name, made in (("t", trial), ("f", final))]
        tuned_on, truth = ([each.truth for each in made] for made in (trial, final))
        results[OURS] = _told(OURS, [each.verdict for each in final])
        for window in given.windows:
            name = f"{OURS}, window = {window:,}"
            jobs = [(kind, seed, window) for kind, seed, _ in truth]
            results[name] = _told(name, pool.map(_with_window, jobs, chunksize=4))
        settings: dict[str, Any] = {}
        for rival in _wanted(given):
            settings[rival.name] = setting = tuning.tuned(rival, paths[0], tuned_on)
            (found,) = tuning.run(rival, [setting], paths[1], truth)
            results[rival.name] = _told(rival.name, found)
    settings[PERIODIC] = {"event": tuning.periodic(tuned_on)}
    results[PERIODIC] = tuning.alarming(truth, settings[PERIODIC]["event"])
    results[NEVER] = tuning.alarming(truth, None)
    return {
        "streams": given.streams,
        "tuned_on": given.tuned_on,
        "tuning_seed": given.tuning,
        "evaluation_seed": given.evaluation,
        "seconds_per_event": round(ours.seconds_per_event(make("stationary", given.tuning)), 9),
        "settings": settings,
        **table(results, (*WITHOUT, *CHANGES)),
    }


def _spliced(given: argparse.Namespace, pool: Any) -> dict[str, Any]:
    """Return ours and the others, as they were tuned for `drift`, on splices of traces."""
    try:
        settings = json.loads((given.out / f"{STEM}.json").read_text("utf-8"))["drift"]["settings"]
    except (FileNotFoundError, KeyError):
        raise FileNotFoundError(
            f"{given.out} has no settings of the others yet; run the part `drift` first"
        ) from None
    known = splices.traces(given.traces)
    count = 2 * given.streams
    made = pool.map(_watched, splices.streams(known, given.evaluation, count), chunksize=4)
    truth = [each.truth for each in made]
    results = {OURS: _told(OURS, [each.verdict for each in made])}
    with tempfile.TemporaryDirectory() as folder:
        path = _saved(Path(folder), "s", made)
        for rival in _wanted(given):
            (found,) = tuning.run(rival, [settings[rival.name]], path, truth)
            results[rival.name] = _told(rival.name, found)
    results[PERIODIC] = tuning.alarming(truth, settings[PERIODIC]["event"])
    results[NEVER] = tuning.alarming(truth, None)
    return {
        "streams": count,
        "seed": given.evaluation,
        "traces": sorted(known),
        **table(results, splices.KINDS),
    }


def _delayed(given: argparse.Namespace, pool: Any) -> dict[str, Any]:
    """Return how long it takes to tell of a change."""
    each = max(1, given.streams // 4)
    return delays.measured(partial(pool.map, chunksize=4), given.evaluation, each)


def _emerged(given: argparse.Namespace, pool: Any) -> dict[str, Any]:
    """Return how often patterns are told that emerge."""
    return emerging.measured(partial(pool.map, chunksize=4), given.evaluation, given.streams)


PARTS = {
    "drift": _compared,
    delays.PART: _delayed,
    emerging.PART: _emerged,
    splices.PART: _spliced,
}


def _wanted(given: argparse.Namespace) -> list[tuning.Rival]:
    return [each for each in tuning.RIVALS if given.rivals in ("all", each.package)]


def _made(job: tuple[str, int]) -> _Made:
    return _watched(make(*job), job[1])


def _watched(stream: Stream, seed: int = 0) -> _Made:
    truth = (stream.kind, seed, stream.onset)
    return _Made(truth, series(stream), ours.verdict(stream, seed))


def _with_window(job: tuple[str, int, int]) -> Verdict:
    kind, seed, window = job
    return ours.verdict(make(kind, seed), seed, DriftConfig(window=window))


def _streams(pool: Any, first: int, count: int) -> list[_Made]:
    jobs = [(kind, first + at) for kind in (*WITHOUT, *CHANGES) for at in range(count)]
    found: list[_Made] = pool.map(_made, jobs, chunksize=4)
    return found


def _saved(folder: Path, name: str, made: list[_Made]) -> Path:
    path = folder / f"{name}.npy"
    np.save(path, np.stack([each.points for each in made]))
    return path


def _told(name: str, verdicts: list[Verdict]) -> list[Verdict]:
    """Return them; and say what they are worth, as it takes a while."""
    found = score(verdicts)
    print(
        f"{name}: {found.accuracy:.1%} right ({found.low:.1%} to {found.high:.1%}), "
        f"{found.false_per_million:.2f} false alarms per million events",
        flush=True,
    )
    return verdicts


if __name__ == "__main__":
    sys.exit(main())
