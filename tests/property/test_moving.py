"""A move, window by window, with anything in between: steps of it, calls, and steps within calls.

No entry is evicted here, so a dict says exactly what each call has to answer.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

import predis_core as predis
from predis_core.table import moving
from predis_core.table.layout import WAYS
from tests.support.combinations import Combination, plain
from tests.support.depth import search

NUMBERS = range(12)  # so few keys that every set has room for all of them
CAPACITIES = (3 * WAYS, 4 * WAYS, 8 * WAYS, 21 * WAYS)
TTL = 10.0

some_numbers = st.lists(st.sampled_from(NUMBERS), min_size=1, max_size=6)


class SteppedMove(moving.Move):
    """A move that goes on a step whenever a verb of the old table asks it for something."""

    going_on: Iterator[None] = iter(())

    def _go_on(self) -> None:
        next(self.going_on, None)

    def look_up(self, *arguments: Any) -> None:
        self._go_on()
        super().look_up(*arguments)

    def look_up_deadlines(self, *arguments: Any) -> None:
        self._go_on()
        super().look_up_deadlines(*arguments)

    def insert(self, *arguments: Any, **options: Any) -> Any:
        self._go_on()
        return super().insert(*arguments, **options)

    def delete(self, *arguments: Any) -> Any:
        self._go_on()
        return super().delete(*arguments)

    def export(self, *arguments: Any) -> Any:
        self._go_on()
        return super().export(*arguments)


class MovingMachine(RuleBasedStateMachine):
    """A cache that is resized a window at a time, and the dict that it has to be equal to."""

    combination: Combination

    @initialize(capacity=st.sampled_from(CAPACITIES), seed=st.integers(0, 3))
    def open(self, capacity: int, seed: int) -> None:
        self.clock = predis.ManualClock()
        self.cache = self.combination.open(capacity, seed=seed, clock=self.clock)
        self.model: dict[int, tuple[Any, float | None]] = {}
        self.now = 0.0
        self.version = 0
        self.requests = 0
        self.steps: Iterator[None] = iter(())
        self.shown = self.cache.stats()

    def there(self, n: int) -> bool:
        entry = self.model.get(n)
        return entry is not None and (entry[1] is None or entry[1] > self.now)

    def fresh(self) -> Any:
        self.version += 1
        return self.combination.value(1_000 * self.version)

    # -------------------------------------------------------------- the move

    @rule(capacity=st.sampled_from(CAPACITIES), within=st.booleans(), numbers=some_numbers)
    def begin(self, capacity: int, within: bool, numbers: list[int]) -> None:
        self.set_many(numbers, None)
        self.cache._settle()
        old, new = self.cache._table, self.cache._made(capacity)
        move = (SteppedMove if within else moving.Move)(old, new)
        assert move.begin()
        self.steps = move.steps(self.clock.monotonic)
        if isinstance(move, SteppedMove):
            move.going_on = self.steps

    @rule()
    def step(self) -> None:
        next(self.steps, None)

    # -------------------------------------------------------------- calls

    @rule(numbers=some_numbers, ttl=st.sampled_from([None, TTL]))
    def set(self, numbers: list[int], ttl: float | None) -> None:
        self.set_many(numbers, ttl)

    def set_many(self, numbers: list[int], ttl: float | None) -> None:
        values = [self.fresh() for _ in numbers]
        keys = self.combination.keys(numbers)
        stored, evicted = self.cache.set_many(keys, values, ttl=ttl, return_evicted=True)
        assert stored.all()
        assert len(evicted.keys) == 0
        for n, value in zip(numbers, values, strict=True):
            self.model[n] = (value, None if ttl is None else self.now + ttl)

    @rule(numbers=some_numbers)
    def get_many(self, numbers: list[int]) -> None:
        values, hit = self.cache.get_many(self.combination.keys(numbers))
        self.requests += len(numbers)
        assert hit.tolist() == [self.there(n) for n in numbers]
        blank = 0 if self.combination.holds_rows else None
        wanted = [self.model[n][0] if self.there(n) else blank for n in numbers]
        assert plain(values) == wanted

    @rule(numbers=some_numbers)
    def contains_many(self, numbers: list[int]) -> None:
        keys = self.combination.keys(numbers)
        there = [self.there(n) for n in numbers]
        assert self.cache.contains_many(keys).tolist() == there
        assert self.cache.touch_many(keys).tolist() == there

    @rule(number=st.sampled_from(NUMBERS))
    def ttl_left(self, number: int) -> None:
        key = self.combination.key(number)
        if self.there(number):
            deadline = self.model[number][1]
            assert self.cache.ttl_left(key) == (None if deadline is None else deadline - self.now)
        else:
            with pytest.raises(KeyError):
                self.cache.ttl_left(key)

    @rule(numbers=some_numbers)
    def delete_many(self, numbers: list[int]) -> None:
        deleted = self.cache.delete_many(self.combination.keys(numbers))
        wanted = [self.there(n) and n not in numbers[:i] for i, n in enumerate(numbers)]
        assert deleted.tolist() == wanted
        for n in numbers:
            self.model.pop(n, None)

    @rule(number=st.sampled_from(NUMBERS))
    def pop(self, number: int) -> None:
        value = self.cache.pop(self.combination.key(number), None)
        assert value == (self.model[number][0] if self.there(number) else None)
        self.model.pop(number, None)

    @rule(numbers=some_numbers)
    def get_or_load_many(self, numbers: list[int]) -> None:
        loaded = self.fresh()

        def load(ids: Any) -> list[Any]:
            asked = [self.combination.number(key) for key in plain(ids)]
            assert asked == list(dict.fromkeys(n for n in numbers if not self.there(n)))
            return [loaded] * len(asked)

        values = self.cache.get_or_load_many(self.combination.keys(numbers), load)
        self.requests += len(numbers)
        for n in numbers:
            if not self.there(n):
                self.model[n] = (loaded, None)
        assert plain(values) == [self.model[n][0] for n in numbers]

    @rule()
    def clear(self) -> None:
        self.cache.clear()
        self.model.clear()

    @rule()
    def wait(self) -> None:
        self.clock.advance(TTL / 2)
        self.now += TTL / 2

    @rule()
    def iterate(self) -> None:
        there = [n for n in self.model if self.there(n)]
        pairs = [(key, plain([value])[0]) for key, value in self.cache.items()]
        assert len(pairs) == len(there)
        assert dict(pairs) == {self.combination.key(n): self.model[n][0] for n in there}

    # -------------------------------------------------------------- at any time

    @invariant()
    def stats_add_up_and_never_go_back(self) -> None:
        stats, before = self.cache.stats(), self.shown
        assert stats.requests == self.requests
        assert stats.evictions == stats.refusals == stats.conflicts == 0
        left = stats.expirations + stats.deletions
        assert stats.insertions - left == stats.size == len(self.cache)
        for field in ("hits", "misses", "insertions", "updates", "expirations", "deletions"):
            assert getattr(stats, field) >= getattr(before, field)
        self.shown = stats

    @invariant()
    def nothing_is_broken(self) -> None:
        self.cache.check_invariants()


def test_what_happens_during_a_move(
    combination: Combination, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every call answers as if there were no move, wherever in a move or a call the other is."""
    monkeypatch.setattr(moving, "_SETS_WITH_GIL", 1)
    monkeypatch.setattr(moving, "_BYTES", 1)

    class Machine(MovingMachine):
        pass

    Machine.combination = combination
    run_state_machine_as_test(Machine, settings=search(40))
