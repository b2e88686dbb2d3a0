"""Scores of models as histograms: each model has a scale of its own, made of its first scores."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import msgspec
import numpy as np

from predis_drift.features import BINS, Counts
from predis_drift.statistics import Floats

MODELS = 4
"""That are watched; a histogram has no room for more."""

PARTS = BINS // MODELS
"""Bins of each model: equal shares of its first scores."""

LEARNED = 1_000
"""Scores that a scale is made of."""


class Scored(NamedTuple):
    """What a model scored lately.

    Attributes:
        model: its name, and its plugin's.
        version: another one after each training.
        values: float64[n]; what is no number is left out.
    """

    model: str
    version: str
    values: Floats


class Scale(msgspec.Struct, forbid_unknown_fields=True):
    """Of one model.

    Attributes:
        model, version: whose it is.
        edges: PARTS - 1 numbers, ascending; none before there were enough scores.
    """

    model: str
    version: str
    edges: tuple[float, ...] = ()


class Scales:
    """Those of the first MODELS models."""

    def __init__(self) -> None:
        self._scales: list[Scale] = []
        self._first: dict[str, Floats] = {}

    def take(self, scored: Iterable[Scored]) -> tuple[Counts, bool]:
        """Return int64[BINS], scores by their bins, and whether bins are others than before.

        They are where a model has a new scale, or none any more, as it was trained anew.
        """
        counts, is_other = np.zeros(BINS, np.int64), False
        for each in scored:
            place = self._place(each.model)
            if place is None:
                continue
            scale = self._scales[place]
            if scale.version != each.version:
                is_other |= bool(scale.edges)
                scale = self._scales[place] = Scale(each.model, each.version)
                self._first.pop(each.model, None)
            values = each.values[np.isfinite(each.values)]
            if not scale.edges:
                values = np.concatenate((self._first.get(each.model, values[:0]), values))
                if len(values) < LEARNED:
                    self._first[each.model] = values
                    continue
                self._first.pop(each.model, None)
                edges = np.quantile(values, np.arange(1, PARTS) / PARTS)
                scale.edges, is_other = tuple(edges.tolist()), True
            bins = PARTS * place + np.searchsorted(scale.edges, values, side="right")
            counts += np.bincount(bins, minlength=BINS)
        return counts, is_other

    def _place(self, model: str) -> int | None:
        for place, scale in enumerate(self._scales):
            if scale.model == model:
                return place
        if len(self._scales) == MODELS:
            return None
        self._scales.append(Scale(model, ""))
        return len(self._scales) - 1

    def state(self) -> tuple[Scale, ...]:
        """Return what `restore` needs."""
        return tuple(self._scales)

    def restore(self, kept: tuple[Scale, ...]) -> None:
        """Go on from what `state` returned.

        Raises:
            ValueError: if it does not fit; nothing is changed then.
        """
        for scale in kept:
            edges = np.array(scale.edges)
            is_whole = len(edges) in (0, PARTS - 1) and np.isfinite(edges).all()
            if not is_whole or (np.diff(edges) < 0).any() or len(kept) > MODELS:
                raise ValueError("the scales of this state are damaged")
        self._scales, self._first = list(kept), {}
