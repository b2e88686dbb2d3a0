"""Whether noticing drift makes batches slower.

    python benchmarks/plugins/drift_overhead.py [--blocks N] [--batch KEYS] [--rate SHARE]
        [--floats N] [--one-core] [--json]

A cache with predis-drift and plain ones take turns (turns.py says how). Nothing is waited for
between batches, so that far more is sampled than in any service; the rate is the plugin's own
unless another is given. Printed is how many times as long the 99th percentile of its batches of
resident keys is, that of an A/A control, and how many look-ups were sampled. Exit code 1 where it
is beyond what is asked, 3 where the control is.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from turns import CAPACITY, arguments, compared, verdict

import predis_core as predis
from predis_core import host


def main() -> int:
    options = arguments(__doc__)
    options.add_argument("--rate", type=float, help="share of the keys that are sampled")
    options.add_argument("--floats", type=int, default=0, help="of a value (an int64)")
    given = options.parse_args()
    events: list[int] = []
    plain = partial(opened, "plain", given.floats, {})
    with tempfile.TemporaryDirectory() as folder:
        drift: dict[str, Any] = {"state": str(Path(folder, "drift"))}
        if given.rate is not None:
            drift["rate"] = given.rate
        other = partial(opened, "drift", given.floats, {"drift": drift}, events)
        pairs = compared(plain, other, given)
    if not sum(events):
        raise SystemExit("nothing was sampled: there is nothing to measure; give a higher --rate")
    return verdict("drift", pairs, given, look_ups_sampled=sum(events))


@contextlib.contextmanager
def opened(
    name: str, floats: int, plugins: dict[str, Any], events: list[int] | None = None
) -> Iterator[predis.Cache[Any, Any]]:
    """Open a cache that holds what is asked for: an int64 per key, or so many float32.

    How many look-ups were sampled is noted in the end.
    """
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
    with predis.open({"cache": section, "plugins": plugins}) as cache:
        cache.set_many(everything, values)
        yield cache
        if events is not None:
            events.append(sampled())


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
