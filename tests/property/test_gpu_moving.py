"""A move on a GPU, window by window, with anything in between; see `test_moving`."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import rule, run_state_machine_as_test

from predis_core.table import moving
from predis_core.table.cuda import shared
from predis_core.table.cuda.moving import Transfer
from tests.property.test_moving import CAPACITIES, MovingMachine, some_numbers
from tests.support.combinations import Combination
from tests.support.depth import search
from tests.support.gpu import open_on_host


class SteppedMove(shared.Move):
    """A move that goes on a step whenever it has brought over what a verb is about."""

    going_on: Iterator[None] = iter(())

    def carry(self, some: Callable[[Transfer], Any]) -> None:
        super().carry(some)
        if isinstance(some, functools.partial) and some.func is Transfer.carry:
            next(self.going_on, None)


class GpuMovingMachine(MovingMachine):
    """A cache on a GPU that is resized a window at a time."""

    @rule(capacity=st.sampled_from(CAPACITIES), within=st.booleans(), numbers=some_numbers)
    def begin(self, capacity: int, within: bool, numbers: list[int]) -> None:
        self.set_many(numbers, None)
        self.cache._settle()
        table: Any = self.cache._table
        kind = SteppedMove if within else shared.Move
        move = kind(table, self.cache._made(capacity), None)
        assert move.begin()
        self.steps = move.steps(self.clock.monotonic)
        if isinstance(move, SteppedMove):
            move.going_on = self.steps


class Alike(Combination):
    """Keys of which four have one hash each, and which are compared by calling into Python."""

    _APART = 2**61 - 1  # the modulus of Python's hash of numbers

    def key(self, n: int) -> Any:
        return (n % 3 + self._APART * (n // 3), "key")

    def number(self, key: Any) -> int:
        more, rest = divmod(key[0], self._APART)
        return int(3 * more + rest)


COMBINATIONS = {
    "int64": Combination("rows", "int64", device="cuda:0"),
    "any": Alike("rows", "any", device="cuda:0"),
}


@pytest.mark.parametrize("kind", COMBINATIONS)
def test_what_happens_during_a_move_on_a_gpu(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every call answers as if there were no move, wherever in a move or a call the other is."""
    open_on_host(monkeypatch)
    monkeypatch.setattr(moving, "_BYTES", 1)
    machine = type("Machine", (GpuMovingMachine,), {"combination": COMBINATIONS[kind]})
    run_state_machine_as_test(machine, settings=search(40 if kind == "int64" else 15))
