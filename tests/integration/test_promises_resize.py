"""What `resize` promises: every sentence is a test, named after it."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import predis_core as predis
from predis_core.errors import CacheClosed, ConfigurationError, SnapshotError
from predis_core.resizing import ResizeReport
from predis_core.table import moving
from predis_core.table.interface import Reason, Status
from predis_core.table.layout import WAYS
from predis_core.table.moving import Move
from tests.support.combinations import Combination, plain

ONE_SET = WAYS


def contents(cache: predis.Cache[Any, Any]) -> dict[Any, Any]:
    return dict(zip(list(cache), plain(cache.values()), strict=True))


def filled(
    combination: Combination, capacity: int, entries: int, **options: Any
) -> predis.Cache[Any, Any]:
    cache = combination.open(capacity, seed=1, **options)
    cache.set_many(combination.keys(range(entries)), combination.values(range(entries)))
    return cache


# ------------------------------------------------------------------ what stays


@pytest.mark.parametrize("factor", [2, 100])
def test_growing_keeps_every_entry(combination: Combination, factor: int) -> None:
    # Memory of blobs stays what it was, and has to hold the larger table, too.
    options = {"memory": "16MiB"} if combination.store == "blobs" else {}
    cache = filled(combination, 1_000, 600, **options)
    before = contents(cache)
    report = cache.resize(1_000 * factor)
    assert (report.moved, report.evicted) == (len(before), 0)
    assert report.seconds > 0
    assert contents(cache) == before
    assert cache.capacity == cache.stats().capacity == 1_000 * factor
    more = range(1_000, 2_000)
    assert cache.set_many(combination.keys(more), combination.values(more)).all()
    assert len(cache) > 1_000


@pytest.mark.parametrize("capacity", [1, 7, 100])
def test_shrinking_fills_the_new_capacity(combination: Combination, capacity: int) -> None:
    cache = filled(combination, 2_000, 1_500)
    before = contents(cache)
    report = cache.resize(capacity)
    assert len(cache) == cache.capacity == capacity
    assert report.moved == len(before)
    assert report.evicted == len(before) - capacity
    assert contents(cache).items() <= before.items()


def test_what_the_policy_would_keep_longest_stays() -> None:
    cache = predis.Cache[int, int](ONE_SET, policy="lru")
    for number in range(ONE_SET):
        cache[number] = number
    for number in (3, 11, 5):
        assert cache[number] == number
    cache.resize(4)
    assert set(cache) == {ONE_SET - 1, 3, 11, 5}
    cache[99] = 99
    assert set(cache) == {3, 11, 5, 99}


def test_entries_keep_their_time_to_live(combination: Combination) -> None:
    clock = predis.ManualClock()
    cache = combination.open(100, clock=clock)
    cache.set(combination.key(1), combination.value(1), ttl=10)
    cache.set(combination.key(2), combination.value(2), ttl=3)
    cache.set(combination.key(3), combination.value(3))
    clock.advance(4)
    report = cache.resize(1_000)
    assert (report.moved, cache.stats().expirations) == (2, 1)
    assert cache.ttl_left(combination.key(1)) == 6
    assert cache.ttl_left(combination.key(3)) is None
    clock.advance(6)
    assert contents(cache) == combination.entries([3])


def test_prefetched_entries_stay_prefetched() -> None:
    cache = predis.Cache[int, int](100, seed=1)
    table = cache._table
    values = np.array(["guess"] * 3 + ["asked"], object)
    table.insert(cache._encode([1, 2, 3]), values[:3], 0, guess=True)
    table.insert(cache._encode([4]), values[3:], 0)
    cache.resize(1_000)
    entries = cache._table.export(0)
    guessed = dict(zip(entries.keys.refs, entries.guesses.tolist(), strict=True))  # type: ignore[arg-type]
    assert guessed == {1: True, 2: True, 3: True, 4: False}
    cache.resize(3)  # no set of so few ways holds guesses
    assert set(cache) == {4}
    assert (cache.stats().evictions, cache.stats().refusals) == (3, 0)


def test_parameters_and_frequencies_come_along() -> None:
    cache = predis.Cache[int, int](1_000, policy="wtinylfu", keys="int64", seed=1)
    cache.set_many(range(100), range(100))
    for _ in range(5):
        cache.get_many(range(50))
    old = cache._table
    old.set_parameters(tuple(value + 1 for value in old._parameters.tolist()))
    cache.resize(1_001)  # a sketch as wide as the old one
    new = cache._table
    assert new is not old
    assert new._parameters.tolist() == old._parameters.tolist()
    assert old._sketch is not None
    assert new._sketch is not None
    assert len(new._sketch) == len(old._sketch)
    assert new._sketch.any()


# ------------------------------------------------------------------ what is counted


def test_a_move_counts_neither_as_insertion_nor_as_deletion(combination: Combination) -> None:
    cache = filled(combination, 2_000, 900)
    cache.get_many(combination.keys(range(1_000)))
    cache.delete_many(combination.keys(range(50)))
    before = cache.stats()
    cache.resize(5_000)
    unchanged = {field: getattr(before, field) for field in before.__struct_fields__}
    assert cache.stats() == predis.Stats(**unchanged | {"capacity": 5_000})
    evicted = cache.resize(100).evicted
    after = cache.stats()
    assert after.evictions == before.evictions + evicted
    assert (after.insertions, after.deletions) == (before.insertions, before.deletions)
    assert after.size == before.size - evicted == len(cache)


def test_the_same_capacity_changes_nothing() -> None:
    cache = predis.Cache[int, int](100)
    table = cache._table
    assert cache.resize(100) == ResizeReport(0, 0, 0.0)
    assert cache._table is table


# ------------------------------------------------------------------ what goes wrong


@pytest.mark.parametrize(
    ("capacity", "message"),
    [
        (0, "capacity: expected 1 to 2**40 entries, got 0"),
        (2**41, "capacity: expected 1 to 2**40 entries, got 2199023255552"),
        (1.5, "capacity: expected an int (entries), got 1.5"),
        ("2GiB", "capacity: expected an int (entries), got '2GiB'"),
    ],
)
def test_a_capacity_that_does_not_fit_leaves_the_cache_as_it_was(
    capacity: Any, message: str
) -> None:
    cache = predis.Cache[int, int](100)
    cache[1] = 1
    with pytest.raises(ConfigurationError) as caught:
        cache.resize(capacity)
    assert str(caught.value) == message
    assert (cache.capacity, cache[1]) == (100, 1)


def test_a_closed_cache_is_not_resized() -> None:
    cache = predis.Cache[int, int](100)
    cache.close()
    with pytest.raises(CacheClosed, match="cache 'default' is closed"):
        cache.resize(200)


class _Pen:
    """A codec that resizes the cache which is being written."""

    def __init__(self, cache: predis.Cache[Any, Any]) -> None:
        self.cache = cache

    def encode(self, value: Any) -> bytes:
        self.cache.resize(10)
        return b""

    def decode(self, data: bytes) -> Any:
        return None


def test_a_resize_within_a_snapshot_is_refused(tmp_path: Path) -> None:
    cache = predis.Cache[int, object](100)
    cache[1] = object()
    said = (
        "cache 'default': resizes, snapshots and changes of namespaces take turns, and this "
        "thread is in one of them; call the next when it has returned"
    )
    with pytest.raises(SnapshotError) as caught:
        cache.snapshot(tmp_path / "cache.snapshot", codec=_Pen(cache))
    assert f'codec.encode raised CacheBusy("{said}")' in str(caught.value)
    assert cache.resize(10).moved == 1


@pytest.fixture
def interrupted(
    combination: Combination, monkeypatch: pytest.MonkeyPatch
) -> predis.Cache[Any, Any]:
    """A cache in the middle of a resize from 1000 entries to 300 that nobody goes on with."""
    cache = filled(combination, 1_000, 100)
    with monkeypatch.context() as patch:
        patch.setattr(moving, "_SETS_WITH_GIL", 3)
        patch.setattr(moving, "_BYTES", 3 * WAYS * moving._ENTRY_BYTES)
        steps = Move.steps

        def few(self: Move, now: Any) -> Iterator[None]:
            for count, _ in enumerate(steps(self, now)):
                if count == 2:
                    raise KeyboardInterrupt
                yield

        patch.setattr(Move, "steps", few)
        with pytest.raises(KeyboardInterrupt):
            cache.resize(300)
    return cache


def test_an_interrupted_resize_loses_nothing(
    combination: Combination, interrupted: predis.Cache[Any, Any]
) -> None:
    cache = interrupted
    assert cache._table.newest is not cache._table
    assert cache._table.memory > cache._table.newest.memory > 0
    cache.check_invariants()
    assert cache.capacity == 300
    assert len(cache) == 100
    assert contents(cache) == combination.entries(range(100))
    numbers = range(90, 110)
    cache.set_many(combination.keys(numbers), combination.values(numbers))
    assert contents(cache) == combination.entries(range(110))


def test_the_next_resize_or_snapshot_finishes_an_interrupted_one(
    combination: Combination, interrupted: predis.Cache[Any, Any], tmp_path: Path
) -> None:
    cache = interrupted
    assert cache.snapshot(tmp_path / "cache.snapshot").entries == 100
    assert cache._table.newest is cache._table
    assert cache.resize(300) == ResizeReport(0, 0, 0.0)
    assert contents(cache) == combination.entries(range(100))
    assert cache.stats().insertions == cache.stats().size == 100


# ------------------------------------------------------------------ what is let go


@pytest.mark.watches_lifetime
def test_the_memory_of_the_old_table_goes_at_once() -> None:
    cache = predis.Cache[int, Any](1_000, value=predis.Rows("int64"))
    cache.set_many(range(100), range(100))
    before = cache._table.memory
    gone = weakref.ref(cache._table)
    gc.disable()
    try:
        cache.resize(50)
        assert gone() is None
    finally:
        gc.enable()
    assert cache._table.memory < before


@pytest.mark.watches_lifetime
def test_what_is_evicted_is_let_go() -> None:
    class Value:
        pass

    cache = predis.Cache[int, Value](ONE_SET)
    values = [Value() for _ in range(ONE_SET)]
    references = [weakref.ref(value) for value in values]
    cache.set_many(range(ONE_SET), values)
    values.clear()
    cache.resize(3)
    assert sum(reference() is not None for reference in references) == 3


# ------------------------------------------------------------------ calls that began before


def test_a_call_that_began_before_goes_on_in_the_new_table(combination: Combination) -> None:
    """Whoever still holds the old table reaches the newest one through it, for ever."""
    cache = filled(combination, 100, 20)
    old = cache._table
    for capacity in (1_000, 3_000):
        cache.resize(capacity)
    now = cache._clock.monotonic()
    numbers = range(15, 25)
    batch = cache._encode(combination.keys(numbers))
    assert old.contains(batch, now).tolist() == [n < 20 for n in numbers]
    old.insert(batch, cache._store.admit(combination.values(numbers), 10), now)
    assert contents(cache) == combination.entries(range(25))
    assert cache.stats().updates == 5
    assert old.lookup(batch, now).min() >= 0
    assert cache.stats().hits == 10
    assert old.touch(batch, now).all()
    assert old.delete(batch, now).deleted.all()
    assert old.counters() == cache._table.counters()
    assert old.size() == len(cache) == 15
    assert old.newest is cache._table
    old.clear(now)
    assert len(cache) == 0


def test_rows_that_are_displaced_come_back_across_a_seal() -> None:
    cache = predis.Cache[int, Any](1_000, value=predis.Rows("float32", (2,)), seed=1)
    keys = np.arange(20)
    rows = np.arange(40, dtype="float32").reshape(20, 2)
    cache.set_many(keys, rows)
    old = cache._table
    move = Move(old, cache._made(40))
    move.begin()
    result = old.insert(cache._encode(keys), rows + 100, 0, want_removed=True)
    assert (result.status == Status.UPDATED).all()
    assert result.removed is not None
    assert (result.removed.reasons == Reason.REPLACED).all()
    assert result.removed.at.tolist() == keys.tolist()
    assert result.removed.values.tolist() == rows.tolist()
    cache._settle()
    found, hit = cache.get_many(keys)
    assert hit.all()
    assert found.tolist() == (rows + 100).tolist()
