"""The dict face: single keys and iteration, on top of the batch face."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

import numpy as np
import numpy.typing as npt

from predis_core.errors import CacheFull
from predis_core.stores import Store
from predis_core.table.interface import Bools, Keys
from predis_core.views import CacheItems, CacheValues

K = TypeVar("K")
V = TypeVar("V")
D = TypeVar("D")
TTL = float | timedelta | npt.NDArray[Any] | Sequence[float] | None
_ABSENT: Any = object()


def listed(keys: Any) -> list[Any]:
    """Return keys as users give them, in a list."""
    found: list[Any] = keys.tolist() if isinstance(keys, np.ndarray) else list(keys)
    return found


class DictFace(MutableMapping[K, V], Generic[K, V]):
    """What a cache does like a dict; it adds to the batch face, and does nothing past it."""

    if TYPE_CHECKING:
        _store: Store

        def get_many(self, keys: Any, *, out: Any = None) -> tuple[Any, Bools]: ...

        def set_many(self, keys: Any, values: Any, *, ttl: TTL = None) -> Bools: ...

        def contains_many(self, keys: Any) -> Bools: ...

        def delete_many(self, keys: Any) -> Bools: ...

        def get_or_load_many(self, keys: Any, loader: Any = None, *, ttl: TTL = None) -> Any: ...

        def _one(self, key: Any) -> Keys: ...

        def _keys(self) -> list[K]: ...

        def _pairs(self) -> list[tuple[K, V]]: ...

        def _deleted(self, batch: Keys, out: Any = None) -> Bools: ...

    def __getitem__(self, key: K) -> V:
        values, hit = self._get_one(key)
        if not hit:
            raise KeyError(key)
        found: V = values
        return found

    @overload
    def get(self, key: K) -> V | None: ...

    @overload
    def get(self, key: K, default: D) -> V | D: ...

    def get(self, key: K, default: Any = None) -> Any:
        """Return the value of a key, or `default`."""
        value, hit = self._get_one(key)
        return value if hit else default

    def set(self, key: K, value: V, *, ttl: TTL = None) -> bool:
        """Store an entry; return whether there was room. `ttl` as for `set_many`."""
        return bool(self.set_many(self._one(key), (value,), ttl=ttl)[0])

    def __setitem__(self, key: K, value: V) -> None:
        if not self.set(key, value):
            raise CacheFull(f"no entry may leave to make room for {key!r}")

    def __delitem__(self, key: K) -> None:
        if not self.delete_many(self._one(key))[0]:
            raise KeyError(key)

    def __contains__(self, key: object) -> bool:
        return bool(self.contains_many(self._one(key))[0])

    def __iter__(self) -> Iterator[K]:
        """Iterate over the keys present when the iteration began."""
        return iter(self._keys())

    def items(self) -> CacheItems[K, V]:
        """Return a view of (key, value); each iteration goes over a copy taken when it begins."""
        return CacheItems(self)

    def values(self) -> CacheValues[V]:
        """Return a view of the values; each iteration goes over a copy taken when it begins."""
        return CacheValues(self)

    @overload
    def pop(self, key: K) -> V: ...

    @overload
    def pop(self, key: K, default: D) -> V | D: ...

    def pop(self, key: K, default: Any = _ABSENT) -> Any:
        """Remove a key and return its value, in one step; `default` if it is absent."""
        target = self._store.target(1)
        if self._deleted(self._one(key), target.buffer)[0]:
            return self._store.present(target.array)[0]
        if default is _ABSENT:
            raise KeyError(key)
        return default

    def popitem(self) -> tuple[K, V]:
        """Remove and return some entry; KeyError if there is none."""
        for key in self:
            # Another thread may have been faster.
            with contextlib.suppress(KeyError):
                return key, self.pop(key)
        raise KeyError("popitem(): the cache is empty")

    def update(self, other: Any = (), /, **entries: V) -> None:
        """Store the entries of a mapping or of pairs, as one batch.

        Raises:
            CacheFull: if one could not be stored.
        """
        given = dict(other.items() if isinstance(other, Mapping) else other, **entries)
        if given and not self.set_many(list(given), list(given.values())).all():
            raise CacheFull("no entry may leave to make room for some of the update")

    def get_or_load(self, key: K, loader: Callable[[K], V] | None = None, *, ttl: TTL = None) -> V:
        """Return the value of a key, loading it once in the whole process if it is missing.

        Args:
            key: the key.
            loader: gets the key and returns its value; the cache's `loader=`, which takes a batch,
                by default.
            ttl: as for `set_many`, of what is loaded.

        Raises:
            LoaderError, LoaderDeadlock, MissingKeys: as `get_or_load_many`.
        """
        batch_loader = None if loader is None else (lambda ids: [loader(listed(ids)[0])])
        loaded: V = self.get_or_load_many(self._one(key), batch_loader, ttl=ttl)[0]
        return loaded

    def _get_one(self, key: Any) -> tuple[Any, bool]:
        values, hit = self.get_many(self._one(key))
        return values[0], bool(hit[0])
