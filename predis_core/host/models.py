"""Trainable models that plugins hand over, as other plugins see them: checked, and under guard."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from predis_core.errors import PluginError
from predis_core.host.guard import FAILED, Guard
from predis_core.types import Scores

_NUMBERS = "biuf"
"""What parameters are made of: a dtype of any other kind may hold a key."""


class OfferedModel:
    """A plugin's model as others see it; see `predis_core.plugin.OfferedModel`.

    Args:
        plugin: whose it is.
        model: what it handed over.
        guards: around its `export`, `load` and `scores`.
    """

    def __init__(self, plugin: str, model: Any, guards: Mapping[str, Guard]) -> None:
        self._plugin, self._model, self._guards = plugin, model, guards

    @property
    def plugin(self) -> str:
        """The plugin whose it is."""
        return self._plugin

    @property
    def name(self) -> str:
        """Its name."""
        return str(self._model.name)

    @property
    def version(self) -> str:
        """Which one it is."""
        return str(self._model.version)

    def export(self) -> dict[str, npt.NDArray[Any]]:
        """Return its parameters."""
        found: dict[str, npt.NDArray[Any]] = self._called("export")
        return found

    def load(self, parameters: Mapping[str, npt.ArrayLike]) -> None:
        """Replace its parameters."""
        self._called("load", checked_parameters(parameters))

    def scores(self, since: int = 0) -> Scores:
        """Return its latest scores."""
        found: Scores = self._called("scores", since)
        return found

    def _called(self, method: str, *arguments: Any) -> Any:
        guard = self._guards[method]
        result = guard(*arguments)
        if result is FAILED:
            raise PluginError(
                f"plugin {self._plugin!r}: model {self.name!r}: {method} failed: "
                f"{guard.status().last_error}"
            )
        return result

    def __repr__(self) -> str:
        return f"<model {self.name!r} of plugin {self._plugin!r}>"


def checked_parameters(parameters: Any) -> dict[str, npt.NDArray[Any]]:
    """Return copies of named arrays of numbers.

    Raises:
        TypeError: if they are something else.
    """
    if not isinstance(parameters, Mapping):
        raise TypeError(f"parameters: expected named arrays, got {type(parameters).__name__}")
    found = {}
    for name, array in parameters.items():
        copy = np.array(array)
        if not isinstance(name, str) or copy.dtype.kind not in _NUMBERS:
            raise TypeError(
                f"parameters: {name!r}: expected an array of numbers under a str, got dtype "
                f"{copy.dtype}"
            )
        found[name] = copy
    return found


def checked_scores(scores: Any) -> Scores:
    """Return scores as they were said to be.

    Raises:
        TypeError: if they are not.
    """
    if not isinstance(scores, Scores):
        raise TypeError(f"scores: expected Scores, got {type(scores).__name__}")
    return Scores(np.asarray(scores.values, np.float64).reshape(-1), int(scores.until))


def checked_models(models: Sequence[Any]) -> list[Any]:
    """Return models whose names can be told apart and that have all methods.

    Raises:
        TypeError, ValueError: naming what does not fit.
    """
    names: set[str] = set()
    for model in models:
        for method in ("export", "load", "scores"):
            if not callable(getattr(model, method, None)):
                raise TypeError(f"expected a model with {method}(), got {model!r}")
        if not isinstance(model.name, str) or not 1 <= len(model.name) <= 100:
            raise ValueError(f"name: expected 1 to 100 characters, got {model.name!r}")
        if model.name in names:
            raise ValueError(f"name: {model.name!r} is that of two models; give each its own")
        names.add(model.name)
    return list(models)
