"""What memoized functions cache, raise and forget, and what is refused."""

from __future__ import annotations

import gc
import traceback
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import predis_core as predis
from predis_core.errors import (
    CacheClosed,
    ConfigurationError,
    LoaderDeadlock,
    LoaderError,
    MissingKeys,
)
from tests.support.functions import recorded

Anything = Callable[..., Any]


@pytest.fixture
def cache() -> predis.Cache[Any, Any]:
    return predis.Cache(1_000)


# ------------------------------------------------------------------ what is cached


def test_a_result_of_none_is_cached(cache: predis.Cache[Any, Any]) -> None:
    calls = []
    nothing = cache.memoize(calls.append)
    assert nothing(1) is nothing(1) is None
    assert calls == [1]


def test_exceptions_are_raised_as_they_are_and_not_cached(cache: predis.Cache[Any, Any]) -> None:
    raised = [KeyError("one"), ValueError("two")]

    @cache.memoize
    def function(x: int) -> int:
        if raised:
            raise raised.pop(0)
        return x

    for expected in list(raised):
        with pytest.raises(type(expected)) as caught:
            function(1)
        assert caught.value is expected
        assert caught.value.__context__ is None
        assert "raise raised.pop(0)" in "".join(traceback.format_exception(caught.value))
    assert function(1) == 1
    assert function.cache_info() == (0, 3)


def test_an_exception_keeps_the_cause_and_context_that_the_function_gave_it(
    cache: predis.Cache[Any, Any],
) -> None:
    cause = KeyError("cause")

    @cache.memoize(cache_exceptions=ValueError)
    def function(x: int) -> int:
        raise ValueError(x) from cause

    for _ in range(3):
        with pytest.raises(ValueError, match="1") as caught:
            function(1)
        assert caught.value.__cause__ is cause


def test_cached_exceptions_are_raised_again_as_fresh_copies(
    cache: predis.Cache[Any, Any],
) -> None:
    @cache.memoize(cache_exceptions=(ArithmeticError, KeyError), ttl="1h")
    def function(x: int) -> int:
        if x < 0:
            raise ValueError(x)
        return 1 // x

    seen = []
    for _ in range(3):
        with pytest.raises(ZeroDivisionError, match="integer division") as caught:
            function(0)
        seen.append(caught.value)
    assert len(set(map(id, seen))) == 3
    assert "return 1 // x" in "".join(traceback.format_exception(seen[0]))
    # Nothing of the first caller is kept for the later ones.
    assert "return 1 // x" not in "".join(traceback.format_exception(seen[2]))
    assert function.cache_info() == (2, 1)
    for _ in range(2):
        with pytest.raises(ValueError, match="-1"):
            function(-1)
    assert function.cache_info() == (2, 3)
    assert function.invalidate(0)


class Awkward(ValueError):
    """Copying it by its arguments would change its message."""

    def __init__(self, code: int) -> None:
        super().__init__(f"code {code}")
        self.code = code


class Uncopied(ValueError):
    def __reduce__(self) -> Any:
        raise TypeError("not to be copied")


@pytest.mark.parametrize("error", [Awkward(5), Uncopied("five")])
def test_a_cached_exception_that_cannot_be_copied_is_raised_itself(
    cache: predis.Cache[Any, Any], error: ValueError
) -> None:
    def function() -> None:
        raise error

    memoized = cache.memoize(cache_exceptions=ValueError)(function)
    depths = []
    for _ in range(3):
        with pytest.raises(type(error)) as caught:
            memoized()
        assert caught.value is error
        depths.append(len(traceback.extract_tb(caught.value.__traceback__)))
    assert depths[1] == depths[2] < depths[0]
    assert memoized.cache_info() == (2, 1)


@pytest.mark.watches_lifetime
def test_a_cached_exception_keeps_no_caller_alive(cache: predis.Cache[Any, Any]) -> None:
    class Held:
        pass

    @cache.memoize(cache_exceptions=ValueError)
    def function() -> None:
        raise ValueError

    def caller() -> weakref.ref[Held]:
        held = Held()
        with pytest.raises(ValueError):
            function()
        return weakref.ref(held)

    first, second = caller(), caller()
    gc.collect()
    assert first() is None
    assert second() is None


@pytest.mark.parametrize("error", [CancelledError(), KeyboardInterrupt(), LoaderDeadlock("x", [])])
def test_cancellation_interrupts_and_deadlocks_are_never_cached(
    cache: predis.Cache[Any, Any], error: BaseException
) -> None:
    @cache.memoize(cache_exceptions=Exception)
    def function() -> None:
        raise error

    for runs in (1, 2):
        with pytest.raises(type(error)) as caught:
            function()
        assert caught.value is error
        assert function.cache_info() == (0, runs)
    assert len(cache) == 0


def test_results_live_as_long_as_ttl_says() -> None:
    clock = predis.ManualClock()
    cache = predis.Cache[Any, Any](100, clock=clock, ttl=7)
    lives = {"5m": 300, "250ms": 0.25, 5: 5, timedelta(minutes=1): 60, None: 7}
    for ttl, seconds in lives.items():
        function = cache.memoize(ttl=ttl)(lambda x: x)
        function(1)
        assert cache.ttl_left(function.key(1)) == seconds
        clock.advance(seconds)
        function(1)
        assert function.cache_info() == (0, 2)


def test_a_cache_of_rows_returns_rows() -> None:
    cache = predis.Cache[Any, Any](100, value=predis.Rows("float32", (3,)), keys="any")

    @cache.memoize
    def vector(x: int) -> Any:
        return [x, x, x] if x else [0]

    for _ in range(2):
        row = vector(5)
        assert row.dtype == np.float32
        assert row.tolist() == [5, 5, 5]
    assert vector.cache_info() == (1, 1)
    with pytest.raises(
        LoaderError, match="the loader returned what does not fit: values: expected"
    ):
        vector(0)


def test_recursion_is_no_deadlock(cache: predis.Cache[Any, Any]) -> None:
    @cache.memoize
    def fibonacci(n: int) -> int:
        return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)

    assert fibonacci(60) == 1_548_008_755_920
    assert fibonacci.cache_info() == (58, 61)


def test_a_call_that_needs_its_own_result_is_an_error(cache: predis.Cache[Any, Any]) -> None:
    @cache.memoize
    def circle(n: int) -> int:
        return circle((n + 1) % 3)

    with pytest.raises(LoaderDeadlock, match="a loader waits for an id that is being loaded by"):
        circle(0)
    assert len(cache) == 0


def test_memoized_functions_may_call_each_other_and_what_they_raise_stays_as_it_is(
    cache: predis.Cache[Any, Any],
) -> None:
    error = ValueError("inner")

    @cache.memoize
    def inner(x: int) -> int:
        raise error

    @cache.memoize
    def outer(x: int) -> int:
        return inner(x)

    with pytest.raises(ValueError, match="inner") as caught:
        outer(1)
    assert caught.value is error


def test_loader_errors_that_a_function_raises_are_its_own(cache: predis.Cache[Any, Any]) -> None:
    other = predis.Cache[int, int](10)

    @cache.memoize
    def failing(x: int) -> Any:
        return other.get_or_load(x, lambda key: key // 0)

    with pytest.raises(LoaderError, match=r"the loader raised ZeroDivisionError: .*; ids \[1\]$"):
        failing(1)

    @cache.memoize
    def unknown(x: int) -> Any:
        return other.get_or_load_many([x], lambda ids: {})

    with pytest.raises(MissingKeys) as caught:
        unknown(1)
    assert caught.value.ids == [1]


# ------------------------------------------------------------------ what is forgotten


def test_invalidate_forgets_one_call(cache: predis.Cache[Any, Any]) -> None:
    function = cache.memoize(recorded([]))
    one, other = function(1), function(2)
    assert function.invalidate(a=1, b=2)
    assert not function.invalidate(1)
    assert function(1) is not one
    assert function(2) is other


@pytest.mark.parametrize("name", [None, "named"])
def test_invalidate_all_forgets_this_function_and_no_other(
    cache: predis.Cache[Any, Any], name: str | None
) -> None:
    function = cache.memoize(name=name)(recorded([]))
    kept = cache.memoize(name="named-too")(recorded([]))
    cache["named"] = cache[("named",)] = cache[(1, 2)] = "a user's own"
    before = [function(n) for n in range(5)], [kept(n) for n in range(5)]
    function.invalidate_all()
    after = [function(n) for n in range(5)], [kept(n) for n in range(5)]
    assert not set(map(id, before[0])) & set(map(id, after[0]))
    assert before[1] == after[1]
    assert [cache["named"], cache[("named",)], cache[(1, 2)]] == ["a user's own"] * 3
    assert function(1) is after[0][1]


def test_what_has_a_name_is_deleted_for_good(cache: predis.Cache[Any, Any]) -> None:
    function = cache.memoize(name="named")(recorded([]))
    function(1)
    key = function.key(1)
    assert key in cache
    function.invalidate_all()
    assert function.key(1) == key
    assert key not in cache


@pytest.mark.parametrize("name", [None, "named"])
def test_a_run_under_way_does_not_survive_invalidate_all(
    cache: predis.Cache[Any, Any], name: str | None
) -> None:
    states = ["old", "new"]

    @cache.memoize(name=name)
    def state() -> str:
        found = states[0]
        if len(states) == 2:
            del states[0]
            state.invalidate_all()
        return found

    assert state() == "old"
    assert state() == "new"


def test_what_has_a_name_is_found_again_after_a_restore(
    cache: predis.Cache[Any, Any], tmp_path: Path
) -> None:
    def memoized(into: predis.Cache[Any, Any], fn: Anything, name: str | None) -> Any:
        return into.memoize(name=name)(fn)

    def double(x: int, *more: int, **named: int) -> int:
        return 2 * x

    for name in ("double-v1", None):
        memoized(cache, double, name)(4, 5, c=6)
    cache.snapshot(tmp_path / "entries")
    later = predis.Cache[Any, Any](100)
    later.restore(tmp_path / "entries")
    named, unnamed = (memoized(later, double, name) for name in ("double-v1", None))
    assert named(4, 5, c=6) == unnamed(4, 5, c=6) == 8
    assert named.cache_info() == (1, 0)
    assert unnamed.cache_info() == (0, 1)


# ------------------------------------------------------------------ what is refused


def generated() -> Iterator[int]:
    yield 1


async def generated_later() -> Any:
    yield 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ttl": "soon"}, "ttl: expected a duration such as \"5m\", got 'soon'"),
        ({"ttl": 0}, "ttl: expected seconds > 0 or a timedelta, got 0; infinity or leaving it"),
        ({"ttl": [1, 2]}, "ttl: expected 1 seconds, one per key, got shape (2,)"),
        ({"ttl": [1]}, "ttl: expected one duration for all results, got [1]"),
        ({"key": 3}, "key: expected a function, got 3"),
        ({"key": len, "typed": True}, "typed: key= decides which calls differ; leave one of them"),
        ({"name": ""}, "name: expected text without NUL, got ''"),
        ({"name": "a\0b"}, "name: expected text without NUL, got 'a\\x00b'"),
        ({"name": 5}, "name: expected text without NUL, got 5"),
        (
            {"cache_exceptions": KeyboardInterrupt},
            "cache_exceptions: expected classes of Exception, got <class 'KeyboardInterrupt'>",
        ),
        (
            {"cache_exceptions": (ValueError, "x")},
            "cache_exceptions: expected classes of Exception, got 'x'",
        ),
    ],
)
def test_an_option_that_does_not_fit_is_an_error_that_names_it(
    cache: predis.Cache[Any, Any], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        cache.memoize(**options)(len)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("fn", "message"),
    [
        (3, "fn: expected a function, got 3"),
        (staticmethod(len), "fn: expected a function, got a staticmethod; put @staticmethod above"),
        (classmethod(len), "fn: expected a function, got a classmethod; put @classmethod above"),
        (generated, "fn: generated is a generator, which can be read once; return a list"),
        (
            generated_later,
            "fn: generated_later is an async generator, which can be read once; return a list",
        ),
    ],
)
def test_what_is_no_function_that_returns_is_refused(
    cache: predis.Cache[Any, Any], fn: Any, message: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        cache.memoize(fn)
    assert str(caught.value) == message


@pytest.mark.parametrize("kind", ["str", "bytes", "int64"])
def test_a_cache_of_other_keys_needs_a_key_function(kind: Any) -> None:
    cache = predis.Cache[Any, Any](100, keys=kind)
    with pytest.raises(ConfigurationError) as caught:
        cache.memoize(len)
    assert str(caught.value) == (
        f"key: a cache of {kind} keys needs key=, a function of the arguments that returns {kind}; "
        "or build the cache with keys='any'"
    )


def test_a_cache_of_rows_holds_no_exceptions() -> None:
    cache = predis.Cache[Any, Any](100, value=predis.Rows("int64"), keys="any")
    with pytest.raises(ConfigurationError) as caught:
        cache.memoize(cache_exceptions=ValueError)(len)
    assert str(caught.value) == (
        "cache_exceptions: Rows('int64', ()) holds no exceptions; build the cache with "
        "value=Objects()"
    )


@pytest.mark.filterwarnings("error")
def test_a_function_that_returns_a_coroutine_unawares_is_an_error(
    cache: predis.Cache[Any, Any],
) -> None:
    async def later() -> int:
        return 1

    with pytest.raises(TypeError, match="returned a coroutine; memoize a function that is written"):
        cache.memoize(lambda: later())()
    assert len(cache) == 0


def test_after_close_a_call_says_so(cache: predis.Cache[Any, Any]) -> None:
    double = cache.memoize(lambda x: 2 * x)
    double(1)
    cache.close()
    with pytest.raises(CacheClosed, match="is closed"):
        double(1)
    with pytest.raises(CacheClosed, match="is closed"):
        double.invalidate(1)
