"""Keys of every kind, and what they are equal to."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import predis_core as predis
from predis_core.errors import KeyKindError


def test_a_generator_of_unfit_keys_is_refused_like_a_list_of_them() -> None:
    cache = predis.Cache(10, value=predis.Rows("int64", ()))
    for unfit in (["a"], [1.5], [2**64], [None], [1, "a"]):
        with pytest.raises(KeyKindError, match="keys"):
            cache.get_many(unfit)
        with pytest.raises(KeyKindError, match="keys"):
            cache.get_many(key for key in unfit)


@pytest.mark.parametrize("keys", ["str", "any"])
def test_arrays_of_text_are_keys(keys: str) -> None:
    cache = predis.Cache[str, int](10, keys=keys)
    cache.set_many(np.array(["a", "ß", "", "\N{FOUR LEAF CLOVER}"]), range(4))
    assert [cache[key] for key in ("a", "ß", "", "\N{FOUR LEAF CLOVER}")] == [0, 1, 2, 3]
    assert cache[np.str_("ß")] == 1
    assert {type(key) for key in cache} == {str}


def test_text_and_bytes_of_every_length_and_content_are_keys() -> None:
    lengths = [0, 1, 7, 8, 9, 31, 32, 33, 255, 256, 65535, 65536]
    texts = ["x" * length for length in lengths] + ["\0", "\0\0", "\ud800", "é", "é"]
    for kind, given in (("str", texts), ("bytes", [t.encode("utf-8", "replace") for t in texts])):
        keys: Any = [*dict.fromkeys(given)]
        cache = predis.Cache[Any, int](len(keys) * 20, keys=kind)
        cache.set_many(keys, range(len(keys)))
        assert [cache[key] for key in keys] == list(range(len(keys)))
        assert [cache.get_many([key])[0] for key in keys] == [[n] for n in range(len(keys))]


def test_subclasses_of_text_and_bytes_are_the_plain_keys() -> None:
    class Name(str):
        def __eq__(self, other: object) -> bool:
            raise AssertionError("the cache compares content")

        def __hash__(self) -> int:
            raise AssertionError("the cache hashes content")

    cache = predis.Cache[str, int](10, keys="str")
    cache[Name("a")] = 1
    assert cache["a"] == 1
    assert [type(key) for key in cache] == [str]


def test_any_keys_have_the_equality_of_a_dict() -> None:
    pairs: list[tuple[Any, Any]] = [
        (1, "one"),
        (True, "true"),
        (1.0, "float"),
        (2**70, "big"),
        (float(2**70), "big float"),
        ("1", "text"),
        (b"1", "bytes"),
        ((1, "a"), "tuple"),
        ((True, "a"), "equal tuple"),
        (None, "none"),
        (frozenset({1, 2}), "set"),
        (-1, "minus one"),
        (-2, "minus two"),
        (math.nan, "nan"),
        (0.0, "zero"),
        (-0.0, "minus zero"),
        (np.int64(7), "numpy"),
        (7, "seven"),
        (len, "function"),
    ]
    expected = dict(pairs)
    cache = predis.Cache[Any, str](500)
    for key, value in pairs:
        cache[key] = value
    assert len(cache) == len(expected)
    assert dict(cache.items()) == expected
    for key, _ in pairs:
        assert cache[key] == expected[key]
    # As in a dict, the first of equal keys stays.
    assert [type(key) for key in cache if key == 1] == [int]
    assert float("nan") not in cache


def test_keys_whose_equality_assumes_its_own_kind_work() -> None:
    """A dict never compares a key with what is not in it, None for example."""

    class Point:
        def __init__(self, x: int) -> None:
            self.x = x

        def __hash__(self) -> int:
            return hash(("point", self.x))

        def __eq__(self, other: Any) -> bool:
            return bool(self.x == other.x)

    cache = predis.Cache[Point, int](10)
    assert cache.get(Point(1)) is None
    cache.set_many([Point(1), Point(2)], [1, 2])
    assert cache[Point(2)] == 2
    assert Point(3) not in cache
    assert cache.pop(Point(1)) == 1


def test_an_error_in_equality_or_hash_reaches_the_caller_and_changes_nothing() -> None:
    class Broken:
        def __hash__(self) -> int:
            return 7

        def __eq__(self, other: object) -> bool:
            raise ZeroDivisionError("no comparing")

    class Hashless:
        def __hash__(self) -> int:
            raise ZeroDivisionError("no hashing")

    cache = predis.Cache[Any, int](28)
    first = Broken()
    cache[first] = 1
    for call in (
        lambda: cache[Broken()],
        lambda: cache.set(Broken(), 2),
        lambda: cache.set_many([Broken(), Broken()], [2, 3]),
        lambda: cache.delete_many([Broken()]),
        lambda: cache.pop(Broken(), None),
        lambda: cache.get(Hashless()),
        lambda: cache.set_many(["a", Hashless()], [2, 3]),
    ):
        with pytest.raises(ZeroDivisionError):
            call()
    assert cache[first] == 1
    assert len(cache) == 1
