"""Rows of the other faces of a cache: curves, read-through, byte strings, memoizing, asyncio …

Peers that are not installed are left out.
"""

from __future__ import annotations

import asyncio
import atexit
import functools
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np

import predis_core as predis
from predis_lab.bench import material
from predis_lab.bench.batches import filled
from predis_lab.bench.material import Keys, Sizes, batches, over, through
from predis_lab.bench.measuring import OURS, Prepare, Row
from predis_lab.peers import (
    Decorate,
    DictLike,
    async_batches,
    async_decorators,
    decorators,
    installed,
    subscripting,
)
from predis_lab.workloads import Zipf


def expiring(sizes: Sizes) -> Row:
    """Look-ups of entries all of which have a time to live, beside such without."""
    options = {OURS: {"ttl": 3600.0}, f"{OURS}, no time to live": {}}
    return _looked_up(sizes, "every entry has a time to live", options)


def sampled(sizes: Sizes) -> Row:
    """Look-ups of a cache that follows 1 % of its keys for a curve, beside one that does not."""
    options = {OURS: {"sampling": 0.01}, f"{OURS}, no sampling": {}}
    return _looked_up(sizes, "with a miss-ratio curve from 1 % of the keys", options)


def _looked_up(sizes: Sizes, what: str, options: dict[str, dict[str, Any]]) -> Row:
    """Look-ups of caches that differ in what they were opened with."""
    contenders = {}
    for name, given in options.items():
        keys, cache = filled(sizes.entries, **given)
        queries = keys.with_absent(keys.stored[keys.slots(sizes.entries)])
        contenders[name] = over(cache.get_many, batches(queries, sizes.batch))
    title = f"get_many, hits, {what}, {sizes.batch:,} per batch"
    return Row(title, sizes.entries, contenders)


def contains(sizes: Sizes) -> Row:
    """Membership, half of the keys resident."""
    keys, cache = filled(sizes.entries)
    ids = keys.stored[keys.slots(sizes.entries)]
    ids[::2] = keys.absent[: len(ids[::2])]
    others: dict[str, DictLike] = {**installed(sizes.entries), "dict": {}}
    for peer in others.values():
        subscripting(peer)(np.sort(keys.all).tolist())
    contenders = {OURS: over(cache.contains_many, batches(ids, sizes.batch))}
    contenders |= {name: over(peer.__contains__, ids.tolist()) for name, peer in others.items()}
    return Row(
        f"contains_many, half of the keys resident, {sizes.batch:,} per batch",
        len(ids),
        contenders,
    )


@functools.cache
def _loop() -> asyncio.Runner:
    """The event loop of all rows: some caches belong to the first that they are used on."""
    runner = asyncio.Runner()
    atexit.register(runner.close)
    return runner


def _awaited_over(call: Callable[[Any], Awaitable[object]], items: list[Any]) -> Prepare:
    """A timed loop that awaits one call per item, one after the other."""

    async def awaited() -> None:
        for item in items:
            await call(item)

    return lambda: lambda: _loop().run(awaited())


def loads(sizes: Sizes) -> Row:
    """Read-through of a Zipf stream, some keys missing, by a loader that costs hardly anything."""
    entries, requests = sizes.entries // 10, sizes.entries
    stream = Zipf(requests, keys=10 * requests, exponent=1.1, batch=sizes.batch, seed=1)
    parts = batches(stream.ids(), sizes.batch)
    cache = material.table(entries)

    def reading_through(peer: DictLike) -> Callable[[list[int]], object]:
        def load(keys: list[int]) -> list[Any]:
            found = [peer.get(key) for key in keys]
            for at, value in enumerate(found):
                if value is None:
                    found[at] = peer[keys[at]] = 2 * keys[at]
            return found

        return load

    contenders = {
        OURS: over(lambda part: cache.get_or_load_many(part, lambda missing: 2 * missing), parts)
    }
    lists = [part.tolist() for part in parts]
    contenders |= {
        name: over(reading_through(peer), lists) for name, peer in installed(entries).items()
    }
    return Row(f"get_or_load_many, Zipf 1.1, {entries:,} entries", requests, contenders)


def blobs(sizes: Sizes) -> Row:
    """Byte strings of 32 to 1,000 bytes; theirs are not copied, ours are, or all at once."""
    cache: predis.Cache[int, bytes] = predis.Cache(
        sizes.entries, memory=1024 * sizes.entries, value=predis.Blobs(), seed=0, device="cpu"
    )
    keys = Keys(sizes.entries)
    lengths = np.random.default_rng(0).integers(32, 1000, sizes.entries).tolist()
    material.fill(cache, keys.all, [bytes(length) for length in lengths])
    keys.keep(cache)
    queries = keys.stored[keys.slots(sizes.entries)]
    others: dict[str, DictLike] = {**installed(sizes.entries), "dict": {}}
    for peer in others.values():
        for key, length in sorted(zip(keys.all.tolist(), lengths, strict=True)):
            peer[key] = bytes(length)
    packed, parts = predis.Packed(), batches(queries, sizes.batch)
    contenders = {
        OURS: over(cache.get_many, parts),
        f"{OURS}, out=Packed()": over(lambda part: cache.get_many(part, out=packed), parts),
    }
    contenders |= {name: over(peer.get, queries.tolist()) for name, peer in others.items()}
    title = f"get_many, hits, blobs of 32 to 1,000 bytes, {sizes.batch:,} per batch"
    return Row(title, len(queries), contenders)


def namespaces(sizes: Sizes) -> Row:
    """One of four namespaces beside a cache of the same size that has none."""
    whole = material.table(4 * sizes.entries)
    parts = [whole.namespace(name, share=0.25) for name in ("a", "b", "c")]
    contenders = {}
    for name, cache in ((OURS, parts[1]), (f"{OURS}, no namespace", material.table(sizes.entries))):
        keys = Keys(sizes.entries)
        material.fill(cache, keys.all, keys.all)
        keys.keep(cache)
        queries = keys.stored[keys.slots(sizes.entries)]
        contenders[name] = over(cache.get_many, batches(queries, sizes.batch))
    title = f"get_many, hits, in a namespace, {sizes.batch:,} per batch"
    return Row(title, sizes.entries, contenders)


def _double(number: int) -> int:
    return 2 * number


async def _awaited_double(number: int) -> int:
    return 2 * number


def _memoizing(sizes: Sizes) -> tuple[Decorate, list[int]]:
    """What memoizes in a Predis cache, and the arguments: few enough that every result stays."""
    cache: predis.Cache[Any, Any] = predis.Cache(sizes.entries, seed=0, device="cpu")
    return cache.memoize, np.random.default_rng(0).permutation(sizes.entries // 10).tolist()


def memoized(sizes: Sizes) -> Row:
    """The first run, which is not timed, computes all results."""
    memoize, numbers = _memoizing(sizes)
    ways = {OURS: memoize, **decorators(sizes.entries)}
    contenders = {name: over(way(_double), numbers) for name, way in ways.items()}
    title = "memoize, one call of a function each, hits"
    return Row(title, len(numbers), contenders, empty=through(numbers))


def memoized_coroutines(sizes: Sizes) -> Row:
    """The same for functions that are awaited."""
    memoize, numbers = _memoizing(sizes)
    ways = {OURS: memoize, **async_decorators(sizes.entries)}
    contenders = {name: _awaited_over(way(_awaited_double), numbers) for name, way in ways.items()}
    title = "memoize, one awaited call of a coroutine function each, hits"
    return Row(title, len(numbers), contenders)


def awaited(sizes: Sizes) -> Row:
    """Look-ups that hit, awaited."""
    keys, cache = filled(sizes.entries)
    parts = batches(keys.stored[keys.slots(sizes.entries)], sizes.batch)
    contenders = {OURS: _awaited_over(cache.aget_many, parts)}
    for name, peer in async_batches().items():
        _loop().run(peer.multi_set([(key, key) for key in np.sort(keys.all).tolist()]))
        contenders[name] = _awaited_over(peer.multi_get, [part.tolist() for part in parts])
    title = f"await aget_many, hits, {sizes.batch:,} per batch"
    return Row(title, sizes.entries, contenders)
