"""Blobs in every face of a cache: stored, found, replaced, refused and counted."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import numpy as np
import pytest

import predis_core as predis
from predis_core.clock import ManualClock
from predis_core.errors import CacheFull, ValueShapeError

LARGE = 100_000


def blobs(capacity: int = 500, memory: int | str = "1MiB", **more: Any) -> predis.Cache[Any, Any]:
    given = {"value": predis.Blobs(), "policy": "lru", "seed": 7} | more
    return predis.Cache(capacity, memory=memory, **given)


def of(key: int, length: int | None = None) -> bytes:
    """Return a value that belongs to a key."""
    return np.random.default_rng(key).bytes(key % 900 if length is None else length)


# ---------------------------------------------------------------------- the faces


def test_the_batch_face() -> None:
    cache = blobs()
    keys = np.arange(200)
    assert cache.set_many(keys, [of(key) for key in range(200)]).all()
    values, hit = cache.get_many([199, 500, 0, 7])
    assert values == [of(199), None, b"", of(7)]
    assert hit.tolist() == [True, False, True, True]
    assert cache.contains_many([1, 500]).tolist() == [True, False]
    assert cache.delete_many([1, 500]).tolist() == [True, False]
    loaded = cache.get_or_load_many([1, 2, 1], lambda ids: [b"loaded" for _ in ids])
    assert loaded == [b"loaded", of(2), b"loaded"]


def test_the_dict_face() -> None:
    cache = blobs()
    cache[1] = b"one"
    cache[2] = bytearray(b"two")
    assert cache[2] == b"two"
    assert type(cache[2]) is bytes
    assert cache.get(3) is None
    assert cache.setdefault(3, b"three") == b"three"
    assert sorted(cache.items()) == [(1, b"one"), (2, b"two"), (3, b"three")]
    assert cache.pop(1) == b"one"
    assert cache.get_or_load(4, lambda key: b"%d" % key) == b"4"
    with pytest.raises(ValueShapeError, match="values: expected bytes, got str"):
        cache[5] = "text"
    del cache[4]
    assert len(cache) == 2


def test_blobs_expire() -> None:
    clock = ManualClock()
    cache = blobs(clock=clock, ttl=5.0)
    cache.set_many([1, 2], [b"x" * 50, b"y" * 50], ttl=[1.0, 9.0])
    cache[3] = b"z" * 50
    clock.advance(6.0)
    assert cache.get_many([1, 2, 3])[0] == [None, b"y" * 50, None]
    assert cache.stats().bytes == 150  # what is expired leaves when its place is needed
    cache.delete_many([1, 3])
    assert cache.stats().bytes == 50


def test_the_asyncio_face() -> None:
    cache = blobs()

    async def load(ids: Any) -> list[bytes]:
        await asyncio.sleep(0)
        return [b"%d" % number for number in ids]

    async def main() -> None:
        await cache.aset_many([1, 2], [b"a", b"b"])
        values, hit = await cache.aget_many([2, 3])
        assert (values, hit.tolist()) == ([b"b", None], [True, False])
        assert await cache.aget_or_load_many([1, 5, 5], load) == [b"a", b"5", b"5"]

    asyncio.run(main())
    assert cache[5] == b"5"


def test_functions_are_memoized_in_blobs() -> None:
    cache = blobs(value=predis.Blobs("msgpack"), keys="any")
    calls = []

    @cache.memoize()
    def describe(number: int) -> dict[str, Any]:
        calls.append(number)
        return {"number": number, "square": number * number}

    assert describe(7) == describe(7) == {"number": 7, "square": 49}
    assert calls == [7]


class Page(msgspec.Struct, frozen=True):
    """A page of some site."""

    title: str
    links: list[int] = []


@pytest.mark.parametrize("format_", ["json", "msgpack"])
def test_structs_come_back_as_structs(format_: Any) -> None:
    cache = blobs(value=predis.Blobs(format_, type=Page))
    pages = [Page("a", [1, 2]), Page("b")]
    cache.set_many([1, 2], pages)
    assert cache.get_many([2, 1, 3])[0] == [pages[1], pages[0], None]
    assert list(cache.values()) in (pages, pages[::-1])
    # What was loaded has been through the format as well, whether it was a hit or not.
    assert cache.get_or_load(9, lambda key: {"title": "c"}) == Page("c")
    assert cache[9] == Page("c")


# ---------------------------------------------------------------------- packed


def test_packed_values_go_in_and_out() -> None:
    cache = blobs()
    given = predis.Packed.of(of(key) for key in range(100))
    assert cache.set_many(range(100), given).all()
    out = predis.Packed()
    same, hit = cache.get_many([5, 999, 50], out=out)
    assert same is out
    assert hit.tolist() == [True, False, True]
    assert out.tolist() == [of(5), b"", of(50)]
    # A part of one, and one that cannot be written, go in as well.
    cache.set_many([1, 2], given[60:62])
    cache.set_many([3, 4], predis.Packed(b"threefour", [0, 5, 9]))
    assert cache.get_many([1, 2, 3, 4])[0] == [of(60), of(61), b"three", b"four"]


def test_the_memory_of_packed_is_used_again() -> None:
    cache = blobs()
    cache.set_many(range(100), [of(key, 300) for key in range(100)])
    out = predis.Packed()
    cache.get_many(range(100), out=out)
    room, first = out.room, out.data
    cache.get_many(range(50, 80), out=out)
    assert out.tolist() == [of(key, 300) for key in range(50, 80)]
    assert out.room is room
    assert out.data is first
    cache[7] = of(7, LARGE)
    cache.get_many(range(100), out=out)
    assert out[7] == of(7, LARGE)
    assert [len(item) for item in out] == [300] * 7 + [LARGE] + [300] * 92


def test_the_wrong_out_is_refused() -> None:
    cache = blobs()
    with pytest.raises(ValueShapeError, match=r"out: expected Packed\(\) and a cache of Blobs\(\)"):
        cache.get_many([1], out=[])


# ---------------------------------------------------------------------- large values


@pytest.mark.parametrize("length", [1, 55, 56, 57, 4_000, 4_088, 4_089, 8_168, LARGE, 600_000])
def test_values_of_any_length_come_back_as_they_were(length: int) -> None:
    cache = blobs()
    cache[1] = of(1, length)
    cache[2] = of(2, length // 3)
    assert cache[1] == of(1, length)
    cache[1] = of(3, length)
    cache[2] = of(4, length // 4)
    assert (cache[1], cache[2]) == (of(3, length), of(4, length // 4))
    cache.check_invariants()


def test_a_value_that_can_never_fit_is_refused_and_the_old_one_is_gone() -> None:
    cache = blobs()
    cache[1], cache[2] = b"old", b"other"
    assert not cache.set(1, b"x" * (1 << 20))
    assert 1 not in cache
    assert cache[2] == b"other"
    cache[1] = b"old"
    with pytest.raises(CacheFull):
        cache[1] = b"x" * (1 << 20)
    assert 1 not in cache
    values = [b"a", b"x" * (1 << 20), b"c"]
    assert cache.set_many([3, 2, 5], values).tolist() == [True, False, True]
    assert cache.get_many([3, 2, 5])[0] == [b"a", None, b"c"]
    assert cache.stats().refusals == 3
    # Read-through returns what it loaded all the same.
    assert len(cache.get_or_load(9, lambda key: values[1])) == 1 << 20
    assert 9 not in cache


def test_large_values_make_small_ones_leave_and_the_other_way_round() -> None:
    cache = blobs(2_000, "700KiB")
    for key in range(2_000):
        cache[key] = of(key, 200)
    before = len(cache)
    cache[5_000] = of(5_000, 500_000)
    assert cache[5_000] == of(5_000, 500_000)
    assert before - len(cache) > 1_000
    for key in range(2_000):
        cache[key] = of(key, 200)
        assert cache[key] == of(key, 200)
    assert all(value == of(key, len(value)) for key, value in cache.items())
    cache.check_invariants()


# ---------------------------------------------------------------------- counts


def test_stats_count_bytes() -> None:
    cache = blobs()
    cache.set_many([1, 2, 3], [b"x" * 10, b"x" * 100, b"x" * 1_000])
    cache.get_many([1, 2, 9])
    cache[2] = b"x" * 50
    stats = cache.stats()
    assert (stats.bytes, stats.hit_bytes, stats.inserted_bytes) == (1_060, 110, 1_110)
    assert stats.hit_ratio == pytest.approx(2 / 3)
    assert stats.byte_hit_ratio == 110 / 1_220
    cache.clear()
    assert cache.stats().bytes == 0


def test_what_leaves_is_told_with_its_bytes() -> None:
    told: list[predis.Removals] = []
    cache = blobs(28, on_removal=told.append)
    cache[1] = b"old"
    cache[1] = b"new"
    _, evicted = cache.set_many(range(100, 128), [of(1, LARGE)] * 28, return_evicted=True)
    del cache[127]
    pairs = [
        pair for some in told for pair in zip(some.keys, some.values, some.reasons, strict=True)
    ]
    assert pairs[:2] == [(1, b"old", "replaced"), (1, b"new", "evicted")]
    assert pairs[-1] == (127, of(1, LARGE), "deleted")
    assert evicted.values[0] == b"new"
    assert evicted.values[1:] == [of(1, LARGE)] * (len(evicted.keys) - 1)


def test_pinned_blobs_stay() -> None:
    cache = blobs(100)
    cache.set_many([1, 2], [of(1, 200_000), of(2, 200_000)])
    with cache.pinned([1, 2, 3]) as values:
        assert values == [of(1, 200_000), of(2, 200_000), None]
        assert not cache.set(4, of(4, 700_000))
        cache.set_many(range(10, 40), [of(1, 50_000)] * 30)
        assert cache.contains_many([1, 2]).all()
    assert cache.set(4, of(4, 700_000))
    assert cache[4] == of(4, 700_000)


@pytest.mark.parametrize("keys", ["int64", "any"])
def test_large_batches_of_the_asyncio_face(keys: Any) -> None:
    cache = blobs(12_000, "6MiB", keys=keys)
    numbers = list(range(3_000))
    given = predis.Packed.of(of(key) for key in numbers)

    async def main() -> None:
        stored = await cache.aset_many(numbers, given)
        assert stored.all()
        asked = [*numbers[::2], 9_999]
        values, hit = await cache.aget_many(asked)
        assert values == [*(of(key) for key in numbers[::2]), None]
        out = predis.Packed()
        same, hit = await cache.aget_many(asked, out=out)
        assert same is out
        assert hit.tolist() == [True] * 1_500 + [False]
        assert out.tolist() == [*values[:-1], b""]
        with pytest.raises(ValueShapeError, match="values: expected 2999, one per key, got 3000"):
            await cache.aset_many(numbers[1:], given)

    asyncio.run(main())


def test_the_event_loop_gets_few_large_values_at_a_time() -> None:
    cache = blobs(100, "8MiB")
    assert cache._size == 1_024
    cache.set_many(range(40), [of(1, LARGE)] * 40)
    assert cache._size == 5
