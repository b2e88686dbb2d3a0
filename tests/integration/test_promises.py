"""What the faces promise (docs, DESIGN): every sentence is a test, named after it.

Times to live, pins, removals and snapshots are beside, in `test_promises_….py`. Memory and asyncio
have their promises tested where they arrive.
"""

from __future__ import annotations

import copy
import os
import pickle
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import predis_core as predis
from predis_core.errors import (
    ForkedCache,
    LoaderDeadlock,
    LoaderError,
    MissingKeys,
    NotPicklable,
)
from tests.support.combinations import Combination, plain
from tests.support.crew import PATIENCE, Crew, wait_until


def forbidden(ids: Any) -> Any:
    raise AssertionError(f"the loader was called for {ids}")


# ------------------------------------------------------------------ misses


def test_misses_rows_are_zero_or_untouched_in_out() -> None:
    cache = predis.Cache(10, value=predis.Rows("float32", (2,)))
    cache.set_many([1, 3], [[1, 2], [3, 4]])

    rows, hit = cache.get_many([1, 2, 3, 2])
    assert rows.dtype == np.float32
    assert rows.tolist() == [[1, 2], [0, 0], [3, 4], [0, 0]]
    assert hit.tolist() == [True, False, True, False]

    out = np.full((4, 2), 9, np.float32)
    given, hit = cache.get_many([1, 2, 3, 2], out=out)
    assert given is out
    assert out.tolist() == [[1, 2], [9, 9], [3, 4], [9, 9]]
    assert hit.tolist() == [True, False, True, False]


def test_misses_of_objects_are_none_in_a_list() -> None:
    cache = predis.Cache[str, str](10)
    cache.set_many(["a", "c"], ["A", "C"])
    values, hit = cache.get_many(["a", "b", "c"])
    assert values == ["A", None, "C"]
    assert type(values) is list
    assert hit.dtype == bool
    assert hit.tolist() == [True, False, True]


def test_only_the_mask_decides() -> None:
    objects = predis.Cache[int, Any](10)
    objects[1] = None
    values, hit = objects.get_many([1, 2])
    assert values == [None, None]
    assert hit.tolist() == [True, False]

    rows = predis.Cache[int, Any](10, value=predis.Rows("int64", ()))
    rows[1] = 0
    values, hit = rows.get_many([1, 2])
    assert values.tolist() == [0, 0]
    assert hit.tolist() == [True, False]


def test_set_many_returns_mask_and_evicted_pairs(combination: Combination) -> None:
    cache = combination.open(20)
    stored = cache.set_many(combination.keys(range(20)), combination.values(range(20)))
    assert stored.dtype == bool
    assert stored.tolist() == [True] * 20

    numbers = [*range(15, 45), 44]
    stored, evicted = cache.set_many(
        combination.keys(numbers), combination.values(numbers), return_evicted=True
    )
    assert stored.tolist() == [True] * 31
    pairs = list(zip(plain(evicted.keys), plain(evicted.values), strict=True))
    left = [combination.number(key) for key, _ in pairs]
    assert [value for _, value in pairs] == combination.values(left)
    held = [combination.number(key) for key in cache]
    assert sorted([*left, *held]) == list(range(45))
    assert len(pairs) == cache.stats().evictions == 25


def test_set_many_returns_no_evicted_pair_when_nothing_leaves(combination: Combination) -> None:
    cache = combination.open(20)
    keys = combination.keys(range(5))
    for _ in range(2):
        _, evicted = cache.set_many(keys, combination.values(range(5)), return_evicted=True)
        assert len(evicted.keys) == len(evicted.values) == 0
        assert isinstance(evicted.values, np.ndarray) == combination.holds_rows


# ------------------------------------------------------------------ loaders


def test_loader_gets_distinct_missing_ids_in_order_of_first_appearance(
    combination: Combination,
) -> None:
    cache = combination.open(100)
    cache.set_many(combination.keys([4, 6]), combination.values([4, 6]))
    asked: list[Any] = []

    def loader(ids: Any) -> Any:
        asked.append(ids)
        return combination.load(ids)

    numbers = [9, 4, 2, 9, 7, 2, 6, 1, 9]
    values = cache.get_or_load_many(combination.keys(numbers), loader)
    assert plain(values) == combination.values(numbers)
    assert len(asked) == 1
    assert plain(asked[0]) == combination.keys([9, 2, 7, 1])
    if combination.kind == "int64":
        assert type(asked[0]) is np.ndarray
        assert asked[0].dtype == np.int64
    else:
        assert type(asked[0]) is list

    assert plain(cache.get_or_load_many(combination.keys(numbers), forbidden)) == plain(values)


@pytest.mark.parametrize("form", ["list", "mapping", "array", "generator"])
def test_loader_returns_aligned_rows_or_a_mapping(combination: Combination, form: str) -> None:
    def loader(ids: Any) -> Any:
        values = combination.load(ids)
        if form == "mapping":
            return dict(zip(reversed(list(ids)), reversed(values), strict=True))
        if form == "generator":
            return (value for value in values)
        if form == "array" and combination.holds_rows:
            return np.array(values)
        return values

    cache = combination.open(100)
    numbers = [5, 3, 8, 3]
    assert plain(cache.get_or_load_many(combination.keys(numbers), loader)) == combination.values(
        numbers
    )
    values, hit = cache.get_many(combination.keys(numbers))
    assert hit.all()
    assert plain(values) == combination.values(numbers)


def test_absent_id_raises_keyerror_with_ids_unless_mask(combination: Combination) -> None:
    cache = combination.open(100)
    known = combination.keys([1, 3])

    def loader(ids: Any) -> dict[Any, Any]:
        return {key: combination.value(combination.number(key)) for key in ids if key in known}

    numbers = [4, 1, 2, 4, 3]
    with pytest.raises(KeyError) as caught:
        cache.get_or_load_many(combination.keys(numbers), loader)
    assert isinstance(caught.value, MissingKeys)
    assert caught.value.ids == combination.keys([4, 2])
    assert repr(combination.key(4)) in str(caught.value)
    assert "missing='mask'" in str(caught.value)

    values, found = cache.get_or_load_many(combination.keys(numbers), loader, missing="mask")
    assert found.tolist() == [False, True, False, False, True]
    assert [plain(values)[at] for at in (1, 4)] == combination.values([1, 3])
    blank = 0 if combination.holds_rows else None
    assert [plain(values)[at] for at in (0, 2, 3)] == [blank] * 3
    assert cache.contains_many(combination.keys(numbers)).tolist() == found.tolist()

    filled = combination.open(100, loader=loader)
    assert filled.get_or_load(combination.key(3)) == combination.value(3)
    with pytest.raises(KeyError) as caught:
        filled.get_or_load(combination.key(9))
    assert caught.value.ids == [combination.key(9)]


def test_results_come_from_what_was_loaded_even_if_already_evicted(
    combination: Combination,
) -> None:
    cache = combination.open(1)
    numbers = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3]
    values = cache.get_or_load_many(combination.keys(numbers), combination.load)
    assert plain(values) == combination.values(numbers)
    assert len(cache) == 1
    assert cache.stats().loads == len(set(numbers))


def test_a_batch_loads_its_own_ids_before_it_waits(combination: Combination, crew: Crew) -> None:
    cache = combination.open(100)
    asked: list[list[Any]] = []
    may_end = threading.Event()

    def slow(ids: Any) -> Any:
        asked.append(plain(ids))
        may_end.wait()
        return combination.load(ids)

    def quick(ids: Any) -> Any:
        asked.append(plain(ids))
        return combination.load(ids)

    first = crew.start(lambda: cache.get_or_load_many(combination.keys([1, 2]), slow))
    wait_until(lambda: len(asked) == 1)
    second = crew.start(lambda: cache.get_or_load_many(combination.keys([2, 3, 1, 4]), quick))
    wait_until(lambda: combination.key(4) in cache)
    assert asked[1] == combination.keys([3, 4])
    assert combination.key(3) in cache
    assert not second.done()

    may_end.set()
    assert plain(first.result(PATIENCE)) == combination.values([1, 2])
    assert plain(second.result(PATIENCE)) == combination.values([2, 3, 1, 4])
    stats = cache.stats()
    assert (stats.loads, stats.loads_saved) == (4, 2)


def test_set_delete_clear_during_a_load_win(combination: Combination) -> None:
    cache = combination.open(100)
    numbers = [1, 2, 3, 4]

    def interrupted(ids: Any) -> Any:
        cache[combination.key(1)] = combination.value(100)
        cache.set_many(combination.keys([2]), combination.values([200]))
        cache.delete_many(combination.keys([3]))
        return combination.load(ids)

    loaded = cache.get_or_load_many(combination.keys(numbers), interrupted)
    assert plain(loaded) == combination.values(numbers)
    values, hit = cache.get_many(combination.keys(numbers))
    assert hit.tolist() == [True, True, False, True]
    assert plain(values)[:2] == combination.values([100, 200])

    def cleared(ids: Any) -> Any:
        cache.clear()
        return combination.load(ids)

    cache.clear()
    loaded = cache.get_or_load_many(combination.keys(numbers), cleared)
    assert plain(loaded) == combination.values(numbers)
    assert len(cache) == 0


@pytest.mark.parametrize("remove", ["del", "pop", "pop with a default"])
def test_every_way_to_delete_wins_over_a_load(combination: Combination, remove: str) -> None:
    cache = combination.open(100)
    key = combination.key(1)

    def interrupted(ids: Any) -> Any:
        if remove == "del":
            with pytest.raises(KeyError):
                del cache[key]
        elif remove == "pop":
            with pytest.raises(KeyError):
                cache.pop(key)
        else:
            assert cache.pop(key, None) is None
        return combination.load(ids)

    assert plain(cache.get_or_load_many([key], interrupted)) == [combination.value(1)]
    assert key not in cache


def test_a_set_that_is_halfway_when_a_load_begins_wins_as_well(crew: Crew) -> None:
    """The set has looked for loads to overrule, the load looks for the key, the set stores."""
    setting, loading, stored = threading.Event(), threading.Event(), threading.Event()

    class Gate(predis.Clock):
        def monotonic(self) -> int:
            if threading.current_thread().name == "setter":
                setting.set()
                loading.wait(PATIENCE)
            return super().monotonic()

    cache = predis.Cache[str, str](10, clock=Gate())

    def set_it() -> None:
        threading.current_thread().name = "setter"
        cache["k"] = "set"
        stored.set()

    def loader(ids: list[str]) -> list[str]:
        loading.set()
        stored.wait(PATIENCE)
        return ["loaded"]

    setter = crew.start(set_it)
    assert setting.wait(PATIENCE)
    assert cache.get_or_load_many(["k"], loader) == ["loaded"]
    setter.result(PATIENCE)
    assert cache["k"] == "set"


def test_loader_waiting_for_its_own_id_is_an_error(combination: Combination) -> None:
    cache = combination.open(100)

    def waits(ids: Any) -> Any:
        return cache.get_or_load_many(ids, combination.load)

    with pytest.raises(LoaderDeadlock) as caught:
        cache.get_or_load_many(combination.keys([1, 2]), waits)
    assert caught.value.ids == combination.keys([1, 2])
    assert isinstance(caught.value, LoaderError)

    assert len(cache) == 0
    values = cache.get_or_load_many(combination.keys([1, 2]), combination.load)
    assert plain(values) == combination.values([1, 2])


# ------------------------------------------------------------------ processes


def uses(cache: predis.Cache[Any, Any]) -> dict[str, Callable[[], Any]]:
    """Return every method that uses a cache, each as a call."""
    return {
        "get_many": lambda: cache.get_many([1]),
        "set_many": lambda: cache.set_many([1], [1]),
        "contains_many": lambda: cache.contains_many([1]),
        "touch_many": lambda: cache.touch_many([1]),
        "delete_many": lambda: cache.delete_many([1]),
        "get_or_load_many": lambda: cache.get_or_load_many([1], forbidden),
        "get_or_load": lambda: cache.get_or_load(1, forbidden),
        "[]": lambda: cache[1],
        "[]=": lambda: cache.__setitem__(1, 1),
        "del": lambda: cache.__delitem__(1),
        "in": lambda: 1 in cache,
        "len": lambda: len(cache),
        "iter": lambda: iter(cache),
        "list of keys": lambda: list(cache.keys()),
        "list of items": lambda: list(cache.items()),
        "list of values": lambda: list(cache.values()),
        "get": lambda: cache.get(1),
        "set": lambda: cache.set(1, 1),
        "pop": lambda: cache.pop(1, None),
        "popitem": cache.popitem,
        "setdefault": lambda: cache.setdefault(1, 1),
        "update": lambda: cache.update({1: 1}),
        "ttl_left": lambda: cache.ttl_left(1),
        "pinned": lambda: cache.pinned([1]),
        "add_removal_listener": lambda: cache.add_removal_listener(print),
        "clear": cache.clear,
        "stats": cache.stats,
        "check_invariants": cache.check_invariants,
        "with": cache.__enter__,
    }


def outcome(call: Callable[[], Any]) -> str:
    """Return what a call raises, as text."""
    try:
        return f"returned {call()!r}"
    except Exception as error:
        return f"{type(error).__name__}: {error}"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_use_after_fork_raises_with_the_way_out(combination: Combination) -> None:
    cache = combination.open(10, name="prices")
    numbers = range(3)
    cache.set_many(combination.keys(numbers), combination.values(numbers))
    source, sink = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            found = {name: outcome(call) for name, call in uses(cache).items()}
            cache.close()
            found["a cache of its own"] = outcome(lambda: len(combination.open(10)))
            os.write(sink, pickle.dumps(found))
        finally:
            os._exit(0)
    os.close(sink)
    with os.fdopen(source, "rb") as pipe:
        found = pickle.loads(pipe.read())
    os.waitpid(child, 0)

    assert found.pop("a cache of its own") == "returned 0"
    assert len(found) == len(uses(cache))
    for name, text in found.items():
        assert text.startswith(f"{ForkedCache.__name__}: cache 'prices'"), (name, text)
        assert "open one in each child" in text
        assert "'spawn'" in text
    assert len(cache) == 3


PICKLING: dict[str, Callable[[Any], Any]] = {
    **{
        f"pickle protocol {protocol}": lambda cache, protocol=protocol: pickle.dumps(
            cache, protocol
        )
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1)
    },
    "pickle inside": lambda cache: pickle.dumps({"cache": [cache]}),
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "deepcopy inside": lambda cache: copy.deepcopy([cache]),
}


@pytest.mark.parametrize("send", PICKLING.values(), ids=PICKLING)
def test_pickling_raises_with_the_way_out(send: Callable[[Any], Any]) -> None:
    cache = predis.Cache[str, int](10, name="prices")
    cache["a"] = 1
    with pytest.raises(NotPicklable, match=r"'prices'.*open one in each process.*cache\.items\(\)"):
        send(cache)
    with pytest.raises(TypeError):
        send(cache)
    assert pickle.loads(pickle.dumps(dict(cache.items()))) == {"a": 1}
