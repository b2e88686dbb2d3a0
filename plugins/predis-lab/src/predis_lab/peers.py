"""Other caches of Python, as far as they are installed: what Predis is shown beside."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterable
from importlib.util import find_spec
from typing import Any, NamedTuple, Protocol

NAMES = ("cachetools", "cachebox")
CACHETOOLS, CACHEBOX = "cachetools LRU", "cachebox LRU"


class DictLike(Protocol):
    """A cache of single keys that is used like a dict."""

    def get(self, key: Any, /) -> Any: ...

    def __setitem__(self, key: Any, value: Any, /) -> None: ...

    def __contains__(self, key: Any, /) -> bool: ...


def installed(capacity: int) -> dict[str, DictLike]:
    """An empty LRU cache of `capacity` entries of each peer that is installed, by its name."""
    peers: dict[str, DictLike] = {}
    if find_spec("cachetools"):
        import cachetools

        peers[CACHETOOLS] = cachetools.LRUCache(capacity)
    if find_spec("cachebox"):
        import cachebox

        peers[CACHEBOX] = cachebox.LRUCache(capacity)
    return peers


class Single(NamedTuple):
    """A cache that is asked for one key at a time, in the shortest way that it offers.

    Attributes:
        get: returns the value of a key; what it returns for a miss is its own affair.
        store: stores each of many keys under itself.
    """

    get: Callable[[Any], object]
    store: Callable[[Iterable[Any]], None]


def singles(capacity: int) -> dict[str, Single]:
    """An empty cache of `capacity` entries of each peer that is installed, by its name."""
    found = {
        name: Single(peer.get, subscripting(peer)) for name, peer in installed(capacity).items()
    }
    if find_spec("theine"):
        import theine

        cache: Any = theine.Cache(capacity)
        found["theine"] = Single(cache.get, _setting(cache.set))
    if find_spec("moka_py"):
        import moka_py

        moka: Any = moka_py.Moka(capacity)
        found["moka-py"] = Single(moka.get, _setting(moka.set))
    remembered = functools.lru_cache(capacity)(_itself)
    found["functools.lru_cache"] = Single(remembered, _calling(remembered))
    return found


def _itself(key: Any) -> Any:
    return key


def _calling(remembered: Callable[[Any], object]) -> Callable[[Iterable[Any]], None]:
    def store(keys: Iterable[Any]) -> None:
        for key in keys:
            remembered(key)

    return store


def subscripting(cache: DictLike) -> Callable[[Iterable[Any]], None]:
    """Return what stores keys under themselves by `cache[key] = key`."""

    def store(keys: Iterable[Any]) -> None:
        for key in keys:
            cache[key] = key

    return store


def _setting(put: Callable[[Any, Any], object]) -> Callable[[Iterable[Any]], None]:
    def store(keys: Iterable[Any]) -> None:
        for key in keys:
            put(key, key)

    return store


Decorate = Callable[[Callable[..., Any]], Callable[..., Any]]
"""Returns a function whose results are cached."""


def decorators(capacity: int) -> dict[str, Decorate]:
    """What caches `capacity` results of a function and is safe in threads, by its name."""
    found: dict[str, Decorate] = {"functools.lru_cache": functools.lru_cache(capacity)}
    if find_spec("cachetools"):
        import cachetools

        cache: Any = cachetools.LRUCache(capacity)
        found["cachetools.cached"] = cachetools.cached(cache, lock=threading.Lock())
    return found | _decorators_of_both(capacity)


def async_decorators(capacity: int) -> dict[str, Decorate]:
    """What caches `capacity` results of a coroutine function, by its name; aiocache sets no limit.

    What it decorates is to be awaited on one event loop only.
    """
    found: dict[str, Decorate] = {}
    if find_spec("async_lru"):
        import async_lru

        found["async_lru.alru_cache"] = async_lru.alru_cache(capacity)
    if find_spec("aiocache"):
        import aiocache

        found["aiocache.cached"] = aiocache.cached()
    return found | _decorators_of_both(capacity)


def _decorators_of_both(capacity: int) -> dict[str, Decorate]:
    """Those that take functions and coroutine functions."""
    found: dict[str, Decorate] = {}
    if find_spec("moka_py"):
        import moka_py

        found["moka_py.cached"] = moka_py.cached(capacity)
    if find_spec("theine"):
        import theine

        found["theine.Memoize"] = theine.Memoize(capacity, None)
    return found


class AsyncBatches(Protocol):
    """A cache of which several keys can be awaited at once."""

    async def multi_set(self, pairs: list[tuple[int, Any]], /) -> Any: ...

    async def multi_get(self, keys: list[int], /) -> list[Any]: ...


def async_batches() -> dict[str, AsyncBatches]:
    """An empty cache without limit of each such peer that is installed, by its name."""
    if not find_spec("aiocache"):
        return {}
    import aiocache

    return {"aiocache multi_get": aiocache.SimpleMemoryCache()}


def absent() -> list[str]:
    """The peers that are not installed."""
    return [name for name in NAMES if not find_spec(name)]
