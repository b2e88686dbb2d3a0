"""A process that is killed at any time: whatever window it told of is there afterwards."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from predis_drift import keeping
from predis_drift.config import DriftConfig
from predis_drift.detector import Detector

WINDOW = 500

WORKING = """
import sys
import numpy as np
import predis_core as predis
from predis_core import host
from predis_drift.watch import Watch

Watch.interval = 0.005
cache = {"name": "shop", "capacity": 1_000, "policy": "fifo",
         "value": {"kind": "rows", "dtype": "int64"}}
drift = {"rate": 1.0, "window": 500, "state": sys.argv[1]}
with predis.open({"cache": cache, "plugins": {"drift": drift}}) as cache:
    keys = np.arange(250)
    cache.set_many(keys, keys)
    while True:
        cache.get_many(keys)
        for sample in host.open_sessions()[0].snapshot().samples:
            if sample.metric.name == "predis.drift.windows":
                print(sample.value, flush=True)
"""


@pytest.mark.timeout(300)
def test_killed_at_any_time_no_window_is_lost_that_was_told_of(tmp_path: Path) -> None:
    path, random = tmp_path / "shop.drift", np.random.default_rng(1)
    windows = 0
    for _ in range(4):
        worker = subprocess.Popen(
            [sys.executable, "-c", WORKING, str(path)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert worker.stdout is not None
        assert worker.stderr is not None
        until, seen = windows + int(random.integers(1, 30)), -1
        first = -1
        try:
            for line in worker.stdout:
                seen = int(line)
                first = seen if first < 0 else first
                if seen >= until:
                    break
        finally:
            worker.kill()
        # What it said last, before it was gone.
        said = [int(line) for line in worker.stdout.read().split("\n")[:-1]]
        assert worker.wait() == -9, worker.stderr.read()
        seen = max([seen, *said])
        worker.stdout.close()
        worker.stderr.close()
        assert first >= windows
        data = keeping.read(path)
        assert data is not None
        detector = Detector(DriftConfig(window=WINDOW))
        detector.restore(data)
        windows = detector.windows
        assert windows >= seen
    assert windows >= 4
