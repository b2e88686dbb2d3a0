"""Every error says which field is at fault and what to do about it."""

from __future__ import annotations

import pickle
import time
from collections import namedtuple
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import numpy as np
import pytest

import predis_core as predis
from predis_core import errors
from predis_core.errors import (
    ConfigurationError,
    KeyKindError,
    LoaderDeadlock,
    LoaderError,
    MissingKeys,
    PredisError,
    ValueShapeError,
)
from tests.support.combinations import Combination

Cache = predis.Cache

BUILDS: dict[str, tuple[Callable[[], Any], str]] = {
    "capacity 0": (lambda: Cache(0), "capacity: expected 1 to"),
    "capacity -1": (lambda: Cache(-1), "capacity: expected 1 to"),
    "capacity too large": (lambda: Cache(2**50), "capacity: expected 1 to"),
    "capacity 1.5": (lambda: Cache(1.5), "capacity: expected an int"),  # type: ignore[arg-type]
    "capacity True": (lambda: Cache(True), "capacity: expected an int"),
    "capacity text": (lambda: Cache("2GiB"), "capacity: expected an int"),  # type: ignore[arg-type]
    "policy": (lambda: Cache(9, policy="lruu"), "policy: .*'lruu'.*did you mean 'lru'"),
    "policy object": (lambda: Cache(9, policy=5), "policy: "),
    "keys": (lambda: Cache(9, keys="int"), "keys: expected 'int64', 'str'"),  # type: ignore[arg-type]
    "keys empty": (lambda: Cache(9, keys=""), "keys: expected 'int64', 'str'"),  # type: ignore[arg-type]
    "value": (lambda: Cache(9, value=5), r"value: expected Objects\(\), Rows"),  # type: ignore[arg-type]
    "value class": (lambda: Cache(9, value=predis.Objects), "value: expected Objects"),  # type: ignore[arg-type]
    "no capacity": (lambda: Cache(), "capacity: say how many entries fit, or give memory="),
    "blobs without memory": (lambda: Cache(9, value=predis.Blobs()), "memory: .* Blobs needs it"),
    "blobs by memory alone": (
        lambda: Cache(memory="1MiB", value=predis.Blobs()),
        r"capacity: values of Blobs\(\) differ in size",
    ),
    "memory text": (
        lambda: Cache(memory="much", value=predis.Rows("int64")),
        "memory: expected a size such as \"2GiB\", got 'much'",
    ),
    "memory without a weigher": (lambda: Cache(9, memory="1MiB"), "weigher: .*give one with memo"),
    "weigher without memory": (lambda: Cache(9, weigher=max), "memory: .*or leave weigher out"),
    "format": (lambda: predis.Blobs("yaml"), "value: Blobs: format: expected"),  # type: ignore[arg-type]
    "device": (
        lambda: Cache(9, device="gpu"),
        "device: expected 'auto', 'cpu', 'cuda' or 'cuda:N'",
    ),
    "loader": (lambda: Cache(9, loader=5), "loader: expected a callable"),  # type: ignore[arg-type]
    "on_removal": (lambda: Cache(9, on_removal=5), "on_removal: expected a callable, got 5"),  # type: ignore[arg-type]
    "on_removal awaits": (
        lambda: Cache(9, on_removal=_awaits),
        "on_removal: expected a plain function",
    ),
    "clock": (lambda: Cache(9, clock=time.monotonic), "clock: expected a Clock"),  # type: ignore[arg-type]
    "seed": (lambda: Cache(9, seed=1.5), "seed: expected an int"),  # type: ignore[arg-type]
    "ttl 0": (lambda: Cache(9, ttl=0), "ttl: expected seconds > 0 or a timedelta"),
    "ttl text": (lambda: Cache(9, ttl="5m"), "ttl: expected seconds > 0"),  # type: ignore[arg-type]
    "ttl nan": (lambda: Cache(9, ttl=float("nan")), "ttl: expected seconds > 0"),
    "ttl negative": (lambda: Cache(9, ttl=timedelta(seconds=-1)), "ttl: expected seconds > 0"),
}


@pytest.mark.parametrize(("build", "message"), BUILDS.values(), ids=BUILDS)
def test_a_cache_that_cannot_be_built(build: Callable[[], Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        build()
    with pytest.raises(ValueError, match=message):
        build()


TTLS: dict[str, Any] = {
    "0": 0,
    "negative": -1,
    "nan": float("nan"),
    "text": "5m",
    "True": True,
    "too few": [1.0],
    "too many": [1.0, 2, 3],
    "one is 0": [1, 0],
    "one is nan": np.array([1, np.nan]),
    "one is None": [1, None],
    "two dimensions": np.ones((2, 1)),
    "texts": ["a", "b"],
}


@pytest.mark.parametrize("ttl", TTLS.values(), ids=TTLS)
def test_a_time_to_live_that_does_not_fit(combination: Combination, ttl: Any) -> None:
    cache = combination.open(10)
    keys = combination.keys([1, 2])
    with pytest.raises(ConfigurationError, match=r"ttl: expected .*seconds"):
        cache.set_many(keys, combination.values([1, 2]), ttl=ttl)
    with pytest.raises(ConfigurationError, match=r"ttl: expected .*seconds"):
        cache.get_or_load_many(keys, combination.load, ttl=ttl)
    assert len(cache) == 0
    assert cache.stats().loads == 0


def test_numpy_durations_mean_what_they_say() -> None:
    cache = Cache[int, int](10, clock=predis.ManualClock())
    cache.set(1, 1, ttl=np.timedelta64(1500, "ms"))  # type: ignore[arg-type]
    cache.set_many([2, 3], [2, 3], ttl=np.array([500, 60_000], "timedelta64[ms]"))
    assert [cache.ttl_left(key) for key in (1, 2, 3)] == [1.5, 0.5, 60]


async def _awaits(removals: Any) -> None: ...


REASONS = "replaced, expired, evicted, deleted, cleared"
LISTENERS: dict[str, tuple[tuple[Any, Any], str]] = {
    "no callable": ((5, None), "listener: expected a callable, got 5"),
    "a coroutine function": (
        (_awaits, None),
        "listener: expected a plain function, for nobody awaits here, got the coroutine function "
        f"{_awaits!r}; hand removals to its event loop, as with "
        "loop.call_soon_threadsafe(queue.put_nowait, removals)",
    ),
    "an unknown reason": (
        (print, ["evicted", "lost"]),
        f"reasons: 'lost' is none; there are {REASONS}",
    ),
    "a reason that is no text": ((print, [1]), f"reasons: 1 is none; there are {REASONS}"),
    "one text": (
        (print, "evicted"),
        f"reasons: expected some of {REASONS}, as in ['evicted'], got 'evicted'",
    ),
    "a number": (
        (print, 5),
        f"reasons: expected some of {REASONS}, as in ['evicted'], got 5",
    ),
    "no reason": ((print, ()), "reasons: there are none; leave it out to be told of all"),
}


@pytest.mark.parametrize(("given", "message"), LISTENERS.values(), ids=LISTENERS)
def test_a_removal_listener_that_does_not_fit(given: tuple[Any, Any], message: str) -> None:
    cache = Cache[int, int](9, policy="lru")
    listener, reasons = given
    with pytest.raises(ConfigurationError) as caught:
        cache.add_removal_listener(listener, reasons=reasons)
    assert str(caught.value) == message
    assert cache.remove_removal_listener(listener) is False


UNFIT = {
    "int64": ["a", b"a", 1.0, None, True, (1,), 2**63],
    "str": [1, b"a", None, ("a",)],
    "bytes": [1, "a", None, bytearray(b"a")],
    "any": [[1], {}, set(), {1: [2]}],
}


def test_a_key_that_does_not_fit(combination: Combination) -> None:
    cache = combination.open(10)
    value = combination.value(1)
    for key in UNFIT[combination.kind]:
        for call in (
            lambda key: cache.get_many([key]),
            lambda key: cache.set_many([key], [value]),
            lambda key: cache[key],
            lambda key: cache.__setitem__(key, value),
            lambda key: cache.__delitem__(key),
            lambda key: key in cache,
            lambda key: cache.get(key),
            lambda key: cache.set(key, value),
            lambda key: cache.pop(key, None),
            lambda key: cache.ttl_left(key),
            lambda key: cache.get_or_load(key, lambda _: value),
            lambda key: cache.get_or_load_many([key], combination.load),
            lambda key: cache.contains_many([key]),
            lambda key: cache.touch_many([key]),
            lambda key: cache.delete_many([key]),
            lambda key: cache.pinned([key]),
        ):
            with pytest.raises(KeyKindError, match="keys: ") as caught:
                call(key)
            assert isinstance(caught.value, TypeError)
    assert len(cache) == 0


def test_the_first_key_that_does_not_fit_is_named() -> None:
    for kind, keys, message in (
        ("str", ["a", 5, 6], r"5 \(int\) at position 1.*keys='any'"),
        ("bytes", [b"a", b"b", "c"], r"'c' \(str\) at position 2.*keys='any'"),
        ("any", ["a", [1]], r"list.*position 1"),
    ):
        with pytest.raises(KeyKindError, match=message):
            Cache[Any, int](10, keys=kind).get_many(keys)
    with pytest.raises(KeyKindError, match=r"'a' \(str\).*keys='any', 'str' or 'bytes'"):
        Cache[Any, int](10, keys="int64").get_many([1, "a"])


def test_what_is_no_batch_of_keys(combination: Combination) -> None:
    cache = combination.open(10)
    for single in (5, None, 1.5, object(), np.int64(5), np.array(5)):
        with pytest.raises(KeyKindError, match="keys: "):
            cache.get_many(single)
    for text in ("ab", b"ab"):
        with pytest.raises(KeyKindError, match=r"keys: .*"):
            cache.get_many(text)
    with pytest.raises(KeyKindError, match="keys: expected one dimension"):
        cache.get_many(np.zeros((2, 2), np.int64))


def test_one_value_for_several_keys_is_refused(combination: Combination) -> None:
    cache = combination.open(10)
    keys = combination.keys([1, 2])
    for values in (5, None, [1], [1, 2, 3], (), iter([1]), "ab", b"ab", {1: 1, 2: 2}, {1, 2}):
        with pytest.raises(ValueShapeError, match="values: "):
            cache.set_many(keys, values)
        with pytest.raises(ValueError, match="values: "):
            cache.set_many(keys, values)
    assert len(cache) == 0


def test_loading_without_a_loader_or_with_a_wrong_option(combination: Combination) -> None:
    cache = combination.open(10)
    keys = combination.keys([1])
    for call in (
        lambda: cache.get_or_load_many(keys),
        lambda: cache.get_or_load_many(keys, 5),  # type: ignore[arg-type]
        lambda: cache.get_or_load(keys[0]),
    ):
        with pytest.raises(ConfigurationError, match=r"loader: .*Cache\(loader=\.\.\.\)"):
            call()
    with pytest.raises(ConfigurationError, match="missing: expected 'raise' or 'mask'"):
        cache.get_or_load_many(keys, combination.load, missing="zero")  # type: ignore[arg-type]


def test_ids_are_named_whatever_they_are() -> None:
    item = namedtuple("Product", "item shop")("tea", 5)
    cache = Cache[Any, Any](100)
    with pytest.raises(MissingKeys, match=r"Product\(item='tea', shop=5\)"):
        cache.get_or_load_many([item], lambda ids: {})
    with pytest.raises(LoaderError, match=r"Product\(item='tea', shop=5\)") as caught:
        cache.get_or_load_many([item], lambda ids: [])
    assert caught.value.ids == [item]


def test_many_ids_are_kept_but_not_all_shown() -> None:
    cache = Cache(10_000, value=predis.Rows("int64", ()))
    ids = list(range(5000))
    with pytest.raises(MissingKeys, match=r"\[0, 1, .* … 4990 more\]") as caught:
        cache.get_or_load_many(ids, lambda ids: {})
    assert caught.value.ids == ids
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("kind", [LoaderError, LoaderDeadlock, MissingKeys])
def test_errors_with_ids_cross_processes(kind: type[Any]) -> None:
    error = kind([1, "a"]) if kind is MissingKeys else kind("the loader is on strike", [1, "a"])
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        twin = pickle.loads(pickle.dumps(error, protocol))
        assert type(twin) is kind
        assert str(twin) == str(error)
        assert twin.ids == [1, "a"]


def test_every_error_is_a_predis_error_and_one_that_a_caller_expects() -> None:
    expected = {
        "ConfigurationError": ValueError,
        "PluginError": ValueError,
        "PolicyError": ValueError,
        "KeyKindError": TypeError,
        "ValueShapeError": ValueError,
        "CacheUnusable": RuntimeError,
        "CacheClosed": RuntimeError,
        "ForkedCache": RuntimeError,
        "CacheBusy": RuntimeError,
        "NotPicklable": TypeError,
        "UnsupportedRuntime": RuntimeError,
        "DeviceError": RuntimeError,
        "MissingKeys": KeyError,
        "InvariantError": AssertionError,
        "SnapshotError": ValueError,
        "CurveError": ValueError,
    }
    found = {
        name: kind
        for name, kind in vars(errors).items()
        if isinstance(kind, type) and issubclass(kind, PredisError)
    }
    assert found.keys() == {*expected, "PredisError", "CacheFull", "LoaderError", "LoaderDeadlock"}
    for name, base in expected.items():
        assert issubclass(found[name], base)
        assert name in (errors.__doc__ or "")
