"""What the sampled streams cost a batch, at the default rate.

    python benchmarks/plugins/sampling_overhead.py [--rounds N] [--batch KEYS]
        [--streams batches,keys] [--instructions] [--json]

One cache, int64 keys and int64 rows, has samplers of both streams that do nothing with what they
get. Its batches take turns at running without a stream (`plain`, and `again`, which is the control:
its difference is what the method takes for something), and with one of them. Where a table lies in
memory and which threads there are is so the same for all; and each arm has a copy of its own of the
function that it times, as the interpreter adapts a function to what went through it.

In each round every arm times a run of `get_many` of resident keys, in random order, on one core.
Caches are made anew several times. Printed are medians in nanoseconds per batch; a difference is
the median of the rounds' differences. The drains go on meanwhile. With --instructions, those of the
calling thread are counted per batch under valgrind, with kernels for any processor; that takes
minutes.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import random
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from time import perf_counter_ns
from types import FunctionType
from typing import Any

import numpy as np

import predis_core as predis
from predis_core.host.sampling import EVENTS
from predis_core.hosted import SampledCache
from predis_core.plugin import SAMPLE_RATE, NoOptions, PluginSpec, Sampler, hookimpl

CAPACITY = 100_000
CACHES = 4
WARM, CALLS = 60, 60
"""Per round and arm: calls before, which are not timed, and calls that are."""

COUNTED = (200, 1_200)
"""Calls of two runs under valgrind: the difference has no part of starting and ending."""

ARMS = ("plain", "again", "batches", "keys")


class Taker(Sampler):
    """Takes what it gets, at the default rate and interval."""

    def __init__(self, stream: str) -> None:
        self.stream = stream

    def on_sample(self, sample: Any) -> None:
        pass


class Batches:
    def __init__(self, options: NoOptions) -> None: ...

    @hookimpl
    def predis_samplers(self) -> list[Taker]:
        return [Taker("batches")]


class Keys:
    def __init__(self, options: NoOptions) -> None: ...

    @hookimpl
    def predis_samplers(self) -> list[Taker]:
        return [Taker("keys")]


BATCHES = PluginSpec(plugin="__main__:Batches")
KEYS = PluginSpec(plugin="__main__:Keys")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--rounds", type=int, default=4_000, help="in all (default: %(default)s)")
    options.add_argument("--batch", type=int, default=10, help="keys (default: %(default)s)")
    options.add_argument("--streams", default="batches,keys", help="(default: %(default)s)")
    options.add_argument("--instructions", action="store_true", help="count them, with valgrind")
    options.add_argument("--json", action="store_true", help="print a document")
    options.add_argument("--only", choices=ARMS, help=argparse.SUPPRESS)
    options.add_argument("--calls", type=int, help=argparse.SUPPRESS)
    given = options.parse_args()
    with suppress(AttributeError, OSError):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    arms = [arm for arm in ARMS if arm in ("plain", "again", *given.streams.split(","))]
    if given.only:
        for cache, kinds, keys in caches(arms, given.batch, 1):
            turn(cache, kinds, given.only)
            timed(cache, keys, given.calls)
        return
    rounds = list(measured(arms, given.batch, given.rounds))
    figures = {arm: summary(arm, rounds) for arm in arms}
    if given.instructions:
        for arm in arms:
            figures[arm]["instructions"] = counted(arm, given.batch, given.streams)
    if given.json:
        print(json.dumps({"batch": given.batch, **figures, "versions": versions()}, indent=2))
        return
    for arm, figure in figures.items():
        told = ", ".join(f"{name} {value:,.0f}" for name, value in figure.items())
        print(f"{arm:>8}: {told}")
    print(f"batches of {given.batch:,};", ", ".join(f"{k} {v}" for k, v in versions().items()))


# ---------------------------------------------------------------------- the arms


def caches(arms: list[str], batch: int, count: int) -> Iterator[tuple[Any, dict[str, Any], Any]]:
    """Yield caches with the streams of the arms, the class of each arm, and keys."""
    plugins: dict[str, Any] = {arm: {} for arm in arms if arm in ("batches", "keys")}
    section = {"capacity": CAPACITY, "seed": 1, "value": {"kind": "rows", "dtype": "int64"}}
    everything = np.arange(CAPACITY // 2)
    with shelf():
        for number in range(count):
            keys = np.random.default_rng(number).integers(0, CAPACITY // 2, batch)
            kinds = {arm: kind(arm) for arm in arms}
            with predis.open({"cache": section, "plugins": plugins}) as cache:
                cache.set_many(everything, everything)
                yield cache, kinds, keys


def kind(arm: str) -> Any:
    """Return a class whose `get_many` is a copy of the one that is timed."""
    timed_one: Any = (SampledCache if arm == "batches" else predis.Cache).get_many
    copy = FunctionType(timed_one.__code__.replace(), timed_one.__globals__)
    copy.__kwdefaults__ = timed_one.__kwdefaults__
    return type(arm, (SampledCache,), {"get_many": copy})


def turn(cache: Any, kinds: dict[str, Any], arm: str) -> None:
    """Have it be an arm's turn."""
    cache.__class__ = kinds[arm]
    if "keys" in kinds:
        cache.sample_keys(SAMPLE_RATE if arm == "keys" else 0.0, EVENTS)


@contextmanager
def shelf() -> Iterator[None]:
    """Have the plugins of this file found as if they were installed."""
    with tempfile.TemporaryDirectory() as folder:
        info = Path(folder, "sampling_overhead.dist-info")
        info.mkdir()
        info.joinpath("METADATA").write_text("Name: sampling-overhead\nVersion: 1\n")
        lines = ["[predis.plugins.v1]", "batches = __main__:BATCHES", "keys = __main__:KEYS"]
        info.joinpath("entry_points.txt").write_text("\n".join(lines))
        sys.path.append(folder)
        yield
        sys.path.remove(folder)


# ---------------------------------------------------------------------- time


def measured(arms: list[str], batch: int, rounds: int) -> Iterator[dict[str, float]]:
    """Yield nanoseconds per batch by arm, of each round."""
    for cache, kinds, keys in caches(arms, batch, CACHES):
        gc.disable()
        for _ in range(max(1, rounds // CACHES)):
            found = {}
            for arm in random.sample(arms, len(arms)):
                turn(cache, kinds, arm)
                timed(cache, keys, WARM)
                found[arm] = timed(cache, keys, CALLS)
            yield found
        gc.enable()
        cache.__class__ = SampledCache


def timed(cache: Any, keys: np.ndarray, calls: int) -> float:
    begin = perf_counter_ns()
    for _ in range(calls):
        cache.get_many(keys)
    return (perf_counter_ns() - begin) / calls


def summary(arm: str, rounds: list[dict[str, float]]) -> dict[str, float]:
    return {
        "median": statistics.median(found[arm] for found in rounds),
        "difference": statistics.median(found[arm] - found["plain"] for found in rounds),
    }


# ---------------------------------------------------------------------- instructions


def counted(arm: str, batch: int, streams: str) -> float:
    """Return instructions per batch."""
    if shutil.which("valgrind") is None:
        raise SystemExit("--instructions: valgrind is not installed (Debian: apt install valgrind)")
    given = ["--only", arm, "--batch", str(batch), "--streams", streams]
    fewer, more = (instructions([*given, "--calls", str(calls)]) for calls in COUNTED)
    return (more - fewer) / (COUNTED[1] - COUNTED[0])


def instructions(arguments: list[str]) -> int:
    """Return the instructions of the main thread of a process that makes so many calls."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "out")
        tool = ["--tool=callgrind", "--separate-threads=yes", f"--callgrind-out-file={out}"]
        generic = {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": "", "PYTHONHASHSEED": "0"}
        subprocess.run(
            ["valgrind", "-q", *tool, sys.executable, __file__, *arguments],
            env=os.environ | generic,
            stderr=subprocess.DEVNULL,
            check=True,
        )
        found = re.search(r"^totals: (\d+)", Path(f"{out}-01").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1])


def versions() -> dict[str, str]:
    distributions = ("predis-core", "numpy", "numba")
    return {"python": platform.python_version()} | {name: version(name) for name in distributions}


if __name__ == "__main__":
    main()
