"""Curves while threads look up, a resize is under way, and processes fork."""

from __future__ import annotations

import subprocess
import sys
import threading

import numpy as np

import predis_core as predis
from predis_core.errors import CurveError
from tests.support.crew import PATIENCE, Crew

KEYS = 4_000
ROUNDS = 150


def test_curves_while_threads_look_up_and_the_cache_is_resized() -> None:
    cache: predis.Cache[int, int] = predis.Cache(
        1_000, policy="lru", value=predis.Rows("int64", ()), seed=1, sampling=1.0
    )
    done = threading.Event()

    def work(seed: int) -> None:
        random = np.random.default_rng(seed)
        for _ in range(ROUNDS):
            keys = random.zipf(1.2, 500) % KEYS
            _, hit = cache.get_many(keys)
            cache.set_many(keys[~hit], keys[~hit])

    def ask() -> int:
        asked, last = 0, False
        while not last:
            # Once at least, however long this thread has to wait for its turn.
            last = done.is_set()
            try:
                curve = cache.miss_ratio_curve()
            except CurveError:
                assert not last, "nobody has looked anything up yet"
                continue
            assert (np.diff(curve.miss_ratios) <= 0).all()
            asked += 1
        return asked

    def workers() -> None:
        try:
            Crew().run(*(lambda seed=seed: work(seed) for seed in range(3)))
            cache.resize(2_000)
            Crew().run(*(lambda seed=seed: work(seed) for seed in range(3, 6)))
        finally:
            done.set()

    _, asked, other = Crew().run(workers, ask, ask)
    assert asked > 0
    assert other > 0
    curve = cache.miss_ratio_curve()
    assert curve.lost == 0
    assert curve.requests == cache.stats().requests == 6 * ROUNDS * 500
    assert curve.sampled == curve.requests
    assert curve.live is not None
    assert curve.live.sizes[4] == 2_000
    cache.close()


def test_lookups_may_go_unsampled_during_a_resize_but_none_after_it() -> None:
    cache: predis.Cache[int, int] = predis.Cache(
        20_000, policy="lru", value=predis.Rows("int64", ()), seed=1, sampling=1.0
    )
    cache.set_many(np.arange(20_000), np.arange(20_000))

    def resize() -> None:
        for capacity in (40_000, 20_000, 40_000):
            cache.resize(capacity)

    def work() -> None:
        for first in range(0, 20_000, 50):
            cache.get_many(np.arange(first, first + 50))

    work()
    Crew().run(resize, work, work)
    curve = cache.miss_ratio_curve()
    assert curve.requests == 60_000
    assert 20_000 <= curve.sampled <= 60_000
    work()
    assert cache.miss_ratio_curve().sampled == curve.sampled + 20_000
    cache.close()


FORKED = """
import os, sys
import numpy as np
import predis_core as predis

def opened():
    return predis.Cache(100, policy="lru", value=predis.Rows("int64", ()), seed=1, sampling=1.0)

def curve_of(cache):
    cache.get_many(np.arange(1_000) % 20)
    return cache.miss_ratio_curve().sampled

cache = opened()
assert curve_of(cache) == 1_000
child = os.fork()
if child == 0:
    own = opened()
    del cache  # of the parent: its end is not to be that of the child's thread
    assert curve_of(own) == 1_000
    own.close()
    os._exit(7)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
assert curve_of(cache) == 2_000
"""


def test_a_forked_process_has_curves_of_its_own() -> None:
    result = subprocess.run(
        [sys.executable, "-c", FORKED],
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
    assert result.returncode == 0, result.stderr
