"""The detector, on streams that change and on those that only look like it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from predis_drift import keeping
from predis_drift.config import FEATURES, DriftConfig
from predis_drift.detector import LEARNED, MOST, Detector
from predis_drift.gathering import Events
from predis_drift.interface import Alarm, Pattern

WINDOW = 1_000
BLOCK = WINDOW // 2
BEFORE = LEARNED * BLOCK + 10 * WINDOW


def zipf(count: int, seed: int, *, keys: int = 3_000) -> Any:
    random = np.random.default_rng(seed)
    law = np.cumsum(1 / np.arange(1, keys + 1))
    return np.searchsorted(law, random.random(count) * law[-1])


def stream(words: Any, *, seed: int = 0, rate: Any = 100.0, **columns: Any) -> Events:
    found = np.asarray(words, np.int64)
    pauses = np.random.default_rng(seed).exponential(1.0, len(found)) / rate
    hits = np.random.default_rng(seed + 1).random(len(found)) < 0.75
    return Events(found, np.cumsum(pauses), columns.pop("hits", hits), **columns)


def parts(events: Events, size: int) -> Iterator[Events]:
    for at in range(0, len(events.words), size):
        yield Events(*(None if each is None else each[at : at + size] for each in events))


def alarms(events: Events, *, size: int = 777, **section: Any) -> list[Alarm]:
    detector = Detector(DriftConfig(window=WINDOW, **section))
    return [alarm for part in parts(events, size) for alarm in detector.feed(part)]


def told(events: Events) -> list[Alarm | Pattern]:
    """Alarms, and patterns."""
    detector = Detector(DriftConfig(window=WINDOW))
    found: list[Alarm | Pattern] = []
    for part in parts(events, 777):
        found += [*detector.feed(part), *detector.emerged()]
    return found


def sizes(events: int, seed: int) -> Any:
    return np.random.default_rng(seed).lognormal(7, 1, events)


CHANGED = {
    "popularity": lambda words: (words * 7 + 5) % 3_000,
    "new_keys": lambda words: np.where(
        np.arange(len(words)) % 2 == 0, 10**6 + np.arange(len(words)), words
    ),
    "reuse_distance": lambda words: np.where(
        np.arange(len(words)) % 2 == 0, np.arange(len(words)) // 2 % 300, words
    ),
}


@pytest.mark.parametrize("feature", CHANGED)
def test_keys_that_change_give_one_alarm(feature: str) -> None:
    words = zipf(BEFORE + 20 * WINDOW, 1)
    assert alarms(stream(words)) == []
    words[BEFORE:] = CHANGED[feature](words[BEFORE:])
    (alarm,) = alarms(stream(words))
    assert feature in (alarm.feature, *alarm.also)
    assert BEFORE < alarm.event <= BEFORE + 10 * WINDOW
    assert alarm.value > alarm.threshold > 0
    assert alarm.labels
    for histogram in (alarm.before, alarm.after):
        assert len(histogram) == len(alarm.labels)
        assert sum(histogram) == pytest.approx(1, abs=1e-4)
    assert alarm.before != alarm.after


def test_time_sizes_hits_batches_and_namespaces_that_change_give_an_alarm_each() -> None:
    count = BEFORE + 20 * WINDOW
    words, is_after = zipf(count, 2), np.arange(count) >= BEFORE
    random = np.random.default_rng(3)
    columns = {
        "inter_arrival": {"rate": np.where(is_after, 400.0, 100.0)},
        "value_size": {"sizes": sizes(count, 3) * np.where(is_after, 6, 1)},
        "hit_ratio": {"hits": random.random(count) < np.where(is_after, 0.4, 0.75)},
        "batch_size": {"batches": np.cumsum(random.random(count) < np.where(is_after, 0.05, 0.4))},
        "namespace_share": {"spaces": (random.random(count) < np.where(is_after, 0.6, 0.2)) * 1},
    }
    for feature, column in columns.items():
        found = alarms(stream(words, **column))
        assert [each.feature for each in found] == [feature]
        assert BEFORE < found[0].event <= BEFORE + 10 * WINDOW
        others = tuple(name for name in FEATURES if name != feature)
        assert alarms(stream(words, **column), features=others) == []


def test_a_flash_that_does_not_last_gives_none() -> None:
    words = zipf(BEFORE + 20 * WINDOW, 4)
    words[BEFORE : BEFORE + WINDOW] = 10**6 + np.arange(WINDOW)
    assert alarms(stream(words)) == []
    assert alarms(stream(words), confirmation=1) != []


def test_what_comes_and_goes_in_the_reference_gives_none() -> None:
    count = BEFORE + 60 * WINDOW
    rate = 100 * (1 + 0.6 * np.sin(np.arange(count) / 1_500))
    assert alarms(stream(zipf(count, 5), rate=rate)) == []


def test_an_alarm_is_of_one_feature_and_names_the_others() -> None:
    words = zipf(BEFORE + 20 * WINDOW, 6)
    words[BEFORE:] = 10**6 + np.arange(20 * WINDOW)
    (alarm,) = alarms(stream(words))
    assert {"popularity", "reuse_distance", "new_keys"} <= {alarm.feature, *alarm.also}
    assert alarm.feature not in alarm.also
    assert alarm.severity == "error"


# ---- references ----------------------------------------------------------------------------------


def test_a_rolling_reference_learns_what_is_new_and_tells_when_it_ends() -> None:
    words = zipf(BEFORE + 45 * WINDOW + 20 * WINDOW, 7)
    new = slice(BEFORE, BEFORE + 45 * WINDOW)
    scanned = np.arange(45 * WINDOW) % 2 == 0
    words[new] = np.where(scanned, 10**6 + np.arange(45 * WINDOW), words[new])
    first, second = alarms(stream(words))
    assert BEFORE < first.event < BEFORE + 10 * WINDOW
    assert new.stop < second.event < new.stop + 10 * WINDOW


def test_a_kept_reference_tells_once_until_all_is_as_before() -> None:
    words = zipf(BEFORE + 90 * WINDOW, 8)
    new = 10**6 + np.arange(len(words))
    for start in (0, 60):
        at = slice(BEFORE + start * WINDOW, BEFORE + (start + 30) * WINDOW)
        words[at] = np.where(np.arange(30 * WINDOW) % 2 == 0, new[at], words[at])
    found = [each for each in alarms(stream(words), reference="kept") if each.feature == "new_keys"]
    assert len(found) == 2
    assert found[1].event > BEFORE + 60 * WINDOW


def test_a_reference_from_a_file(tmp_path: Path) -> None:
    words = zipf(BEFORE, 9)
    detector = Detector(DriftConfig(window=WINDOW))
    detector.feed(stream(words))
    path = tmp_path / "reference"
    section = {"reference": "file", "reference_file": path}
    with pytest.raises(ValueError, match="reference_file: there is no"):
        Detector(DriftConfig(window=WINDOW, **section))  # type: ignore[arg-type]
    keeping.write(path, detector.state())
    assert alarms(stream(zipf(10 * WINDOW, 10)), **section) == []
    assert len(alarms(stream(zipf(20 * WINDOW, 10) + 10**6), **section)) == 1
    with pytest.raises(ValueError, match="window = 1000"):
        Detector(DriftConfig(window=2 * WINDOW, **section))  # type: ignore[arg-type]


# ---- what may not bring it down ------------------------------------------------------------------

COUNT = BEFORE + 30 * WINDOW


@pytest.mark.parametrize(
    "words",
    [
        np.zeros(COUNT, np.int64),
        np.arange(COUNT),
        np.arange(COUNT) % 2,
        np.full(COUNT, np.iinfo(np.int64).min),
        np.arange(COUNT) % 777,
    ],
    ids=["single key", "all new", "two keys", "lowest key", "loop"],
)
def test_streams_without_any_variety_give_none(words: Any) -> None:
    nothing = np.zeros(COUNT)
    constant = Events(
        words,
        nothing,
        np.ones(COUNT, bool),
        nothing,
        np.zeros(COUNT, np.int64),
        np.zeros(COUNT, np.int64),
    )
    assert told(constant) == []


def test_values_that_are_no_numbers_give_none() -> None:
    odd = sizes(COUNT, 11)
    odd[::3], odd[1::7], odd[2::11], odd[5::13] = np.nan, np.inf, -5, 0
    assert told(stream(zipf(COUNT, 11), sizes=odd)) == []
    assert told(stream(zipf(COUNT, 11), sizes=np.full(COUNT, np.nan))) == []
    begins = np.where(np.arange(COUNT) < BEFORE, 100.0, np.nan)
    assert alarms(stream(zipf(COUNT, 11), sizes=begins)) == []
    assert alarms(stream(zipf(COUNT, 11), sizes=begins[::-1].copy())) == []


@pytest.mark.parametrize("jump", [-1e12, -3_600.0, 3_600.0, 1e12, np.nan, np.inf])
def test_a_clock_that_jumps_gives_none(jump: float) -> None:
    events = stream(zipf(COUNT, 12))
    seconds = events.seconds.copy()
    seconds[BEFORE:] += jump
    assert told(events._replace(seconds=seconds)) == []


def test_nothing_is_nothing() -> None:
    detector = Detector(DriftConfig(window=WINDOW))
    for _ in range(1_000):
        assert detector.feed(stream([])) == []
    assert (detector.windows, list(detector.readings())) == (0, [])


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(0, 3_000), min_size=1, max_size=40), st.integers(0, 99))
def test_how_events_are_cut_into_feeds_does_not_matter(cuts: list[int], seed: int) -> None:
    words = zipf(30_000, seed)
    words[22_000:] += 10**6
    events = stream(words)
    whole, cut = (Detector(DriftConfig(window=500)) for _ in range(2))
    expected = whole.feed(events)
    got, at = [], 0
    while at < len(words):
        for size in [*cuts, 999]:
            got += cut.feed(Events(*(None if c is None else c[at : at + size] for c in events)))
            at += size
    assert got == expected
    assert len(expected) == 1
    assert cut.state() == whole.state()


# ---- restarts ------------------------------------------------------------------------------------


@pytest.mark.parametrize("at", [300, LEARNED * BLOCK - 1, LEARNED * BLOCK + 1, BEFORE])
def test_a_restart_gives_none_and_forgets_nothing(at: int) -> None:
    words = zipf(BEFORE + 40 * WINDOW, 13)
    words[BEFORE + 20 * WINDOW :] += 10**6
    events = stream(words)
    first, second = Detector(DriftConfig(window=WINDOW)), Detector(DriftConfig(window=WINDOW))
    found = first.feed(next(parts(events, at)))
    second.restore(first.state())
    rest = Events(*(None if each is None else each[at:] for each in events))
    # The clock begins anew, and the cache is empty.
    hits = rest.hits.copy()
    hits[: 3 * WINDOW] = False
    rest = rest._replace(seconds=rest.seconds - rest.seconds[0], hits=hits)
    for part in parts(rest, 500):
        found += second.feed(part)
        before = 2 * WINDOW + second.windows * WINDOW < BEFORE + 20 * WINDOW
        assert not (before and second.emerged())
    (alarm,) = found
    assert BEFORE + 20 * WINDOW - at < alarm.event + BLOCK
    assert second.windows >= (len(words) - at) // WINDOW


def test_a_state_that_does_not_fit_is_refused_and_changes_nothing() -> None:
    detector = Detector(DriftConfig(window=WINDOW))
    detector.feed(stream(zipf(BEFORE, 14)))
    state = detector.state()
    for wrong in (b"", b"junk", state[:-3], state.replace(b"cold", b"mold")):
        with pytest.raises(ValueError, match="state"):
            detector.restore(wrong)
    other = Detector(DriftConfig(window=2 * WINDOW))
    with pytest.raises(ValueError, match="window = 1000, the configuration 2000"):
        other.restore(state)
    assert detector.state() == state


def test_what_is_kept_is_bounded() -> None:
    detector = Detector(DriftConfig(window=500))
    lengths = []
    for seed in range(6):
        detector.feed(stream(zipf(50_000, seed)))
        lengths.append(len(detector.state()))
    assert detector.windows == 600
    assert lengths[-1] < 1.2 * lengths[-2] < 400_000
    assert MOST * 250 < 50_000


# ---- what is shown -------------------------------------------------------------------------------


def test_every_watched_feature_has_both_statistics() -> None:
    watched = ("hit_ratio", "reuse_distance", "value_size")
    detector = Detector(DriftConfig(window=WINDOW, features=watched))
    detector.feed(stream(zipf(LEARNED * BLOCK, 15)))
    assert list(detector.readings()) == []
    detector.feed(stream(zipf(5 * WINDOW, 16)))
    readings = detector.readings()
    assert [(each.feature, each.statistic) for each in readings] == [
        ("reuse_distance", "ks"),
        ("reuse_distance", "psi"),
        ("hit_ratio", "distance"),
        ("hit_ratio", "psi"),
    ]
    assert all(0 <= each.value < each.threshold for each in readings)
