"""Compiles what a cache will need before it is needed: in the building of an image, say."""

from __future__ import annotations

from typing import Any

import numpy as np

from predis_core.cache import Cache
from predis_core.clock import ManualClock
from predis_core.native import READS, WRITES
from predis_core.policies import Policy
from predis_core.prefetch.ledger import Ledger
from predis_core.prefetch.outcomes import MOOT
from predis_core.stores import Blobs, Objects, Rows, Store

_ENTRIES = 128
_MEMORY = 1 << 20


def warm(
    policy: Policy,
    store: Store,
    keys: str | None,
    *,
    weighed: bool = False,
    sampled: bool = False,
    prefetched: bool = False,
) -> None:
    """Call every verb of a small cache once, so that its kernels are compiled and kept on disk.

    Args:
        policy: the eviction policy, or a choice among several.
        store: the store; what fits is put into it.
        keys: the kind of keys; the store's own by default.
        weighed: whether the cache is given `memory=`, and so a weigher if it holds objects.
        sampled: whether it has a miss-ratio curve.
        prefetched: whether a plugin offers prefetchers for it.
    """
    if prefetched:
        _account()
    clock = ManualClock()
    objects, blobs = isinstance(store, Objects), isinstance(store, Blobs)
    cache: Cache[Any, Any] = Cache(
        _ENTRIES,
        memory=_MEMORY if blobs or (weighed and objects) else None,
        weigher=(lambda key, value: 1) if weighed and objects else None,
        policy=policy,
        value=Blobs() if blobs else store,  # their format does not change kernels
        keys=keys,  # type: ignore[arg-type]
        clock=clock,
        device="cpu",
        sampling=1.0 if sampled else None,
    )
    some = _keys(keys or store.default_keys)
    for candidate in cache._table.candidates:
        cache._change_policy(candidate)
        _use(cache, clock, some, _values(store))
    cache._change_policy(cache._table.candidates[0])
    if cache._choosing is not None:
        cache._choosing.prepare(cache._switched())
    cache.close()


def _use(cache: Cache[Any, Any], clock: ManualClock, some: Any, values: Any) -> None:
    """Call every verb."""
    cache.set_many(some, values)
    cache.set_many(some, values, ttl=1.0, return_evicted=True)
    cache.set_many(some, values, ttl=np.ones(len(some)))
    cache.get_many(some)
    cache.contains_many(some)
    cache.touch_many(some)
    with cache.pinned(some):
        cache.get(some[0])
    cache.ttl_left(some[-1])
    cache.delete_many(some[:2])
    cache.pop(some[-1], None)
    clock.advance(2.0)
    cache.get_or_load_many(some, lambda ids: values[: len(ids)])
    list(cache.items())
    cache.stats()
    for part in (READS, WRITES):
        cache._scalars.bind(cache, part)
    cache.resize(3 * _ENTRIES - cache.capacity)  # the other one of two sizes
    cache.stats()


def _account() -> None:
    """Call every verb of a ledger."""
    ledger = Ledger(1, 0.5, 64, 1)
    words, owners = np.arange(2 * _ENTRIES), np.zeros(2 * _ENTRIES, np.int64)
    ledger.choose(words, owners, 1, 1)
    ledger.are_pending(words)
    ledger.stored(words, 0)
    ledger.left(words, owners)
    for room in (1_000, 10_000):  # there is more to come than there is room for at first
        ledger.choose(np.arange(room), np.zeros(room, np.int64), room, room)
    ledger.settle(words, np.zeros(len(words), bool), 0)
    ledger.drop(words, MOOT)


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
    if isinstance(store, Blobs):
        return [b""] * (2 * _ENTRIES)
    return [None] * (2 * _ENTRIES)
