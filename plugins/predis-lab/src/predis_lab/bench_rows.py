"""The rows of `predis bench`: the same job for a Predis cache, other caches, and a plain dict.

Predis is asked in batches; the others have no batches, so they are asked in a loop over Python
integers that exist before the clock runs. Peers that are not installed are left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import count
from typing import Any

import numpy as np

import predis_core as predis
from predis_lab.bench import OURS, Prepare, Row
from predis_lab.peers import DictLike, installed
from predis_lab.workloads import Ids, Zipf

BATCH = 1000
ENTRIES = 100_000
# With some room to spare nearly all of the entries stay: the hits are what is measured.
ROOM = 125_000


def rows() -> dict[str, Callable[[], Row]]:
    """Every row by its name; building one fills its caches."""
    return {
        "get": lambda: _lookups(
            f"get_many, hits: int64 keys and values, {BATCH:,} per batch, {ENTRIES:,} entries", None
        ),
        "get-ttl": lambda: _lookups("get_many, hits, every entry has a time to live", 3600.0),
        "set": _sets,
        "contains": _contains,
        "load": _loads,
        "object": _objects,
    }


def _cache(capacity: int, ttl: float | None = None) -> predis.Cache[int, Any]:
    return predis.Cache(
        capacity, value=predis.Rows("int64", ()), keys="int64", ttl=ttl, seed=0, device="cpu"
    )


def _batches(ids: Ids) -> list[Ids]:
    return np.split(ids, range(BATCH, len(ids), BATCH))


def _resident(cache: predis.Cache[int, Any]) -> Ids:
    """Fill a cache with ENTRIES, and return those that stayed in a random order of their own."""
    random = np.random.default_rng(0)
    ids = random.permutation(10 * ENTRIES)[:ENTRIES]
    for batch in _batches(ids):
        cache.set_many(batch, batch)
    return random.permutation(ids[cache.contains_many(ids)])


def _fill(caches: Iterable[DictLike], ids: Ids) -> None:
    """Store each key under itself, in ascending order: another one than it is asked for later."""
    for cache in caches:
        for key in np.sort(ids).tolist():
            cache[key] = key


def _over(call: Callable[[Any], object], items: list[Any]) -> Prepare:
    """A timed loop of one call per item; the same items every round."""

    def timed() -> None:
        for item in items:
            call(item)

    return lambda: timed


def _lookups(title: str, ttl: float | None) -> Row:
    cache = _cache(ROOM, ttl)
    ids = _resident(cache)
    others: dict[str, DictLike] = {**installed(ROOM), "dict": {}}
    _fill(others.values(), ids)
    contenders = {OURS: _over(cache.get_many, _batches(ids))}
    contenders |= {name: _over(peer.get, ids.tolist()) for name, peer in others.items()}
    return Row(title, len(ids), contenders)


def _contains() -> Row:
    cache = _cache(ROOM)
    ids = _resident(cache)
    ids[::2] += 1 << 40
    others: dict[str, DictLike] = {**installed(ROOM), "dict": {}}
    _fill(others.values(), ids[1::2])
    contenders = {OURS: _over(cache.contains_many, _batches(ids))}
    contenders |= {name: _over(peer.__contains__, ids.tolist()) for name, peer in others.items()}
    return Row("contains_many, half of the keys resident", len(ids), contenders)


def _sets() -> Row:
    """New keys into full caches: each one evicts. A dict evicts nothing, so it is left out."""

    def fresh() -> Iterator[Ids]:
        return (np.random.default_rng(n).permutation(ENTRIES) + n * ENTRIES for n in count())

    def ours() -> Prepare:
        cache, keys = _cache(ENTRIES), fresh()
        cache.set_many(*(next(keys),) * 2)

        def prepare() -> Callable[[], object]:
            batches = _batches(next(keys))

            def timed() -> None:
                for batch in batches:
                    cache.set_many(batch, batch)

            return timed

        return prepare

    def theirs(peer: DictLike) -> Prepare:
        keys = fresh()
        _fill([peer], next(keys))

        def prepare() -> Callable[[], object]:
            ids = next(keys).tolist()

            def timed() -> None:
                for key in ids:
                    peer[key] = key

            return timed

        return prepare

    contenders = {OURS: ours()}
    contenders |= {name: theirs(peer) for name, peer in installed(ENTRIES).items()}
    return Row(f"set_many of new keys into a full cache of {ENTRIES:,}", ENTRIES, contenders)


def _loads() -> Row:
    """Read-through of a Zipf stream, some keys missing, by a loader that costs hardly anything."""
    stream = Zipf(requests=ENTRIES, keys=10 * ENTRIES, exponent=1.1, batch=BATCH, seed=1)
    ids = stream.ids()
    cache = _cache(ENTRIES // 10)

    def through(peer: DictLike) -> Callable[[list[int]], object]:
        def load(keys: list[int]) -> list[Any]:
            found = [peer.get(key) for key in keys]
            for at, value in enumerate(found):
                if value is None:
                    found[at] = peer[keys[at]] = 2 * keys[at]
            return found

        return load

    contenders = {
        OURS: _over(
            lambda batch: cache.get_or_load_many(batch, lambda missing: 2 * missing), _batches(ids)
        )
    }
    lists = [batch.tolist() for batch in _batches(ids)]
    contenders |= {
        name: _over(through(peer), lists) for name, peer in installed(ENTRIES // 10).items()
    }
    return Row(f"get_or_load_many, Zipf 1.1, {ENTRIES // 10:,} entries", ENTRIES, contenders)


def _objects() -> Row:
    """The dict face, one key per call: what a program without batches gets."""
    cache: predis.Cache[int, Any] = predis.Cache(ROOM, seed=0, device="cpu")
    ids = np.random.default_rng(0).permutation(ENTRIES)
    others: dict[str, DictLike] = {OURS: cache, **installed(ROOM), "dict": {}}
    _fill(others.values(), ids)
    resident = np.random.default_rng(1).permutation(ids)[: ENTRIES // 10].tolist()
    resident = [key for key in resident if key in cache]
    contenders = {name: _over(peer.get, resident) for name, peer in others.items()}
    return Row("get, one Python object per call, hits", len(resident), contenders)
