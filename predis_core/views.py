"""`keys()`, `items()` and `values()` of a cache.

They iterate over a copy taken when the iteration begins: iterating changes neither what is evicted
next nor the counters, and entries that leave meanwhile are still seen.
"""

from __future__ import annotations

from collections.abc import ItemsView, Iterator, ValuesView
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from predis_core.mapping import DictFace

K = TypeVar("K")
V = TypeVar("V")


class CacheItems(ItemsView[K, V]):
    """The (key, value) pairs of a cache."""

    _mapping: DictFace[K, V]

    def __iter__(self) -> Iterator[tuple[K, V]]:
        return iter(self._mapping._pairs())


class CacheValues(ValuesView[V]):
    """The values of a cache."""

    _mapping: DictFace[Any, V]

    def __contains__(self, value: object) -> bool:
        return any(held is value or bool(held == value) for held in self)

    def __iter__(self) -> Iterator[V]:
        return (value for _, value in self._mapping._pairs())
