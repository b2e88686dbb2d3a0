"""Whether an exporter whose endpoint never answers makes batches slower.

    python benchmarks/plugins/black_hole.py PLUGIN [--blocks N] [--json]

The endpoint accepts connections and says nothing, and the exporter is due all the time, so that
it always hangs in an export. Blocks of `get_many` on a cache with it and on one without any plugin
take turns in one process on one core, the first one alternating; each block yields the 99th
percentile of its batches. Printed are the median of the blocks' ratios and its 95 % interval by
bootstrap.

The same is done first with two caches without plugins, an A/A control: where the interval of that
one goes beyond what is asked of the exporter, the machine is too noisy to tell, and the run is void
(exit code 3). Beyond it with the exporter: exit code 1.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import json
import os
import socket
import threading
from collections.abc import Iterator
from time import perf_counter_ns
from typing import Any

import numpy as np
import numpy.typing as npt

import predis_core as predis

CAPACITY = 100_000
BATCH = 1_000
CALLS = 1_000
"""Batches per block."""

MOST = 1.05
"""What the upper end of the interval may be."""

RESAMPLES = 2_000


class BlackHole:
    """Takes connections and datagrams, and never says a word."""

    def __init__(self) -> None:
        self._streams = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = int(self._streams.getsockname()[1])
        self._kept: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                self._kept.append(self._streams.accept()[0])

    @property
    def taken(self) -> int:
        """Connections so far."""
        return len(self._kept)

    def close(self) -> None:
        for each in (self._streams, *self._kept):
            each.close()


def sections(port: int) -> dict[str, dict[str, Any]]:
    """What can be measured, and how it is led into the black hole."""
    url = f"http://127.0.0.1:{port}"
    return {
        "otel": {"endpoint": url, "protocol": "http", "interval": "100ms", "timeout": "2s"},
        "datadog": {
            "transport": "http",
            "api_key": "x",
            "endpoint": url,
            "interval": "1s",
            "timeout": "2s",
        },
        "newrelic": {
            "license_key": "x",
            "host": f"127.0.0.1:{port}",
            "interval": "100ms",
            "timeout": "2s",
        },
    }


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("plugin", choices=sections(0))
    options.add_argument("--blocks", type=int, default=1_000, help="default: %(default)s")
    options.add_argument("--json", action="store_true", help="print a document")
    given = options.parse_args()
    with contextlib.suppress(AttributeError, OSError):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    with contextlib.closing(BlackHole()) as hole:
        control = interval(ratios({}, given.blocks))
        plugins = {given.plugin: sections(hole.port)[given.plugin]}
        found = interval(ratios(plugins, given.blocks))
        connections = hole.taken
    if not connections:
        raise SystemExit(f"{given.plugin} never tried to reach the black hole")
    void = control[2] > MOST
    if given.json:
        print(json.dumps({"control": control, given.plugin: found, "void": void}, indent=2))
    else:
        for name, (low, median, high) in (("A/A control", control), (given.plugin, found)):
            print(f"{name}: p99 {median:.3f} times as long, 95 % between {low:.3f} and {high:.3f}")
        if void:
            print("void: the control itself goes beyond what is asked; try a quieter machine")
    return 3 if void else int(found[2] > MOST)


@contextlib.contextmanager
def opened(plugins: dict[str, Any]) -> Iterator[predis.Cache[Any, Any]]:
    """Open a cache that holds what is asked for."""
    section = {
        "name": "enabled" if plugins else "plain",
        "capacity": CAPACITY,
        "policy": "s3fifo",
        "seed": 1,
        "value": {"kind": "rows", "dtype": "int64"},
    }
    with predis.open({"cache": section, "plugins": plugins}) as cache:
        everything = np.arange(CAPACITY // 2)
        cache.set_many(everything, everything)
        yield cache


def ratios(plugins: dict[str, Any], blocks: int) -> npt.NDArray[np.float64]:
    """Return, of each pair of blocks, p99 with the plugins by p99 without."""
    generator, found = np.random.default_rng(1), []
    with opened({}) as plain, opened(plugins) as other:
        caches = (plain, other)
        for cache in caches:
            p99(cache, np.arange(BATCH))
        gc.disable()
        for number in range(blocks):
            keys = generator.integers(0, CAPACITY // 2, BATCH)
            order = (0, 1) if number % 2 else (1, 0)
            took = {which: p99(caches[which], keys) for which in order}
            found.append(took[1] / took[0])
        gc.enable()
    return np.array(found)


def p99(cache: predis.Cache[Any, Any], keys: npt.NDArray[np.int64]) -> float:
    """Return the 99th percentile of a block's batches, in nanoseconds."""
    took = np.empty(CALLS)
    for call in range(CALLS):
        begin = perf_counter_ns()
        cache.get_many(keys)
        took[call] = perf_counter_ns() - begin
    return float(np.quantile(took, 0.99))


def interval(values: npt.NDArray[np.float64]) -> tuple[float, float, float]:
    """Return the median and, around it, the ends of its 95 % interval by bootstrap."""
    generator = np.random.default_rng(2)
    drawn = generator.choice(values, (RESAMPLES, len(values)))
    low, high = np.quantile(np.median(drawn, axis=1), (0.025, 0.975))
    return float(low), float(np.median(values)), float(high)


if __name__ == "__main__":
    raise SystemExit(main())
