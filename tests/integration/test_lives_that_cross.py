"""Closing, clearing, resizing, pinning and telling while another of these is under way."""

from __future__ import annotations

import threading
import time
from typing import Any

import numpy as np
import pytest

import predis_core as predis
from predis_core.errors import CacheBusy, CacheClosed, ConfigurationError, ValueShapeError

ROWS = predis.Rows("int64", ())


def rows(capacity: int, entries: int, **options: Any) -> predis.Cache[int, int]:
    cache: predis.Cache[int, int] = predis.Cache(
        capacity, policy="lru", value=ROWS, seed=1, **options
    )
    keys = np.arange(entries)
    cache.set_many(keys, keys)
    return cache


def blobs(capacity: int, memory: str, keys: Any = None) -> predis.Cache[Any, bytes]:
    return predis.Cache(
        capacity, policy="lru", value=predis.Blobs(), memory=memory, keys=keys, seed=1
    )


# The check before a close is for caches that no other thread uses.
@pytest.mark.breaks_invariants
def test_a_cache_is_closed_while_it_is_resized() -> None:
    cache = rows(20_000, 10_000)
    cache.add_removal_listener(lambda removals: time.sleep(0.005), reasons=["cleared"])
    errors: list[BaseException] = []

    def resize() -> None:
        try:
            cache.resize(3_000)
        except CacheClosed as error:
            errors.append(error)

    thread = threading.Thread(target=resize)
    thread.start()
    cache.close()
    thread.join()
    with pytest.raises(CacheClosed):
        len(cache)


@pytest.mark.parametrize("capacity", [5_000, 200_000])
def test_a_listener_resizes_the_cache_that_is_being_cleared(capacity: int) -> None:
    cache = rows(20_000, 15_000)
    told: list[int] = []

    def resize_once(removals: predis.Removals) -> None:
        told.append(len(removals.keys))
        if len(told) == 1:
            cache.resize(capacity)

    cache.add_removal_listener(resize_once)
    held = len(cache)
    cache.clear()
    assert len(cache) == 0
    assert sum(told) == held
    cache.check_invariants()


def test_a_listener_may_neither_pin_in_nor_resize_a_cache_that_is_being_closed() -> None:
    cache = rows(1_000, 10)
    refused: list[str] = []

    def meddle(removals: predis.Removals) -> None:
        for attempt in (lambda: cache.pinned([3]).__enter__(), lambda: cache.resize(1_028)):
            try:
                attempt()
            except CacheClosed as error:
                refused.append(str(error))

    cache.add_removal_listener(meddle)
    cache.close()
    assert refused == ["cache 'default' is closed; open another with Cache(...)"] * 2


def test_blobs_larger_than_a_log_are_cleared() -> None:
    cache = blobs(100, "16MiB", keys="str")
    cache["large"] = bytes(1 << 20)
    cache.clear()
    assert len(cache) == 0
    cache.check_invariants()


def test_packed_values_that_were_written_to_are_checked_again() -> None:
    offsets = np.array([0, 10, 20])
    packed = predis.Packed(bytearray(60), offsets)
    offsets[2] = 4_000
    cache = blobs(100, "4MiB")
    assert cache.set_many([1, 2], packed).all()
    assert len(cache[2]) == 10
    packed.offsets[2] = 4_000
    with pytest.raises(ValueShapeError, match=r"^offsets: expected them to ascend"):
        cache.set_many([1, 2], packed)
    assert len(cache[2]) == 10


def test_packed_counts_bytes_and_not_items() -> None:
    assert predis.Packed.of([np.arange(3), b"abc"]).offsets.tolist() == [0, 24, 27]


def test_a_cache_and_its_namespaces_keep_within_the_memory_whatever_their_sizes() -> None:
    cache = blobs(1_000, "4MiB")
    namespace = cache.namespace("a", capacity=500)
    for change in (lambda: cache.resize(9_500), lambda: namespace.resize(100)):
        change()
        cache.set_many(np.arange(4_000), [bytes(1_000)] * 4_000)
        namespace.set_many(np.arange(500), [bytes(4_000)] * 500)
        assert cache._table.memory + namespace._table.memory <= 4 << 20
        cache.check_invariants()
        namespace.check_invariants()


def test_rows_do_not_grow_beyond_their_memory() -> None:
    cache: predis.Cache[int, int] = predis.Cache(memory="1MiB", policy="lru", value=ROWS)
    before = cache.capacity
    with pytest.raises(ConfigurationError, match=r"^memory: 1000000 entries take"):
        cache.resize(1_000_000)
    assert cache.capacity == before


def test_a_resize_for_which_there_is_no_memory_changes_nothing() -> None:
    cache = rows(1_000, 10)
    with pytest.raises(MemoryError):
        cache.resize(2**40)
    assert cache.namespace("a", capacity=10).capacity == 10
    assert cache.capacity == 990


def test_the_capacity_of_a_namespace_dropped_while_entries_are_pinned_comes_back_later() -> None:
    cache = rows(1_000, 10)
    cache.namespace("a", capacity=500)
    with cache.pinned([1]):
        cache.drop_namespace("a")
        assert cache.capacity == 500
    cache.namespace("b", capacity=10)
    assert cache.capacity == 990


def test_lookups_beside_a_resize_that_is_refused_are_counted() -> None:
    cache = rows(60_000, 50_000)
    keys, over = np.arange(50_000), threading.Event()

    def look_up() -> None:
        for _ in range(50):
            cache.get_many(keys)
        over.set()

    with cache.pinned([1]):
        before = cache.stats().requests
        thread = threading.Thread(target=look_up)
        thread.start()
        while not over.is_set():
            with pytest.raises(CacheBusy):
                cache.resize(70_000)
        thread.join()
    assert cache.stats().requests - before == 50 * len(keys)


def test_what_weighs_more_than_an_int64_is_refused() -> None:
    cache: predis.Cache[Any, Any] = predis.Cache(
        100, policy="lru", memory="1MiB", weigher=lambda key, value: 2**64
    )
    assert not cache.set(1, "a")
    assert len(cache) == 0
