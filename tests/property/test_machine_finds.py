"""The state machine finds caches that break a promise; one that cannot fail would prove nothing."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import run_state_machine_as_test

from predis_core.cache import Cache
from predis_core.errors import InvariantError, LoaderError
from predis_core.stores import Rows
from predis_core.testing import CacheMachine
from predis_core.types import Evicted

pytestmark = pytest.mark.breaks_invariants

Ints = Cache[Any, Any]


class Honest(Ints):
    """A cache as it should be."""


class WrongRow(Ints):
    def get_many(self, keys: Any, *, out: Any = None) -> Any:
        values, hit = super().get_many(keys, out=out)
        if len(values) > 1 and hit[:2].all():
            values[[0, 1]] = values[[1, 0]]
        return values, hit


class ValueOfAMiss(Ints):
    def get_many(self, keys: Any, *, out: Any = None) -> Any:
        values, hit = super().get_many(keys, out=out)
        values[~hit] = 1
        return values, hit


class WritesMissedRows(Ints):
    def get_many(self, keys: Any, *, out: Any = None) -> Any:
        values, hit = super().get_many(keys, out=out)
        if out is not None:
            out[~hit] = 0
        return values, hit


class Forgetful(Ints):
    def touch_many(self, keys: Any) -> Any:
        self._table.delete(self._encode(keys), self._clock.monotonic())
        return super().touch_many(keys) | True


class NeverDeletes(Ints):
    def delete_many(self, keys: Any) -> Any:
        return self.contains_many(keys)


class DeletesTwice(Ints):
    def delete_many(self, keys: Any) -> Any:
        deleted = super().delete_many(keys)
        listed = list(keys.words if hasattr(keys, "words") else keys)
        return np.array([deleted[listed.index(key)] for key in listed], bool)


class PopLeaves(Ints):
    def pop(self, key: Any, *default: Any) -> Any:
        return self.get(key, *default) if default else self[key]


class Immortal(Ints):
    def set_many(self, keys: Any, values: Any, *, ttl: Any = None, **more: Any) -> Any:
        return super().set_many(keys, values, ttl=None, **more)


class OneLifeForAll(Ints):
    def set_many(self, keys: Any, values: Any, *, ttl: Any = None, **more: Any) -> Any:
        ttl = np.full_like(ttl, ttl.max()) if isinstance(ttl, np.ndarray) and len(ttl) else ttl
        return super().set_many(keys, values, ttl=ttl, **more)


class TouchRenews(Ints):
    def touch_many(self, keys: Any) -> Any:
        touched = super().touch_many(keys)
        for key in np.asarray(keys)[touched]:
            left = self.ttl_left(key)
            if left is not None:
                super().set(key, super().get_many([key])[0][0], ttl=left + 1)
        return touched


class FirstWins(Ints):
    def set_many(self, keys: Any, values: Any, **more: Any) -> Any:
        if isinstance(keys, np.ndarray) and len(np.unique(keys)) < len(keys):
            values = values[[keys.tolist().index(key) for key in keys.tolist()]]
        return super().set_many(keys, values, **more)


class HidesEvictions(Ints):
    def set_many(self, keys: Any, values: Any, *, return_evicted: Any = False, **more: Any) -> Any:
        if not return_evicted:
            return super().set_many(keys, values, **more)
        stored, gone = super().set_many(keys, values, return_evicted=True, **more)
        return stored, Evicted(gone.keys[:-1], gone.values[:-1])


class StoresWhatWasOverruled(Ints):
    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._loads.overrule = lambda keys: None  # type: ignore[method-assign]


class AsksInReverse(Ints):
    def get_or_load_many(self, keys: Any, loader: Any = None, **more: Any) -> Any:
        if not callable(loader):
            return super().get_or_load_many(keys, loader, **more)
        return super().get_or_load_many(keys, lambda ids: loader(ids[::-1]), **more)


class FindsEverything(Ints):
    def get_or_load_many(self, keys: Any, loader: Any = None, **more: Any) -> Any:
        result = super().get_or_load_many(keys, loader, **more)
        if isinstance(result, tuple):
            return result[0], np.ones(len(result[1]), bool)
        return result


class SwallowsLoaderErrors(Ints):
    def get_or_load_many(self, keys: Any, loader: Any = None, **more: Any) -> Any:
        try:
            return super().get_or_load_many(keys, loader, **more)
        except LoaderError:
            return super().get_many(keys)[0]


class IteratesOverTheDead(Ints):
    def _pairs(self) -> Any:
        entries = self._table.export(0)
        return list(zip(entries.keys.words.tolist(), entries.values, strict=True))


class IteratesTwice(Ints):
    def __iter__(self) -> Any:
        return iter([*super().__iter__(), *super().__iter__()])


class ClearsHalf(Ints):
    def clear(self) -> None:
        for key in list(self)[::2]:
            del self[key]


class UpdateStoresKeysOnly(Ints):
    def update(self, other: Any = (), /, **entries: Any) -> None:
        super().update(dict.fromkeys(dict(other), np.int64(0)))


class WrongTimeLeft(Ints):
    def ttl_left(self, key: Any) -> Any:
        left = super().ttl_left(key)
        return left and left / 2


class CountsTouches(Ints):
    def touch_many(self, keys: Any) -> Any:
        return super().get_many(keys)[1]


BROKEN: list[type[Ints]] = [
    WrongRow,
    ValueOfAMiss,
    WritesMissedRows,
    Forgetful,
    NeverDeletes,
    DeletesTwice,
    PopLeaves,
    Immortal,
    OneLifeForAll,
    TouchRenews,
    FirstWins,
    HidesEvictions,
    StoresWhatWasOverruled,
    AsksInReverse,
    FindsEverything,
    SwallowsLoaderErrors,
    IteratesOverTheDead,
    IteratesTwice,
    ClearsHalf,
    UpdateStoresKeysOnly,
    WrongTimeLeft,
    CountsTouches,
]


class Machine(CacheMachine):
    """The machine of one class of caches."""

    kind: type[Ints]
    takes_snapshots = True

    def __init__(self) -> None:
        super().__init__()
        self.numbers = itertools.count(1)

    def make_cache(self) -> Ints:
        return self.make_another(4)

    def make_another(self, capacity: int) -> Ints:
        return self.kind(capacity, policy="fifo", value=Rows("int64"), clock=self.clock, seed=1)

    def keys(self) -> st.SearchStrategy[Any]:
        return st.integers(0, 5)

    def values(self) -> st.SearchStrategy[Any]:
        return st.builds(lambda: np.int64(next(self.numbers)))

    def as_keys(self, keys: list[Any]) -> Any:
        return np.array(keys, np.int64)

    def as_values(self, values: list[Any]) -> Any:
        return np.array(values, np.int64)

    def blank(self) -> Any:
        return np.int64(0)

    def make_out(self, n: int) -> Any:
        return np.full(n, -1, np.int64)


def run(kind: type[Ints], examples: int = 500, machine: type[Machine] = Machine) -> None:
    """Search for a breach in a class of caches."""
    machine = type("Machine", (machine,), {"kind": kind})
    # The same examples each time, and no search for the shortest of those that fail.
    found = settings(
        max_examples=examples,
        stateful_step_count=20,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        report_multiple_bugs=False,
    )
    run_state_machine_as_test(machine, settings=found)


def test_an_honest_cache_passes() -> None:
    run(Honest, examples=40)


@pytest.mark.parametrize("kind", BROKEN, ids=lambda kind: kind.__name__)
def test_a_broken_promise_is_found(kind: type[Ints]) -> None:
    with pytest.raises((AssertionError, InvariantError, LoaderError)):
        run(kind)
