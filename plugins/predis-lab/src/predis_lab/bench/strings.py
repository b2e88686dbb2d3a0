"""Rows of strings: their hashes, and byte strings that they are the keys of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import predis_core as predis
from predis_core.table import codec
from predis_lab.bench import material
from predis_lab.bench.limits import touching
from predis_lab.bench.material import Keys, Sizes, all_at_once, over
from predis_lab.bench.measuring import OURS, Row, faster_than
from predis_lab.peers import CACHEBOX, DictLike, installed
from predis_lab.workloads import Ids

HASHES = "xxh3_128 loop"
STRING_LINES = "limit: lines of the strings"
BLOB = 64
MEMORY_PER_ENTRY = 8 * BLOB


def hashing(sizes: Sizes) -> Row:
    """Strings to words, beside the fastest hash that can be called for one string."""
    names = names_of(Keys(sizes.entries).stored)
    encode = codec("str", 0).encode
    parts = [names[at : at + sizes.batch] for at in range(0, len(names), sizes.batch)]
    contenders = {OURS: over(encode, parts)}
    try:
        from xxhash import xxh3_128_intdigest
    except ImportError:
        pass
    else:
        contenders[HASHES] = over(lambda part: [xxh3_128_intdigest(name) for name in part], parts)
    contenders[STRING_LINES] = all_at_once([touching(part) for part in parts])
    return Row(
        f"hashing a list of str, {len(names[0])} characters, {sizes.batch:,} per list",
        len(names),
        contenders,
        bars=(faster_than(HASHES, 15, 40),),
        limit=((STRING_LINES,),),
    )


def names_of(keys: Ids) -> list[str]:
    """Return a string for each key, all of one length; each call makes new ones."""
    return [f"user:{key:019d}" for key in keys.tolist()]


def blobs(sizes: Sizes) -> Row:
    """Byte strings by string, as a list; what is asked for equals a stored key and is not it."""
    keys = Keys(sizes.entries)
    cache: predis.Cache[str, bytes] = predis.Cache(
        sizes.entries,
        memory=MEMORY_PER_ENTRY * sizes.entries,
        value=predis.Blobs(),
        keys="str",
        seed=0,
        device="cpu",
    )
    names, draw = names_of(keys.stored), np.random.default_rng(0).bytes
    values = [draw(BLOB) for _ in names]
    material.fill(cache, names, values)
    others: dict[str, DictLike] = {**installed(sizes.entries), "dict": {}}
    for peer in others.values():
        for name, value in zip(names, values, strict=True):
            peer[name] = value
    keys.stored = keys.stored[cache.contains_many(names)]
    queries = names_of(keys.stored[keys.slots(sizes.entries)])
    parts = [queries[at : at + sizes.batch] for at in range(0, len(queries), sizes.batch)]
    contenders = {OURS: over(cache.get_many, parts)}
    contenders |= {name: over(_listing(peer), parts) for name, peer in others.items()}
    return Row(
        f"get_many, list[str] to list[bytes] of {BLOB}, {sizes.batch:,} per batch, "
        f"{sizes.entries:,} entries",
        len(queries),
        contenders,
        bars=(faster_than(CACHEBOX, 1.3, 3),),
    )


def _listing(peer: DictLike) -> Callable[[list[str]], list[Any]]:
    get = peer.get
    return lambda keys: [get(key) for key in keys]
