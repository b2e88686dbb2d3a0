"""Trainable models that plugins hand to each other: checked, copied, and under guard."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pytest

import predis_core as predis
from predis_core import host
from predis_core.errors import PluginError
from predis_core.plugin import Scores
from tests.support.shelf import Shelf

LEARNING = """
import numpy as np
VIEWS = []

class Model:
    def __init__(self, name):
        self.name, self.version = name, 1
        self.weights = np.arange(3.0)

    def export(self):
        {export}
        return {{"weights": self.weights}}

    def load(self, parameters):
        {load}
        self.weights, self.version = parameters["weights"], self.version + 1

    def scores(self, since):
        {scores}
        return Scores([0.25, 0.5][since:], 2)

class Plugin:
    def __init__(self, options): ...

    @hookimpl
    def predis_models(self, cache):
        return [Model(name) for name in {names}]

    @hookimpl
    def predis_cache_opened(self, cache):
        VIEWS.append(cache)
"""


def learner(shelf: Shelf, name: str, names: str = "('scan',)", **bodies: str) -> Any:
    bodies = {"export": "pass", "load": "pass", "scores": "pass"} | bodies
    return shelf.module(shelf.put(name, LEARNING.format(names=names, **bodies)))


def opened(*plugins: str, **host_section: Any) -> predis.Cache[Any, Any]:
    return predis.open(
        {
            "host": host_section,
            "cache": {"capacity": 100, "keys": "int64", "policy": "fifo"},
            "plugins": {name: {} for name in plugins},
        }
    )


def test_predis_models_are_found_by_other_plugins(shelf: Shelf) -> None:
    shelf.put(
        "watcher",
        """
        VIEWS = []

        class Plugin:
            def __init__(self, options): ...

            @hookimpl
            def predis_cache_opened(self, cache):
                VIEWS.append(cache)
        """,
    )
    learner(shelf, "first", "('scan', 'reuse')")
    learner(shelf, "second")
    with opened("watcher", "first", "second"):
        (view,) = shelf.module("predis_watcher_module").VIEWS
        found = [(model.plugin, model.name, model.version) for model in view.models()]
        assert found == [("first", "scan", "1"), ("first", "reuse", "1"), ("second", "scan", "1")]
        mine, _, other = view.models()
        exported = mine.export()
        exported["weights"][:] = 7  # a copy: the model is as it was
        assert mine.export()["weights"].tolist() == [0, 1, 2]
        other.load(exported)
        exported["weights"][:] = 8
        assert (other.version, other.export()["weights"].tolist()) == ("2", [7, 7, 7])
        scores = mine.scores()
        assert isinstance(scores, Scores)
        assert (scores.values.dtype, scores.values.tolist()) == (np.float64, [0.25, 0.5])
        assert mine.scores(scores.until).values.size == 0


@pytest.mark.parametrize(
    ("method", "body", "reason"),
    [
        ("export", "raise OSError('gone')", "export failed: OSError: gone"),
        ("export", "return 7", "export failed: TypeError: parameters: expected named arrays"),
        ("export", "return {'keys': ['user:1']}", "'keys': expected an array of numbers under a"),
        ("load", "raise ValueError('shape')", "load failed: ValueError: shape"),
        ("scores", "return [0.5]", "scores failed: TypeError: scores: expected Scores, got list"),
    ],
)
def test_what_fails_is_told_to_who_asked_and_counted_for_its_owner(
    shelf: Shelf, method: str, body: str, reason: str
) -> None:
    module = learner(shelf, "learner", **{method: body})
    with opened("learner"):
        (model,) = module.VIEWS[0].models()
        ask = {"export": model.export, "load": lambda: model.load({}), "scores": model.scores}
        with pytest.raises(PluginError, match=f"plugin 'learner': model 'scan': {method}") as told:
            ask[method]()
        assert reason in str(told.value)
        status = host.status()
        assert status is not None
        failures = {each.what: each.failures for each in status.plugins[0].functions}
        assert failures[f"{method} of model 'scan'"] == 1


def test_what_is_not_made_of_numbers_is_not_loaded(shelf: Shelf) -> None:
    module = learner(shelf, "learner")
    with opened("learner"):
        (model,) = module.VIEWS[0].models()
        with pytest.raises(TypeError, match="'weights': expected an array of numbers"):
            model.load({"weights": np.array(["user:1"])})
        assert model.version == "1"


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        ("('same', 'same')", "'same' is that of two models; give each its own"),
        ("('',)", "name: expected 1 to 100 characters, got ''"),
    ],
)
def test_models_whose_names_do_not_fit_are_not_taken(
    shelf: Shelf, caplog: pytest.LogCaptureFixture, names: str, reason: str
) -> None:
    module = learner(shelf, "learner", names)
    with caplog.at_level(logging.WARNING, "predis"), opened("learner"):
        assert module.VIEWS[0].models() == []
    assert reason in caplog.text


def test_a_thing_without_the_methods_is_no_model(
    shelf: Shelf, caplog: pytest.LogCaptureFixture
) -> None:
    shelf.put(
        "learner",
        """
        class Plugin:
            def __init__(self, options): ...

            @hookimpl
            def predis_models(self):
                return [object()]
        """,
    )
    with caplog.at_level(logging.WARNING, "predis"), opened("learner"):
        pass
    assert "expected a model with export()" in caplog.text
