"""The dict face: single keys and iteration, on top of the batch face."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Generic, NoReturn, TypeVar, overload

import numpy as np
import numpy.typing as npt

from predis_core.errors import CacheFull
from predis_core.native import READS, WRITES, NativeFace, Scalars
from predis_core.stores import Store
from predis_core.table.interface import Bools, Deleted, Keys
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


class DictFace(NativeFace, MutableMapping[K, V], Generic[K, V]):
    """What a cache does like a dict; it adds to the batch face, and does nothing past it.

    Where `native` has methods of C do it instead, these are what is done in all other cases.
    """

    if TYPE_CHECKING:
        _scalars: Scalars
        _store: Store

        def get_many(self, keys: Any, *, out: Any = None) -> tuple[Any, Bools]: ...

        def set_many(self, keys: Any, values: Any, *, ttl: TTL = None) -> Bools: ...

        def contains_many(self, keys: Any) -> Bools: ...

        def delete_many(self, keys: Any) -> Bools: ...

        def get_or_load_many(self, keys: Any, loader: Any = None, *, ttl: TTL = None) -> Any: ...

        def _one(self, key: Any) -> Keys: ...

        def _keys(self) -> list[K]: ...

        def _pairs(self) -> list[tuple[K, V]]: ...

        def _deleted(self, batch: Keys, want_removed: bool = False) -> Deleted: ...

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
        return self._now_get(key, default)

    def _plain_get(self, key: K, default: Any = None) -> Any:
        value, hit = self._get_one(key)
        return value if hit else default

    # A `get = cache.get` that was taken before there are methods of C gets there by these names.
    _now_get = _plain_get

    def set(self, key: K, value: V, *, ttl: TTL = None) -> bool:
        """Store an entry; return whether there was room. `ttl` as for `set_many`."""
        return self._now_set(key, value) if ttl is None else self._plain_set(key, value, ttl=ttl)

    def _plain_set(self, key: K, value: V, *, ttl: TTL = None) -> bool:
        self._scalars.called(self, WRITES)
        return bool(self.set_many(self._one(key), (value,), ttl=ttl)[0])

    _now_set = _plain_set

    def __setitem__(self, key: K, value: V) -> None:
        if not self.set(key, value):
            self._refuse(key)

    def __delitem__(self, key: K) -> None:
        if not self.delete_many(self._one(key))[0]:
            raise KeyError(key)

    def __contains__(self, key: object) -> bool:
        self._scalars.called(self, READS)
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
        deleted, removed = self._deleted(self._one(key), want_removed=True)
        if deleted[0]:
            assert removed is not None
            return self._store.present(removed.values)[0]
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
        self._scalars.called(self, READS)
        batch_loader = None if loader is None else (lambda ids: [loader(listed(ids)[0])])
        loaded: V = self.get_or_load_many(self._one(key), batch_loader, ttl=ttl)[0]
        return loaded

    def _hit(self, key: Any, default: Any) -> Any:
        """Return a key's value as `get_or_load` does, noting the hit; or `default`, noting nothing.

        In plain Python that would take longer than to load at once.
        """
        self._scalars.called(self, READS)
        return default

    def _refuse(self, key: Any) -> NoReturn:
        raise CacheFull(f"no entry may leave to make room for {key!r}")

    def _get_one(self, key: Any) -> tuple[Any, bool]:
        self._scalars.called(self, READS)
        values, hit = self.get_many(self._one(key))
        return values[0], bool(hit[0])
