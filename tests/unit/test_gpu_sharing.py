"""What the GPU table of a cache says beyond parity: of moves that are interrupted or disturbed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import predis_core as predis
from predis_core.errors import CacheBusy, DeviceError
from predis_core.resizing import ResizeReport
from predis_core.table import moving
from predis_core.table.cuda.shared import Move, SharedGpuTable
from predis_core.table.cuda.table import GpuTable
from tests.support.gpu import open_on_host

Numbers = predis.Cache[int, int]
HUNDRED = {key: 2 * key for key in range(100)}


def opened(monkeypatch: pytest.MonkeyPatch, **options: Any) -> Numbers:
    open_on_host(monkeypatch)
    monkeypatch.setattr(moving, "_BYTES", 1 << 12)
    options = {"policy": "lru", "value": predis.Rows("int64"), "seed": 1} | options
    return predis.Cache(1_000, device="cuda", **options)


def filled(monkeypatch: pytest.MonkeyPatch, **options: Any) -> Numbers:
    cache = opened(monkeypatch, **options)
    cache.set_many(list(HUNDRED), list(HUNDRED.values()))
    return cache


def table_of(cache: Numbers) -> Any:
    assert isinstance(cache._table, SharedGpuTable)
    return cache._table


def interrupt(cache: Numbers, monkeypatch: pytest.MonkeyPatch, capacity: int) -> None:
    steps = Move.steps

    def few(self: Move, now: Callable[[], int]) -> Any:
        for count, step in enumerate(steps(self, now)):
            if count == 5:
                raise KeyboardInterrupt
            yield step

    with monkeypatch.context() as patch:
        patch.setattr(Move, "steps", few)
        with pytest.raises(KeyboardInterrupt):
            cache.resize(capacity)


def test_an_interrupted_resize_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    cache = filled(monkeypatch)
    before = table_of(cache).memory
    interrupt(cache, monkeypatch, 300)
    assert cache.capacity == 300
    assert len(cache) == cache.stats().insertions == 100
    assert table_of(cache).memory > before
    assert dict(cache.items()) == HUNDRED
    cache.check_invariants()
    table_of(cache).set_parameters(())
    values, hit = cache.get_many(range(90, 110))
    assert hit.tolist() == [True] * 10 + [False] * 10
    assert values[:10].tolist() == [2 * key for key in range(90, 100)]
    cache[100] = 200
    assert dict(cache.items()) == HUNDRED | {100: 200}
    cache.clear()
    assert (len(cache), dict(cache.items())) == (0, {})


def test_the_next_resize_or_snapshot_finishes_an_interrupted_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    cache = filled(monkeypatch)
    interrupt(cache, monkeypatch, 300)
    assert cache.snapshot(tmp_path / "cache.snapshot").entries == 100
    memory = table_of(cache).memory
    assert cache.resize(300) == ResizeReport(0, 0, 0.0)
    assert table_of(cache).memory == memory
    assert dict(cache.items()) == HUNDRED
    assert cache.stats().insertions == cache.stats().size == 100


def test_a_resize_for_which_the_gpu_has_no_room_changes_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cache = filled(monkeypatch)

    def fail(self: GpuTable, layout: Any) -> GpuTable:
        raise DeviceError("cuda:0 has no 9 bytes left")

    monkeypatch.setattr(GpuTable, "like", fail)
    with pytest.raises(DeviceError, match=r"^cuda:0 has no 9 bytes left$"):
        cache.resize(3_000)
    assert cache.capacity == 1_000
    assert dict(cache.items()) == HUNDRED


def test_a_step_that_fails_is_made_up_for(monkeypatch: pytest.MonkeyPatch) -> None:
    cache = filled(monkeypatch)
    store = GpuTable._store

    def fail(self: GpuTable, batch: Any) -> None:
        raise DeviceError("cuda:0 has no room to sort")

    monkeypatch.setattr(GpuTable, "_store", fail)
    with pytest.raises(DeviceError, match=r"^cuda:0 has no room to sort$"):
        cache.resize(3_000)
    monkeypatch.setattr(GpuTable, "_store", store)
    assert dict(cache.items()) == HUNDRED
    assert cache.resize(2_000).evicted == 0
    assert dict(cache.items()) == HUNDRED
    assert cache.stats().insertions == cache.stats().size == 100


def test_nothing_is_resized_while_something_is_pinned(monkeypatch: pytest.MonkeyPatch) -> None:
    cache = filled(monkeypatch)
    with cache.pinned([3]), pytest.raises(CacheBusy, match="cannot be resized while entries are"):
        cache.resize(300)
    assert cache.capacity == 1_000
    assert cache.resize(300).moved == 100


@pytest.mark.parametrize("act", ["delete", "set", "clear", "get"])
def test_what_a_finaliser_does_in_the_midst_of_a_move_is_not_undone(
    monkeypatch: pytest.MonkeyPatch, act: str
) -> None:
    """It may be of the very keys that are on their way, which then do not arrive."""
    cache = filled(monkeypatch)
    store, told = GpuTable._store, []
    cache.add_removal_listener(lambda left: told.extend(left.keys.tolist()))
    verbs: dict[str, Callable[[], Any]] = {
        "delete": lambda: cache.delete_many(range(100)),
        "set": lambda: cache.set_many(range(100), [7] * 100),
        "clear": cache.clear,
        "get": lambda: cache.get_many(range(100)),
    }

    def disturbed(self: GpuTable, batch: Any) -> None:
        monkeypatch.setattr(GpuTable, "_store", store)
        verbs[act]()
        store(self, batch)

    monkeypatch.setattr(GpuTable, "_store", disturbed)
    cache.resize(2_000)
    assert set(cache.values()) <= ({7} if act == "set" else set(HUNDRED.values()))
    assert (len(cache) == 0) == (act in ("delete", "clear"))
    assert set(cache) | set(told) == set(HUNDRED)
    assert cache.stats().insertions - cache.stats().deletions == len(cache)
    cache.check_invariants()
