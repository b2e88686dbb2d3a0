"""Patterns that emerge, beside streams in which none does."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import numpy as np
import pytest

from predis_drift.config import PATTERNS, DriftConfig
from predis_drift.detector import Detector
from predis_drift.features import MEMORY, Histograms
from predis_drift.gathering import Events
from predis_drift.interface import Pattern
from predis_drift.patterns import DISTANCES, KEPT, Patterns, peaks

BLOCK = 250
BEFORE, AFTER = 70 * BLOCK, 40 * BLOCK


def zipf(count: int, seed: int, *, keys: int = 1_000) -> Any:
    law = np.cumsum(1 / np.arange(1, keys + 1))
    return np.searchsorted(law, np.random.default_rng(seed).random(count) * law[-1])


def events(words: Any) -> Events:
    found = np.asarray(words, np.int64)
    count = len(found)
    return Events(found, np.arange(float(count)), np.ones(count, bool))


class Watched:
    """Patterns of one stream, block by block."""

    def __init__(self, *watched: Any) -> None:
        self.histograms = Histograms(BLOCK)
        self.patterns = Patterns(BLOCK, watched or PATTERNS)

    def feed(self, words: Any) -> list[Pattern]:
        found = []
        for _ in self.histograms.take(events(words)):
            found += self.patterns.take(self.histograms)
        return found


def changed(seed: int, share: float, new: Any) -> Any:
    """Look-ups of which a share is of other keys from BEFORE on."""
    words = zipf(BEFORE + AFTER, seed)
    is_new = np.random.default_rng(seed + 1).random(AFTER) < share
    words[BEFORE:][is_new] = new[: int(is_new.sum())]
    return words


MANY = np.arange(AFTER)


def test_look_ups_that_stay_as_they_are_have_none() -> None:
    assert Watched().feed(zipf(2 * BEFORE, 1)) == []
    assert Watched().feed(np.zeros(BEFORE, np.int64)) == []
    assert Watched().feed(np.arange(BEFORE)) == []


def test_a_hot_group() -> None:
    group = np.random.default_rng(2).integers(900, 910, AFTER)
    found = [each for each in Watched().feed(changed(2, 0.5, group)) if each.event < BEFORE + AFTER]
    first = found[0]
    assert first.pattern == "hot_group"
    assert BEFORE < first.event <= BEFORE + 10 * BLOCK
    assert 8 <= first.keys <= 12
    assert first.growth > 4
    assert first.level > first.threshold > first.usual >= 0
    assert [each.pattern for each in found].count("hot_group") == 1


def test_a_key_that_is_hot_for_a_moment_is_none() -> None:
    words = zipf(BEFORE + AFTER, 3)
    words[BEFORE : BEFORE + 2 * BLOCK : 2] = 950
    assert Watched("hot_group").feed(words) == []


def test_a_scan() -> None:
    found = Watched().feed(changed(4, 0.5, 10**6 + MANY))
    first = found[0]
    assert first.pattern == "scan"
    assert BEFORE < first.event <= BEFORE + 12 * BLOCK
    assert first.keys == pytest.approx(3 * BLOCK * first.level, abs=1)
    assert first.level == pytest.approx(0.5, abs=0.15)
    assert first.growth > 2
    assert {each.pattern for each in found} <= {"scan", "working_set"}


def test_new_keys_that_come_again_are_no_scan() -> None:
    assert Watched("scan").feed(changed(5, 0.5, 10**6 + MANY // 4)) == []


@pytest.mark.parametrize("length", [150, 400])
def test_a_period(length: int) -> None:
    found = Watched("period").feed(changed(6, 0.5, MANY % length + 10**6))
    (only,) = found
    assert BEFORE < only.event <= BEFORE + AFTER
    assert only.period == pytest.approx(2 * length, rel=0.15)
    assert 0 < only.keys <= BLOCK
    assert only.growth > 2


def test_a_period_that_always_was_is_none() -> None:
    words = zipf(2 * BEFORE, 7)
    words[::2] = 10**6 + np.arange(BEFORE) % 200
    assert Watched("period").feed(words) == []


def test_a_working_set_that_grows_slowly_and_one_that_shrinks() -> None:
    words = zipf(BEFORE + 2 * AFTER, 8)
    count = len(words) - BEFORE
    is_new = np.random.default_rng(9).random(count) < 0.7 * np.minimum(1, np.arange(count) / AFTER)
    words[BEFORE:][is_new] = 10**6 + np.random.default_rng(10).integers(0, 3_000, int(is_new.sum()))
    (grown,) = Watched("working_set").feed(words)
    assert grown.event > BEFORE
    assert grown.growth > 1.2
    assert grown.keys > 500
    fewer = zipf(BEFORE + AFTER, 11)
    fewer[BEFORE:] %= 20
    (shrunk,) = Watched("working_set").feed(fewer)
    assert shrunk.growth < 0.5
    assert shrunk.keys == 20


def test_keys_in_use_are_counted_as_plain_python_does() -> None:
    watched, words = Watched(), zipf(60 * BLOCK, 12)
    watched.feed(words)
    kept = watched.patterns.state()
    in_use = np.exp(np.frombuffer(kept.measures).reshape(-1, 6)[-1, 5])
    # Few of 1,000 keys share a mark.
    assert in_use == pytest.approx(len(set(words[-MEMORY * BLOCK :].tolist())), abs=5)


def test_one_that_ended_long_ago_is_told_again() -> None:
    again = BEFORE + AFTER + KEPT * BLOCK
    words = zipf(again + AFTER, 13)
    for start in (BEFORE, again):
        words[start : start + AFTER : 2] = start * 100 + MANY[: AFTER // 2]
    first, second = Watched("scan").feed(words)
    assert BEFORE < first.event < BEFORE + AFTER
    assert again < second.event < again + AFTER


@pytest.mark.parametrize("at", [10, BEFORE // BLOCK - 5, BEFORE // BLOCK + 30])
def test_what_was_kept_goes_on(at: int) -> None:
    words = changed(14, 0.6, 10**6 + MANY)
    first, second = Watched("scan"), Watched("scan")
    found = first.feed(words[: at * BLOCK])
    second.histograms.restore(*first.histograms.state())
    second.patterns.restore(
        msgspec.msgpack.decode(
            msgspec.msgpack.encode(first.patterns.state()), type=type(first.patterns.state())
        )
    )
    found += second.feed(words[at * BLOCK :])
    assert [each.pattern for each in found] == ["scan"]
    assert found[0].event > BEFORE


def test_what_is_kept_is_bounded_and_checked() -> None:
    watched = Watched()
    watched.feed(zipf((KEPT + 60) * BLOCK, 15))
    kept = watched.patterns.state()
    assert len(kept.measures) == 8 * 6 * KEPT
    assert len(kept.distances) == 4 * DISTANCES * KEPT
    for wrong in (
        {"measures": kept.measures[:-3]},
        {"measures": kept.measures[:-48]},
        {"measures": np.full(6 * KEPT, np.nan).tobytes()},
        {"distances": np.full(DISTANCES * KEPT, -1, np.int32).tobytes()},
        {"told": (True,)},
    ):
        with pytest.raises(ValueError, match="patterns of this state are damaged"):
            watched.patterns.restore(msgspec.structs.replace(kept, **wrong))
    assert watched.patterns.state() == kept


def test_only_what_is_watched_is_measured() -> None:
    watched = Watched("period")
    json.dumps(msgspec.to_builtins(watched.feed(changed(16, 0.5, 10**6 + MANY % 300))))
    assert set(watched.patterns.strengths) == {"period"}
    nothing = Patterns(BLOCK, ())
    assert nothing.take(watched.histograms) == []
    assert nothing.strengths == {}


def test_peaks_are_higher_than_what_is_beside_them() -> None:
    flat = np.full(DISTANCES, 0.01)
    assert peaks(flat)[6:-6] == pytest.approx(0)
    flat[20] += 0.5
    found = peaks(np.stack([flat, np.zeros(DISTANCES)]))
    assert found[0, 19:22] == pytest.approx(0.5)
    assert int(np.argmax(found[0])) in (19, 20, 21)
    assert not found[1].any()


def test_a_detector_tells_of_patterns_once_and_keeps_them() -> None:
    words = changed(17, 0.5, 10**6 + MANY)[: BEFORE + 16 * BLOCK]
    detector = Detector(DriftConfig(window=2 * BLOCK))
    detector.feed(events(words))
    assert [each.pattern for each in detector.emerged()] == ["scan"]
    assert detector.emerged() == []
    assert {type(each) for each in detector.strengths.values()} == {float}
    assert detector.strengths["scan"] > 1 > detector.strengths["period"]
    other = Detector(DriftConfig(window=2 * BLOCK, patterns=("scan",)))
    other.restore(detector.state())
    assert other.state() == detector.state()
    other.feed(events(10**7 + MANY[: 14 * BLOCK]))
    assert other.strengths["scan"] > 1
    assert other.emerged() == []
