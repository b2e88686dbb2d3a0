"""The state machine finds broken pins, listeners, snapshots and bounds in bytes, too."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import strategies as st

from predis_core import planning, policies
from predis_core.clock import Clock
from predis_core.errors import InvariantError, LoaderError
from predis_core.pins import Pinned
from predis_core.stores import Objects
from predis_core.table import header
from predis_core.testing import CacheMachine, CacheModel
from predis_core.types import Removals
from tests.property.test_machine_finds import Ints, Machine, run

pytestmark = pytest.mark.breaks_invariants


# ---------------------------------------------------------------------- pins


class Loose(Pinned):
    def __enter__(self) -> Any:
        values = super().__enter__()
        super().__exit__(None, None, None)
        return values


class PinsNothing(Ints):
    def pinned(self, keys: Any) -> Pinned:
        now = self._clock.monotonic
        return Loose(lambda: self._table, self._encode(keys), now, self.get_many, self._check)


class PinsForever(Ints):
    def pinned(self, keys: Any) -> Pinned:
        self._table.pin(self._encode(keys), self._clock.monotonic())
        return super().pinned(keys)


class Uncounted(Pinned):
    """Pins only what no other context of its cache has pinned."""

    cache: CountsPinsOnce

    def __enter__(self) -> Any:
        new = [key for key in self._keys.words.tolist() if key not in self.cache.stays]
        self.mine = set(new)
        self.cache.stays |= self.mine
        all_keys, self._keys = self._keys, self.cache._encode(np.array(new, np.int64))
        super().__enter__()
        values, self.hit = self.cache.get_many(all_keys)
        return values

    def __exit__(self, *exc: Any) -> None:
        super().__exit__(*exc)
        self.cache.stays -= self.mine


class CountsPinsOnce(Ints):
    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.stays: set[int] = set()

    def pinned(self, keys: Any) -> Pinned:
        blind = lambda keys: (None, np.zeros(len(keys.words), bool))  # noqa: E731
        now = self._clock.monotonic
        context = Uncounted(lambda: self._table, self._encode(keys), now, blind, self._check)
        context.cache = self
        return context


class SilentlyFull(Ints):
    def __setitem__(self, key: Any, value: Any) -> None:
        self.set(key, value)


class KeepsThePinned(Ints):
    def delete_many(self, keys: Any) -> Any:
        batch = self._encode(keys)
        column = self._table._columns.get(header.PINS)
        pinned = np.zeros(len(batch.words), bool)
        if column is not None:
            slots = self._table.lookup(batch, self._clock.monotonic(), count=False)
            pinned = (slots >= 0) & (column[slots] > 0)
        deleted = np.zeros(len(batch.words), bool)
        deleted[~pinned] = super().delete_many(batch.words[~pinned])
        return deleted


# ---------------------------------------------------------------------- listeners


class Telling(Ints):
    """A cache that tells its listeners something else than what happened."""

    def add_removal_listener(self, listener: Any, **more: Any) -> None:
        def told(removals: Removals) -> None:
            for changed in self.changed(removals):
                if len(changed.keys):
                    listener(changed)

        super().add_removal_listener(told, **more)

    def changed(self, removals: Removals) -> list[Removals]:
        raise NotImplementedError


def some(removals: Removals, where: Callable[[int], bool]) -> Removals:
    """Return those entries of which `where(position)` holds."""
    at = [position for position in range(len(removals.keys)) if where(position)]
    reasons = [removals.reasons[position] for position in at]
    return Removals(removals.keys[at], removals.values[at], reasons, removals.costs[at])


class TellsTwice(Telling):
    def changed(self, removals: Removals) -> list[Removals]:
        return [removals, removals]


class ForgetsTheLast(Telling):
    def changed(self, removals: Removals) -> list[Removals]:
        last = len(removals.keys) - 1
        return [some(removals, lambda at: at == 0 or at < last)]


class NeverTellsOf(Telling):
    reason: str

    def changed(self, removals: Removals) -> list[Removals]:
        return [some(removals, lambda at: removals.reasons[at] != self.reason)]


class TellsNotOfTheReplaced(NeverTellsOf):
    reason = "replaced"


class TellsNotOfTheExpired(NeverTellsOf):
    reason = "expired"


class TellsNotOfTheCleared(NeverTellsOf):
    reason = "cleared"


class CallsItAnotherReason(Telling):
    names: ClassVar[dict[str, str]]

    def changed(self, removals: Removals) -> list[Removals]:
        return [
            removals._replace(reasons=[self.names.get(name, name) for name in removals.reasons])
        ]


class CallsTheExpiredEvicted(CallsItAnotherReason):
    names: ClassVar = {"expired": "evicted"}


class CallsTheEvictedReplaced(CallsItAnotherReason):
    names: ClassVar = {"evicted": "replaced"}


class CallsTheDeletedCleared(CallsItAnotherReason):
    names: ClassVar = {"deleted": "cleared"}


class TellsOthersValues(Telling):
    def changed(self, removals: Removals) -> list[Removals]:
        return [removals._replace(values=removals.values[::-1])]


class TellsTheNewValue(Telling):
    def changed(self, removals: Removals) -> list[Removals]:
        values = removals.values.copy()
        for at, key in enumerate(removals.keys.tolist()):
            if removals.reasons[at] == "replaced":
                values[at] = self._table_value(key)
        return [removals._replace(values=values)]

    def _table_value(self, key: Any) -> Any:
        return dict(self.items()).get(key, 0)


# ---------------------------------------------------------------------- snapshots


class RestoreOverwrites(Ints):
    def snapshot(self, path: Any, **more: Any) -> Any:
        self.kept = dict(self.items())
        return super().snapshot(path, **more)

    def restore(self, path: Any, **more: Any) -> Any:
        report = super().restore(path, **more)
        now = self._clock.monotonic()
        for key, value in getattr(self, "kept", {}).items():
            slot = self._table.lookup(self._encode([key]), now, count=False)[0]
            if slot >= 0:
                assert self._table._values is not None
                self._table._values[slot] = value
        return report


class RestoreEvicts(Ints):
    def restore(self, path: Any, **more: Any) -> Any:
        report = super().restore(path, **more)
        if report.did_not_fit:
            super().set(max(self, default=0) + 1, np.int64(1))
        return report


class StandingWall(Clock):
    def __init__(self, clock: Clock) -> None:
        self.monotonic = clock.monotonic  # type: ignore[method-assign]

    def wall(self) -> int:
        return 0


class DowntimeDoesNotCount(Ints):
    def _subject(self) -> Any:
        return super()._subject()._replace(clock=StandingWall(self._clock))


class RestoresOneLess(Ints):
    def restore(self, path: Any, **more: Any) -> Any:
        before = list(self)
        report = super().restore(path, **more)
        for key in [key for key in self if key not in before][:1]:
            self._table.delete(self._encode([key]), self._clock.monotonic())
        return report


BROKEN: list[type[Ints]] = [
    PinsNothing,
    PinsForever,
    CountsPinsOnce,
    SilentlyFull,
    KeepsThePinned,
    TellsTwice,
    ForgetsTheLast,
    TellsNotOfTheReplaced,
    TellsNotOfTheExpired,
    TellsNotOfTheCleared,
    CallsTheExpiredEvicted,
    CallsTheEvictedReplaced,
    CallsTheDeletedCleared,
    TellsOthersValues,
    TellsTheNewValue,
    RestoreOverwrites,
    RestoreEvicts,
    DowntimeDoesNotCount,
    RestoresOneLess,
]


@pytest.mark.parametrize("kind", BROKEN, ids=lambda kind: kind.__name__)
def test_a_broken_promise_is_found(kind: type[Ints]) -> None:
    with pytest.raises((AssertionError, InvariantError, LoaderError)):
        run(kind)


# ---------------------------------------------------------------------- bytes

LIMIT = 100


class HoldsMore(Ints):
    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._table._header[header.LIMIT] *= 2


class WeighsNothing(Ints):
    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options | {"weigher": lambda key, value: 0})


class RefusesWhatFits(Ints):
    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._table._header[header.LIMIT] //= 2


class KeepsWhatWasRefused(Ints):
    def set(self, key: Any, value: Any, *, ttl: Any = None) -> bool:
        return False if value > LIMIT else super().set(key, value, ttl=ttl)


BOUNDED = [HoldsMore, WeighsNothing, RefusesWhatFits, KeepsWhatWasRefused]


class WeighedMachine(Machine):
    """Ints that weigh what they are, in a cache of objects."""

    can_resize = False

    def __init__(self) -> None:
        super().__init__()
        self.numbers = itertools.cycle([*range(41, 60), LIMIT + 1])  # type: ignore[assignment]

    def make_cache(self) -> Ints:
        return self.make_another(4)

    def make_another(self, capacity: int) -> Ints:
        policy, store = policies.get("s3fifo"), Objects()
        plan = planning.plan(policy, store, key_refs=True, capacity=capacity, memory=1 << 30)
        assert plan.values is not None
        return self.kind(
            capacity,
            policy=policy,
            value=store,
            memory=plan.total - plan.values + LIMIT,
            weigher=lambda key, value: value,
            clock=self.clock,
            seed=1,
        )

    def make_model(self, cache: Ints, ttl: Any) -> CacheModel:
        return CacheModel(
            cache.capacity,
            clock=self.clock,
            ttl=ttl,
            ways=min(cache.capacity, 20),
            weigh=lambda key, value: value,
            limit=LIMIT,
        )

    def values(self) -> st.SearchStrategy[Any]:
        return st.builds(lambda: next(self.numbers))

    as_keys, as_values = CacheMachine.as_keys, CacheMachine.as_values
    blank, make_out = CacheMachine.blank, CacheMachine.make_out


def test_an_honest_bounded_cache_passes() -> None:
    run(Ints, examples=40, machine=WeighedMachine)


@pytest.mark.parametrize("kind", BOUNDED, ids=lambda kind: kind.__name__)
def test_a_broken_bound_is_found(kind: type[Ints]) -> None:
    with pytest.raises((AssertionError, InvariantError, LoaderError)):
        run(kind, machine=WeighedMachine)
