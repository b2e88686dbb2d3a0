"""What namespaces promise: every sentence is a test, named after it."""

from __future__ import annotations

import asyncio
import gc
import weakref
from pathlib import Path
from typing import Any

import pytest

import predis_core as predis
from predis_core import host
from predis_core.errors import CacheClosed, ConfigurationError
from predis_core.hosted import MeasuredCache
from predis_core.telemetry import BATCH_SECONDS, COUNTERS, GAUGES
from tests.support.combinations import Combination, plain
from tests.support.shelf import Shelf

Cache = predis.Cache


def capacities(cache: predis.Cache[Any, Any]) -> dict[str, int]:
    """Return the capacity of the default namespace, as "", and of the others."""
    parts = {name: each.capacity for name, each in cache.namespaces().items()}
    return {"": cache.capacity} | parts


# ------------------------------------------------------------------ apart from each other


def test_keys_of_one_are_invisible_to_another(combination: Combination) -> None:
    cache = combination.open(1_000)
    acme, beta = cache.namespace("acme"), cache.namespace("beta")
    keys = combination.keys(range(20))
    for start, each in ((0, cache), (100, acme), (200, beta)):
        each.set_many(keys, combination.values(range(start, start + 20)))
    for start, each in ((0, cache), (100, acme), (200, beta)):
        values, hit = each.get_many(keys)
        assert hit.all()
        assert plain(values) == combination.values(range(start, start + 20))
    acme.delete_many(keys[:10])
    beta.clear()
    assert [len(each) for each in (cache, acme, beta)] == [20, 10, 0]
    assert set(acme) == set(keys[10:])


def test_each_has_counters_and_loads_of_its_own(combination: Combination) -> None:
    cache = combination.open(1_000)
    acme = cache.namespace("acme")
    keys = combination.keys(range(5))
    acme.get_or_load_many(keys, combination.load)
    acme.get_many(keys)
    assert (acme.stats().hits, acme.stats().misses, acme.stats().loads) == (5, 5, 5)
    assert (cache.stats().requests, cache.stats().loads, cache.stats().size) == (0, 0, 0)
    cache.get_or_load_many(keys, combination.load)
    assert cache.stats().loads == 5


def test_a_write_in_one_does_not_win_over_a_load_in_another() -> None:
    cache = Cache[int, str](1_000)
    acme = cache.namespace("acme")

    def load(key: int) -> str:
        cache[key] = "set"
        cache.delete_many([key])
        return "loaded"

    assert acme.get_or_load(1, load) == "loaded"
    assert acme[1] == "loaded"
    assert 1 not in cache


def test_one_does_not_evict_what_another_holds(combination: Combination) -> None:
    cache = combination.open(400)
    acme = cache.namespace("acme", capacity=100)
    cache.set_many(combination.keys(range(50)), combination.values(range(50)))
    many = range(5_000)
    acme.set_many(combination.keys(many), combination.values(many))
    assert len(acme) == 100
    assert (len(cache), cache.stats().evictions) == (50, 0)


def test_a_time_to_live_is_its_own() -> None:
    clock = predis.ManualClock()
    cache = Cache[int, int](100, ttl=5, clock=clock)
    forever, short = cache.namespace("forever"), cache.namespace("short", ttl=2)
    for each in (cache, forever, short):
        each[1] = 1
    assert [each.ttl_left(1) for each in (cache, forever, short)] == [5, None, 2]


def test_settings_and_loader_are_the_caches(combination: Combination) -> None:
    cache = combination.open(500, policy="lru", loader=combination.load, seed=5)
    acme = cache.namespace("acme")
    keys = combination.keys(range(3))
    assert plain(acme.get_or_load_many(keys)) == combination.values(range(3))
    assert acme._clock is cache._clock
    assert acme._seed == cache._seed
    assert repr(acme) == repr(cache).replace("'default': 0/375", "'default/acme': 3/125")


# ------------------------------------------------------------------ all the faces


def test_a_namespace_has_every_face(tmp_path: Path) -> None:
    cache = Cache[Any, Any](1_000)
    acme = cache.namespace("acme")
    assert type(acme) is type(cache)
    assert acme.name == "default/acme"
    acme["key"] = 1
    assert dict(acme.items()) == {"key": 1}

    @acme.memoize
    def double(n: int) -> int:
        return 2 * n

    assert double(4) == double(4) == 8
    assert double.cache_info() == (1, 1)
    assert len(cache) == 0

    async def ask() -> Any:
        return await acme.aget_or_load("other", lambda key: f"loaded {key}")

    assert asyncio.run(ask()) == "loaded other"
    path = tmp_path / "acme.snapshot"
    assert acme.snapshot(path).entries == 3
    assert cache.restore(path).restored == 3
    acme.check_invariants()
    acme.clear()
    assert (len(acme), len(cache)) == (0, 3)


def test_namespaces_lists_what_exists() -> None:
    cache = Cache[int, int](100)
    assert cache.namespaces() == {}
    acme = cache.namespace("acme")
    assert cache.namespaces() == {"acme": acme}
    assert acme.namespaces() == {}


# ------------------------------------------------------------------ what each may hold


def test_the_capacities_add_up_to_what_the_cache_was_opened_with() -> None:
    cache = Cache[int, int](1_000)
    cache.namespace("half", share=0.5)
    assert capacities(cache) == {"": 500, "half": 500}
    cache.namespace("quarter")
    assert capacities(cache) == {"": 250, "half": 500, "quarter": 250}
    cache.namespace("few", capacity=30)
    assert capacities(cache) == {"": 220, "half": 500, "quarter": 250, "few": 30}
    cache.namespaces()["half"].resize(100)
    assert capacities(cache) == {"": 620, "half": 100, "quarter": 250, "few": 30}
    cache.namespaces()["few"].resize(600)
    assert capacities(cache) == {"": 50, "half": 100, "quarter": 250, "few": 600}
    cache.drop_namespace("quarter")
    assert capacities(cache) == {"": 300, "half": 100, "few": 600}
    cache.namespaces()["half"].close()
    assert capacities(cache) == {"": 400, "few": 600}


def test_the_cache_itself_grows_and_shrinks_without_its_namespaces() -> None:
    cache = Cache[int, int](100)
    cache.namespace("acme", capacity=40)
    cache.resize(160)
    assert capacities(cache) == {"": 160, "acme": 40}
    cache.namespace("half", share=0.5)
    assert capacities(cache) == {"": 60, "acme": 40, "half": 100}


def test_the_smallest_share_is_one_entry() -> None:
    cache = Cache[int, int](10)
    assert cache.namespace("tiny", share=0.001).capacity == 1


def test_making_and_dropping_one_live_keeps_what_others_hold(combination: Combination) -> None:
    cache = combination.open(4_000, seed=1)
    cache.set_many(combination.keys(range(200)), combination.values(range(200)))
    held = set(cache)
    acme = cache.namespace("acme", share=0.5)
    acme.set_many(combination.keys(range(100)), combination.values(range(100)))
    assert set(cache) == held
    cache.drop_namespace("acme")
    assert set(cache) == held
    assert cache.capacity == 4_000


# ------------------------------------------------------------------ the same one again


def test_asking_again_returns_the_one_that_exists() -> None:
    cache = Cache[int, int](1_000)
    acme = cache.namespace("acme", share=0.5, ttl=3)
    assert cache.namespace("acme") is acme
    acme.resize(100)
    assert cache.namespace("acme", share=0.5, ttl=3.0) is acme
    assert acme.capacity == 100


@pytest.mark.parametrize(
    ("asked", "fields"),
    [
        ({"capacity": 10}, "capacity"),
        ({"share": 0.25}, "share"),
        ({"ttl": 5}, "ttl"),
        ({"share": 0.1, "ttl": 1}, "share, ttl"),
    ],
)
def test_asking_for_another_one_of_its_name_is_refused(asked: Any, fields: str) -> None:
    cache = Cache[int, int](1_000)
    cache.namespace("acme", share=0.5, ttl=3)
    with pytest.raises(ConfigurationError) as caught:
        cache.namespace("acme", **asked)
    assert str(caught.value) == (
        f"{fields}: namespace 'acme' was made with another; resize() it, or "
        "drop_namespace('acme') and make it anew"
    )


# ------------------------------------------------------------------ what is refused


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "a b"}, "name: expected letters, digits, '_', '.' and '-', got 'a b'"),
        ({"name": "a/b"}, "name: expected letters, digits, '_', '.' and '-', got 'a/b'"),
        ({"name": ""}, "name: expected letters, digits, '_', '.' and '-', got ''"),
        ({"name": 5}, "name: expected letters, digits, '_', '.' and '-', got 5"),
        ({"share": 0}, "share: expected a number between 0 and 1, got 0"),
        ({"share": 1}, "share: expected a number between 0 and 1, got 1"),
        ({"share": "half"}, "share: expected a number between 0 and 1, got 'half'"),
        ({"share": True}, "share: expected a number between 0 and 1, got True"),
        ({"capacity": 0}, "capacity: expected 1 to 2**40 entries, got 0"),
        (
            {"capacity": 5, "share": 0.5},
            "share: expected a share or a capacity, got both; leave one out",
        ),
        ({"ttl": 0}, "ttl: expected seconds > 0 or a timedelta, got 0; infinity or leaving it out"),
    ],
)
def test_arguments_that_do_not_fit(arguments: Any, message: str) -> None:
    cache = Cache[int, int](100)
    with pytest.raises(ConfigurationError) as caught:
        cache.namespace(**{"name": "acme"} | arguments)
    assert str(caught.value).startswith(message)
    assert capacities(cache) == {"": 100}


def test_errors_name_what_is_left() -> None:
    cache = Cache[int, int](100)
    cache.namespace("acme", capacity=60)
    for asked in ({"capacity": 40}, {"share": 0.4}):
        with pytest.raises(ConfigurationError) as caught:
            cache.namespace("beta", **asked)
        assert str(caught.value) == (
            "capacity: namespace 'beta' wants 40 entries and could have 39 of 100; ask for less, "
            "drop_namespace() another, or resize() the cache"
        )
    beta = cache.namespace("beta", capacity=10)
    with pytest.raises(ConfigurationError, match="'beta' wants 41 entries and could have 39 of"):
        beta.resize(41)
    assert capacities(cache) == {"": 30, "acme": 60, "beta": 10}
    beta.resize(39)
    assert capacities(cache) == {"": 1, "acme": 60, "beta": 39}


def test_a_namespace_has_no_namespaces() -> None:
    acme = Cache[int, int](100).namespace("acme")
    for refused in (lambda: acme.namespace("x"), lambda: acme.drop_namespace("x")):
        with pytest.raises(ConfigurationError) as caught:
            refused()
        assert str(caught.value) == (
            "namespace: 'default/acme' is a namespace itself; ask cache 'default'"
        )


def test_dropping_what_is_not_there_names_what_is() -> None:
    cache = Cache[int, int](100)
    with pytest.raises(ConfigurationError) as caught:
        cache.drop_namespace("acme")
    assert str(caught.value) == "name: cache 'default' has no namespace 'acme' (there are: none)"
    cache.namespace("acme", capacity=5)
    cache.namespace("beta", capacity=5)
    with pytest.raises(ConfigurationError, match=r"'x' \(there are: 'acme', 'beta'\)"):
        cache.drop_namespace("x")


# ------------------------------------------------------------------ the end


def test_a_dropped_namespace_says_how_to_get_another(combination: Combination) -> None:
    cache = combination.open(100)
    acme = cache.namespace("acme")
    acme[combination.key(1)] = combination.value(1)
    cache.drop_namespace("acme")
    with pytest.raises(CacheClosed) as caught:
        acme.get_many([combination.key(1)])
    assert str(caught.value) == (
        "namespace 'acme' of cache 'default' was dropped; make it again with "
        "cache.namespace('acme')"
    )
    again = cache.namespace("acme")
    assert again is not acme
    assert len(again) == 0
    acme.close()  # again, which is harmless
    assert cache.namespaces() == {"acme": again}


def test_a_load_of_a_dropped_namespace_stores_nothing() -> None:
    cache = Cache[int, int](100)
    acme = cache.namespace("acme")

    def load(key: int) -> int:
        cache.drop_namespace("acme")
        return key

    assert acme.get_or_load(1, load) == 1
    assert acme._table.size() == 0


def test_closing_the_cache_closes_all() -> None:
    cache = Cache[int, int](100)
    acme = cache.namespace("acme")
    acme[1] = 1
    cache.close()
    with pytest.raises(CacheClosed) as caught:
        acme.get(1)
    assert str(caught.value) == "cache 'default/acme' is closed; open another with Cache(...)"
    with pytest.raises(CacheClosed):
        cache.namespaces()
    acme.close()


def test_with_closes_a_namespace() -> None:
    cache = Cache[int, int](100)
    with cache.namespace("acme") as acme:
        acme[1] = 1
    assert capacities(cache) == {"": 100}


@pytest.mark.watches_lifetime
def test_a_cache_without_namespaces_is_no_circle() -> None:
    cache = Cache[int, int](100)
    gone = weakref.ref(cache)
    gc.disable()
    try:
        del cache
        assert gone() is None
    finally:
        gc.enable()


# ------------------------------------------------------------------ in a configuration


def test_a_configuration_divides_the_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "predis.toml"
    path.write_text(
        """
        [cache]
        capacity = 1000
        ttl = "1h"

        [cache.namespaces.acme]
        share = 0.5
        ttl = "5m"

        [cache.namespaces.beta]
        capacity = 100

        [cache.namespaces.rest]
        """,
        encoding="utf-8",
    )
    with predis.open(path, clock=predis.ManualClock()) as cache:
        assert capacities(cache) == {"": 150, "acme": 500, "beta": 100, "rest": 250}
        acme = cache.namespace("acme", share=0.5, ttl=300)
        acme[1] = 1
        assert acme.ttl_left(1) == 300
    monkeypatch.setenv("PREDIS_CACHE__NAMESPACES__ACME__SHARE", "0.1")
    with predis.open(path) as cache:
        assert capacities(cache)["acme"] == 100


@pytest.mark.parametrize(
    ("namespaces", "message"),
    [
        (
            {"acme": {"share": 0.5}, "beta": {"capacity": 60}},
            "cache.namespaces.beta.capacity: namespace 'beta' wants 60 entries and could have 49 "
            "of 100; ask for less, drop_namespace() another, or resize() the cache",
        ),
        (
            {"acme": {"share": 0.5, "capacity": 5}},
            "cache.namespaces.acme.share: expected a share or a capacity, got both; leave one out",
        ),
        (
            {"acme": {"share": 1.5}},
            "cache.namespaces.acme.share: expected a number > 0 and < 1, got 1.5",
        ),
        (
            {"a b": {}},
            "cache.namespaces: expected a name of letters, digits, '_', '.' and '-' as a key, got "
            "'a b'",
        ),
        (
            {"acme": {"shar": 0.5}},
            "cache.namespaces.acme.shar: unknown key; did you mean 'share'? (known: capacity, "
            "share, ttl)",
        ),
    ],
)
def test_a_configuration_that_does_not_fit_names_the_place(namespaces: Any, message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        predis.open({"cache": {"capacity": 100, "namespaces": namespaces}})
    assert str(caught.value) == f"<dict>: {message}"


# ------------------------------------------------------------------ for those who watch

WATCHER = """
SEEN = []
VIEWS = []

class Observer:
    def on_batch(self, stats):
        SEEN.append((stats.cache, stats.operation, stats.keys))

class Plugin:
    def __init__(self, options): ...

    @hookimpl
    def predis_observers(self, cache):
        VIEWS.append(cache)
        return [Observer()]
"""


def test_what_is_measured_of_a_namespace_carries_its_name(shelf: Shelf) -> None:
    module = shelf.module(shelf.put("watcher", WATCHER))
    given = {"capacity": 100, "namespaces": {"acme": {"capacity": 30}}}
    with predis.open({"cache": given, "plugins": {"watcher": {}}}) as cache:
        acme, late = cache.namespace("acme"), cache.namespace("late", capacity=10)
        assert type(acme) is type(late) is MeasuredCache
        acme.set_many([1, 2], [1, 2])
        late.get_many([1, 2, 3])
        cache.get_many([7])
        assert module.SEEN == [
            ("default/acme", "set", 2),
            ("default/late", "get", 3),
            ("default", "get", 1),
        ]
        samples = {(s.metric, s.labels): s.value for s in module.VIEWS[0].snapshot().samples}
        assert samples[GAUGES["capacity"], ("default",)] == 60
        assert samples[GAUGES["capacity"], ("default/acme",)] == 30
        assert samples[COUNTERS["insertions"], ("default/acme",)] == 2
        assert samples[COUNTERS["misses"], ("default/late",)] == 3
        assert samples[BATCH_SECONDS, ("default/late", "get")].count == 1
        late.close()
        assert host.status() is not None
        cache.get_many([7])
        assert len(module.SEEN) == 4
        left = {s.labels for s in module.VIEWS[0].snapshot().samples}
        assert ("default/late",) not in left
        assert ("default/acme",) in left
