"""The batch face and the dict face, with everything that they take and give back."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from typing import Any

import msgspec
import numpy as np
import pytest

import predis_core as predis
from predis_core.errors import CacheClosed, ConfigurationError
from tests.support.combinations import Combination, plain

ONE_SET = 28

# ------------------------------------------------------------------ the batch face


def test_what_was_set_is_found(combination: Combination) -> None:
    cache = combination.open(2000)
    numbers = range(200)
    keys, values = combination.keys(numbers), combination.values(numbers)
    assert cache.set_many(keys, values).all()
    found, hit = cache.get_many(keys)
    assert hit.all()
    assert plain(found) == values
    assert [cache[key] for key in keys] == values
    assert len(cache) == 200


def test_the_last_of_equal_keys_in_a_batch_wins(combination: Combination) -> None:
    cache = combination.open(100)
    stored = cache.set_many(combination.keys([1, 2, 1, 3, 1]), combination.values(range(5)))
    assert stored.tolist() == [True] * 5
    assert len(cache) == 3
    found, _ = cache.get_many(combination.keys([1, 2, 3, 1]))
    assert plain(found) == combination.values([4, 1, 3, 4])
    assert cache.delete_many(combination.keys([1, 1, 9])).tolist() == [True, False, False]


def test_empty_batches(combination: Combination) -> None:
    cache = combination.open(100)
    cache[combination.key(1)] = combination.value(1)
    for empty in ([], (), iter([]), np.empty(0, np.int64), np.array([]), {}.keys()):
        values, hit = cache.get_many(empty)
        assert len(values) == len(hit) == 0
        assert hit.dtype == bool
    assert cache.set_many([], []).tolist() == []
    stored, evicted = cache.set_many([], [], return_evicted=True)
    assert len(stored) == len(evicted.keys) == len(evicted.values) == 0
    assert cache.contains_many([]).tolist() == []
    assert cache.touch_many([]).tolist() == []
    assert cache.delete_many([]).tolist() == []
    assert len(cache.get_or_load_many([], combination.load)) == 0
    values, found = cache.get_or_load_many([], combination.load, missing="mask")
    assert len(values) == len(found) == 0
    cache.update({})
    cache.set_many([], [], ttl=np.empty(0))
    assert len(cache) == 1
    assert cache.stats().requests == 0


@pytest.mark.parametrize(
    "form", [list, tuple, iter, deque, dict.fromkeys, lambda keys: dict.fromkeys(keys).keys()]
)
def test_batches_come_as_any_iterable(combination: Combination, form: Callable[[Any], Any]) -> None:
    cache = combination.open(100)
    numbers = [5, 3, 8, 1]
    keys, values = combination.keys(numbers), combination.values(numbers)
    assert cache.set_many(form(keys), iter(values)).all()
    assert cache.set_many(form(keys), dict(enumerate(values)).values()).all()
    found, hit = cache.get_many(form(keys))
    assert hit.all()
    assert plain(found) == values
    assert cache.contains_many(form(keys)).all()
    assert cache.touch_many(form(keys)).all()
    assert plain(cache.get_or_load_many(form(keys), combination.load)) == values
    assert cache.delete_many(form(keys)).all()


def test_a_batch_may_be_any_size_and_capacity_any_number(combination: Combination) -> None:
    for capacity in (1, 2, 10, 31, 33, 95, 1000):
        cache = combination.open(capacity)
        numbers = range(3000)
        cache.set_many(combination.keys(numbers), combination.values(numbers))
        assert 0 < len(cache) <= capacity == cache.capacity
        values, hit = cache.get_many(combination.keys(numbers))
        assert hit.sum() == len(cache)
        expected = combination.values(np.flatnonzero(hit).tolist())
        assert [value for value, there in zip(plain(values), hit, strict=True) if there] == expected


# ------------------------------------------------------------------ objects as values


def test_objects_keep_any_value_by_identity() -> None:
    values: list[Any] = [
        None,
        [1, [2, 3]],
        [],
        {"a": 1},
        (1, 2),
        "text",
        np.arange(3),
        np.array(5),
        np.zeros((2, 2)),
        float("nan"),
        predis.Objects,
        {1, 2},
        range(3),
    ]
    cache = predis.Cache[int, Any](100)
    numbers = range(len(values))
    cache.set_many(numbers, values)
    found, hit = cache.get_many(numbers)
    assert hit.all()
    assert all(a is b for a, b in zip(found, values, strict=True))
    for n, value in enumerate(values):
        assert cache[n] is value
        assert cache.set(n, value)
        assert cache.get_or_load(100 + n, lambda _, value=value: value) is value
        assert cache.get(100 + n, "default") is value
        assert cache.pop(100 + n) is value
    loaded = cache.get_or_load_many([200 + n for n in numbers], lambda ids: values)
    assert all(a is b for a, b in zip(loaded, values, strict=True))
    loaded = cache.get_or_load_many(
        [300 + n for n in numbers], lambda ids: dict(zip(ids, values, strict=True))
    )
    assert all(a is b for a, b in zip(loaded, values, strict=True))


def test_lists_of_lists_are_a_list_per_key() -> None:
    cache = predis.Cache[str, list[int]](10)
    cache.set_many(["a", "b"], [[1, 2], [3, 4]])
    assert cache.get_many(["a", "b"])[0] == [[1, 2], [3, 4]]
    cache.set_many(["a"], [[5, 6]])
    assert cache["a"] == [5, 6]


def test_none_is_a_value_like_any_other() -> None:
    cache = predis.Cache[str, Any](10)
    cache["a"] = None
    assert "a" in cache
    assert cache["a"] is None
    assert cache.get("a", 5) is None
    assert cache.get_or_load("a", lambda key: 1 / 0) is None
    assert cache.setdefault("a", 5) is None
    assert list(cache.items()) == [("a", None)]
    assert cache.pop("a", 5) is None
    assert cache.pop("a", 5) == 5


# ------------------------------------------------------------------ the dict face


def test_it_is_a_mutable_mapping(combination: Combination) -> None:
    cache = combination.open(100)
    assert isinstance(cache, MutableMapping)
    key, value = combination.key(1), combination.value(1)
    assert cache.setdefault(key, value) == value
    assert cache.setdefault(key, combination.value(2)) == value
    assert key in cache
    assert combination.key(2) not in cache
    assert cache.get(key) == value
    assert cache.get(combination.key(2)) is None
    assert cache.get(combination.key(2), "x") == "x"
    cache.update({combination.key(2): combination.value(2)})
    cache.update([(combination.key(3), combination.value(3))])
    cache.update(cache)
    assert len(cache) == 3
    assert set(cache) == set(cache.keys()) == set(combination.keys([1, 2, 3]))
    assert set(plain(cache.values())) == set(combination.values([1, 2, 3]))
    assert dict(cache) == dict(cache.items())
    assert (key, value) in cache.items()
    assert value in cache.values()
    assert combination.value(9) not in cache.values()
    assert key in cache.keys()  # noqa: SIM118
    assert cache.keys() & {key} == {key}
    assert len(cache.keys()) == len(cache.items()) == len(cache.values()) == 3
    del cache[key]
    assert cache.pop(combination.key(2)) == combination.value(2)
    assert cache.popitem() == (combination.key(3), combination.value(3))
    assert not cache
    for call in (cache.popitem, lambda: cache[key], lambda: cache.pop(key)):
        with pytest.raises(KeyError):
            call()
    with pytest.raises(KeyError):
        del cache[key]


def test_update_takes_what_a_dict_takes() -> None:
    class Lookup:
        def keys(self) -> list[str]:
            return ["k"]

        def __getitem__(self, key: str) -> int:
            return 7

    cache = predis.Cache[str, int](100, keys="str")
    cache.update(a=1, b=2)
    cache.update({"b": 3}, c=4)
    cache.update([("d", 5), ("d", 6)])
    cache.update(OrderedDict(e=8))
    cache.update(Lookup())
    cache.update()
    assert dict(cache.items()) == {"a": 1, "b": 3, "c": 4, "d": 6, "e": 8, "k": 7}


def test_iteration_goes_over_what_was_there_when_it_began(combination: Combination) -> None:
    cache = combination.open(1000)
    numbers = range(50)
    cache.set_many(combination.keys(numbers), combination.values(numbers))
    seen = []
    for key in cache:
        seen.append(combination.number(key))
        del cache[key]
        cache[combination.key(1000 + len(seen))] = combination.value(0)
    assert sorted(seen) == list(numbers)
    pairs = 0
    for _ in cache.items():
        cache.clear()
        pairs += 1
    assert pairs == 50
    assert list(cache.items()) == list(cache.values()) == list(cache) == []


def test_iterating_and_looking_into_views_is_no_use(combination: Combination) -> None:
    cache = combination.open(100)
    cache.set_many(combination.keys(range(5)), combination.values(range(5)))
    before = cache.stats()
    assert len(list(cache)) == len(list(cache.items())) == len(list(cache.values())) == 5
    assert combination.value(3) in cache.values()
    assert combination.value(9) not in cache.values()
    assert cache.contains_many(combination.keys(range(9))).sum() == 5
    assert cache.stats() == before


def test_pop_and_delete_give_back_what_was_there(combination: Combination) -> None:
    cache = combination.open(100)
    cache.set_many(combination.keys(range(4)), combination.values(range(4)))
    assert cache.pop(combination.key(0)) == combination.value(0)
    assert cache.pop(combination.key(0), None) is None
    assert cache.delete_many(combination.keys([1, 0])).tolist() == [True, False]
    taken = [cache.popitem(), cache.popitem()]
    assert sorted(combination.number(key) for key, _ in taken) == [2, 3]
    assert cache.stats().deletions == 4


def test_the_scalar_and_the_batch_loader() -> None:
    cache = predis.Cache[str, str](10, loader=lambda ids: [key.upper() for key in ids])
    assert cache.get_or_load("a") == "A"
    assert cache.get_or_load("b", lambda key: key * 2) == "bb"
    assert cache.get_or_load("b") == "bb"
    assert cache.get_or_load_many(["a", "b", "c"]) == ["A", "bb", "C"]
    assert cache.get_or_load_many(["d"], lambda ids: ["other"]) == ["other"]


def test_int64_loaders_get_plain_ints_one_at_a_time() -> None:
    cache = predis.Cache(10, value=predis.Rows("int64", ()))
    given: list[Any] = []
    assert cache.get_or_load(5, lambda key: given.append(key) or key * 2) == 10
    assert type(given[0]) is int


# ------------------------------------------------------------------ the whole


def test_subscripts_are_types_only() -> None:
    kind = predis.Cache[str, bytes]
    cache = kind(10, keys="str")
    assert isinstance(cache, predis.Cache)
    assert isinstance(cache, Mapping)
    cache["a"] = b"1"
    assert cache["a"] == b"1"


def test_a_cache_is_equal_to_itself_only() -> None:
    one, other = predis.Cache[int, int](10), predis.Cache[int, int](10)
    assert one == one
    assert one != other
    assert one != {}
    assert len({one, other}) == 2


def test_repr_says_what_it_is(combination: Combination) -> None:
    cache = combination.open(100, name="prices", policy="s3fifo")
    cache[combination.key(1)] = combination.value(1)
    assert "'prices'" in repr(cache)
    assert "1/100" in repr(cache)
    assert "s3fifo" in repr(cache)
    assert f"{combination.kind} keys" in repr(cache)
    stores = {"rows": "Rows('int64', ())", "objects": "Objects()", "blobs": "Blobs()"}
    assert stores[combination.store] in repr(cache)
    cache.close()
    assert "unusable" in repr(cache)


def test_stats_count_entries(combination: Combination) -> None:
    clock = predis.ManualClock()
    cache = combination.open(ONE_SET, clock=clock)
    assert cache.stats().hit_ratio == cache.stats().miss_ratio == 0.0
    keys, values = combination.keys(range(100)), combination.values(range(100))
    cache.set_many(keys[:20], values[:20])
    cache.set_many(keys[:5], values[:5], ttl=1)
    cache.get_many(keys[:40])
    cache.get(keys[0])
    cache.delete_many(keys[15:25])
    cache.pop(keys[14])
    clock.advance(1)
    cache.set(keys[0], values[0])
    cache.get_or_load_many(keys[40:43], combination.load)
    stats = cache.stats()
    found = {name: getattr(stats, name) for name in stats.__struct_fields__}
    assert found == {
        "hits": 21,
        "misses": 23,
        "insertions": 24,
        "updates": 5,
        "evictions": 0,
        "conflicts": 0,
        "expirations": 1,
        "deletions": 6,
        "refusals": 0,
        "bytes": combination.size(*range(14), 40, 41, 42),
        "hit_bytes": combination.size(*range(20), 0),
        "inserted_bytes": combination.size(*range(20), 0, 40, 41, 42),
        "loads": 3,
        "load_failures": 0,
        "loads_saved": 0,
        "size": 17,
        "capacity": ONE_SET,
    }
    assert stats.requests == 44
    assert stats.hit_ratio == 21 / 44
    assert stats.miss_ratio == 23 / 44
    with pytest.raises(AttributeError):
        stats.hits = 1  # type: ignore[misc]
    assert msgspec.json.decode(msgspec.json.encode(stats)) == found
    cache.clear()
    assert cache.stats().size == 0
    assert cache.stats().deletions == 6 + 17


def test_close_twice_and_the_context_manager(combination: Combination) -> None:
    with combination.open(10) as cache:
        cache[combination.key(1)] = combination.value(1)
        assert len(cache) == 1
    cache.close()
    cache.close()
    with pytest.raises(CacheClosed), cache:
        raise AssertionError("entered")

    class Stop(Exception):
        pass

    with pytest.raises(Stop), combination.open(10) as cache:
        raise Stop
    with pytest.raises(CacheClosed):
        len(cache)


def every_use(cache: predis.Cache[Any, Any], key: Any, value: Any) -> Iterator[Callable[[], Any]]:
    """Return every method of a cache, each as a call."""
    yield from (
        lambda: cache.get_many([key]),
        lambda: cache.set_many([key], [value]),
        lambda: cache.contains_many([key]),
        lambda: cache.touch_many([key]),
        lambda: cache.delete_many([key]),
        lambda: cache.get_or_load_many([key], lambda ids: [value]),
        lambda: cache.get_or_load(key, lambda _: value),
        lambda: cache[key],
        lambda: cache.__setitem__(key, value),
        lambda: cache.__delitem__(key),
        lambda: key in cache,
        lambda: len(cache),
        lambda: iter(cache),
        lambda: list(cache.keys()),
        lambda: list(cache.items()),
        lambda: list(cache.values()),
        lambda: len(cache.items()),
        lambda: cache.get(key, 1),
        lambda: cache.set(key, value),
        lambda: cache.pop(key, 1),
        cache.popitem,
        lambda: cache.setdefault(key, value),
        lambda: cache.update({key: value}),
        lambda: cache.ttl_left(key),
        cache.clear,
        cache.stats,
        cache.check_invariants,
        lambda: cache.resize(20),
        lambda: cache.namespace("other"),
        cache.namespaces,
        lambda: cache.drop_namespace("other"),
        cache.__enter__,
    )


def test_every_use_after_close_raises(combination: Combination) -> None:
    cache = combination.open(10, name="prices")
    cache[combination.key(1)] = combination.value(1)
    cache.close()
    for call in every_use(cache, combination.key(1), combination.value(1)):
        with pytest.raises(CacheClosed, match=r"'prices' is closed; open another"):
            call()
    assert cache.capacity == 10
    assert cache.name == "prices"


def test_a_custom_policy_and_seed_are_taken() -> None:
    from predis_core import policies

    cache = predis.Cache[str, int](10, policy=policies.get("s3fifo"), seed=5, device="cpu")
    cache["a"] = 1
    assert cache["a"] == 1
    with pytest.raises(ConfigurationError, match="seed"):
        predis.Cache(10, seed="5")  # type: ignore[arg-type]
