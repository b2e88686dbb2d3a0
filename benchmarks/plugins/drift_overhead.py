"""Whether noticing drift makes batches slower.

    python benchmarks/plugins/drift_overhead.py [--blocks N] [--batch KEYS] [--rate SHARE]
        [--floats N] [--one-core] [--json]

Blocks of `get_many` of resident keys on a cache with predis-drift and on one without any plugin
take turns in one process, the first one alternating; each block yields the 99th percentile of its
batches. Nothing is waited for between batches, so that far more is sampled than in any service; the
rate is the plugin's own unless another is given. Printed are the median of the blocks' ratios and
its 95 % interval by bootstrap, and how many look-ups were sampled. With --one-core, threads share a
core.

An A/A control of identical code takes turns with it, as in prefetch_overhead.py, whose method this
is: where the interval of that one goes beyond what is asked of the plugin, the machine is too noisy
to tell, and the run is void (exit code 3). Beyond it with the plugin: exit code 1.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from prefetch_overhead import CAPACITY, MOST, interval, ratios

import predis_core as predis
from predis_core import host


def main() -> int:
    options = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    options.add_argument("--blocks", type=int, default=1_000, help="default: %(default)s")
    options.add_argument("--batch", type=int, default=1_000, help="keys (default: %(default)s)")
    options.add_argument("--rate", type=float, help="share of the keys that are sampled")
    options.add_argument("--floats", type=int, default=0, help="of a value (an int64)")
    options.add_argument("--one-core", action="store_true", help="for all threads")
    options.add_argument("--json", action="store_true", help="print a document")
    given = options.parse_args()
    if given.one_core:
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    with tempfile.TemporaryDirectory() as folder:
        drift: dict[str, Any] = {"state": str(Path(folder, "drift"))}
        if given.rate is not None:
            drift["rate"] = given.rate
        with (
            opened("plain", given.floats, {}) as plain,
            opened("again", given.floats, {}) as again,
            opened("drift", given.floats, {"drift": drift}) as other,
        ):
            begin = perf_counter()
            pairs = ratios((plain, again, other), given.blocks, given.batch)
            seconds = perf_counter() - begin
            events = sampled()
    if not events:
        raise SystemExit("nothing was sampled: there is nothing to measure; give a higher --rate")
    control, found = interval(pairs[:, 0]), interval(pairs[:, 1])
    void = control[2] > MOST
    if given.json:
        pace = {"sampled": events, "seconds": round(seconds, 1)}
        print(json.dumps({"control": control, "drift": found, "void": void, **pace}, indent=2))
    else:
        for name, (low, median, high) in (("A/A control", control), ("drift", found)):
            print(f"{name}: p99 {median:.3f} times as long, 95 % between {low:.3f} and {high:.3f}")
        print(f"{events:,} look-ups were sampled in {seconds:,.0f} seconds")
        if void:
            print("void: the control itself goes beyond what is asked; try a quieter machine")
    return 3 if void else int(found[2] > MOST)


def opened(name: str, floats: int, plugins: dict[str, Any]) -> predis.Cache[Any, Any]:
    """Open a cache that holds what is asked for: an int64 per key, or so many float32."""
    section = {
        "name": name,
        "capacity": CAPACITY,
        "policy": "s3fifo",
        "seed": 1,
        "value": {"kind": "rows", "dtype": "int64"},
    }
    everything = np.arange(CAPACITY // 2)
    values = everything
    if floats:
        section["value"] = {"kind": "rows", "dtype": "float32", "shape": [floats]}
        values = np.repeat(everything.astype(np.float32)[:, None], floats, axis=1)
    cache: predis.Cache[Any, Any] = predis.open({"cache": section, "plugins": plugins})
    cache.set_many(everything, values)
    return cache


def sampled() -> int:
    """Return how many look-ups the plugin got."""
    return sum(
        int(sample.value)  # type: ignore[arg-type]
        for session in host.open_sessions()
        for sample in session.snapshot().samples
        if sample.metric.name == "predis.drift.events"
    )


if __name__ == "__main__":
    raise SystemExit(main())
