"""Prefetching beside a live cache: threads, loaders that fail, hang or are slow, and plugins."""

from __future__ import annotations

import asyncio
import gc
import itertools
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from typing import Any, cast

import numpy as np
import pytest

import predis_core as predis
from predis_core import host, telemetry
from predis_core.clock import ManualClock
from predis_core.config import PrefetchConfig
from predis_core.errors import CacheClosed, ConfigurationError, LoaderError, PluginError
from predis_core.host.guard import FAILURES_IN_A_ROW
from predis_core.prefetch import Followed, Following, Member
from predis_core.prefetch.following import STRETCH
from predis_core.prefetching import PrefetchingCache
from predis_core.table import context as words
from predis_core.table.interface import Keys
from tests.support.crew import PATIENCE, Crew, wait_until
from tests.support.scalars import compiled, verbs
from tests.support.shelf import Shelf

PLUGIN = """
PREFETCHERS = {{}}

class Says:
    name = {name!r}

    def __init__(self, cache):
        self.batches, self.next = [], []
        PREFETCHERS[cache.name] = self

    def observe(self, batch):
        self.batches.append(batch)
        {observe}

    def predict(self, limit):
        {predict}
        keys, self.next = self.next, []
        return keys, [1.0] * len(keys)

class Plugin:
    def __init__(self, options): ...

    @hookimpl
    def predis_prefetchers(self, cache):
        {hook}
        return [Says(cache)]
"""

Says = Any


@pytest.fixture
def put(shelf: Shelf) -> Callable[..., dict[str, Says]]:
    """Puts a plugin there whose prefetchers say what they are told to, by the cache's name."""

    def there(plugin: str = "says", name: str = "says", **code: str) -> dict[str, Says]:
        body = {"observe": "pass", "predict": "pass", "hook": "pass"} | code
        module = shelf.module(shelf.put(plugin, PLUGIN.format(name=name, **body)))
        found: dict[str, Says] = module.PREFETCHERS
        return found

    return there


def configuration(*plugins: str, **cache: Any) -> dict[str, Any]:
    section = {
        "capacity": 10_000,  # no set is full, whatever the seed
        "policy": "fifo",
        "value": {"kind": "rows", "dtype": "int64"},
    }
    return {"cache": section | cache, "plugins": {plugin: {} for plugin in plugins}}


class Loads:
    """A loader of ten times the key, which can be held up, and fails when it is told to."""

    def __init__(self) -> None:
        self.asked: list[list[int]] = []
        self.by: list[str] = []
        self.free = threading.Event()
        self.free.set()
        self.error: Exception | None = None

    def list(self, ids: Any) -> list[Any]:
        """Load as a list, for caches of Python objects."""
        values: list[Any] = self(ids).tolist()
        return values

    def __call__(self, ids: Any) -> Any:
        self.by.append(threading.current_thread().name)
        self.asked.append(np.asarray(ids).tolist())
        if "prefetch" in self.by[-1]:
            assert self.free.wait(PATIENCE)
            if self.error is not None:
                raise self.error
        return np.asarray(ids) * 10

    @property
    def ahead(self) -> list[list[int]]:
        """What was loaded ahead."""
        return [ids for ids, by in zip(self.asked, self.by, strict=True) if "prefetch" in by]


@pytest.fixture
def loads() -> Iterator[Loads]:
    made = Loads()
    yield made
    made.free.set()


def stats_of(cache: Any) -> Any:
    (stats,) = cache.prefetch_stats()
    return stats


def seen(says: Says) -> int:
    return sum(len(batch.hits) for batch in says.batches)


def test_predis_prefetchers(put: Callable[..., Any], loads: Loads) -> None:
    """The hook: what is proposed is loaded, and is a hit when it is asked for."""
    prefetchers = put()
    with predis.open(configuration("says"), loader=loads) as cache:
        assert isinstance(cache, PrefetchingCache)
        says = prefetchers["default"]
        says.next = np.array([5, 6, 7])
        cache.get_or_load_many([1, 2])
        wait_until(lambda: cache.contains_many([5, 6, 7]).all())
        assert loads.ahead == [[5, 6, 7]]
        assert cache.get_or_load_many([5, 6]).tolist() == [50, 60]
        values, hit = cache.get_many([7, 8])
        assert (values.tolist(), hit.tolist()) == ([70, 0], [True, False])
        wait_until(lambda: stats_of(cache).used == 3)
        assert stats_of(cache).loads == 3
        assert cache.stats().loads == 2  # those that somebody asked for
        assert [batch.keys.tolist() for batch in says.batches] == [[1, 2], [5, 6], [7, 8]]
        assert [batch.hits.tolist() for batch in says.batches[1:]] == [[True] * 2, [True, False]]


def test_every_way_to_look_up_is_seen(put: Callable[..., Any], loads: Loads) -> None:
    prefetchers = put()
    with predis.open(configuration("says"), loader=loads) as cache:
        ways = [
            lambda: cache.get(1),
            lambda: cache.get_or_load(2),
            lambda: cache.get_many([3]),
            lambda: cache.get_or_load_many([4]),
            lambda: asyncio.run(cache.aget_or_load_many([5])),
            lambda: asyncio.run(cache.aget_many([6])),
            lambda: cache[2],
        ]
        for way in ways:
            way()
        wait_until(lambda: seen(prefetchers["default"]) == len(ways))
        found = [batch.keys.tolist()[0] for batch in prefetchers["default"].batches]
        assert found == [1, 2, 3, 4, 5, 6, 2]


@pytest.mark.parametrize("kind", ["str", "bytes", "any"])
def test_keys_of_every_kind_come_as_they_are(
    kind: str, put: Callable[..., Any], loads: Loads
) -> None:
    prefetchers = put()
    key: Callable[[int], Any] = {
        "str": str,
        "bytes": lambda n: b"%d" % n,
        "any": lambda n: (n, str(n)),
    }[kind]

    def loader(ids: list[Any]) -> dict[Any, Any]:
        return {each: [each] for each in ids}

    config = configuration("says", keys=kind, value={"kind": "objects"})
    with predis.open(config, loader=loader) as cache:
        says = prefetchers["default"]
        says.next = [key(5), key(6)]
        cache.get_or_load_many([key(1)])
        wait_until(lambda: cache.contains_many([key(5), key(6)]).all())
        assert cache[key(6)] == [key(6)]
        wait_until(lambda: stats_of(cache).used == 1)
        assert list(says.batches[0].keys) == [key(1)]
        assert says.batches[0].words.dtype == np.int64


def test_namespaces_have_prefetchers_of_their_own(put: Callable[..., Any], loads: Loads) -> None:
    prefetchers = put()
    with predis.open(configuration("says"), loader=loads) as cache:
        acme = cache.namespace("acme", capacity=100)
        assert set(prefetchers) == {"default", "default/acme"}
        prefetchers["default/acme"].next = [7]
        cache.get_or_load_many([1])
        acme.get_or_load_many([2])
        wait_until(lambda: acme.contains_many([7]).all())
        assert not cache.contains_many([7]).any()
        assert [batch.cache for batch in prefetchers["default/acme"].batches] == ["default/acme"]
        assert seen(prefetchers["default"]) <= 1
        cache.drop_namespace("acme")
        prefetchers["default"].next = [8]
        cache.get_or_load_many([3])
        wait_until(lambda: cache.contains_many([8]).all())


def test_a_namespace_that_takes_the_name_of_one_that_went_is_followed() -> None:
    class Gone:
        def load_guesses(self, keys: Any, polite: float) -> Any: ...
        def resident(self, keys: Any) -> Any: ...
        def touch_late(self, keys: Any) -> Any: ...

    following = Following("test", PrefetchConfig(), ManualClock())
    following.close(PATIENCE)  # its turns are taken here

    def follow(source: Any) -> Followed:
        says = Member("says", lambda batch: None, lambda limit, encode: None)
        return following.follow("test/acme", source, [says], 100, Keys)

    def gone(now: int) -> None:
        raise CacheClosed("dropped")

    source = Gone()
    old = follow(source)
    old.turn = gone  # type: ignore[method-assign]
    new = follow(source)
    following._turn(old)
    assert following._followed == {"test/acme": new}


def test_who_asks_for_what_is_being_loaded_joins(
    put: Callable[..., Any], loads: Loads, crew: Crew
) -> None:
    prefetchers = put()
    with predis.open(configuration("says"), loader=loads) as cache:
        loads.free.clear()
        prefetchers["default"].next = [5, 6]
        cache.get_or_load_many([1])
        wait_until(lambda: loads.ahead == [[5, 6]])
        waiting = [crew.start(lambda: cache.get_or_load_many([5, 9]).tolist()) for _ in range(3)]
        wait_until(lambda: cache.stats().loads_saved >= 3)
        loads.free.set()
        assert [each.result(PATIENCE) for each in waiting] == [[50, 90]] * 3
        wait_until(lambda: stats_of(cache).late == 1)
        flat = [key for ids in loads.asked for key in ids]
        assert flat.count(5) == 1
        assert cache.contains_many([5, 6]).all()


@pytest.mark.parametrize("face", ["threads", "asyncio"])
def test_what_follows_is_loaded_while_somebody_still_waits(
    face: str, put: Callable[..., Any], loads: Loads
) -> None:
    prefetchers = put()

    def slow(ids: Any) -> Any:
        """Return once more is there than was asked for."""
        wait_until(lambda: cache.contains_many([6]).all())
        return loads(ids)

    with predis.open(configuration("says"), loader=loads) as cache:
        prefetchers["default"].next = [5, 6]
        if face == "threads":
            found = cache.get_or_load_many([1, 5], slow)
        else:
            found = asyncio.run(cache.aget_or_load_many([1, 5], slow))
        assert list(map(int, found)) == [10, 50]
        assert loads.asked == [[6], [1, 5]]  # the guess of 5 was too late for a load of its own
        wait_until(lambda: stats_of(cache).loads == 2)
        assert stats_of(cache).unused == 0


@pytest.mark.parametrize("face", ["threads", "asyncio"])
def test_a_guess_that_fails_is_loaded_by_who_waited_for_it(
    face: str, put: Callable[..., Any], loads: Loads, crew: Crew
) -> None:
    prefetchers = put()
    with predis.open(configuration("says"), loader=loads) as cache:
        loads.free.clear()
        loads.error = OSError("the source is down")
        prefetchers["default"].next = [5, 6]
        cache.get_or_load_many([1])
        wait_until(lambda: loads.ahead == [[5, 6]])

        def ask() -> list[int]:
            if face == "threads":
                found = cache.get_or_load_many([4, 5, 1, 5])
            else:
                found = asyncio.run(cache.aget_or_load_many([4, 5, 1, 5]))
            return list(map(int, found))

        waiting = crew.start(ask)
        wait_until(lambda: cache.stats().loads_saved == 1)
        loads.free.set()
        assert waiting.result(PATIENCE) == [40, 50, 10, 50]
        assert cache.stats().load_failures == 0
        wait_until(lambda: cache._prefetched.failures == 2)  # type: ignore[attr-defined]
        assert stats_of(cache).late == 0
        assert cache.contains_many([5]).all()
        with pytest.raises(LoaderError):  # and errors of one's own are one's own
            cache.get_or_load_many([8], lambda ids: None)


def test_a_set_or_delete_during_a_guess_wins(put: Callable[..., Any], loads: Loads) -> None:
    prefetchers = put()
    with predis.open(configuration("says"), loader=loads) as cache:
        loads.free.clear()
        prefetchers["default"].next = [5, 6, 7]
        cache.get_or_load_many([1])
        wait_until(lambda: loads.ahead == [[5, 6, 7]])
        cache.set_many([5], [555])
        cache.delete_many([6])
        loads.free.set()
        wait_until(lambda: cache.contains_many([7]).all())
        assert cache.get_many([5, 6])[0].tolist() == [555, 0]


def test_failures_of_the_loader_pause_prefetching_and_reach_nobody(
    put: Callable[..., Any], loads: Loads, caplog: pytest.LogCaptureFixture
) -> None:
    prefetchers = put()
    with predis.open(configuration("says"), loader=loads) as cache:
        loads.error = OSError("the source is down")
        prefetchers["default"].next = [5, 6]
        cache.get_or_load_many([1])
        wait_until(lambda: "prefetching pauses, as loading failed" in caplog.text)
        assert cache._prefetched.failures == 2  # type: ignore[attr-defined]
        assert cache.stats().load_failures == 0
        assert stats_of(cache).used == stats_of(cache).unused == 0
        loads.error = None
        prefetchers["default"].next = [7]
        cache.get_or_load_many([2])
        wait_until(lambda: cache.contains_many([7]).all())
        assert cache.get_or_load_many([5]).tolist() == [50]


def test_a_loader_that_hangs_under_prefetch_starves_nobody(
    put: Callable[..., Any], loads: Loads, caplog: pytest.LogCaptureFixture
) -> None:
    prefetchers = put()
    cache = predis.open(configuration("says"), loader=loads)
    loads.free.clear()
    prefetchers["default"].next = [5]
    cache.get_or_load_many([1])
    wait_until(lambda: bool(loads.ahead))
    for key in range(100, 200):
        prefetchers["default"].next = [key + 1_000]
        assert cache.get_or_load_many([key]).tolist() == [key * 10]
    assert loads.ahead == [[5]]  # one call at a time
    cache.close()
    assert "hangs in a prefetch" in caplog.text
    loads.free.set()


def test_a_slow_loader_is_asked_for_less_at_once(
    put: Callable[..., Any], loads: Loads, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("predis_core.prefetch.following._SLOW", 0.0)
    prefetchers = put()
    with predis.open(configuration("says"), loader=loads) as cache:
        for number in range(6):
            prefetchers["default"].next = range(1_000 * number, 1_000 * number + 10)
            cache.get_or_load_many([-number - 1])
            wait_until(lambda number=number: len(loads.ahead) == number + 1)
            wait_until(lambda number=number: stats_of(cache).loads == sum(map(len, loads.ahead)))
            cache.get_or_load_many(np.array(loads.ahead[-1]))
        assert cache._prefetched._batch == 4  # type: ignore[attr-defined]


@pytest.mark.parametrize("method", ["observe", "predict"])
def test_a_prefetcher_that_raises_is_given_up_and_breaks_nothing(
    method: str, put: Callable[..., Any], loads: Loads
) -> None:
    put(**{method: 'raise RuntimeError("no idea")'})
    with predis.open(configuration("says"), loader=loads) as cache:
        for key in range(2 * FAILURES_IN_A_ROW):
            assert cache.get_or_load_many([key]).tolist() == [key * 10]
            time.sleep(0.01)  # or all of them may be one turn, with one question

        def given_up() -> bool:
            cache.get_or_load_many([1])
            status = host.status()
            assert status is not None
            return any(each.disabled for each in status.plugins[0].functions)

        wait_until(given_up)
        assert cache.get_or_load_many([77]).tolist() == [770]


@pytest.mark.parametrize(
    ("code", "what"),
    [
        ({"predict": "return None"}, "expected (keys, confidences)"),
        ({"predict": "return ['a'], [1.0]"}, "keys"),
        ({"predict": "return [1], [1.0, 0.5]"}, "a confidence for each"),
        ({"hook": "return 7"}, "has to return a list"),
        ({"hook": "return [object()]"}, "an object with observe()"),
        ({"hook": "raise OSError('no')"}, "OSError"),
    ],
)
def test_a_bad_answer_is_told_and_breaks_nothing(
    code: dict[str, str], what: str, put: Callable[..., Any], loads: Loads
) -> None:
    put(**code)
    with predis.open(configuration("says"), loader=loads) as cache:

        def told() -> bool:
            assert cache.get_or_load_many([1]).tolist() == [10]
            status = host.status()
            assert status is not None
            return any(what in each.last_error for each in status.plugins[0].functions)

        wait_until(told)


def test_two_prefetchers_of_one_name_are_refused(put: Callable[..., Any], loads: Loads) -> None:
    put("one")
    put("two")
    with pytest.raises(PluginError, match="prefetcher 'says' of another plugin"):
        predis.open(configuration("one", "two"), loader=loads)
    assert host.status() is None


async def _later(ids: Any) -> Any:
    return ids


@pytest.mark.parametrize("loader", [None, _later], ids=["none", "coroutine"])
def test_prefetching_needs_a_default_loader(loader: Any, put: Callable[..., Any]) -> None:
    put()
    with pytest.raises(ConfigurationError, match=r"cache\.loader: prefetching needs"):
        predis.open(configuration("says"), loader=loader)
    assert host.status() is None


def test_what_does_not_keep_up_drops_batches_and_counts_them(
    put: Callable[..., Any], loads: Loads
) -> None:
    prefetchers = put()
    config = configuration("says", prefetch={"ring": 100})
    with predis.open(config, loader=loads) as cache:
        loads.free.clear()
        prefetchers["default"].next = [5]
        cache.get_or_load_many([1])
        wait_until(lambda: bool(loads.ahead))
        for _ in range(10):
            cache.get_many(np.arange(30))
        samples = {each.metric.name: each.value for each in cache.samples()}  # type: ignore[attr-defined]
        assert samples[telemetry.PREFETCH_DROPPED.name] == 7 * 30
        loads.free.set()
        wait_until(lambda: seen(prefetchers["default"]) == 91)


def test_what_it_does_is_measured(put: Callable[..., Any], loads: Loads) -> None:
    prefetchers = put()
    with predis.open(configuration("says"), loader=loads) as cache:
        prefetchers["default"].next = [5, 6]
        cache.get_or_load_many([1])
        wait_until(lambda: cache.contains_many([5, 6]).all())
        cache.get_many([5])
        wait_until(lambda: stats_of(cache).used == 1)
        samples = {
            each.metric.name: (each.labels, each.value)
            for each in cache.samples()  # type: ignore[attr-defined]
            if each.metric.name.startswith("predis.prefetch.")
        }
        both = ("default", "says")
        assert samples["predis.prefetch.loads"] == (both, 2)
        assert samples["predis.prefetch.used"] == (both, 1)
        assert samples["predis.prefetch.credit"] == (both, 64.0)
        assert samples["predis.prefetch.failures"] == (("default",), 0)
        assert len(samples) == len(telemetry.PREFETCHED) + 2


def test_batches_are_measured_and_sampled_as_without(
    put: Callable[..., Any], loads: Loads, shelf: Shelf
) -> None:
    prefetchers = put()
    shelf.put(
        "both",
        """
        SEEN = []

        class Both:
            rate = 1.0
            interval = 0.01

            def on_batch(self, stats):
                SEEN.append(("batch", stats.operation, stats.keys))

            def on_sample(self, sample):
                SEEN.append(("sample", sample.operation, len(sample.found)))

        class Plugin:
            def __init__(self, options): ...

            @hookimpl
            def predis_observers(self):
                return [Both()]

            @hookimpl
            def predis_samplers(self):
                return [Both()]
        """,
    )
    module = shelf.module("predis_both_module")
    with predis.open(configuration("says", "both"), loader=loads) as cache:
        cache.get_or_load_many([1, 2])
        for is_open in (True, False):
            cache._ring.is_open = is_open  # type: ignore[attr-defined]
            cache.get_many([1, 2, 3])
        wait_until(lambda: seen(prefetchers["default"]) >= 5)
    wanted = [("load", 2), ("get", 3), ("get", 3)]
    for what in ("batch", "sample"):
        assert [each[1:] for each in module.SEEN if each[0] == what] == wanted


def test_while_nothing_pays_batches_pass_by_but_for_short_stretches(
    put: Callable[..., Any], loads: Loads, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("predis_core.prefetch.following.REST", PATIENCE)
    monkeypatch.setattr("predis_core.prefetch.following._MANY", 0)
    prefetchers = put()
    with predis.open(configuration("says"), loader=loads) as cache:
        ring = cache._ring  # type: ignore[attr-defined]
        prefetchers["default"].next = list(range(1 << 40, (1 << 40) + 64))
        cache.get_or_load_many([1])
        wait_until(lambda: stats_of(cache).is_quiet)

        def shut() -> bool:
            cache.get_many(np.arange(1_000))
            return not ring.is_open

        wait_until(shut)
        cache.get_many(np.arange(100))
        monkeypatch.setattr("predis_core.prefetch.following.REST", 0.01)
        before = seen(prefetchers["default"])

        def again() -> bool:
            cache.get_many(np.arange(1_000))
            return seen(prefetchers["default"]) > before + STRETCH

        wait_until(again)
        assert 100 not in [len(batch.hits) for batch in prefetchers["default"].batches]


def test_machine_code_takes_look_ups_only_while_nobody_follows_them(
    put: Callable[..., Any], loads: Loads
) -> None:
    prefetchers = put()
    with predis.open(configuration("says", value={"kind": "objects"}), loader=loads.list) as cache:
        prefetching = cast("PrefetchingCache[Any, Any]", cache)
        cache.get_or_load_many([1])

        def check(wanted: bool) -> None:
            prefetching.listen(wanted)
            compiled(cache)
            assert verbs(cache)[words.GET] is (not wanted)
            assert verbs(cache)[words.SET]
            before = seen(prefetchers["default"])
            assert (cache.get(1), cache[1], cache.get_or_load(1)) == (10, 10, 10)
            cache.get_many([1])
            wait_until(lambda: seen(prefetchers["default"]) == before + 4 * wanted)

        wait_until(lambda: seen(prefetchers["default"]) == 1)
        for wanted in (True, False, True):
            check(wanted)


def test_a_resized_cache_is_followed_as_before(put: Callable[..., Any], loads: Loads) -> None:
    prefetchers = put()
    with predis.open(configuration("says"), loader=loads) as cache:
        prefetching = cast("PrefetchingCache[Any, Any]", cache)
        cache.get_or_load_many(np.arange(100))
        wait_until(lambda: seen(prefetchers["default"]) == 100)
        cache.resize(20_000)
        assert cache.get_many(np.arange(200))[1].tolist() == [True] * 100 + [False] * 100
        wait_until(lambda: seen(prefetchers["default"]) == 300)
        prefetching.listen(False)
        cache.resize(30_000)
        assert prefetching._fetch == prefetching._table.fetch
        assert cache.get_many(np.arange(200))[1].tolist() == [True] * 100 + [False] * 100


def test_a_fault_of_the_core_ends_prefetching_and_nothing_else(
    put: Callable[..., Any], loads: Loads, monkeypatch: pytest.MonkeyPatch
) -> None:
    put()
    with predis.open(configuration("says"), loader=loads) as cache:
        prefetching = cast("PrefetchingCache[Any, Any]", cache)
        monkeypatch.setattr(prefetching._prefetched.engine, "plan", lambda *_: 1 / 0)
        cache.get_or_load_many([1])
        wait_until(lambda: prefetching._fetch == prefetching._table.fetch)
        assert cache.get_or_load_many([1, 2]).tolist() == [10, 20]


def test_batches_that_come_slowly_are_followed_whatever_comes_of_it(
    put: Callable[..., Any], loads: Loads, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("predis_core.prefetch.following.REST", PATIENCE)
    prefetchers = put()
    with predis.open(configuration("says"), loader=loads) as cache:
        ring = cache._ring  # type: ignore[attr-defined]
        monkeypatch.setattr("predis_core.prefetch.following._MANY", 0)
        prefetchers["default"].next = list(range(1 << 40, (1 << 40) + 64))
        cache.get_or_load_many([1])

        def shut() -> bool:
            cache.get_many(np.arange(1_000))
            return stats_of(cache).is_quiet and not ring.is_open

        wait_until(shut)
        monkeypatch.setattr("predis_core.prefetch.following._MANY", 1 << 40)

        def again() -> bool:
            cache.get_many(np.arange(1_000))
            return bool(ring.is_open)

        wait_until(again)


def test_what_is_hardly_ever_asked_for_is_not_worth_following_all_the_time(
    put: Callable[..., Any], loads: Loads, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("REST", 0.01), ("_TRIAL", 0), ("_MANY", 0)):
        monkeypatch.setattr(f"predis_core.prefetch.following.{name}", value)
    ahead = "range(last + 1, last + 33 * (last > 1 << 40))"
    put(observe=f"last = int(batch.keys[-1]); self.next = list({ahead})")
    with predis.open(configuration("says"), loader=loads) as cache:
        ring = cache._ring  # type: ignore[attr-defined]

        def shut() -> bool:
            cache.get_many(np.arange(1_000))
            return not ring.is_open

        wait_until(shut)
        assert not stats_of(cache).is_quiet
        scanned = itertools.count((1 << 40) + 1)

        def is_followed_again() -> bool:
            """Scan: at each step the next keys are proposed."""
            for _ in range(100):
                cache.get_or_load_many([next(scanned)])
            return ring.is_open and not ring.is_limited

        wait_until(is_followed_again)


def test_threads_that_look_up_while_much_is_loaded_ahead(
    put: Callable[..., Any], loads: Loads, crew: Crew
) -> None:
    """Sets, deletes and look-ups of many threads beside guesses: every value is the key's own."""
    prefetchers = put(
        observe="self.next = [int(batch.keys[-1]) + n for n in range(1, 5)]",
    )
    with predis.open(configuration("says", capacity=400), loader=loads) as cache:

        def work(seed: int) -> None:
            generator = np.random.default_rng(seed)
            for _ in range(150):
                keys = generator.integers(0, 2_000) + np.arange(8)
                assert (cache.get_or_load_many(keys) == keys * 10).all()
                cache.set_many(keys[:2], keys[:2] * 10)
                cache.delete_many(keys[2:4])

        crew.run(*[lambda seed=seed: work(seed) for seed in range(4)])  # type: ignore[misc]
        assert prefetchers["default"].batches
        stats = stats_of(cache)
        assert stats.loads
        assert stats.used + stats.late + stats.unused <= stats.loads


@pytest.mark.watches_lifetime
def test_a_cache_that_nobody_holds_is_let_go(put: Callable[..., Any], loads: Loads) -> None:
    put()
    cache = predis.open(configuration("says"), loader=loads)
    cache.get_or_load_many([1])
    gone = weakref.ref(cache)
    del cache

    def collected() -> bool:  # its thread may be at its work, and has it for as long
        gc.collect()
        return gone() is None

    wait_until(collected)
    wait_until(lambda: host.status() is None)
