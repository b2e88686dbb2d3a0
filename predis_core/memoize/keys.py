"""The keys that a function has in a cache: its own name before what was asked."""

from __future__ import annotations

import itertools
import secrets
import threading
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Literal, NamedTuple, Protocol, cast
from weakref import WeakKeyDictionary

import numpy as np

from predis_core.config import Duration
from predis_core.errors import ConfigurationError, KeyKindError
from predis_core.lifetimes import lifetimes_of
from predis_core.loading import Loader, Loads
from predis_core.stores import Store
from predis_core.table.interface import Bools, Keys
from predis_core.table.keys import KeyCodec

_TOKEN_BYTES = 8
_END = "\0"
"""Between a name and a text key: no name holds one, so that no two functions' keys are alike."""


class Target(Protocol):
    """What memoizing needs of a cache."""

    name: str
    _codec: KeyCodec
    _store: Store
    _loads: Loads

    def __iter__(self) -> Iterator[Any]: ...

    def _encode(self, keys: Any) -> Keys: ...

    def _hit(self, key: Any, default: Any) -> Any: ...

    def get_or_load_many(
        self,
        keys: Any,
        loader: Loader | None = None,
        *,
        ttl: Any = None,
        missing: Literal["raise", "mask"] = "raise",
    ) -> Any: ...

    async def aget_or_load_many(
        self,
        keys: Any,
        loader: Loader | Callable[[Any], Awaitable[Any]] | None = None,
        *,
        ttl: Any = None,
        missing: Literal["raise", "mask"] = "raise",
    ) -> Any: ...

    def delete_many(self, keys: Any) -> Bools: ...

    def clear(self) -> None: ...


class CacheInfo(NamedTuple):
    """What became of the calls of one function.

    Attributes:
        hits: answers that came without running the function, those waited for included.
        misses: answers that the function was run for, whatever came of it.
    """

    hits: int
    misses: int


class Counts:
    """Hits and misses, counted by each thread for itself, so that no lock is needed.

    Attributes:
        hit: counts one hit; faster than `add`.
    """

    def __init__(self) -> None:
        self._counted: dict[int, list[int]] = {}
        self.hit: Callable[[], object] = itertools.count().__next__
        self._looking = threading.Lock()
        self._looks = 0

    def add(self, hits: int, misses: int) -> None:
        """Count answers."""
        me = threading.get_ident()
        mine = self._counted.get(me)
        if mine is None:
            mine = self._counted.setdefault(me, [0, 0])
        mine[0] += hits
        mine[1] += misses

    def read(self) -> CacheInfo:
        """Return the sums."""
        with self._looking:
            # To look at a counter is to count.
            single = cast(int, self.hit()) - self._looks
            self._looks += 1
        counted = list(self._counted.values())
        hits, misses = (sum(some) for some in zip((single, 0), *counted, strict=True))
        return CacheInfo(hits, misses)


# An int64 key has no room for a name, so that such a cache serves one name only.
_tenants: WeakKeyDictionary[Target, str] = WeakKeyDictionary()


class KeySpace:
    """The keys of one function in a cache: none of them is another function's.

    A key is `(head, rest)` in a cache of any keys, head, NUL and rest in one of str or bytes, and
    the rest alone in one of int64. Without a name, the head is the function's own name with a
    random token, so that neither another function, nor an edited one, nor an earlier process has
    it; a name that was given is the head as it is.

    Args:
        cache: where the keys are.
        fn: the function.
        name: the head, or None.

    Raises:
        ConfigurationError: if the name does not fit, or an int64 cache serves another one.
    """

    def __init__(self, cache: Target, fn: Callable[..., Any], name: str | None) -> None:
        if name is not None and (not isinstance(name, str) or not name or _END in name):
            raise ConfigurationError(f"name: expected text without NUL, got {name!r}")
        self.label = str(getattr(fn, "__qualname__", type(fn).__qualname__))
        self.kind = cache._codec.kind
        self._cache = cache
        self._named = name is not None
        self._module = str(getattr(fn, "__module__", ""))
        self.head = name or self._new_head()
        if self.kind == "int64":
            self._settle(name or f"{self._module}.{self.label}")

    def _new_head(self) -> str:
        return f"{self._module}.{self.label}#{secrets.token_hex(_TOKEN_BYTES)}"

    def _settle(self, shown: str) -> None:
        tenant = _tenants.setdefault(self._cache, self.head)
        if tenant != self.head:
            raise ConfigurationError(
                f"keys: int64 keys have no room for a name, and cache {self._cache.name!r} serves "
                f"{tenant.partition('#')[0]!r}; give {shown!r} a cache of its own, build this one "
                "with keys='any', or give both the same name= if they compute the same"
            )

    def keys(self, rests: list[Any], first: int = 0) -> list[Any]:
        """Return n keys in the cache of what was asked, n items or arranged arguments.

        `first` is the position of the first one, for messages.

        Raises:
            KeyKindError: if one does not fit a cache of str or bytes keys.
        """
        if self.kind == "any":
            head = self.head
            return [(head, rest) for rest in rests]
        if self.kind == "int64":
            return rests
        prefix: Any = self._prefix
        kind = type(prefix)
        for position, rest in enumerate(rests, first):
            if not isinstance(rest, kind):
                raise KeyKindError(
                    f"{self.label}: this cache takes {self.kind} keys, got {rest!r} "
                    f"({type(rest).__name__}) at position {position}; pass key=, a function that "
                    f"returns {self.kind}, or build the cache with keys='any'"
                )
        return [prefix + rest for rest in rests]

    @property
    def _prefix(self) -> str | bytes:
        prefix = self.head + _END
        return prefix if self.kind == "str" else prefix.encode("utf-8", "surrogatepass")

    def invalidate_all(self) -> None:
        """Leave all keys behind.

        Without a name, the head changes, and what was stored leaves in its time. What has a name
        might come back by it, from a snapshot say: that is deleted, and loads under way are kept
        from storing.
        """
        if self.kind == "int64":
            self._cache.clear()
        elif not self._named:
            self.head = self._new_head()
        else:
            # The loads first: what they stored by then is among the keys, and later comes nothing.
            self._cache._loads.overrule_all()
            self._cache.delete_many([key for key in self._cache if self._owns(key)])

    def _owns(self, key: Any) -> bool:
        if self.kind == "any":
            # Others' keys may have any __eq__; a head is a plain str.
            return (
                type(key) is tuple
                and len(key) == 2
                and type(key[0]) is str
                and (key[0] == self.head)
            )
        return bool(key.startswith(self._prefix))


def duration_of(ttl: Any) -> Any:
    """Return a time to live as loads take it; text such as "5m" is read.

    Raises:
        ConfigurationError: if text is no duration.
    """
    if not isinstance(ttl, str):
        return ttl
    try:
        return Duration.parse(ttl)
    except ValueError as error:
        raise ConfigurationError(f"ttl: {error}") from None


def checked_ttl(ttl: Any) -> Any:
    """Return the one time to live of all that a function computes; None as it is.

    Raises:
        ConfigurationError: if it is not one duration greater than zero.
    """
    duration = duration_of(ttl)
    if duration is not None and np.ndim(lifetimes_of(duration, 1)):
        raise ConfigurationError(f"ttl: expected one duration for all results, got {ttl!r}")
    return duration
