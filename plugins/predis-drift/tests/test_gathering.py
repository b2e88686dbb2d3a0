"""Times of sampled look-ups, and the file in which what was learned is kept."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from predis_core.plugin import KeySample
from predis_drift import keeping
from predis_drift.gathering import Gatherer


def sample(*ticks: int) -> KeySample:
    count = len(ticks)
    return KeySample("shop", np.arange(count), np.array(ticks, np.int64), np.ones(count, bool), 0.5)


def test_events_lie_between_the_drains_in_proportion() -> None:
    gatherer = Gatherer()
    gatherer.take(sample(0, 100), 10.0)
    events = gatherer.take(sample(150, 200, 300), 12.0)
    assert events.seconds.tolist() == [10.5, 11.0, 12.0]
    assert events.words.tolist() == [0, 1, 2]
    assert events.hits.all()


@pytest.mark.parametrize("second", [9.0, 10.0, float("-1e9")])
def test_a_clock_that_goes_back_stands_still(second: float) -> None:
    gatherer = Gatherer()
    gatherer.take(sample(0, 100), 10.0)
    events = gatherer.take(sample(150, 200), second)
    assert np.isfinite(events.seconds).all()
    assert (np.diff(events.seconds) >= 0).all()


def test_nothing_and_a_table_that_begins_anew() -> None:
    gatherer = Gatherer()
    assert gatherer.take(sample(), 1.0).seconds.tolist() == []
    gatherer.take(sample(1_000), 2.0)
    events = gatherer.take(sample(3, 4), 3.0)
    assert np.isfinite(events.seconds).all()
    assert (np.diff(events.seconds) >= 0).all()


def test_what_was_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "drift.state"
    assert keeping.read(path) is None
    for data in (b"", b"first", bytes(100_000)):
        keeping.write(path, data)
        assert keeping.read(path) == data
    assert os.stat(path).st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"something else", "holds no state"), (keeping.MAGIC + b"1234data", "is damaged")],
)
def test_what_is_no_state_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "drift.state"
    path.write_bytes(content)
    with pytest.raises(keeping.StateError, match=message):
        keeping.read(path)


def test_killed_at_any_time_the_file_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "drift.state"
    script = (
        "import sys; from pathlib import Path; from predis_drift import keeping\n"
        "for number in range(1 << 30):\n"
        "    keeping.write(Path(sys.argv[1]), number.to_bytes(8, 'little') * 20_000)\n"
    )
    for _ in range(3):
        path.unlink(missing_ok=True)
        writer = subprocess.Popen([sys.executable, "-c", script, str(path)])
        try:
            end = time.monotonic() + 60
            while not path.exists():
                assert time.monotonic() < end
                time.sleep(0.001)
        finally:
            writer.send_signal(signal.SIGKILL)
            writer.wait()
        data = keeping.read(path)
        assert data is not None
        assert data == data[:8] * 20_000
