"""The table's verbs at a point."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.gpu.filled import Filled, numbers_of
from benchmarks.gpu.plan import Point
from benchmarks.gpu.session import Session, WrongResult
from predis_core.table.interface import Keys

LOOKUP = "lookup"
FETCH = "fetch"
CONTAINS = "contains"
INSERT = "insert, evicting"
DELETE = "delete"
BATCHES = 3
"""Batches of queries that take turns."""


class Queries:
    """Batches as a point has them.

    Attributes:
        batches: `BATCHES` of int64[batch] of the device.
        out: float32[batch, dim] of the device, where rows go.
    """

    def __init__(self, filled: Filled, point: Point) -> None:
        self.filled = filled
        self.point = point
        self.batches = [filled.queries(point) for _ in range(BATCHES)]
        self.out = filled.room(point.batch)

    def over(self, call: Callable[[Any], object], items: list[Any] | None = None) -> Any:
        """Return what prepares a call with one batch after the other, or with `items`."""
        chosen = self.batches if items is None else items
        return lambda repetition: lambda: call(chosen[repetition % len(chosen)])


def check(queries: Queries) -> None:
    """Look whether a fetch finds what it should, and copies the rows of these keys.

    Raises:
        WrongResult: if not.
    """
    point, keys, out = queries.point, queries.batches[0], queries.out
    found = queries.filled.table.fetch(Keys(keys), 0, out, zero=True)
    wrong = int((found & (out != numbers_of(keys)[:, None]).any(axis=1)).sum())
    ratio = float(found.sum()) / point.batch
    deviation = np.sqrt(point.hit_ratio * (1 - point.hit_ratio) / point.batch)
    if wrong or abs(ratio - point.hit_ratio) > 5 * deviation:
        raise WrongResult(f"{point}: {wrong} wrong rows, hit ratio {ratio:.3f}")


def measure_reads(session: Session, queries: Queries) -> None:
    """Measure what looks keys up; a batch goes to `queries.out`."""
    table, point, out = queries.filled.table, queries.point, queries.out
    for what, call in (
        (LOOKUP, lambda keys: table.lookup(Keys(keys), 0)),
        (FETCH, lambda keys: table.fetch(Keys(keys), 0, out, zero=True)),
        (CONTAINS, lambda keys: table.contains(Keys(keys), 0)),
    ):
        session.measure(what, point, point.batch, queries.over(call))


def measure_inserts(session: Session, filled: Filled, point: Point) -> None:
    """Measure how new keys go into a full table: every one evicts another."""
    table, values = filled.table, filled.room(point.batch)

    def insert(_: int) -> Any:
        keys = filled.fresh(point.batch)
        return lambda: table.insert(Keys(keys), values, 0)

    session.measure(INSERT, point, point.batch, insert)


def measure_deletes(session: Session, filled: Filled, point: Point) -> None:
    """Measure how keys leave; the table is not full any more then."""
    table, values = filled.table, filled.room(point.batch)

    def delete(_: int) -> Any:
        keys = filled.fresh(point.batch)
        table.insert(Keys(keys), values, 0)
        return lambda: table.delete(Keys(keys), 0)

    session.measure(DELETE, point, point.batch, delete, detail="keys that were just stored")
