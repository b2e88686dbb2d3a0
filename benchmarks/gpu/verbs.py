"""The verbs at a point: the cache's `get_many`, and those of the table below it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.gpu.filled import Filled, numbers_of
from benchmarks.gpu.plan import Point
from benchmarks.gpu.session import Session, WrongResult
from predis_core.table.interface import Keys

GET = "get_many"
GET_TENSORS = "get_many, tensors of torch"
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
        given: the same, of each library that there is, by what `get_many` of it is called.
        out: float32[batch, dim] of the device, where rows of the table go.
    """

    def __init__(self, filled: Filled, point: Point) -> None:
        self.filled = filled
        self.point = point
        self.batches = [filled.queries(point) for _ in range(BATCHES)]
        self.given = {GET: self.batches}
        torch = filled.session.torch
        if torch is not None:
            self.given[GET_TENSORS] = [torch.from_dlpack(keys) for keys in self.batches]
        self.out = filled.room(point.batch)

    def over(self, call: Callable[[Any], object], items: list[Any] | None = None) -> Any:
        """Return what prepares a call with one batch after the other, or with `items`."""
        chosen = self.batches if items is None else items
        return lambda repetition: lambda: call(chosen[repetition % len(chosen)])


def check(queries: Queries) -> None:
    """Look whether cache and table find what they should, and copy the rows of these keys.

    Raises:
        WrongResult: if not.
    """
    point, keys, out, filled = queries.point, queries.batches[0], queries.out, queries.filled
    asarray = filled.session.cupy.from_dlpack
    found = {FETCH: (out, filled.table.fetch(Keys(keys), 0, out, zero=True))}
    for what, batches in queries.given.items():
        rows, hit = filled.cache.get_many(batches[0])
        found[what] = asarray(rows), asarray(hit)
    for what, (rows, hit) in found.items():
        wrong = int((hit & (rows != numbers_of(keys)[:, None]).any(axis=1)).sum())
        ratio = float(hit.sum()) / point.batch
        deviation = np.sqrt(point.hit_ratio * (1 - point.hit_ratio) / point.batch)
        if wrong or abs(ratio - point.hit_ratio) > 5 * deviation:
            raise WrongResult(f"{what}: {point}: {wrong} wrong rows, hit ratio {ratio:.3f}")


def measure_reads(session: Session, queries: Queries) -> None:
    """Measure what looks keys up: `get_many` makes its own rows, `fetch` has `queries.out`."""
    table, point, out = queries.filled.table, queries.point, queries.out
    for what, batches in queries.given.items():
        get = queries.over(queries.filled.cache.get_many, batches)
        session.measure(what, point, point.batch, get)
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
