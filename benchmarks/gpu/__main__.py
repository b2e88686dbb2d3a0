"""Measure the table on a GPU, beside what the device can do and other ways to do the same.

    python -m benchmarks.gpu [--seconds 420] [--device 0] [--policy NAME]

Run it from the root of the repository; `make gpu-bench` does. It needs no network. Exit codes:
0 done; 1 the figures cannot be trusted or written; 2 a mistake in the command line; 3 no CuPy, or
no GPU that can be used. Nothing is written unless it is 0.
"""

from __future__ import annotations

import argparse
import importlib
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.gpu.plan import Plan
from benchmarks.gpu.report import NoMarks, marked, tables_of, write
from benchmarks.gpu.running import run
from benchmarks.gpu.session import Session, WrongResult
from benchmarks.gpu.timing import Deadline
from predis_core import policies
from predis_core.errors import DeviceError

DOCS = Path(__file__).resolve().parents[2] / "docs"
SECONDS = 420.0


def main(arguments: Sequence[str] | None = None, plan: Plan | None = None) -> int:
    """Measure, write, and return the exit code."""
    given = _parser().parse_args(arguments)
    deadline = Deadline(given.seconds)
    try:
        marked(given.page)
        session = Session(
            _module("cupy"), _module("torch"), plan or Plan(), deadline, given.device, given.policy
        )
    except DeviceError as error:
        return _failed(error, 3)
    except (NoMarks, OSError) as error:
        return _failed(error, 1)
    try:
        run(session)
        print(tables_of(session))
        write(session, given.json, given.page)
    except (DeviceError, OSError, WrongResult) as error:
        return _failed(error, 1)
    print(f"gpu-bench: {len(session.rows)} figures in {given.json} and {given.page}")
    return 0


def _failed(error: Exception, code: int) -> int:
    print(f"gpu-bench: {error}", file=sys.stderr)
    return code


def _module(name: str) -> Any:
    """Return a module, or None where it is not installed; `CupyDevice` tells of CuPy."""
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def _parser() -> argparse.ArgumentParser:
    text = __doc__ or ""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu",
        description=text.partition("\n")[0],
        epilog=text[text.index("Exit codes") :],
    )
    parser.add_argument(
        "--seconds",
        type=_seconds,
        default=SECONDS,
        help="that it may take; what does not fit is left out and listed; default: 420",
    )
    parser.add_argument(
        "--device", type=int, default=0, metavar="N", help="number of the GPU; default: 0"
    )
    parser.add_argument(
        "--policy",
        choices=policies.names(),
        default="s3fifo",
        metavar="NAME",
        help="of the tables; default: s3fifo",
    )
    parser.add_argument(
        "--json", type=Path, default=DOCS / "performance-gpu.json", metavar="FILE",
        help="where all figures go; default: docs/performance-gpu.json",
    )  # fmt: skip
    parser.add_argument(
        "--page", type=Path, default=DOCS / "performance.md", metavar="FILE",
        help="where tables go, between two marks; default: docs/performance.md",
    )  # fmt: skip
    return parser


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r}: write seconds above 0, such as 420")
    return seconds


if __name__ == "__main__":
    sys.exit(main())
