"""Which calls of memoized functions are one, of methods too, and how they look."""

from __future__ import annotations

import functools
import gc
import inspect
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

import predis_core as predis
from predis_core.errors import (
    ConfigurationError,
    KeyKindError,
)
from tests.support.functions import recorded

Anything = Callable[..., Any]


@pytest.fixture
def cache() -> predis.Cache[Any, Any]:
    return predis.Cache(1_000)


# ------------------------------------------------------------------ which calls are one


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (lambda f: f(1, 2), lambda f: f(a=1, b=2)),
        (lambda f: f(1, b=5), lambda f: f(b=5, a=1)),
        (lambda f: f(1), lambda f: f(1, 2, c=3)),
        (lambda f: f(1, x=1, y=2), lambda f: f(1, y=2, x=1)),
        (lambda f: f(1, 2, 3, 4), lambda f: f(1, 2, *(3, 4))),
        (lambda f: f(1), lambda f: f(1.0)),
        (lambda f: f(1), lambda f: f(True)),
    ],
)
def test_a_call_is_the_same_however_it_is_written(
    cache: predis.Cache[Any, Any], one: Anything, other: Anything
) -> None:
    calls: list[Any] = []
    memoized = cache.memoize(recorded(calls))
    assert one(memoized) is other(memoized)
    assert len(calls) == 1
    assert one(memoized.key) == other(memoized.key)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (lambda f: f(1, 2), lambda f: f(2, 1)),
        (lambda f: f((1, 2)), lambda f: f(1, 2)),
        (lambda f: f(1, 2, 3), lambda f: f(1, 2, c=3, d=3)),
        (lambda f: f(1, x=2), lambda f: f(1, y=2)),
        (lambda f: f(1, 2, ("x", 1)), lambda f: f(1, 2, x=1)),
        (lambda f: f(None), lambda f: f("None")),
    ],
)
def test_different_calls_are_never_one(
    cache: predis.Cache[Any, Any], one: Anything, other: Anything
) -> None:
    memoized = cache.memoize(recorded([]))
    assert one(memoized) is not other(memoized)


@pytest.mark.parametrize(
    "calls",
    [
        [lambda f: f(1), lambda f: f(1.0), lambda f: f(True)],
        [lambda f: f(0, 2, 1), lambda f: f(0, 2, 1.0), lambda f: f(0, 2, True)],
        [lambda f: f(0, x=1), lambda f: f(0, x=1.0), lambda f: f(0, x=True)],
        [lambda f: f(0, c=1), lambda f: f(0, c=1.0), lambda f: f(0, c=True)],
    ],
)
def test_typed_tells_equal_arguments_of_different_types_apart(
    cache: predis.Cache[Any, Any], calls: list[Anything]
) -> None:
    plain = cache.memoize(recorded([]))
    assert len({id(call(plain)) for call in calls}) == 1
    typed = cache.memoize(typed=True)(recorded([]))
    assert len({id(call(typed)) for call in calls}) == len(calls)
    assert len({id(call(typed)) for call in calls}) == len(calls)


def test_positional_only_and_keyword_only_parameters_are_bound_as_python_does(
    cache: predis.Cache[Any, Any],
) -> None:
    @cache.memoize
    def function(a: int, /, b: int, *, c: int = 0) -> tuple[int, int, int]:
        return a, b, c

    assert function(1, 2) == function(1, b=2) == (1, 2, 0)
    assert function(1, 2, c=5) == (1, 2, 5)
    assert function.cache_info() == (1, 2)
    untyped: Any = function
    with pytest.raises(TypeError, match=r"function\(\) missing 1 required positional argument"):
        untyped(1)
    with pytest.raises(TypeError, match=r"function\(\) got some positional-only arguments passed"):
        untyped(a=1, b=2)
    assert function.cache_info() == (1, 2)


def test_functions_of_builtin_code_and_partial_ones_are_memoized(
    cache: predis.Cache[Any, Any],
) -> None:
    biggest = cache.memoize(max)
    assert biggest(3, 4) == biggest(3, 4) == 4
    assert biggest.cache_info() == (1, 1)
    power = cache.memoize(functools.partial(pow, 2))
    assert power(10) == power(10) == 1024
    assert power.cache_info() == (1, 1)


def test_parameters_may_have_the_names_of_builtins(cache: predis.Cache[Any, Any]) -> None:
    @cache.memoize(typed=True)
    def function(type: int, *tuple: int, sorted: int = 0, **map: int) -> Any:
        return type, tuple, sorted, map

    assert function(1, 2, sorted=3, dict=4) == (1, (2,), 3, {"dict": 4})


def test_two_functions_never_share_results_even_with_one_name_in_one_place(
    cache: predis.Cache[Any, Any],
) -> None:
    def made(factor: int) -> Any:
        return cache.memoize(lambda x: x * factor)

    double, triple = made(2), made(3)
    assert (double(5), triple(5), double(5)) == (10, 15, 10)
    assert double.key(5) != triple.key(5)


def test_functions_of_one_name_share_results(cache: predis.Cache[Any, Any]) -> None:
    @cache.memoize(name="price-v1")
    def price(symbol: str) -> str:
        return f"price of {symbol}"

    @cache.memoize(name="price-v1")
    def again(symbol: str) -> str:
        raise AssertionError(symbol)

    assert price("a") == again("a") == "price of a"
    assert price.key("a") == again.key("a") == ("price-v1", ("a",))
    assert again.invalidate("a")
    assert not price.invalidate("a")


# ------------------------------------------------------------------ arguments that do not hash


def test_an_argument_that_cannot_be_hashed_is_an_error_that_names_it(
    cache: predis.Cache[Any, Any],
) -> None:
    @cache.memoize
    def total(first: int, numbers: Any, **named: Any) -> int:
        return first + sum(numbers)

    message = (
        r"total: argument 'numbers' cannot be hashed, got list; pass key=, a function of the "
        r"arguments that returns what can$"
    )
    with pytest.raises(TypeError, match=message):
        total(1, [1, 2])
    with pytest.raises(KeyKindError, match=message):
        total.invalidate(1, numbers=[1, 2])
    with pytest.raises(TypeError, match=r"argument 'named' cannot be hashed, got dict"):
        total(1, (2,), x=[])
    assert total.cache_info() == (0, 0)
    assert len(cache) == 0


def test_key_says_what_tells_calls_apart(cache: predis.Cache[Any, Any]) -> None:
    @cache.memoize(key=lambda numbers, *, log=None: tuple(numbers))
    def total(numbers: list[int], *, log: Any = None) -> int:
        return sum(numbers)

    assert total([1, 2]) == total([1, 2], log=print) == 3
    assert total.cache_info() == (1, 1)
    assert total.invalidate([1, 2])
    broken = cache.memoize(key=lambda numbers: numbers)(sum)
    with pytest.raises(TypeError, match="sum: key= returned what cannot be hashed; return a tuple"):
        broken([1])


# ------------------------------------------------------------------ what it looks like


def test_a_memoized_function_looks_like_the_function(cache: predis.Cache[Any, Any]) -> None:
    def price(symbol: str, *, day: int = 0) -> float:
        """Return a price."""
        return 1.0

    memoized = cache.memoize(ttl="5m")(price)
    assert memoized.__wrapped__ is price
    assert memoized.__name__ == "price"  # type: ignore[attr-defined]
    assert memoized.__doc__ == "Return a price."
    assert inspect.signature(memoized) == inspect.signature(price)
    assert not inspect.iscoroutinefunction(memoized)
    assert memoized.__wrapped__("a") == 1.0
    assert len(cache) == 0


def test_cache_info_counts_calls_that_ran_the_function_and_those_that_did_not(
    cache: predis.Cache[Any, Any],
) -> None:
    function = cache.memoize(recorded([]))
    for n in (1, 2, 1, 1):
        function(n)
    info = function.cache_info()
    assert (info.hits, info.misses) == info == (2, 2)
    assert cache.stats().hits == 2
    assert cache.stats().misses == 2


@dataclass(frozen=True)
class Equal:
    market: str


class Same:
    market = "one"


def in_class(cache: predis.Cache[Any, Any], base: type) -> Any:
    class Shop(base):
        runs: list[Any]

        @cache.memoize
        def price(self, symbol: str) -> str:
            self.runs.append(symbol)
            return f"{symbol} of {self.market}"

        @classmethod
        @cache.memoize
        def kind(cls, x: int) -> Any:
            cls.runs.append(x)
            return cls, x

        @staticmethod
        @cache.memoize
        def double(x: int) -> int:
            return 2 * x

    Shop.runs = []
    return Shop


def test_methods_have_a_result_per_instance(cache: predis.Cache[Any, Any]) -> None:
    shop_of = in_class(cache, Same)
    one, other = shop_of(), shop_of()
    for _ in range(2):
        assert one.price("a") == other.price(symbol="a") == "a of one"
    assert shop_of.runs == ["a", "a"]
    assert shop_of.price.invalidate(one, "a")
    assert not one.price.invalidate(one, "a")
    assert shop_of.price.cache_info() == one.price.cache_info() == (2, 2)


def test_instances_that_are_equal_share_results(cache: predis.Cache[Any, Any]) -> None:
    shop_of = in_class(cache, Equal)
    assert shop_of("x").price("a") == shop_of("x").price("a") == "a of x"
    assert shop_of("y").price("a") == "a of y"
    assert shop_of.runs == ["a", "a"]


def test_class_methods_and_static_methods_are_memoized(cache: predis.Cache[Any, Any]) -> None:
    shop_of = in_class(cache, Same)
    assert shop_of.kind(1) == shop_of().kind(1) == (shop_of, 1)
    assert shop_of.runs == [1]
    assert shop_of.double(4) == shop_of().double(4) == 8
    assert shop_of.double.cache_info() == (1, 1)
    assert shop_of.kind.__func__.cache_info() == (1, 1)


@pytest.mark.watches_lifetime
def test_an_entry_keeps_its_instance_alive_unless_key_leaves_it_out() -> None:
    cache = predis.Cache[Any, Any](100)

    class Held:
        name = "held"

        @cache.memoize
        def kept(self) -> int:
            return 1

        @cache.memoize(key=lambda self: self.name)
        def left_out(self) -> int:
            return 2

    held = Held()
    gone = weakref.ref(held)
    assert held.left_out() == 2
    assert held.kept() == 1
    Held.kept.invalidate(held)
    del held
    gc.collect()
    assert gone() is None
    assert Held().left_out() == 2
    assert Held.left_out.cache_info() == (1, 1)


# ------------------------------------------------------------------ other kinds of keys


@pytest.mark.parametrize(("kind", "key"), [("str", str), ("bytes", lambda x: b"%d" % x)])
def test_caches_of_text_keys_take_what_key_returns(kind: Any, key: Anything) -> None:
    cache = predis.Cache[Any, Any](1_000, keys=kind)
    double = cache.memoize(key=key)(lambda x: 2 * x)
    triple = cache.memoize(key=key, name="triple")(lambda x: 3 * x)
    cache[key(4)] = "a user's own"
    for _ in range(2):
        assert (double(4), triple(4)) == (8, 12)
    assert double.cache_info() == triple.cache_info() == (1, 1)
    named = triple.key(4)
    triple.invalidate_all()
    assert named not in cache
    assert double(4) == 8
    assert double.cache_info() == (2, 1)
    assert cache[key(4)] == "a user's own"


def test_a_name_that_begins_another_is_another() -> None:
    cache = predis.Cache[str, str](100, keys="str")
    short = cache.memoize(key=str, name="a")(lambda x: "short")
    long = cache.memoize(key=str, name="ab")(lambda x: "long")
    assert (short("bc"), long("c")) == ("short", "long")
    short.invalidate_all()
    assert long("c") == "long"
    assert long.cache_info() == (1, 1)


def test_a_cache_of_int64_keys_serves_one_name() -> None:
    cache = predis.Cache[int, Any](100, keys="int64", name="numbers")
    double = cache.memoize(key=int)(lambda x: 2 * x)
    assert double(4) == double(4) == 8
    assert double.key(4) == 4
    with pytest.raises(ConfigurationError) as caught:
        cache.memoize(key=int, name="triple")(lambda x: 3 * x)
    place = f"{__name__}.test_a_cache_of_int64_keys_serves_one_name.<locals>.<lambda>"
    assert str(caught.value) == (
        f"keys: int64 keys have no room for a name, and cache 'numbers' serves {place!r}; give "
        "'triple' a cache of its own, build this one with keys='any', or give both the same name= "
        "if they compute the same"
    )
    double.invalidate_all()
    assert len(cache) == 0
    shared = predis.Cache[int, Any](100, keys="int64")
    for _ in range(2):
        assert shared.memoize(key=int, name="double")(lambda x: 2 * x)(4) == 8
    assert shared.stats().loads == 1


def test_a_key_that_the_cache_does_not_take_is_an_error() -> None:
    cache = predis.Cache[str, Any](100, keys="str")
    double = cache.memoize(key=lambda x: x)(lambda x: 2 * x)
    with pytest.raises(
        KeyKindError, match=r"this cache takes str keys, got 4 \(int\) at position 0"
    ):
        double(4)
    ids = predis.Cache[int, Any](100, keys="int64").memoize(key=lambda x: x)(lambda x: 2 * x)
    with pytest.raises(KeyKindError, match=r"this cache takes int64 keys, got 'x' \(str\)"):
        ids("x")
