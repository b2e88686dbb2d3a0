"""Rows of one key per call, on the default cache: what a program without batches gets.

The time of the loop alone is taken off everybody's. What is asked for equals a stored key and is
another object.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import predis_core as predis
from predis_lab.bench import material
from predis_lab.bench.batches import storing
from predis_lab.bench.limits import CALL, empty_method
from predis_lab.bench.material import Keys, Sizes, over, through
from predis_lab.bench.measuring import OURS, Bar, Row, time_of
from predis_lab.bench.strings import names_of
from predis_lab.peers import CACHEBOX, Single, singles, subscripting
from predis_lab.workloads import Ids

Named = Callable[[Ids], list[Any]]
"""What makes Python keys of int64[n]."""


def integers(sizes: Sizes) -> Row:
    """Any of all entries."""
    return _lookups(sizes, "an int", Ids.tolist, sizes.entries, time_of(CACHEBOX, 0.6, 0.35))


def hot(sizes: Sizes) -> Row:
    """Some entries, again and again."""
    what = f"one of {sizes.hot:,} hot ints"
    return _lookups(sizes, what, Ids.tolist, sizes.hot, time_of(CACHEBOX, 1.0, 0.6))


def strings(sizes: Sizes) -> Row:
    """Strings in place of integers."""
    return _lookups(sizes, "a str", names_of, sizes.entries, time_of(CACHEBOX, 0.7, 0.45))


def _lookups(sizes: Sizes, what: str, named: Named, asked: int, bar: Bar) -> Row:
    """`asked` keys that are resident, in turns until there are as many look-ups as entries."""
    keys, cache = Keys(sizes.entries), _cache(sizes.entries)
    others = {**singles(sizes.entries), "dict": _dict()}
    stored = named(keys.all)
    for peer in (_single(cache), *others.values()):
        peer.store(stored)
    keys.stored = keys.all[cache.contains_many(stored)]
    queries = named(keys.stored[keys.slots(asked)]) * (sizes.entries // asked)
    contenders = {OURS: over(cache.get, queries)}
    contenders |= {name: over(peer.get, queries) for name, peer in others.items()}
    contenders[CALL] = over(empty_method(), queries)
    return Row(
        f"get of {what} per call, {sizes.entries:,} entries",
        len(queries),
        contenders,
        bars=(bar,),
        limit=((CALL,),),
        empty=through(queries),
    )


def evicting(sizes: Sizes) -> Row:
    """A new key per call into full caches: each one evicts. A dict evicts nothing."""
    count = sizes.entries
    peers = {OURS: _single(_cache(count)), **singles(count)}
    contenders = {
        name: storing(peer.store, material.fresh_keys(count)) for name, peer in peers.items()
    }
    contenders[CALL] = over(empty_method(), range(count))
    return Row(
        f"cache[key] = value with a new int per call, full cache of {count:,}",
        count,
        contenders,
        bars=(time_of(CACHEBOX, 0.8, 0.5),),
        limit=((CALL,),),
        empty=through(range(count)),
    )


def _cache(capacity: int) -> predis.Cache[Any, Any]:
    return predis.Cache(capacity, seed=0, device="cpu")


def _single(cache: predis.Cache[Any, Any]) -> Single:
    return Single(cache.get, subscripting(cache))


def _dict() -> Single:
    plain: dict[Any, Any] = {}
    return Single(plain.get, subscripting(plain))
