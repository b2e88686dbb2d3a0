"""Snapshots of caches that are larger than what they may take."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

MIB = 1 << 20
HELD = 256
AT_MOST = 40

# Values are written and read back, and the peak of the process is looked at around each.
PROGRAM = """
import resource, sys
import numpy as np
import predis_core as predis

kind, held, path = sys.argv[1], int(sys.argv[2]), sys.argv[3]
SIZE = 1024
STEP = 4_000
entries = held * 1024

def open_cache(capacity):
    value = predis.Rows("uint8", (SIZE,)) if kind == "rows" else predis.Objects()
    return predis.Cache(capacity, value=value, keys="int64", policy="lru", seed=1)

def fill(cache, count):
    for start in range(0, count, STEP):
        ids = np.arange(start, min(start + STEP, count))
        if kind == "rows":
            rows = (ids % 251).astype("u1")[:, None]
            cache.set_many(ids, np.broadcast_to(rows, (len(ids), SIZE)))
        else:
            cache.set_many(ids, [bytes([n % 251]) * SIZE for n in ids.tolist()])

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

small = open_cache(1_000)
fill(small, 500)
small.snapshot(path)
open_cache(1_000).restore(path)

cache = open_cache(entries * 2)
fill(cache, entries)
before = peak()
report = cache.snapshot(path)
written = peak() - before
assert report.bytes > held * 2**20 * 0.99, report
cache.clear()
before = peak()
restored = cache.restore(path)
read = peak() - before
assert restored.restored == report.entries == len(cache), restored
print(written, read)
"""


@pytest.mark.parametrize("kind", ["rows", "objects"])
def test_a_cache_of_any_size_needs_little_more_to_be_written_or_restored(
    kind: str, tmp_path: Path
) -> None:
    held = HELD if kind == "rows" else HELD // 4
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM, kind, str(held), str(tmp_path / "file")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    written, read = map(float, result.stdout.split())
    assert 0 <= written < AT_MOST
    assert 0 <= read < AT_MOST
