"""What predis-prefetch saves threads that read one scan together.

    python benchmarks/plugins/shared_scan.py [--threads N …] [--batch KEYS …] [--latency SECONDS …]

Each thread takes the next batch of one scan, and loads what is missing of it by a loader that
sleeps. Printed are, for each of the combinations, the seconds that the scan takes without
prefetching and with it, and the share of keys that were there when they were asked for: medians of
rounds that take turns.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import sys
import threading
import time
from typing import Any

import numpy as np

import predis_core as predis

SECONDS = 2.0
"""What a scan takes without prefetching, at least."""


def main() -> int:
    """Measure, print, and return 0."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    add = parser.add_argument
    add("--threads", type=int, nargs="+", default=[1, 2, 4], help="default: 1 2 4")
    add("--batch", type=int, nargs="+", default=[8, 32], help="keys (default: 8 32)")
    add("--latency", type=float, nargs="+", default=[0.001, 0.005], help="default: 0.001 0.005")
    add("--rounds", type=int, default=3, help="default: %(default)s")
    given = parser.parse_args()
    for latency, threads, batch in itertools.product(given.latency, given.threads, given.batch):
        rounds = []
        for _ in range(given.rounds):
            without, _ = _scan({}, threads, batch, latency)
            rounds.append((without, *_scan(PREFETCH, threads, batch, latency)))
        without, ahead, hits = (statistics.median(column) for column in zip(*rounds, strict=True))
        print(
            f"{latency * 1000:g} ms, {threads} threads, batches of {batch}: {without:.2f} s "
            f"without, {ahead:.2f} s with it, {hits:.0%} were there",
            flush=True,
        )
    return 0


PREFETCH: dict[str, Any] = {"prefetch": {}}


def _scan(plugins: dict[str, Any], threads: int, batch: int, latency: float) -> tuple[float, float]:
    """Read a scan; return the seconds that it took, and the share of keys that were there."""
    keys = round(SECONDS / latency) * threads * batch

    def load(ids: Any) -> Any:
        time.sleep(latency)
        return ids

    section = {"capacity": 100_000, "value": {"kind": "rows", "dtype": "int64"}}
    with predis.open({"cache": section, "plugins": plugins}, loader=load) as cache:
        starts = itertools.count(step=batch)

        def read() -> None:
            while (start := next(starts)) < keys:
                cache.get_or_load_many(np.arange(start, start + batch))

        begin = time.perf_counter()
        readers = [threading.Thread(target=read) for _ in range(threads)]
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join()
        took = time.perf_counter() - begin
        stats = cache.stats()
        return took, stats.hits / (stats.hits + stats.misses)


if __name__ == "__main__":
    sys.exit(main())
