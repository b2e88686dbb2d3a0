"""A removal listener that keeps what it is told."""

from __future__ import annotations

from typing import NamedTuple

from predis_core.types import Removals
from tests.support.combinations import plain
from tests.support.holdings import Holding


class Gone(NamedTuple):
    """An entry that left: the number of its key, the number of its value, and why."""

    key: int
    value: int
    reason: str


class Told:
    """Appends what it is told, and checks its form.

    Attributes:
        batches: what each call told of, in order.
        costs: seconds, by the key's number.
    """

    def __init__(self, holding: Holding) -> None:
        self._holding = holding
        self.batches: list[list[Gone]] = []
        self.costs: dict[int, float] = {}

    def __call__(self, removals: Removals) -> None:
        holding = self._holding
        assert isinstance(removals.keys, list) == (holding.kind != "int64")
        assert isinstance(removals.values, list) == (not holding.holds_rows)
        keys = list(map(holding.number, plain(removals.keys)))
        values = list(map(holding.value_number, plain(removals.values)))
        assert len(keys) == len(values) == len(removals.reasons) == len(removals.costs) > 0
        self.batches.append(list(map(Gone, keys, values, removals.reasons)))
        self.costs.update(zip(keys, removals.costs.tolist(), strict=True))

    @property
    def all(self) -> list[Gone]:
        """All that left, in order."""
        return [gone for batch in self.batches for gone in batch]

    def take(self) -> list[tuple[int, int, str]]:
        """Return all that left since the last time, in order."""
        found = [tuple(gone) for gone in self.all]
        self.batches.clear()
        return found  # type: ignore[return-value]
