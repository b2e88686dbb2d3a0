"""Compiles what a cache will need before it is needed: in the building of an image, say."""

from __future__ import annotations

from typing import Any

import numpy as np

from predis_core.cache import Cache
from predis_core.clock import ManualClock
from predis_core.policies import Policy
from predis_core.stores import Rows, Store

_ENTRIES = 128


def warm(policy: Policy, store: Store, keys: str | None) -> None:
    """Call every verb of a small cache once, so that its kernels are compiled and kept on disk.

    Args:
        policy: the eviction policy.
        store: the store; what fits is put into it.
        keys: the kind of keys; the store's own by default.
    """
    clock = ManualClock()
    cache: Cache[Any, Any] = Cache(
        _ENTRIES,
        policy=policy,
        value=store,
        keys=keys,  # type: ignore[arg-type]
        clock=clock,
    )
    some = _keys(keys or store.default_keys)
    values = _values(store)
    cache.set_many(some, values)
    cache.set_many(some, values, ttl=1.0, return_evicted=True)
    cache.set_many(some, values, ttl=np.ones(len(some)))
    cache.get_many(some)
    cache.contains_many(some)
    cache.touch_many(some)
    cache.get(some[0])
    cache.ttl_left(some[-1])
    cache.delete_many(some[:2])
    cache.pop(some[-1], None)
    clock.advance(2.0)
    cache.get_or_load_many(some, lambda ids: values[: len(ids)])
    list(cache.items())
    cache.stats()
    cache.clear()


def _keys(kind: str) -> Any:
    numbers = range(2 * _ENTRIES)
    if kind == "int64":
        return np.arange(len(numbers))
    if kind == "bytes":
        return [b"%d" % number for number in numbers]
    return [str(number) for number in numbers]


def _values(store: Store) -> Any:
    if isinstance(store, Rows):
        return np.zeros((2 * _ENTRIES, *store.shape), store.dtype)
    return [None] * (2 * _ENTRIES)
