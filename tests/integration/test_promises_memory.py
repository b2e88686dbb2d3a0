"""What `memory=` promises: every sentence is a test, named after it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import predis_core as predis
from predis_core import planning, policies
from predis_core.errors import CacheFull, ConfigurationError
from predis_core.stores import Blobs, Objects, Rows, Store

ARENA = 16 << 20


def memory_for(arena: int, capacity: int) -> int:
    """Return the memory of which an arena of some size is left."""
    planned = planning.plan(
        policies.get("lru"), predis.Blobs(), key_refs=False, capacity=capacity, memory=1 << 40
    )
    return arena + (1 << 40) - (planned.values or 0)


def fill(cache: predis.Cache[Any, Any], first: int, length: int) -> None:
    """Store values of one length, half as much again as there is memory."""
    count = 3 * ARENA // (2 * length)
    for start in range(first, first + count, 4_000):
        n = min(4_000, first + count - start)
        values = predis.Packed(np.zeros(n * length, np.uint8), np.arange(n + 1) * length)
        assert cache.set_many(np.arange(start, start + n), values).all()


def in_pieces(cache: predis.Cache[Any, Any]) -> int:
    """Return the bytes of all pieces in use."""
    ledger, arena = cache._table.ledger(), cache._table._arena
    assert ledger is not None
    assert arena is not None
    return int(arena.classes[:, 0] @ ledger._used)


@pytest.mark.parametrize(
    ("first", "then"),
    [
        (100, 1_000),
        (1_000, 100),
        (5_000, 300),
        (300, 5_000),
        (1 << 16, 300),
        (300, 1 << 16),
        (10, 2_000),
    ],
)
def test_filling_with_one_size_and_then_with_another_still_uses_90_percent_of_the_memory(
    first: int, then: int
) -> None:
    capacity = 3 * ARENA // (2 * min(first, then))
    memory = memory_for(ARENA, capacity)
    cache = predis.Cache[Any, Any](
        capacity, memory=memory, value=predis.Blobs(), policy="lru", seed=7
    )
    for number, length in enumerate((first, then)):
        fill(cache, number << 40, length)
        assert in_pieces(cache) >= 0.97 * ARENA
        if min(first, length) >= 250:  # of shorter ones, heads and rounding take more
            assert cache.stats().bytes >= 0.9 * ARENA
    assert cache._table.memory <= memory


@pytest.mark.parametrize("store", [Rows("int64"), Blobs(), Objects()], ids=str)
def test_memory_counts_tables_and_values(store: Store) -> None:
    memory, policy = 300_000, "s3fifo" if isinstance(store, Rows) else "lru"
    cache = predis.Cache[Any, Any](
        None if isinstance(store, Rows) else 1_000,
        memory=memory,
        value=store,
        policy=policy,
        weigher=(lambda key, value: len(value)) if isinstance(store, Objects) else None,
    )
    count = 2 * cache.capacity
    values = range(count) if isinstance(store, Rows) else [b"x" * 500] * count
    cache.set_many(range(count), values, ttl=60.0)
    with cache.pinned(range(10)):
        held = cache.stats().bytes if isinstance(store, Objects) else 0
        assert 0.9 * memory <= cache._table.memory + held <= memory


def test_with_objects_it_needs_a_weigher() -> None:
    with pytest.raises(ConfigurationError) as caught:
        predis.Cache(100, memory="1MiB")
    assert str(caught.value) == (
        "weigher: a cache of Objects cannot tell what they take; give one with memory="
    )


@pytest.mark.parametrize("store", [Blobs(), Objects()], ids=str)
def test_a_value_that_can_never_fit_is_refused(store: Store) -> None:
    cache = predis.Cache[Any, Any](
        500,
        memory="1MiB",
        value=store,
        policy="lru",
        weigher=(lambda key, value: len(value)) if isinstance(store, Objects) else None,
    )
    cache[1] = cache[2] = b"small"
    assert not cache.set_many([1], [bytes(1 << 20)]).any()
    assert dict(cache.items()) == {2: b"small"}
    with pytest.raises(CacheFull):
        cache[2] = bytes(1 << 20)
