"""A table that adapts in step with its lookups: the same ones, the same choices."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from predis_core.adapt.choice import Choice
from predis_core.table.cpu import CpuTable
from predis_core.table.interface import Bools, Int64s

_STEP = 256
"""Lookups after which a table may get another policy."""


class Replayed(Protocol):
    """What a trace goes through."""

    def replay(
        self, words: Int64s, /, *, sizes: Int64s | None = None, costs: Int64s | None = None
    ) -> Bools:
        """Get, then insert if absent, one request at a time; return the hits (bool[n])."""
        ...


class Inline:
    """Gives a table the policy that suits its lookups, between two of them.

    Args:
        table: one whose policy is a choice, and which nobody else uses.
    """

    def __init__(self, table: CpuTable) -> None:
        self._table = table
        capacity = table.layout.slots
        self._choice = Choice(table.candidates, table.policy, capacity, 1.0, table.seed)

    def replay(
        self, words: Int64s, /, *, sizes: Int64s | None = None, costs: Int64s | None = None
    ) -> Bools:
        """See `Replayed`; each int64[n] in C order. The choice is made by the keys alone."""
        hits = np.empty(len(words), np.bool_)
        for low in range(0, len(words), _STEP):
            part = slice(low, low + _STEP)
            hits[part] = self._table.replay(
                words[part],
                sizes=None if sizes is None else sizes[part],
                costs=None if costs is None else costs[part],
            )
            self.follow(words[part])
        return hits

    def follow(self, words: Int64s) -> None:
        """Take lookups that somebody did (int64[n]), and draw the consequence."""
        self._choice.feed(words)
        for _ in self._table.switch(self._choice.best):
            pass


def replayed(table: CpuTable) -> Replayed:
    """Return the table, or what has it adapt if its policy is a choice."""
    return Inline(table) if len(table.candidates) > 1 else table
