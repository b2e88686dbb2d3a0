"""The comparison of detectors of drift: what surrounds them. Those of others are not run."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from benchmarks.drift import __main__ as command
from benchmarks.drift import delays, emerging, ours, splices, tuning
from benchmarks.drift.page import STEM, write
from benchmarks.drift.scoring import Verdict, score, wilson
from benchmarks.drift.series import NAMES, STEP, series
from benchmarks.drift.streams import (
    CHANGES,
    FIRST_ONSET,
    LAST_ONSET,
    LENGTH,
    PATTERNS,
    WITHOUT,
    make,
    reuse_gaps,
)


@pytest.mark.parametrize("kind", [*WITHOUT, *CHANGES, *PATTERNS])
def test_a_stream_is_made_of_its_seed_and_changes_at_its_onset(kind: str) -> None:
    stream, again = make(kind, 3), make(kind, 3)
    for column in ("words", "seconds", "hits", "sizes", "batches", "spaces"):
        found = getattr(stream, column)
        assert len(found) == LENGTH
        assert (found == getattr(again, column)).all()
    assert (np.diff(stream.seconds) >= 0).all()
    assert (stream.words != make(kind, 4).words).any()
    assert (stream.onset is None) == (kind in WITHOUT)
    assert stream.onset is None or FIRST_ONSET <= stream.onset <= LAST_ONSET


def test_gaps_are_those_of_plain_python() -> None:
    words = np.array([5, 7, 5, 5, 9, 7], np.int64)
    never = len(words) + 1
    assert reuse_gaps(words).tolist() == [never, never, 2, 1, never, 4]


def test_others_get_a_series_for_each_feature() -> None:
    points = series(make("new scan", 5))
    assert points.shape == (LENGTH // STEP, len(NAMES))
    assert np.isfinite(points).all()


def test_what_an_alarm_is_worth() -> None:
    right = Verdict("rate", 1, 50_000, LENGTH, 60_000)
    late, early = right._replace(alarm=70_001), right._replace(alarm=50_000)
    quiet = Verdict("daily", 1, None, LENGTH, None)
    found = score([right, late, early, quiet])
    assert (found.right, found.recall, found.precision) == (2, 1 / 3, 1 / 3)
    assert found.false_alarms == 1
    assert found.quiet_events == 3 * 50_000 + LENGTH
    assert found.delay == 10_000
    assert math.isnan(score([quiet]).recall)
    low, high = wilson(95, 100)
    assert (low, high) == (pytest.approx(0.8883, abs=1e-4), pytest.approx(0.9785, abs=1e-4))


def test_a_dummy_is_as_good_as_its_best_moment() -> None:
    truth = [("rate", seed, 50_000) for seed in range(3)]
    assert 50_000 < tuning.periodic(truth) <= 70_000
    assert score(tuning.alarming(truth, None)).right == 0


def test_patterns_that_have_to_be_told_and_those_that_may_be() -> None:
    streams = [
        emerging.Told("new scan", 50_000, (("scan", 60_000), ("working_set", 75_000))),
        emerging.Told("new scan", 90_000, (("scan", 80_000), ("scan", 115_000))),
        emerging.Told("new scan", 50_000, (("period", 60_000),)),
        emerging.Told("daily", None, (("scan", 60_000),)),
    ]
    found = emerging._scored(streams, "scan")
    assert (found["given"], found["precision"]) == (4, 0.5)
    assert (found["wanted"], found["soon"]) == (3, pytest.approx(1 / 3, abs=1e-4))
    assert (found["lasted"], found["later"]) == (2, 0.5)
    assert found["delay"] == 17_500
    assert set(emerging.BRINGS) | {"rate", "size"} == {*CHANGES, *PATTERNS}


def test_a_splice_goes_on_as_another_trace(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    for name, first in (("low", 0), ("high", 1 << 40)):
        np.save(tmp_path / f"{name}.npy", first + random.integers(0, 500, LENGTH))
    np.save(tmp_path / "short.npy", np.arange(100))
    known = splices.traces(tmp_path)
    assert sorted(known) == ["high", "low"]
    for stream in splices.streams(known, 7, 2):
        before, after = stream.words[: stream.onset], stream.words[stream.onset or LENGTH :]
        assert len(set(np.abs(before) >> 39)) == 1
        if stream.kind == "splice":
            assert not set(before.tolist()) & set(after.tolist())
            assert ours.verdict(stream, 7).is_right
        else:
            assert stream.onset is None


def test_a_delay_is_in_seconds_of_the_pace() -> None:
    fast, slow = (delays.delay(delays.Job("new scan", 2, rate, 2_000)) for rate in (670, 67))
    assert 0 < fast < slow < 20_000 / 67
    assert slow == pytest.approx(10 * fast, rel=0.5)


def test_the_command_writes_a_page_and_keeps_what_was_measured_before(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small = ["--rivals", "none", "--streams", "1", "--tuned-on", "1", "--windows"]
    out = ["--out", str(tmp_path)]
    assert command.main(["drift", *out, *small]) == 0
    page = (tmp_path / f"{STEM}.md").read_text("utf-8")
    assert "| predis-drift |" in page
    assert "## Patterns that emerge" not in page
    patterns = emerging.measured(lambda function, jobs: list(map(function, jobs)), 1, 0)
    assert patterns["streams"] == 0
    with pytest.raises(SystemExit, match="2"):
        command.main(["splices", *out])
    with pytest.raises(SystemExit, match="2"):
        command.main(["nothing", *out])
    assert command.main(["splices", "--traces", str(tmp_path / "none"), *out]) == 1
    assert "compare-drift: " in capsys.readouterr().err
    document = json.loads((tmp_path / f"{STEM}.json").read_text("utf-8"))
    write(tmp_path, {"drift": document["drift"] | {"streams": 7}})
    assert "right of 7" in (tmp_path / f"{STEM}.md").read_text("utf-8")
