"""What snapshots promise: every sentence is a test, named after it."""

from __future__ import annotations

import ast
import math
import os
import threading
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

import predis_core as predis
from predis_core import snapshot
from predis_core.errors import CacheClosed, SnapshotError
from predis_core.stores import Store
from tests.support.combinations import Combination, plain
from tests.support.crew import PATIENCE, Crew

ONE_SET = 28


def contents(cache: predis.Cache[Any, Any]) -> dict[Any, Any]:
    return dict(zip(list(cache), plain(cache.values()), strict=True))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cache.snapshot"


# ------------------------------------------------------------------ what comes back


def test_every_entry_comes_back(combination: Combination, path: Path) -> None:
    cache = combination.open(3_000)
    numbers = range(1_000)
    cache.set_many(combination.keys(numbers), combination.values(numbers))
    report = cache.snapshot(path)
    assert (report.entries, report.bytes) == (1_000, path.stat().st_size)
    assert report.seconds > 0

    other = combination.open(3_000)
    restored = other.restore(path)
    assert contents(other) == combination.entries(numbers)
    assert (restored.entries, restored.restored) == (1_000, 1_000)
    assert (restored.present, restored.expired, restored.did_not_fit) == (0, 0, 0)
    assert contents(cache) == combination.entries(numbers)


def test_an_empty_cache_is_a_snapshot_too(combination: Combination, path: Path) -> None:
    assert combination.open(10).snapshot(path).entries == 0
    assert combination.open(10).restore(path).entries == 0


def test_rows_come_back_bit_for_bit(path: Path) -> None:
    dtype = np.dtype([("text", "S5"), ("when", "M8[ns]"), ("number", ">f4", (2,))])
    values = np.frombuffer(np.random.default_rng(1).bytes(20 * dtype.itemsize), dtype)
    for keys in ("int64", "str"):
        ids = list(range(20)) if keys == "int64" else [f"{n}" for n in range(20)]
        cache = predis.Cache(100, value=predis.Rows(dtype), keys=keys)
        cache.set_many(ids, values)
        cache.snapshot(path)
        other = predis.Cache(100, value=predis.Rows(dtype), keys=keys)
        other.restore(path)
        rows, hit = other.get_many(ids)
        assert hit.all()
        assert rows.tobytes() == values.tobytes()


def test_values_larger_than_a_section_come_back(path: Path) -> None:
    cache = predis.Cache(200)
    large = {n: bytes([n]) * (300_000 + n) for n in range(20)}
    cache.update(large)
    cache.snapshot(path)
    other = predis.Cache(200)
    other.restore(path)
    assert contents(other) == large


def test_a_snapshot_neither_counts_nor_notes_a_use(combination: Combination, path: Path) -> None:
    caches = [combination.open(ONE_SET, seed=1, policy="lru") for _ in range(2)]
    for cache in caches:
        cache.set_many(combination.keys(range(20)), combination.values(range(20)))
    before = caches[0].stats()
    caches[0].snapshot(path)
    assert caches[0].stats() == before
    for cache in caches:
        cache.set_many(combination.keys(range(50, 70)), combination.values(range(50, 70)))
    assert contents(caches[0]) == contents(caches[1])


def test_each_entry_is_some_value_that_was_current_during_the_call(path: Path, crew: Crew) -> None:
    cache = predis.Cache(5_000, value=predis.Rows("int64", (8,)))
    ids = np.arange(3_000)
    done = threading.Event()

    def write(number: int) -> None:
        round_ = number
        while not done.is_set():
            cache.set_many(ids, np.repeat((ids * 1_000_000 + round_)[:, None], 8, 1))
            cache.delete_many(ids[round_ % 7 :: 7])
            round_ += 2

    writers = [crew.start(partial(write, number)) for number in range(2)]
    try:
        for _ in range(5):
            cache.snapshot(path)
            other = predis.Cache(10_000, value=predis.Rows("int64", (8,)))
            report = other.restore(path)
            assert report.restored == report.entries == len(other)
            rows, hit = other.get_many(ids)
            assert (rows[hit] // 1_000_000 == ids[hit][:, None]).all()
            assert (rows[hit] == rows[hit][:, :1]).all()
    finally:
        done.set()
    for writer in writers:
        writer.result(PATIENCE)


# ------------------------------------------------------------------ time


def test_snapshots_keep_the_remaining_life_and_the_wall_time_so_downtime_counts(
    combination: Combination, path: Path
) -> None:
    clock = predis.ManualClock(1_000)
    cache = combination.open(100, clock=clock)
    keys = combination.keys(range(4))
    cache.set_many(keys, combination.values(range(4)), ttl=[10, 20, math.inf, 1])
    clock.advance(4)
    assert cache.snapshot(path).entries == 3  # the expired are not written

    later = predis.ManualClock(1_004 + 6)
    other = combination.open(100, clock=later, ttl=1)
    report = other.restore(path)
    assert (report.entries, report.restored, report.expired) == (3, 2, 1)
    assert keys[0] not in other
    assert other.ttl_left(keys[1]) == 10
    assert other.ttl_left(keys[2]) is None  # the cache's default is for what is set
    later.advance(10)
    assert contents(other) == {keys[2]: combination.value(2)}


class Wall(predis.ManualClock):
    """A clock whose wall time was set elsewhere."""

    def __init__(self, monotonic: float, wall: float) -> None:
        super().__init__(monotonic)
        self._wall = round(wall * 1e9)

    def wall(self) -> int:
        return self._wall


def test_a_wall_clock_that_was_set_back_prolongs_no_life(path: Path) -> None:
    cache = predis.Cache(10, clock=Wall(5, 1_000))
    cache.set("a", 1, ttl=10)
    cache.snapshot(path)
    for wall, left in ((900, 10), (1_000, 10), (1_004, 6)):
        other = predis.Cache[str, int](10, clock=Wall(77, wall))
        other.restore(path)
        assert other.ttl_left("a") == left


# ------------------------------------------------------------------ who stays


@pytest.mark.parametrize("policy", ["lru", "sieve", "fifo", "s3fifo"])
def test_into_the_same_geometry_everything_fits(policy: str, path: Path) -> None:
    cache = predis.Cache(1_000, policy=policy, keys="int64", seed=1)
    cache.set_many(range(5_000), range(5_000))
    assert len(cache) == 1_000
    cache.snapshot(path)
    other = predis.Cache(1_000, policy=policy, keys="int64", seed=1)
    report = other.restore(path)
    assert (report.restored, report.did_not_fit) == (1_000, 0)
    assert contents(other) == contents(cache)
    assert other.stats().evictions == 0


@pytest.mark.parametrize("capacity", [1, 5, 20])
@pytest.mark.parametrize("target", ["lru", "s3fifo"])
def test_into_another_geometry_or_policy_it_goes_by_rank_and_reports_what_did_not_fit(
    combination: Combination, capacity: int, target: str, path: Path
) -> None:
    cache = combination.open(ONE_SET, policy="lru")
    cache.set_many(combination.keys(range(ONE_SET)), combination.values(range(ONE_SET)))
    order = np.random.default_rng(3).permutation(ONE_SET).tolist()
    for number in order:
        assert cache[combination.key(number)] == combination.value(number)
    cache.snapshot(path)

    other = combination.open(capacity, policy=target)
    report = other.restore(path)
    assert contents(other) == combination.entries(order[-capacity:])
    assert (report.restored, report.did_not_fit) == (capacity, ONE_SET - capacity)
    assert other.stats().evictions == 0


def test_restored_entries_leave_in_the_order_that_they_had(
    combination: Combination, path: Path
) -> None:
    cache = combination.open(ONE_SET, policy="lru")
    cache.set_many(combination.keys(range(ONE_SET)), combination.values(range(ONE_SET)))
    order = np.random.default_rng(4).permutation(ONE_SET).tolist()
    for number in order:
        cache.touch_many([combination.key(number)])
    cache.snapshot(path)
    other = combination.open(ONE_SET, policy="lru")
    other.restore(path)
    left = []
    for number in range(100, 100 + ONE_SET):
        _, evicted = other.set_many(
            [combination.key(number)], [combination.value(number)], return_evicted=True
        )
        left += [combination.number(key) for key in plain(evicted.keys)]
    assert left == order


def test_what_the_cache_holds_stays_as_it_is(combination: Combination, path: Path) -> None:
    cache = combination.open(ONE_SET)
    cache.set_many(combination.keys(range(20)), combination.values(range(20)))
    cache.snapshot(path)
    other = combination.open(ONE_SET)
    held = {combination.key(n): combination.value(n + 1) for n in range(10, 30)}
    other.set_many(list(held), list(held.values()), ttl=60)
    report = other.restore(path)
    assert (report.present, report.restored, report.did_not_fit) == (10, 8, 2)
    after = contents(other)
    assert {key: after[key] for key in held} == held
    assert all(other.ttl_left(key) is not None for key in held)
    assert other.stats().evictions == 0


def test_restoring_twice_changes_nothing_more(combination: Combination, path: Path) -> None:
    cache = combination.open(50)
    cache.set_many(combination.keys(range(30)), combination.values(range(30)))
    cache.snapshot(path)
    report = cache.restore(path)
    assert (report.entries, report.present) == (len(cache), len(cache))


# ------------------------------------------------------------------ Python objects


class Point(NamedTuple):
    x: int


class Points:
    """A codec for `Point`."""

    def encode(self, value: Any) -> bytes:
        if type(value) is not Point:
            raise TypeError("no Point")
        return b"%d" % value.x

    def decode(self, data: bytes) -> Point:
        return Point(int(data))


def test_snapshots_hold_no_pickle() -> None:
    files = list(Path(snapshot.__file__).parent.glob("*.py"))
    assert len(files) > 3
    imported = {
        name.partition(".")[0]
        for file in files
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert not imported & {"pickle", "_pickle", "marshal", "shelve", "copyreg", "dill"}


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("a", Point(1), "key 'a': its value holds a Point, which"),
        ("a", [{"b": (1, {Point(1)})}], "key 'a': its value holds a Point, which"),
        (Point(1), 1, "key Point(x=1): its key itself holds a Point, which"),
        ((1, Point(1)), 1, "key (1, Point(x=1)): its key itself holds a Point, which"),
        ("a", np.float64(1), "key 'a': its value holds a float64, which"),
        ("a", len, "key 'a': its value holds a builtin_function_or_method, which"),
    ],
)
def test_an_unsupported_type_fails_naming_key_and_type(
    key: Any, value: Any, message: str, path: Path
) -> None:
    cache = predis.Cache(10)
    cache.update({"fine": 1, key: value})
    with pytest.raises(SnapshotError) as caught:
        cache.snapshot(path)
    way_out = " snapshots do not know; pass codec= with encode and decode for it"
    assert str(caught.value) == message + way_out
    assert os.listdir(path.parent) == []


def test_a_codec_takes_what_snapshots_do_not_know(path: Path) -> None:
    entries = {"a": Point(1), Point(2): [(Point(3), 4)], 5: "plain"}
    cache = predis.Cache(10)
    cache.update(entries)
    cache.snapshot(path, codec=Points())
    other = predis.Cache(10)
    other.restore(path, codec=Points())
    assert contents(other) == entries
    assert [type(other["a"]), type(other[Point(2)][0][0])] == [Point, Point]

    without = predis.Cache(10)
    with pytest.raises(
        SnapshotError, match=r"it holds values of a codec; pass the codec= that it was written with"
    ):
        without.restore(path)
    assert contents(without) == {}


def test_a_codec_that_fails_is_named_with_the_key(path: Path) -> None:
    class Wrong(Points):
        def encode(self, value: Any) -> Any:
            return super().encode(value).decode()

    cache = predis.Cache(10)
    cache["a"] = 1j, {len}
    with pytest.raises(SnapshotError) as caught:
        cache.snapshot(path, codec=Points())
    text = "builtin_function_or_method, for which codec.encode raised TypeError('no Point')"
    assert str(caught.value) == f"key 'a': its value holds a {text}"
    cache["a"] = Point(1)
    with pytest.raises(SnapshotError) as caught:
        cache.snapshot(path, codec=Wrong())
    assert str(caught.value) == (
        "key 'a': its value holds a Point, of which codec.encode made str, no bytes"
    )


# ------------------------------------------------------------------ the cache, and others


def test_a_closed_cache_has_no_snapshots(path: Path) -> None:
    cache = predis.Cache[str, int](10)
    cache.snapshot(path)
    cache.close()
    with pytest.raises(CacheClosed):
        cache.snapshot(path)
    with pytest.raises(CacheClosed):
        cache.restore(path)


def test_a_cache_that_is_closed_meanwhile_leaves_the_old_snapshot(path: Path) -> None:
    class Closing(Points):
        def encode(self, value: Any) -> bytes:
            cache.close()
            return super().encode(value)

        def decode(self, data: bytes) -> Point:
            other.close()
            return super().decode(data)

    cache, other = predis.Cache[str, Any](10), predis.Cache[str, Any](10)
    cache["a"] = Point(1)
    cache.snapshot(path, codec=Points())
    old = path.read_bytes()
    with pytest.raises(CacheClosed):
        cache.snapshot(path, codec=Closing())
    assert path.read_bytes() == old
    with pytest.raises(CacheClosed):
        other.restore(path, codec=Closing())


def test_what_is_set_while_a_file_is_restored_wins(path: Path) -> None:
    class Late(Points):
        calls = 0

        def decode(self, data: bytes) -> Point:
            self.calls += 1
            if self.calls == 2:  # the first is for verifying
                other["a"] = "newer"
            return super().decode(data)

    cache, other = predis.Cache[str, Any](10), predis.Cache[str, Any](10)
    cache["a"] = Point(1)
    cache.snapshot(path, codec=Points())
    report = other.restore(path, codec=Late())
    assert other["a"] == "newer"
    assert (report.restored, report.present) == (0, 1)


def test_a_store_of_another_kind_has_no_snapshots(path: Path) -> None:
    verbs = {name: getattr(predis.Objects, name) for name in sorted(Store.__abstractmethods__)}
    members = {**verbs, "default_keys": "any", "__repr__": lambda _: "Other()"}
    cache = predis.Cache[str, int](10, value=type("Other", (Store,), members)())
    cache["a"] = 1
    message = "value: there are no snapshots of caches of Other(), only of Rows, Objects and Blobs"
    for call in (cache.snapshot, cache.restore):
        predis.Cache[str, int](10).snapshot(path)
        with pytest.raises(SnapshotError) as caught:
            call(path)
        assert str(caught.value) == message


def test_threads_may_take_snapshots_at_the_same_time(
    combination: Combination, tmp_path: Path, crew: Crew
) -> None:
    cache = combination.open(3_000)
    cache.set_many(combination.keys(range(2_000)), combination.values(range(2_000)))
    held = contents(cache)
    paths = [tmp_path / name for name in ("one", "two", "two")]
    crew.run(*(partial(cache.snapshot, path) for path in paths))
    assert sorted(os.listdir(tmp_path)) == ["one", "two"]
    for path in paths:
        other = combination.open(9_000)
        other.restore(path)
        assert contents(other) == held


def test_describe_needs_no_cache(path: Path) -> None:
    clock = predis.ManualClock(12)
    cache = predis.Cache(
        100, name="users", policy="lru", value=predis.Rows("float32", (3,)), clock=clock
    )
    cache.set_many(range(7), np.ones((7, 3)))
    cache.snapshot(path)
    found = snapshot.describe(path)
    assert (found.entries, found.bytes) == (7, path.stat().st_size)
    header = found.header
    assert (header.name, header.keys, header.value) == ("users", "int64", "Rows('float32', (3,))")
    assert (header.row_bytes, header.policy, header.capacity) == (12, "lru", 100)
    assert (header.wall, header.library) == (12_000_000_000, predis.__version__)


def test_restoring_takes_no_place_that_waits_for_a_pin_to_go(path: Path) -> None:
    cache = predis.Cache(3, value=predis.Rows("int64"), policy="lru", seed=1)
    cache.update({1: 10, 2: 20, 3: 30})
    cache.snapshot(path)
    with cache.pinned([1]):
        del cache[1]
        report = cache.restore(path)
        assert (report.present, report.did_not_fit, report.restored) == (2, 1, 0)
        assert dict(cache.items()) == {2: 20, 3: 30}
    assert cache.restore(path).restored == 1
    assert dict(cache.items()) == {1: 10, 2: 20, 3: 30}
