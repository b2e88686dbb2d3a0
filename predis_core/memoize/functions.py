"""Memoized functions and coroutine functions."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, ParamSpec, Protocol, TypeVar, cast, overload

from predis_core.errors import ConfigurationError, KeyKindError, LoaderError
from predis_core.memoize.arguments import (
    arranger,
    check_function,
    is_coroutine_function,
    signature_of,
)
from predis_core.memoize.failures import (
    Failure,
    Raised,
    checked_kinds,
    is_kept,
    original,
)
from predis_core.memoize.keys import CacheInfo, Counts, KeySpace, Target, checked_ttl
from predis_core.table.interface import Keys

_ABSENT: Any = object()

P = ParamSpec("P")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)


class Memoized(Protocol[P, R_co]):
    """A function whose results are cached; as a method, too.

    Attributes:
        __wrapped__: the function itself; calling it caches nothing.
    """

    __wrapped__: Callable[..., Any]

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co: ...

    @overload
    def __get__(self, instance: None, owner: type) -> Memoized[P, R_co]: ...

    @overload
    def __get__(self, instance: object, owner: type) -> Callable[..., R_co]: ...

    def cache_info(self) -> CacheInfo:
        """Return how many calls ran the function, and how many did not have to."""
        ...

    def key(self, *args: P.args, **kwargs: P.kwargs) -> Any:
        """Return the key that a call has in the cache."""
        ...

    def invalidate(self, *args: P.args, **kwargs: P.kwargs) -> bool:
        """Forget the result of one call; return whether there was one. The instance of a method
        comes first.
        """
        ...

    def invalidate_all(self) -> None:
        """Forget the results of all calls.

        Takes no time, but with `name=` it goes over all keys of the cache, and a cache of int64
        keys is cleared.
        """
        ...


class Calls:
    """What the calls of a memoized function share; the arguments are those of `Cache.memoize`."""

    def __init__(
        self,
        cache: Target,
        fn: Callable[..., Any],
        *,
        key: Callable[..., Any] | None,
        typed: bool,
        ttl: Any,
        name: str | None,
        cache_exceptions: Any,
    ) -> None:
        _check(fn, key, typed, cache._codec.kind)
        self.ttl = checked_ttl(ttl)
        self.kinds = checked_kinds(cache_exceptions, cache._store)
        self.space = KeySpace(cache, fn, name)
        self.counts = Counts()
        self.cache = cache
        self.fn = fn
        self._key = key
        self.arrange = arranger(fn, typed=typed) if key is None else key

    def key(self, *args: Any, **kwargs: Any) -> Any:
        """See `Memoized`."""
        return self.space.keys([self.arrange(*args, **kwargs)])[0]

    def invalidate(self, *args: Any, **kwargs: Any) -> bool:
        """See `Memoized`."""
        entry = self.entry(self.key(*args, **kwargs), args, kwargs)
        return bool(self.cache.delete_many(entry)[0])

    def entry(self, key: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Keys:
        """Return the key of a call with these arguments as tables take it.

        Raises:
            KeyKindError: naming the argument that cannot be part of a key.
        """
        try:
            return self.cache._encode((key,))
        except KeyKindError:
            if self.space.kind != "any":
                raise
        raise KeyKindError(self._unhashable(args, kwargs))

    def _unhashable(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
        label = self.space.label
        if self._key is not None:
            return f"{label}: key= returned what cannot be hashed; return a tuple of what can"
        bound = signature_of(self.fn).bind(*args, **kwargs)
        bound.apply_defaults()
        name, value = next(pair for pair in bound.arguments.items() if not _hashes(pair[1]))
        return (
            f"{label}: argument {name!r} cannot be hashed, got {type(value).__name__}; pass key=, "
            "a function of the arguments that returns what can"
        )


class Run:
    """One call of a memoized function, as a loader.

    Attributes:
        ran: whether the function was run for it.
        error: what that raised, if it is cached.
    """

    __slots__ = ("_args", "_calls", "_kwargs", "error", "ran")

    def __init__(self, calls: Calls, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._calls, self._args, self._kwargs = calls, args, kwargs
        self.ran = False
        self.error: Exception | None = None

    def __call__(self, ids: Any) -> list[Any]:
        try:
            result = self._begun()
        except Exception as error:
            return [self._kept(error)]
        if inspect.iscoroutine(result):
            result.close()
            raise Raised(
                TypeError(
                    f"{self._calls.space.label} returned a coroutine; memoize a function that is "
                    "written with 'async def'"
                )
            )
        return [result]

    def _begun(self) -> Any:
        self.ran = True
        self._calls.counts.add(0, 1)
        return self._calls.fn(*self._args, **self._kwargs)

    def _kept(self, error: Exception) -> Failure:
        """Return what is cached of an exception, if anything is."""
        if not is_kept(error, self._calls.kinds):
            raise Raised(error)
        self.error = error
        return Failure(error)

    def answer(self, value: Any) -> Any:
        """Return the value of the entry, or raise what it stands for."""
        if not self.ran:
            self._calls.counts.hit()
        if type(value) is not Failure:
            return value
        error, self.error = self.error or value.again(), None
        try:
            raise error
        finally:
            del error


class AsyncRun(Run):
    """One call of a memoized coroutine function, as a loader."""

    __slots__ = ()

    async def __call__(self, ids: Any) -> list[Any]:  # type: ignore[override]  # of aio's kind
        try:
            return [await self._begun()]
        except Exception as error:
            return [self._kept(error)]


def memoized(cache: Target, fn: Callable[P, R], **options: Any) -> Memoized[P, R]:
    """Return a function whose results are cached; see `Cache.memoize`."""
    calls = Calls(cache, fn, **options)
    function: Any = (_coroutine_function if is_coroutine_function(fn) else _function)(calls)
    functools.update_wrapper(function, fn)
    function.cache_info = calls.counts.read
    function.key = calls.key
    function.invalidate = calls.invalidate
    function.invalidate_all = calls.space.invalidate_all
    return cast(Memoized[P, R], function)


def _function(calls: Calls) -> Callable[..., Any]:
    cache, space, arrange, counts = calls.cache, calls.space, calls.arrange, calls.counts
    load_many, entry, ttl = cache.get_or_load_many, calls.entry, calls.ttl
    is_any = space.kind == "any"

    def function(*args: Any, **kwargs: Any) -> Any:
        rest = arrange(*args, **kwargs)
        key = (space.head, rest) if is_any else space.keys([rest])[0]
        value = cache._hit(key, _ABSENT)
        if value is not _ABSENT and type(value) is not Failure:
            counts.hit()
            return value
        run = Run(calls, args, kwargs)
        try:
            if value is _ABSENT:
                value = load_many(entry(key, args, kwargs), run, ttl=ttl)[0]
        except LoaderError as error:
            failure = original(error)
        else:
            return run.answer(value)
        # Outside of `except`, so that the function's exception does not refer to the loading's, and
        # without this frame, which its traceback refers to, referring to it.
        try:
            raise failure
        finally:
            del failure

    return function


def _coroutine_function(calls: Calls) -> Callable[..., Any]:
    load_many, entry, ttl = calls.cache.aget_or_load_many, calls.entry, calls.ttl

    async def function(*args: Any, **kwargs: Any) -> Any:
        run = AsyncRun(calls, args, kwargs)
        try:
            key = calls.key(*args, **kwargs)
            value = (await load_many(entry(key, args, kwargs), run, ttl=ttl))[0]
        except LoaderError as error:
            failure = original(error)
        else:
            return run.answer(value)
        try:
            raise failure
        finally:
            del failure

    return function


def _check(fn: Any, key: Any, typed: bool, kind: str) -> None:
    check_function(fn, key)
    if inspect.isgeneratorfunction(fn):
        raise ConfigurationError(
            f"fn: {fn.__qualname__} is a generator, which can be read once; return a list"
        )
    if key is not None and typed:
        raise ConfigurationError("typed: key= decides which calls differ; leave one of them out")
    if key is None and kind != "any":
        raise ConfigurationError(
            f"key: a cache of {kind} keys needs key=, a function of the arguments that returns "
            f"{kind}; or build the cache with keys='any'"
        )


def _hashes(value: Any) -> bool:
    try:
        hash(value)
    except TypeError:
        return False
    return True
