"""What a user sees of a cache on a GPU whose keys are of kind "any": the same as on the CPU."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import predis_core as predis
from predis_core.errors import CacheFull, KeyKindError
from predis_core.table.cuda.shared import SharedGpuTable
from tests.support.gpu import open_on_host

ROWS = predis.Rows("int64")
Opened = Callable[..., predis.Cache[Any, Any]]


@pytest.fixture(params=["cpu", "cuda:0"])
def opened(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Opened:
    """Opens a cache of numbers by keys of any kind, on either device."""
    open_on_host(monkeypatch)

    def opened(capacity: int, **options: Any) -> predis.Cache[Any, Any]:
        given: dict[str, Any] = {"policy": "lru", "value": ROWS, "seed": 1} | options
        return predis.Cache(capacity, keys="any", device=request.param, **given)

    return opened


def test_keys_have_the_equality_of_a_dict(opened: Opened) -> None:
    keys: list[Any] = [
        1, True, 1.0, 2**70, float(2**70), "1", b"1", (1, "a"), (True, "a"), None,
        frozenset({1, 2}), -1, -2, math.nan, 0.0, -0.0, np.int64(7), 7, len, 2**61 - 1, 0,
    ]  # fmt: skip
    expected = {key: at for at, key in enumerate(keys)}
    for cache in (opened(500), opened(500)):
        for at, key in enumerate(keys):
            cache[key] = at
        assert dict(cache.items()) == expected
        # As in a dict, the first of equal keys stays.
        assert {id(key) for key in cache} == {id(key) for key in expected}
        values, hit = cache.get_many(keys)
        assert hit.all()
        assert values.tolist() == [expected[key] for key in keys]
        assert float("nan") not in cache
    cache = opened(500)
    assert cache.set_many(keys, range(len(keys))).all()
    assert dict(cache.items()) == expected


def test_keys_that_cannot_be_hashed_are_named(opened: Opened) -> None:
    cache = opened(20)
    with pytest.raises(KeyKindError, match=r"unhashable.*list.* \(at position 1\)"):
        cache.set_many([1, []], [1, 2])
    with pytest.raises(KeyKindError, match=r"unhashable"):
        cache[{}] = 1  # type: ignore[index]
    with pytest.raises(KeyKindError, match=r"pass \[key\]"):
        cache.get_many("abc")
    assert len(cache) == 0


def test_an_error_in_equality_or_hash_reaches_the_caller_and_changes_nothing(
    opened: Opened,
) -> None:
    class Broken:
        def __hash__(self) -> int:
            return 7

        def __eq__(self, other: object) -> bool:
            raise ZeroDivisionError("no comparing")

    class Hashless:
        def __hash__(self) -> int:
            raise ZeroDivisionError("no hashing")

    cache = opened(28)
    first = Broken()
    cache[first] = 1
    calls: list[Callable[[], Any]] = [
        lambda: cache[Broken()],
        lambda: cache.set(Broken(), 2),
        lambda: cache.set_many([Broken(), Broken()], [2, 3]),
        lambda: cache.delete_many(["a", Broken()]),
        lambda: cache.touch_many([Broken()]),
        lambda: cache.pop(Broken(), None),
        lambda: cache.ttl_left(Broken()),
        lambda: cache.get_or_load(Broken(), lambda key: 1),
        lambda: cache.pinned([Broken()]).__enter__(),
        lambda: cache.get(Hashless()),
        lambda: cache.set_many(["a", Hashless()], [2, 3]),
    ]
    for call in calls:
        with pytest.raises(ZeroDivisionError):
            call()
    assert dict(cache.items()) == {first: 1}
    cache.check_invariants()


def test_none_is_a_key_and_is_told_of(opened: Opened) -> None:
    told: list[tuple[Any, str]] = []

    def note(removals: predis.Removals) -> None:
        told.extend(zip(removals.keys, removals.reasons, strict=True))

    cache = opened(28, on_removal=note)
    cache.set_many([None, 1], [1, 2])
    assert cache[None] == 1
    cache.resize(1)
    cache[None] = 3
    cache["other"] = 4
    cache[None] = 5
    cache.clear()
    assert told == [
        (1, "evicted"), (None, "replaced"), (None, "evicted"), ("other", "evicted"),
        (None, "cleared"),
    ]  # fmt: skip


def test_pins_of_keys_of_one_hash_are_their_own(opened: Opened) -> None:
    apart = 2**61 - 1  # hashes as 0 does
    cache = opened(2)
    cache.set_many([0, apart], [1, 2])
    with cache.pinned([0]) as values:
        assert values.tolist() == [1]
        cache["more"] = 3
        assert dict(cache.items()) == {0: 1, "more": 3}
        with cache.pinned(["more", apart]), pytest.raises(CacheFull):
            cache[apart] = 4
    cache[apart] = 4
    assert cache[apart] == 4


def test_functions_are_memoized_in_it(opened: Opened) -> None:
    cache, calls = opened(100), []

    @cache.memoize(ttl="5m")
    def total(*numbers: int, plus: int = 0) -> int:
        calls.append(numbers)
        return sum(numbers) + plus

    assert [total(1, 2), total(1, 2), total(1, 2, plus=1), total(2, 1)] == [3, 3, 4, 3]
    assert calls == [(1, 2), (1, 2), (2, 1)]


@pytest.mark.parametrize("device", ["auto", "cuda"])
def test_a_configuration_may_ask_for_it(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    open_on_host(monkeypatch)
    section = {
        "capacity": 40,
        "keys": "any",
        "device": device,
        "policy": "auto",
        "sampling": 1.0,
        "value": {"kind": "rows", "dtype": "int64"},
        "namespaces": {"a": {"capacity": 10}},
    }
    with predis.open({"cache": section}) as cache:
        assert isinstance(cache._table, SharedGpuTable)
        space = cache.namespace("a")
        assert isinstance(space._table, SharedGpuTable)
        cache[("key", 1)], space[("key", 1)] = 1, 2
        assert (cache[("key", 1)], space[("key", 1)]) == (1, 2)


@pytest.mark.parametrize("keys", ["int64", "str", "any"])
def test_memory_bounds_what_lies_on_the_gpu(keys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    open_on_host(monkeypatch)
    cache = predis.Cache[Any, Any](
        memory="64KiB", keys=keys, policy="lru", value=ROWS, device="cuda", on_removal=list
    )
    named = [n if keys == "int64" else str(n) for n in range(10)]
    cache.set_many(named, range(10), ttl=60)
    with cache.pinned(named):
        pass
    table: Any = cache._table
    there = sum(column.nbytes for column in table._table._columns.values())
    assert 32 << 10 < there <= 64 << 10
    on_host = table.memory - there
    assert on_host == (0 if keys == "int64" else 16 * cache.capacity)
    cache.clear()
