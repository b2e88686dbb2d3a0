"""What the prefetchers of predis-prefetch cost an access, in the background.

    python benchmarks/plugins/prefetch_cost.py [--accesses N] [--batch KEYS] [--json]

Each prefetcher is told of streams in batches, and asked after each batch, as a cache does: keys by
popularity (Zipf), scans between such keys, and sequences that repeat. Printed are nanoseconds per
access, the median of passes over each stream, of this process' own time.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from time import process_time_ns
from typing import Any

import numpy as np

from predis_core.plugin import AccessBatch
from predis_lab.workloads import Interleaved, Loop, Scan, Zipf
from predis_prefetch.association import Association
from predis_prefetch.config import AssociationConfig, ReadaheadConfig
from predis_prefetch.readahead import Readahead

PASSES = 5
LIMIT = 256


def main() -> int:
    """Measure, print, and return 0."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--accesses", type=int, default=1_000_000, help="per stream (1,000,000)")
    parser.add_argument("--batch", type=int, default=1_000, help="keys per batch (1,000)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    given = parser.parse_args()
    found = {
        name: {stream: _cost(name, keys, given.batch) for stream, keys in _streams(given).items()}
        for name in ("association", "readahead")
    }
    if given.json:
        print(json.dumps({"batch": given.batch, "nanoseconds_per_access": found}, indent=2))
        return 0
    for name, costs in found.items():
        told = ", ".join(f"{stream} {cost:.0f} ns" for stream, cost in costs.items())
        print(f"{name}, batches of {given.batch:,}: {told} per access")
    return 0


def _streams(given: argparse.Namespace) -> dict[str, Any]:
    n = given.accesses
    popular = Zipf(requests=n, keys=100_000, seed=1)
    mixed = Interleaved((Zipf(requests=n // 2, keys=100_000, seed=1), Scan(requests=n // 2)))
    return {
        "zipf": popular.ids(),
        "zipf and a scan": mixed.ids(),
        "repeated": Loop(keys=n // 20, rounds=20, seed=2).ids(),
    }


def _cost(name: str, keys: Any, size: int) -> float:
    batches = [
        AccessBatch("cost", words, words, np.zeros(len(words), bool))
        for words in np.split(keys, range(size, len(keys), size))
    ]
    kind: Any = Association if name == "association" else Readahead
    config: Any = AssociationConfig() if name == "association" else ReadaheadConfig()
    prefetcher = kind(config)
    taken = []
    for _ in range(1 + PASSES):  # the first one loads the kernels, and fills the memory
        begin = process_time_ns()
        for batch in batches:
            prefetcher.observe(batch)
            prefetcher.predict(LIMIT)
        taken.append((process_time_ns() - begin) / len(keys))
    return statistics.median(taken[1:])


if __name__ == "__main__":
    sys.exit(main())
