"""The gate: counts the instructions of every verb and compares them with those on record.

    python -m benchmarks.instructions [--record]

Run it from the root of the repository; `make instructions` does. Exit status 1: a verb takes over
3 % more than `baseline.json` says, or nothing could be counted.
"""

from __future__ import annotations

import argparse
import os
import sys

from benchmarks.instructions.baseline import (
    RECORDED,
    TOLERANCE,
    Baseline,
    Comparison,
    differences,
    environment,
)
from benchmarks.instructions.callgrind import CountingFailed, count

RECORD = "    make instructions RECORD=1"
ADVICE = f"""\
Find out what they do. Where they are the price of something that is wanted, and no way around
them was found, record the new counts in the same change, and say so in its message:
{RECORD}"""


def main() -> int:
    """Count, compare or record; return the exit status."""
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--record", action="store_true", help="write a new baseline.json")
    given = options.parse_args()
    try:
        return record() if given.record else check()
    except CountingFailed as error:
        print(f"instructions: {error}", file=sys.stderr)
        return 1


def record() -> int:
    """Write the counts down."""
    baseline = Baseline(environment(), count())
    baseline.write(RECORDED)
    print(f"instructions: {_verbs(len(baseline.verbs))} recorded in {RECORDED.name}")
    return 0


def check() -> int:
    """Compare with the record, unless it was made elsewhere."""
    recorded = Baseline.read(RECORDED)
    if differs := differences(recorded.environment, environment()):
        return not_compared(differs)
    return judge(Comparison(recorded.verbs, count()))


def not_compared(differs: list[str]) -> int:
    """Say why there is nothing to compare with: an error where a comparison is required."""
    required = os.environ.get("PREDIS_COUNTERPARTS") == "required"
    print(f"instructions: NOT COMPARED, the baseline is for others: {'; '.join(differs)}")
    if required:
        print(
            f"PREDIS_COUNTERPARTS=required asks for a comparison; record a baseline here:\n{RECORD}"
        )
    return int(required)


def judge(comparison: Comparison) -> int:
    """Print the table and what follows from it; return the exit status."""
    print(comparison.table(), end="\n\n")
    slower, faster, unmatched = comparison.slower, comparison.faster, comparison.unmatched
    if unmatched:
        print(f"Only on record or only counted: {'; '.join(unmatched)}. Record again:\n{RECORD}")
    if faster:
        print(f"{_take(faster)} fewer instructions; record that, lest it be lost again:\n{RECORD}")
    if slower:
        print(f"{_take(slower)} more instructions than on record.\n{ADVICE}")
    if slower or unmatched:
        return 1
    print(f"{_verbs(len(comparison.now))}, none over {TOLERANCE:.0%} above its baseline.")
    return 0


def _take(names: list[str]) -> str:
    return f"{_verbs(len(names))} take{'s' * (len(names) == 1)} over {TOLERANCE:.0%}"


def _verbs(number: int) -> str:
    return f"{number} verb{'s' * (number != 1)}"


if __name__ == "__main__":
    sys.exit(main())
