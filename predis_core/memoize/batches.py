"""Functions over a batch of items that compute only what is not there yet."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self, cast

import numpy as np

from predis_core.deferred import Deferred
from predis_core.errors import ConfigurationError, KeyKindError, LoaderError, MissingKeys
from predis_core.mapping import listed
from predis_core.memoize.arguments import check_function, is_coroutine_function
from predis_core.memoize.keys import (
    CacheInfo,
    Counts,
    KeySpace,
    Target,
    checked_ttl,
    duration_of,
)
from predis_core.table.interface import Bools

if TYPE_CHECKING:
    import asyncio
else:
    asyncio = Deferred("asyncio")

_AT_ONCE = 2048
"""Items whose keys are made in one go."""

_Told = KeyKindError | LoaderError | MissingKeys
_TOLD = (KeyKindError, LoaderError, MissingKeys)


class Batched(Protocol):
    """A function over a batch of items that computes only those that the cache lacks.

    Attributes:
        __wrapped__: the function itself; calling it caches nothing.
    """

    __wrapped__: Callable[..., Any]

    def __call__(
        self, items: Any, *, ttl: Any = None, missing: Literal["raise", "mask"] = "raise"
    ) -> Any:
        """Return n values in the order of the items; see `Cache.get_or_load_many`."""
        ...

    def cache_info(self) -> CacheInfo:
        """Return how many items were computed, and how many did not have to be."""
        ...

    def keys(self, items: Any) -> Any:
        """Return the keys that n items have in the cache."""
        ...

    def invalidate(self, items: Any) -> Bools:
        """Forget the values of n items; return which had one (bool[n])."""
        ...

    def invalidate_all(self) -> None:
        """Forget the values of all items; as `Memoized.invalidate_all`."""
        ...


class Batches:
    """What the calls of a batch function share; the arguments are those of `Cache.batch`."""

    def __init__(
        self,
        cache: Target,
        fn: Callable[..., Any],
        *,
        key: Callable[[Any], Any] | None,
        ttl: Any,
        name: str | None,
        max_batch: int | None,
    ) -> None:
        check_function(fn, key)
        if max_batch is not None and (type(max_batch) is not int or max_batch < 1):
            raise ConfigurationError(f"max_batch: expected an int > 0, got {max_batch!r}")
        self.ttl = checked_ttl(ttl)
        self.space = KeySpace(cache, fn, name)
        self.counts = Counts()
        self.cache = cache
        self.fn = fn
        self.max_batch = max_batch
        self._key = key

    @property
    def takes_ids(self) -> bool:
        """Whether items are int64 keys themselves, and go to the function as an array."""
        return self._key is None and self.space.kind == "int64"

    def listed(self, items: Any) -> Any:
        """Return items in a list; ids as they are.

        Raises:
            KeyKindError: if there is only one.
        """
        if self.takes_ids:
            return items
        if isinstance(items, str | bytes) or not isinstance(items, Iterable):
            raise KeyKindError(f"items: expected several, got {items!r}; pass [item]")
        return items.tolist() if hasattr(items, "tolist") else list(items)

    def keys(self, items: Any) -> Any:
        """See `Batched`."""
        return BatchRun(self, items).prepared().keys

    def part_of_keys(self, items: list[Any], first: int) -> list[Any]:
        """Return the keys of some items, the first of which is at a position."""
        rests = items if self._key is None else list(map(self._key, items))
        return self.space.keys(rests, first)

    def invalidate(self, items: Any) -> Bools:
        """See `Batched`."""
        keys = self.keys(items)
        try:
            return self.cache.delete_many(keys)
        except KeyKindError as error:
            raise self.unfit(error) from None

    def unfit(self, error: KeyKindError) -> KeyKindError:
        """Return an error that tells of items instead of keys."""
        if self.space.kind != "any":
            return error
        return KeyKindError(
            f"items: {str(error).removeprefix('keys: ')}; pass key=, a function of an item that "
            "returns what can be hashed"
        )

    def lifetime(self, ttl: Any) -> Any:
        """Return the time to live of one call."""
        return self.ttl if ttl is None else duration_of(ttl)


class BatchRun:
    """One call of a batch function, as a loader.

    Attributes:
        keys: the keys of the items.
    """

    def __init__(self, batches: Batches, items: Any) -> None:
        self._batches = batches
        self._items = batches.listed(items)
        self._computed = 0
        self.keys: Any = self._items if batches.takes_ids else []

    def steps(self) -> Iterator[None]:
        """Make the keys, of many in parts of less than a millisecond, and yield in between."""
        if not self._batches.takes_ids:
            for first in range(0, len(self._items), _AT_ONCE):
                if first:
                    yield
                part = self._items[first : first + _AT_ONCE]
                self.keys += self._batches.part_of_keys(part, first)

    def prepared(self) -> Self:
        """Make the keys in one go."""
        for _ in self.steps():
            pass
        return self

    def __call__(self, ids: Any) -> Any:
        parts = self._parts(ids)
        return self._joined(parts, [self._batches.fn(part) for part in parts])

    def _parts(self, ids: Any) -> list[Any]:
        """Return the items of distinct keys, at most `max_batch` at a time."""
        self._computed = len(ids)
        self._batches.counts.add(0, len(ids))
        items = ids if self._batches.takes_ids else [self._by_key[key] for key in listed(ids)]
        size = self._batches.max_batch or len(items)
        return [items[start : start + size] for start in range(0, len(items), size)]

    def _joined(self, parts: list[Any], results: list[Any]) -> Any:
        """Return what the function returned for each part as a loader's values or mapping."""
        if all(isinstance(result, Mapping) for result in results):
            return {key: value for result in results for key, value in self._keyed(result)}
        if len(results) == 1:
            return results[0]
        coerce = self._batches.cache._store.coerce
        return np.concatenate(
            [coerce(result, len(part)) for part, result in zip(parts, results, strict=True)]
        )

    def _keyed(self, result: Mapping[Any, Any]) -> Iterable[tuple[Any, Any]]:
        return zip(self._batches.keys(list(result)), result.values(), strict=True)

    @functools.cached_property
    def _by_key(self) -> dict[Any, Any]:
        """The item of each key; of items with one key, the first."""
        if self._batches.takes_ids:
            return {}
        return dict(zip(reversed(self.keys), reversed(self._items), strict=True))

    def answer(self, values: Any, missing: str) -> Any:
        """Return what the cache returned, and count it."""
        n = len(values[0] if missing == "mask" else values)
        self._batches.counts.add(n - self._computed, 0)
        return values

    def about_items(self, error: _Told) -> _Told:
        """Return an error that names items instead of keys."""
        if isinstance(error, KeyKindError):
            return self._batches.unfit(error)
        items = [self._by_key.get(key, key) for key in error.ids]
        if isinstance(error, MissingKeys):
            return MissingKeys(items)
        return type(error)(error._message, items)


class AsyncBatchRun(BatchRun):
    """One call of a batch function that is a coroutine function, as a loader."""

    async def __call__(self, ids: Any) -> Any:
        parts = self._parts(ids)
        return self._joined(parts, [await self._batches.fn(part) for part in parts])


def batched(cache: Target, fn: Callable[..., Any], **options: Any) -> Batched:
    """Return a function over a batch of items; see `Cache.batch`."""
    batches = Batches(cache, fn, **options)
    function: Any = (_coroutine_function if is_coroutine_function(fn) else _function)(batches)
    functools.update_wrapper(function, fn)
    function.cache_info = batches.counts.read
    function.keys = batches.keys
    function.invalidate = batches.invalidate
    function.invalidate_all = batches.space.invalidate_all
    return cast(Batched, function)


def _function(batches: Batches) -> Callable[..., Any]:
    load_many, lifetime = batches.cache.get_or_load_many, batches.lifetime

    def function(items: Any, *, ttl: Any = None, missing: Any = "raise") -> Any:
        run = BatchRun(batches, items).prepared()
        try:
            values = load_many(run.keys, run, ttl=lifetime(ttl), missing=missing)
        except _TOLD as error:
            raise run.about_items(error) from error.__cause__
        return run.answer(values, missing)

    return function


def _coroutine_function(batches: Batches) -> Callable[..., Any]:
    load_many, lifetime = batches.cache.aget_or_load_many, batches.lifetime

    async def function(items: Any, *, ttl: Any = None, missing: Any = "raise") -> Any:
        run = AsyncBatchRun(batches, items)
        for _ in run.steps():
            await asyncio.sleep(0)
        try:
            values = await load_many(run.keys, run, ttl=lifetime(ttl), missing=missing)
        except _TOLD as error:
            raise run.about_items(error) from error.__cause__
        return run.answer(values, missing)

    return function
