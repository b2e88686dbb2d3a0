"""A table over a tier: what goes up and down, what fails, and what is said of it."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import predis_core as predis
from predis_core import Cache, config
from predis_core.clock import ManualClock
from predis_core.errors import ConfigurationError, DeviceError, PluginError
from predis_core.host.registry import Registry
from predis_core.opening import plan_of
from predis_core.table.cpu import CpuTable
from predis_core.table.cuda.shared import SharedGpuTable
from predis_core.tiers import TierRequest, in_memory
from predis_core.tiers.tiered import HINT_EVERY, TieredTable
from tests.support.gpu import open_on_host
from tests.support.shelf import Shelf
from tests.support.tiers import open_tiered

ROWS = predis.Rows("int64")
MANY = np.arange(80)


def table_of(cache: Cache[Any, Any]) -> TieredTable:
    assert isinstance(cache._table, TieredTable)
    return cache._table


def above(cache: Cache[Any, Any]) -> set[int]:
    """Return the keys of which there are copies above."""
    return set(table_of(cache).upper.export(cache._clock.monotonic()).keys.words.tolist())


def filled(**options: Any) -> Cache[int, int]:
    """Return a cache of 10 over 100 in which there are 80."""
    cache = open_tiered(10, 100, policy="lru", seed=1, **options)
    assert cache.set_many(MANY, 2 * MANY).all()
    return cache


def test_what_leaves_above_is_found_below_and_goes_up_again() -> None:
    cache = filled()
    there = above(cache)
    assert len(there) == 10
    assert len(cache) == 80
    assert cache.capacity == 100
    away = [key for key in MANY.tolist() if key not in there][:4]
    values, hit = cache.get_many([*away, 500, away[0]])
    assert hit.tolist() == [True] * 4 + [False, True]
    assert values.tolist() == [*(2 * key for key in away), 0, 2 * away[0]]
    assert set(away) <= above(cache)
    upper, lower = cache.tiers()
    assert (upper.name, upper.capacity, upper.size, upper.hits) == ("above", 10, 10, 0)
    assert (lower.name, lower.capacity, lower.size, lower.hits) == ("in_memory", 100, 80, 5)
    assert upper.memory + lower.memory == cache.nbytes
    cache.get_many(away)
    assert [tier.hits for tier in cache.tiers()] == [4, 5]
    assert cache.stats().hits == 9
    assert cache.stats().misses == 1


def test_rows_of_any_width_come_from_both() -> None:
    cache = predis.Cache[int, Any](
        3, host_capacity=60, value=predis.Rows("float32", (2, 3)), device="cpu", tier=in_memory,
        policy="fifo",
    )  # fmt: skip
    rows = np.arange(20 * 6, dtype="float32").reshape(20, 2, 3)
    cache.set_many(np.arange(20), rows)
    assert (cache.get_many(np.arange(20))[0] == rows).all()
    out = np.full((3, 2, 3), 7, "float32")
    assert cache.get_many([99, 4, 19], out=out)[1].tolist() == [False, True, True]
    assert (out == [np.full((2, 3), 7), rows[4], rows[19]]).all()
    cache.check_invariants()


def test_a_life_goes_on_above() -> None:
    clock = ManualClock()
    cache = filled(clock=clock)
    cache.set_many(MANY, MANY, ttl=np.where(MANY % 2, 10.0, np.inf))
    away = [key for key in MANY.tolist() if key not in above(cache)][:6]
    clock.advance(4)
    assert cache.get_many(away)[1].all()
    assert [cache.ttl_left(key) for key in away] == [6.0 if key % 2 else None for key in away]
    clock.advance(6)
    assert cache.get_many(away)[1].tolist() == [key % 2 == 0 for key in away]
    cache.check_invariants()


def test_what_the_tier_evicts_is_gone_above() -> None:
    cache = open_tiered(9, 20, policy="lru", seed=1)
    cache.set_many(range(20), range(20))
    cache.get_many(range(9))
    stored, evicted = cache.set_many(range(100, 112), range(100, 112), return_evicted=True)
    assert stored.all()
    assert len(evicted.keys) == cache.stats().evictions == 12
    assert not cache.get_many(evicted.keys)[1].any()
    cache.check_invariants()


def test_what_comes_back_in_the_batch_that_evicted_it_stays_above() -> None:
    cache = open_tiered(2, 2, policy="fifo", seed=1)
    cache.set_many([1, 2], [1, 2])
    stored, evicted = cache.set_many([3, 1], [30, 10], return_evicted=True)
    assert stored.all()
    assert list(evicted.keys) == [1, 2]
    assert above(cache) == {3, 1}
    assert cache.get_many([1, 2, 3])[0].tolist() == [10, 0, 30]
    cache.check_invariants()


def test_what_is_used_above_does_not_look_forgotten_below() -> None:
    cache = open_tiered(9, 20, policy="lru", seed=1)
    cache.set_many(range(20), range(20))
    for _ in range(HINT_EVERY):
        assert cache.get_many([0, 1])[1].all()
    cache.set_many(range(100, 118), range(18))
    assert cache.get_many([0, 1])[1].all()
    assert not cache.get_many(range(2, 20))[1].any()


def test_pinned_entries_stay_in_the_tier() -> None:
    cache = open_tiered(5, 20, policy="lru", seed=1)
    cache.set_many(range(20), range(20))
    with cache.pinned([3, 4]) as values:
        assert values.tolist() == [3, 4]
        cache.set_many(range(100, 150), range(50))
        cache.set_many([3], [33])
        assert cache.get_many([3, 4])[0].tolist() == [33, 4]
        assert not above(cache) - set(cache)
    cache.set_many(range(200, 250), range(50))
    assert not cache.contains_many([3, 4]).any()


def test_a_refused_entry_is_not_above() -> None:
    cache = open_tiered(2, 2, policy="lru", seed=1)
    cache.set_many([1, 2], [1, 2])
    with cache.pinned([1, 2]):
        assert cache.set_many([3, 1], [3, 11]).tolist() == [False, True]
        assert above(cache) == {1, 2}
        assert cache.get_many([1, 3])[0].tolist() == [11, 0]


@pytest.mark.parametrize("verb", ["insert", "delete", "upper.insert", "upper.fetch"])
def test_a_failure_is_not_swallowed_and_leaves_nothing_stale(
    monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    cache = filled()
    tables = table_of(cache)
    owner: Any = tables.upper if verb.startswith("upper") else tables.lower
    name = verb.rpartition(".")[2]
    does = getattr(type(owner), name)

    def fail(*given: Any, **options: Any) -> Any:
        does(owner, *given, **options)
        raise DeviceError("gone")

    calls: dict[str, Callable[[], Any]] = {
        "insert": lambda: cache.set_many(MANY, 7 * MANY),
        "delete": lambda: cache.delete_many(MANY),
        "fetch": lambda: cache.get_many(MANY),
    }
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, fail)
        with pytest.raises(DeviceError, match=r"^gone$"):
            calls[name]()
    values, hit = cache.get_many(MANY)
    expected = {"insert": 7 * MANY, "delete": 0 * MANY, "fetch": 2 * MANY}[name]
    assert values.tolist() == expected.tolist()
    assert hit.all() == (name != "delete")
    cache.check_invariants()


def test_a_finaliser_in_the_midst_of_a_verb_leaves_nothing_stale(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cache = filled()
    lower: Any = table_of(cache).lower

    def interrupted(*given: Any, **options: Any) -> Any:
        done = CpuTable.insert(lower, *given, **options)
        monkeypatch.delattr(lower, "insert")
        cache.set_many([1], [99])
        return done

    monkeypatch.setattr(lower, "insert", interrupted, raising=False)
    cache.set_many([1], [5])
    assert cache[1] == 99
    cache.check_invariants()


def test_the_invariants_of_both_are_checked() -> None:
    cache = filled()
    tables = table_of(cache)
    keys = cache._encode([int(next(iter(above(cache))))])
    tables.upper.insert(keys, np.array([-1]), 0)
    assert any("is another above the tier" in each for each in tables.broken())
    tables.lower.delete(keys, 0)
    assert any("is above the tier and not in it" in each for each in tables.broken())
    tables.upper.clear(0)
    assert tables.broken() == []


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "objects": (
        {"value": predis.Objects(), "keys": "int64"},
        "host_capacity: a cache with a tier holds Rows(dtype, shape) by int64 keys, got Objects() "
        "by 'int64'; leave it out",
    ),
    "keys": (
        {"keys": "str"},
        "host_capacity: a cache with a tier holds Rows(dtype, shape) by int64 keys, got "
        "Rows('int64', ()) by 'str'; leave it out",
    ),
    "smaller": (
        {"host_capacity": 9},
        "host_capacity: a tier holds all that is above it, but 9 entries fit, and 10 above; give "
        "it more, or leave it out",
    ),
    "no capacity": ({"host_capacity": 0}, "host_capacity"),
    "too little memory": (
        {"host_memory": "1KiB"},
        "host_memory: 20 entries take",
    ),
    "no size": ({"host_memory": "many"}, "host_memory: "),
    "no tier": ({"tier": "disk"}, "tier: expected 'memory' or a function, got 'disk'"),
    "no function": ({"tier": 3}, "tier: expected 'memory' or a function, got 3"),
    "no tier's size": (
        {"host_capacity": None, "tier": "memory"},
        "host_capacity: say how many entries the tier is to hold",
    ),
}


@pytest.mark.parametrize("refused", REFUSED)
def test_what_a_tier_cannot_be_is_refused_by_its_name(refused: str) -> None:
    arguments, message = REFUSED[refused]
    with pytest.raises(ConfigurationError, match="^" + re.escape(message)):
        Cache(10, **{"value": ROWS, "host_capacity": 20, "device": "cpu"} | arguments)


def test_a_snapshot_is_of_the_tier_and_fits_a_cache_without_one(tmp_path: Path) -> None:
    cache, path = filled(), tmp_path / "file"
    assert cache.snapshot(path).entries == 80
    other: Cache[int, int] = Cache(100, value=ROWS, policy="lru", seed=1, device="cpu")
    assert other.restore(path).restored == 80
    assert dict(other.items()) == dict(zip(MANY.tolist(), (2 * MANY).tolist(), strict=True))
    tiered = open_tiered(10, 100, policy="lru", seed=1)
    tiered[3] = 99  # what it holds stays
    report = tiered.restore(path)
    assert (report.restored, report.present) == (79, 1)
    values, hit = tiered.get_many(MANY)
    assert hit.all()
    assert values[3] == 99
    assert len(above(tiered)) == 10
    tiered.check_invariants()


class Other:
    """A tier that is no table of the core."""

    def __init__(self, request: TierRequest) -> None:
        self._table = in_memory(request)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._table, name)


def test_of_a_tier_of_somebody_elses_there_are_no_snapshots(tmp_path: Path) -> None:
    cache = open_tiered(10, 100, tier=Other, name="rows")
    cache[1] = 2
    message = (
        "cache 'rows' has a tier 'Other' below it, of which there are no snapshots; take the tier "
        "'memory', or leave it out"
    )
    for verb in (cache.snapshot, cache.restore):
        with pytest.raises(DeviceError, match=f"^{re.escape(message)}$"):
            verb(tmp_path / "file")
    assert cache[1] == 2


def test_one_configuration_is_two_tables_on_a_gpu_and_one_on_the_cpu(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = {"kind": "rows", "dtype": "int64"}
    section = {"memory": "4KiB", "host_memory": "64KiB", "policy": "lru", "value": rows}
    with predis.open({"cache": section | {"device": "cpu"}}) as cache:
        assert isinstance(cache._table, CpuTable)
        assert cache.tiers() == ()
        capacity = cache.capacity
        cache.resize(capacity + 1 - 1)
        with pytest.raises(ConfigurationError, match="memory"):
            cache.resize(2 * capacity)
    open_on_host(monkeypatch)
    for device in ("cuda", "auto"):
        with predis.open({"cache": section | {"device": device, "tier": "memory"}}) as cache:
            assert isinstance(table_of(cache).upper, SharedGpuTable)
            assert cache.capacity == capacity
            assert [tier.name for tier in cache.tiers()] == ["above", "memory"]
            keys = np.arange(capacity // 2)
            assert cache.set_many(keys, keys).all()
            values, hit = cache.get_many(keys)
            assert hit.mean() > 0.9
            assert (values[hit] == keys[hit]).all()
            assert cache.tiers()[0].size < len(cache)
            cache.check_invariants()


def test_a_check_finds_what_does_not_fit() -> None:
    rows = {"kind": "rows", "dtype": "int64"}
    section = {"capacity": 10, "policy": "lru", "value": rows, "tier": "disk"}
    plan = plan_of(config.load({"cache": section | {"host_capacity": 100}}))
    assert plan.capacity == 100
    message = "<dict>: cache.host_capacity: a tier holds all that is above it, but 5 entries fit"
    with pytest.raises(ConfigurationError, match=f"^{re.escape(message)}"):
        plan_of(config.load({"cache": section | {"host_capacity": 5}}))


DISK = """
from predis_core.tiers import in_memory

REQUESTS = []

def make_disk(request):
    REQUESTS.append(request)
    return in_memory(request)

class Exporter:
    interval = None
    def export(self, snapshot): ...

class Plugin:
    def __init__(self, options): ...

    @hookimpl
    def predis_register(self, registry):
        registry.add_tier("disk", make_disk)

    @hookimpl
    def predis_exporters(self, cache):
        VIEWS.append(cache)
        return [Exporter()]

VIEWS = []
"""


def test_predis_register_offers_tiers(shelf: Shelf) -> None:
    module = __import__(shelf.put("disks", DISK))
    section = {
        "capacity": 5, "host_capacity": 50, "tier": "disk", "device": "cpu", "policy": "lru",
        "value": {"kind": "rows", "dtype": "int64"}, "name": "shop",
    }  # fmt: skip
    with predis.open({"cache": section, "plugins": {"disks": {}}}) as cache:
        (request,) = module.REQUESTS
        assert (request.cache, request.layout.slots, request.row) == ("shop", 50, np.dtype("int64"))
        cache.set_many(range(20), range(20))
        assert cache.get_many(range(20))[1].all()
        samples = {
            (sample.metric.name, sample.labels): sample.value
            for sample in module.VIEWS[0].snapshot().samples
            if sample.metric.name.startswith("predis.cache.tier.")
        }
        assert len(samples) == 10
        upper, lower = cache.tiers()
        assert lower.name == "disk"
        for tier in (upper, lower):
            for field in ("hits", "evictions", "size", "capacity", "memory"):
                labels = ("shop", tier.name)
                assert samples[f"predis.cache.tier.{field}", labels] == getattr(tier, field)
    with pytest.raises(ConfigurationError, match=r"no tier 'disc' among disk; did you mean 'disk'"):
        predis.open({"cache": section | {"tier": "disc"}, "plugins": {"disks": {}}})
    with pytest.raises(ConfigurationError, match="tier: no enabled plugin offers one"):
        predis.open({"cache": section})


def test_a_tier_has_to_be_a_function_and_its_name_free() -> None:
    registry = Registry()
    registry.of("a").add_tier("disk", in_memory)
    with pytest.raises(PluginError, match=r"'b': tier 'x': expected a callable, got 3"):
        registry.of("b").add_tier("x", 3)
    with pytest.raises(PluginError, match="there is a built-in tier 'memory' already"):
        registry.of("b").add_tier("memory", in_memory)
    with pytest.raises(PluginError, match="'a' and 'b' both offer a tier 'disk'"):
        registry.of("b").add_tier("disk", in_memory)
    registry.forget("a")
    registry.of("b").add_tier("disk", in_memory)
    assert registry.tier("disk").make is in_memory
    assert registry.tier("memory") == "memory"
