"""How metrics are spelled: the dotted names of Predis as Prometheus' conventions have them."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Iterable
from typing import NamedTuple

from predis_core.plugin import Metric

logger = logging.getLogger("predis.prometheus")

_UNITLESS = ("", "1", "keys", "entries")
"""Counts of things and what has no unit: conventions put no unit into their names."""

_SUFFIXES = {
    "counter": ("", "_total", "_created"),
    "gauge": ("",),
    "histogram": ("", "_bucket", "_sum", "_count", "_created"),
}
"""By kind, what is put after a family's name in those of its series."""

CACHE_LABEL = "cache"


class Spelling(NamedTuple):
    """How a metric is spelled.

    Attributes:
        name: of the family: with the unit, without "_total".
        unit: "seconds", "bytes", …; "" for none.
        labels: names of the labels, in the order of a sample's values; if the metric has no label
            `cache`, that one comes first.
        adds_cache: whether it does.
    """

    name: str
    unit: str
    labels: tuple[str, ...]
    adds_cache: bool

    def values(self, cache: str, labels: Iterable[str]) -> tuple[str, ...]:
        """Return the values of the labels for a sample of a cache."""
        found = (cache, *labels) if self.adds_cache else tuple(labels)
        # What cannot be encoded would fail the whole scrape.
        return tuple(str(value).encode("utf-8", "replace").decode() for value in found)


def spelling_of(metric: Metric) -> Spelling:
    """Return how a metric is spelled, whatever other metrics are there."""
    unit = "" if metric.unit in _UNITLESS else _sanitised(metric.unit)
    name = _sanitised(metric.name)
    if metric.kind == "counter":
        name = name.removesuffix("_total")
    if unit and not name.endswith(f"_{unit}"):
        name = f"{name}_{unit}"
    labels = _labels_of(metric)
    adds_cache = CACHE_LABEL not in labels
    return Spelling(name, unit, (CACHE_LABEL, *labels) if adds_cache else labels, adds_cache)


class Names:
    """Knows which metric has which name, so that no series belongs to two.

    Different metrics may come out alike, as `a.b` and `a_b`. The first one keeps the name, the
    other one is left out.

    Args:
        metrics: those that come first.
    """

    def __init__(self, metrics: Iterable[Metric] = ()) -> None:
        self.left_out: dict[str, str] = {}
        self._owners: dict[str, tuple[str, ...]] = {}
        self._lock = threading.Lock()
        for metric in metrics:
            self.spelling(metric)

    def spelling(self, metric: Metric) -> Spelling | None:
        """Return how a metric is spelled; None if it is left out, which is logged once."""
        spelling = spelling_of(metric)
        mine = (metric.name, metric.kind, *spelling.labels)
        series = [spelling.name + suffix for suffix in _SUFFIXES[metric.kind]]
        with self._lock:
            taken = next((name for name in series if self._owners.get(name, mine) != mine), None)
            if taken is None:
                self._owners.update(dict.fromkeys(series, mine))
                return spelling
            self.leave_out(metric, f"{taken} is a series of {self._owners[taken][0]!r} already")
        return None

    def leave_out(self, metric: Metric, reason: str) -> None:
        """Take note, and log once, that a metric is not exposed."""
        if metric.name not in self.left_out:
            logger.warning("metric %r is left out: %s", metric.name, reason)
        self.left_out[metric.name] = reason


def _sanitised(name: str) -> str:
    """Return a name with what Prometheus does not take in one replaced by "_"."""
    clean = re.sub(r"[^A-Za-z0-9_]", "_", name)
    return f"_{clean}" if not clean or clean[0].isdigit() else clean


def _labels_of(metric: Metric) -> tuple[str, ...]:
    """Return the names of a metric's labels; none is reserved, and none is there twice."""
    found: list[str] = []
    for label in metric.labels:
        name = _sanitised(label)
        if name.startswith("__"):
            name = f"label{name}"
        while name in found or (name == "le" and metric.kind == "histogram"):
            name += "_"
        found.append(name)
    return tuple(found)
