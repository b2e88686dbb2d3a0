"""`memory=` is what a process grows by, once everything that fits is there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

# Everything that is loaded or compiled once happens before the first measurement.
PROGRAM = """
import os
from pathlib import Path
import numpy as np
import predis_core as predis

def resident():
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")

def filled(memory, capacity):
    cache = predis.Cache(capacity, value={store}, memory=memory, policy="{policy}")
    for start in range(0, 2 * cache.capacity, 10_000):
        keys = np.arange(start, start + 10_000)
        cache.set_many(keys, {values})
        cache.get_many(keys)
    return cache

filled(8 << 20, {small})
before = resident()
cache = filled(256 << 20, {large})
print(resident() - before, len(cache))
"""

CASES = {
    "rows": {
        "store": 'predis.Rows("float32", (64,))',
        "values": "np.ones((10_000, 64), np.float32)",
        "small": None,
        "large": None,
        "least": 900_000,
    },
    "blobs": {
        "store": "predis.Blobs()",
        "values": '[b"x" * 600] * 10_000',
        "small": 10_000,
        "large": 400_000,
        "least": 380_000,
    },
}


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc/self/statm")
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("policy", ["s3fifo", "lru"])
def test_a_full_cache_has_grown_by_its_memory_and_two_percent_at_most(
    case: str, policy: str
) -> None:
    given = dict(CASES[case], policy=policy)
    least = int(str(given.pop("least")))
    code = PROGRAM
    for name, value in given.items():
        code = code.replace("{" + name + "}", str(value))
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr
    growth, entries = map(int, done.stdout.split())
    assert entries > least
    assert growth < 1.02 * (256 << 20)
