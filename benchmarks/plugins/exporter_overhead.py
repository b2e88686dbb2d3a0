"""What enabling a plugin that exports metrics costs a batch.

    python benchmarks/plugins/exporter_overhead.py [PLUGIN] [--rounds N] [--batch KEYS] [--json]

Two caches that differ in the plugin only, int64 keys and int64 rows, take turns in one process on
one core: each round times a run of `get_many` of resident keys on both, the first one alternating.
Pairs of caches are made anew several times, as where a table lies in memory matters too. Printed
are medians over all rounds, in nanoseconds per batch; the difference is the median of the rounds'
differences. Nobody scrapes, and nothing is sent, meanwhile.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import statistics
from contextlib import suppress
from importlib.metadata import version
from time import perf_counter_ns
from typing import Any

import numpy as np

import predis_core as predis

CAPACITY = 100_000
PAIRS = 8
CALLS = 20
"""Per round and cache."""

NOWHERE = {"endpoint": "http://127.0.0.1:9", "timeout": "100ms"}
SECTIONS: dict[str, dict[str, Any]] = {
    "prometheus": {"prometheus": {"port": 0}},
    "datadog": {"datadog": {"port": 9}},
    "newrelic": {"newrelic": {"license_key": "x", "host": "127.0.0.1:9", "timeout": "100ms"}},
    "newrelic-agent": {"newrelic": {"mode": "agent"}},
    "otel": {"otel": NOWHERE},
    "otel-traces": {"otel": NOWHERE | {"traces": True}},
}
"""What can be measured, and how it is enabled."""


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument(
        "plugin", nargs="?", choices=SECTIONS, default="prometheus", help="default: %(default)s"
    )
    options.add_argument("--rounds", type=int, default=8_000, help="in all (default: %(default)s)")
    options.add_argument("--batch", type=int, default=1_000, help="keys (default: %(default)s)")
    options.add_argument("--json", action="store_true", help="print a document")
    given = options.parse_args()
    with suppress(AttributeError, OSError):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    plugins = SECTIONS[given.plugin]
    figures = summary(measured(plugins, max(1, given.rounds // PAIRS), given.batch))
    made_by = versions(*plugins)
    if given.json:
        print(json.dumps({"batch": given.batch, **figures, "versions": made_by}, indent=2))
        return
    for name, value in figures.items():
        print(f"{name:>11} {value:9,.0f} ns per batch of {given.batch:,}")
    print(", ".join(f"{name} {value}" for name, value in made_by.items()))


def measured(plugins: dict[str, Any], rounds: int, batch: int) -> list[tuple[float, float]]:
    """Return (plain, enabled) of each round, in nanoseconds per batch."""
    found = []
    for pair in range(PAIRS):
        with opened({}) as plain, opened(plugins) as enabled:
            keys = np.random.default_rng(pair).integers(0, CAPACITY // 2, batch)
            caches = (plain, enabled)
            for cache in caches:
                everything = np.arange(CAPACITY // 2)
                cache.set_many(everything, everything)
                timed(cache, keys)
            gc.disable()
            for number in range(rounds):
                order = (0, 1) if number % 2 else (1, 0)
                times = {which: timed(caches[which], keys) for which in order}
                found.append((times[0], times[1]))
            gc.enable()
    return found


def opened(plugins: dict[str, Any]) -> predis.Cache[Any, Any]:
    value = {"kind": "rows", "dtype": "int64"}
    cache = {"name": "enabled" if plugins else "plain", "capacity": CAPACITY, "seed": 1}
    return predis.open({"cache": cache | {"value": value}, "plugins": plugins})


def timed(cache: predis.Cache[Any, Any], keys: np.ndarray) -> float:
    begin = perf_counter_ns()
    for _ in range(CALLS):
        cache.get_many(keys)
    return (perf_counter_ns() - begin) / CALLS


def summary(rounds: list[tuple[float, float]]) -> dict[str, float]:
    return {
        "plain": statistics.median(plain for plain, _ in rounds),
        "enabled": statistics.median(enabled for _, enabled in rounds),
        "difference": statistics.median(enabled - plain for plain, enabled in rounds),
    }


def versions(*plugins: str) -> dict[str, str]:
    distributions = ("predis-core", *(f"predis-{name}" for name in plugins), "numpy", "numba")
    return {"python": platform.python_version()} | {name: version(name) for name in distributions}


if __name__ == "__main__":
    main()
