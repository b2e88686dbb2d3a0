"""Scores of models: their histograms, and alarms about them."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import predis_core as predis
from predis_core import host
from predis_drift.config import DriftConfig
from predis_drift.detector import LEARNED as BLOCKS
from predis_drift.detector import Detector
from predis_drift.features import BINS
from predis_drift.gathering import Events, joined
from predis_drift.interface import Alarm
from predis_drift.scales import LEARNED, MODELS, PARTS, Scale, Scales, Scored
from predis_drift.watch import Watch
from tests.support.crew import PATIENCE, wait_until
from tests.support.shelf import Shelf

WINDOW = 500
BLOCK = WINDOW // 2


def drawn(count: int, seed: int = 0, *, shift: float = 0.0) -> Any:
    return np.random.default_rng(seed).normal(shift, 1, count)


def scored(values: Any, model: str = "a/b", version: str = "1") -> Scored:
    return Scored(model, version, np.asarray(values, np.float64))


# ---- scales --------------------------------------------------------------------------------------


def test_a_scale_has_equal_shares_of_the_first_scores() -> None:
    scales = Scales()
    counts, is_other = scales.take([scored(drawn(LEARNED - 1))])
    assert not counts.any()
    assert not is_other
    counts, is_other = scales.take([scored([np.nan, np.inf])])
    assert not counts.any()
    counts, is_other = scales.take([scored([0.0])])
    assert is_other
    assert counts[:PARTS].tolist() == [LEARNED // PARTS] * PARTS
    counts, is_other = scales.take([scored([-99, 99, 99, np.nan, -np.inf])])
    assert not is_other
    assert counts.tolist() == [1, *[0] * (PARTS - 2), 2, *[0] * (BINS - PARTS)]


def test_models_have_scales_of_their_own_and_there_is_room_for_some() -> None:
    scales = Scales()
    models = [f"p/{number}" for number in range(MODELS + 1)]
    every = [scored(drawn(LEARNED) + 100 * at, name) for at, name in enumerate(models)]
    counts, _ = scales.take(every)
    assert counts.tolist() == [LEARNED // PARTS] * BINS
    assert [scale.model for scale in scales.state()] == models[:MODELS]


def test_a_model_that_was_trained_anew_has_a_new_scale() -> None:
    scales = Scales()
    scales.take([scored(drawn(LEARNED))])
    counts, is_other = scales.take([scored([5.0], version="2")])
    assert is_other
    assert not counts.any()
    counts, is_other = scales.take([scored(drawn(LEARNED, shift=50), version="2")])
    assert is_other
    assert counts.max() < 2 * LEARNED // PARTS


def test_scores_that_are_all_the_same_share_a_bin() -> None:
    scales = Scales()
    counts, _ = scales.take([scored(np.full(LEARNED, 0.5))])
    assert sorted(counts.tolist())[-2:] == [0, LEARNED]


def test_what_was_kept_goes_on() -> None:
    first, second = Scales(), Scales()
    first.take([scored(drawn(LEARNED))])
    second.restore(first.state())
    for each in (first, second):
        counts, is_other = each.take([scored(drawn(100, 1))])
        assert not is_other
        assert counts.sum() == 100
    for edges in ((1.0,), (float("nan"),) * (PARTS - 1), tuple(range(PARTS - 1, 0, -1))):
        with pytest.raises(ValueError, match="scales of this state are damaged"):
            second.restore((Scale("a/b", "1", edges),))
    assert second.state() == first.state()


# ---- the detector --------------------------------------------------------------------------------


def events(seed: int) -> Events:
    random = np.random.default_rng(seed)
    law = np.cumsum(1 / np.arange(1, 1_001))
    words = np.searchsorted(law, random.random(BLOCK) * law[-1])
    return Events(words, np.arange(BLOCK) + seed * float(BLOCK), random.random(BLOCK) < 0.7)


def fed(
    detector: Detector, blocks: range, *, shift: float = 0.0, version: str = "1", each: int = 100
) -> Iterator[Alarm]:
    for at in blocks:
        made = scored(drawn(each, at, shift=shift), version=version)
        yield from detector.feed(events(at), scored=[made])


def test_scores_that_change_give_an_alarm_and_training_gives_none() -> None:
    detector = Detector(DriftConfig(window=WINDOW))
    assert list(fed(detector, range(2 * BLOCKS))) == []
    # A model that was trained scores otherwise; that is no change of the workload.
    assert list(fed(detector, range(2 * BLOCKS, 5 * BLOCKS), shift=3, version="2")) == []
    (alarm,) = fed(detector, range(5 * BLOCKS, 6 * BLOCKS), shift=5, version="2")
    assert alarm.feature == "model_scores"
    assert alarm.labels[0] == "model 1, 1 of 8"
    assert sum(alarm.after) == pytest.approx(1, abs=1e-4)


def test_models_that_seldom_score_and_none_give_no_alarm() -> None:
    for each in (0, 1):
        detector = Detector(DriftConfig(window=WINDOW))
        assert list(fed(detector, range(3 * BLOCKS), each=each)) == []


def test_scores_that_come_all_at_once_or_hardly_at_all_for_a_while_give_no_alarm() -> None:
    detector = Detector(DriftConfig(window=WINDOW))
    assert list(fed(detector, range(2 * BLOCKS), each=5_000)) == []
    stalled = [events(at) for at in range(2 * BLOCKS, 3 * BLOCKS)]
    for few in (0, 10, 250, 3_000):
        made = [scored(drawn(few, few))]
        assert detector.feed(joined(stalled), scored=made) == []
        assert list(fed(detector, range(4), each=few)) == []


def test_scales_outlive_a_restart() -> None:
    first, second = (Detector(DriftConfig(window=WINDOW)) for _ in range(2))
    assert list(fed(first, range(2 * BLOCKS))) == []
    second.restore(first.state())
    assert second.state() == first.state()
    assert list(fed(second, range(2 * BLOCKS, 3 * BLOCKS))) == []
    (alarm,) = fed(second, range(3 * BLOCKS, 4 * BLOCKS), shift=3)
    assert alarm.feature == "model_scores"


def test_where_the_reference_is_seasonal_scores_are_left_out_of_hours() -> None:
    detector = Detector(DriftConfig(window=WINDOW, reference="seasonal"))
    begin = time.mktime((2026, 3, 2, 9, 0, 0, 0, 0, -1))
    for hour in range(0, 24 * 4, 12):
        for at in range(BLOCKS):
            half = 1_800 * (at >= BLOCKS // 2)
            made = scored(drawn(100, at, shift=hour))
            detector.feed(events(at), begin + 3_600 * hour + half, [made])
    shown = {reading.feature for reading in detector.readings()}
    assert "new_keys" in shown
    assert "model_scores" not in shown


# ---- a model of another plugin -------------------------------------------------------------------

SCORING = """
import numpy as np

SHIFT = [0.0]

class Model:
    name, version = "fraud", 1

    def __init__(self):
        self.given = 0

    def export(self):
        return {}

    def load(self, parameters): ...

    def scores(self, since):
        self.given += 5_000
        return Scores(np.random.default_rng(self.given).normal(SHIFT[0], 1, 5_000), self.given)

class Plugin:
    def __init__(self, options): ...

    @hookimpl
    def predis_models(self, cache):
        return [Model()]
"""


def test_a_model_that_another_plugin_hands_over_is_watched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    shelf = Shelf(tmp_path)
    shelf.put("drift", entry="predis_drift:PLUGIN")
    module: Any = shelf.module(shelf.put("scoring", SCORING))
    monkeypatch.setattr(Watch, "interval", 0.01)
    configuration: dict[str, Any] = {
        "host": {"deadline": PATIENCE},
        "cache": {
            "name": "shop",
            "capacity": 1_000,
            "policy": "fifo",
            "value": {"kind": "rows", "dtype": "int64"},
        },
        "plugins": {
            "drift": {"rate": 1.0, "window": WINDOW, "features": ["model_scores"]},
            "scoring": {},
        },
    }
    keys = np.arange(BLOCK)
    try:
        with caplog.at_level(logging.WARNING, "predis"), predis.open(configuration) as cache:

            def windows() -> int:
                return _value(cache, "predis.drift.windows")

            cache.set_many(keys, keys)
            wait_until(lambda: (cache.get_many(keys), windows() > 2 * BLOCKS)[1])
            assert "its workload changed" not in caplog.text
            module.SHIFT[0] = 5.0
            wait_until(lambda: (cache.get_many(keys), "model_scores" in caplog.text)[1])
    finally:
        shelf.clear()


def _value(cache: predis.Cache[Any, Any], name: str) -> int:
    (session,) = host.open_sessions()
    return sum(
        int(sample.value)  # type: ignore[arg-type]
        for sample in session.snapshot().samples
        if sample.metric.name == name
    )
