"""Rows of int64 keys and values in batches: Predis beside loops over other caches, and pandas.

Caches without batches are asked in a loop over Python objects that exist before the clock runs.
Peers that are not installed are left out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import predis_core as predis
from predis_lab.bench import material
from predis_lab.bench.limits import KEY_LINES, Lines
from predis_lab.bench.material import Keys, Sizes, all_at_once, batches, over
from predis_lab.bench.measuring import OURS, Prepare, Row, faster_than
from predis_lab.peers import CACHEBOX, CACHETOOLS, singles, subscripting
from predis_lab.workloads import Ids

INDEXER = "pandas get_indexer"
VALUE_LINES = "limit: lines of values"


def get(sizes: Sizes) -> Row:
    """Look-ups that hit, beside every peer."""
    keys, cache = filled(sizes.entries)
    asked = keys.slots(sizes.entries)
    queries = keys.with_absent(keys.stored[asked])
    out = np.empty(sizes.batch, np.int64)
    parts = batches(queries, sizes.batch)
    contenders = {
        OURS: over(cache.get_many, parts),
        f"{OURS}, out=": over(lambda part: cache.get_many(part, out=out[: len(part)]), parts),
    }
    listed = queries.tolist()
    for name, peer in _stored_singly(sizes.entries, np.sort(keys.all)).items():
        contenders[name] = over(peer, listed)
    reading = batches(asked, sizes.batch)
    for name in (KEY_LINES, VALUE_LINES):
        lines = Lines(sizes.entries)
        contenders[name] = all_at_once([lines.reader(part) for part in reading])
    return Row(
        f"get_many, hits: int64 keys and values, {sizes.batch:,} per batch, "
        f"{sizes.entries:,} entries",
        len(queries),
        contenders,
        bars=(faster_than(CACHEBOX, 15, 40), faster_than(CACHETOOLS, 40, 100)),
        limit=((KEY_LINES,), (VALUE_LINES,)),
    )


def filled(entries: int, **options: Any) -> tuple[Keys, predis.Cache[int, Any]]:
    """Return a full cache of int64 values, and the keys that it was filled with and holds."""
    keys, cache = Keys(entries), material.table(entries, **options)
    material.fill(cache, keys.stored, keys.stored)
    keys.keep(cache)
    return keys, cache


def _stored_singly(entries: int, keys: Ids) -> dict[str, Callable[[Any], object]]:
    """Return what looks a key up in each peer, and in a dict, all of which hold the keys."""
    plain: dict[int, int] = {}
    subscripting(plain)(keys.tolist())
    found: dict[str, Callable[[Any], object]] = {}
    for name, peer in singles(entries).items():
        peer.store(keys.tolist())
        found[name] = peer.get
    return {**found, "dict": plain.get}


def evicting(sizes: Sizes) -> Row:
    """New keys into full caches: each one evicts. A dict evicts nothing, so it is left out."""

    def ours() -> Prepare:
        cache, draw = material.table(sizes.entries), material.fresh_keys(sizes.entries)
        cache.set_many(*(draw(),) * 2)

        def prepare() -> Callable[[], object]:
            parts = batches(draw(), sizes.batch)

            def timed() -> None:
                for part in parts:
                    cache.set_many(part, part)

            return timed

        return prepare

    contenders = {OURS: ours()}
    for name, peer in singles(sizes.entries).items():
        contenders[name] = storing(peer.store, material.fresh_keys(sizes.entries))
    places = batches(Keys(sizes.entries).slots(sizes.entries), sizes.batch)
    for name in (KEY_LINES, VALUE_LINES):
        lines = Lines(sizes.entries)
        contenders[name] = all_at_once([lines.reader(part) for part in places])
    return Row(
        f"set_many of new keys into a full cache of {sizes.entries:,}, {sizes.batch:,} per batch",
        sizes.entries,
        contenders,
        bars=(faster_than(CACHEBOX, 15, 30),),
        limit=((KEY_LINES,), (VALUE_LINES,)),
    )


def storing(store: Callable[[list[int]], None], draw: Callable[[], Ids]) -> Prepare:
    """New keys each round, one at a time, into a cache that they have filled before."""
    store(draw().tolist())

    def prepare() -> Callable[[], object]:
        keys = draw().tolist()
        return lambda: store(keys)

    return prepare


def contains(sizes: Sizes) -> Row:
    """Membership beside the index of a data frame."""
    keys, cache = filled(sizes.many)
    slots = batches(keys.slots(sizes.large_batches * sizes.large_batch), sizes.large_batch)
    queries = [keys.stored[part] for part in slots]
    lines = Lines(sizes.many)
    contenders = {OURS: over(cache.contains_many, queries)}
    try:
        import pandas
    except ImportError:
        pass
    else:
        contenders[INDEXER] = over(pandas.Index(keys.all).get_indexer, queries)
    contenders[KEY_LINES] = all_at_once([lines.reader(part) for part in slots])
    return Row(
        f"contains_many, {sizes.large_batch:,} per batch, {sizes.many:,} entries",
        sizes.large_batches * sizes.large_batch,
        contenders,
        bars=(faster_than(INDEXER, 2.5, 6),),
        limit=((KEY_LINES,),),
    )
