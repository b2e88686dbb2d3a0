"""`open`: what it returns, how caches share a host, and how they close."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import predis_core as predis
from predis_core import host
from predis_core.errors import CacheClosed, ConfigurationError
from predis_core.hosted import HostedCache, MeasuredCache
from predis_core.telemetry import CATALOGUE, OF_TIERS
from predis_core.types import Event
from tests.support.crew import PATIENCE, Crew, wait_until
from tests.support.shelf import Shelf

DIARY = """
DIARY = []
VIEWS = {}

class Options(msgspec.Struct, frozen=True):
    word: str = "hello"

class Observer:
    def on_batch(self, stats):
        DIARY.append(("batch", stats))

class Exporter:
    interval = 3600.0
    def export(self, snapshot):
        DIARY.append(("export", snapshot))

class Plugin:
    def __init__(self, options):
        self.options = options

    @hookimpl
    def predis_observers(self, cache):
        return [Observer()]

    @hookimpl
    def predis_exporters(self, cache):
        return [Exporter()]

    @hookimpl
    def predis_cache_opened(self, cache):
        VIEWS[cache.name] = cache
        DIARY.append(("opened", cache.name, cache.stats().size))

    @hookimpl
    def predis_cache_closing(self, cache, reason):
        size = None if reason == "collected" else cache.stats().size
        DIARY.append(("closing", cache.name, reason, size))

    def close(self):
        DIARY.append(("close",))
"""


def diary(shelf: Shelf, name: str = "diary") -> Any:
    return shelf.module(shelf.put(name, DIARY, spec="config=Options"))


def configuration(*plugins: str, name: str = "default", **cache: Any) -> dict[str, Any]:
    return {
        "cache": {"name": name, "capacity": 100, "keys": "int64"} | cache,
        "plugins": {plugin: {} for plugin in plugins},
    }


def kinds(module: Any) -> list[str]:
    return [entry[0] for entry in module.DIARY]


# ---------------------------------------------------------------------- what it returns


def test_without_plugins_the_cache_is_a_plain_one_and_runs_the_identical_functions(
    begun: Callable[[], list[str]],
) -> None:
    with predis.open({"cache": {"capacity": 10}}) as cache:
        assert type(cache) is predis.Cache
        assert cache.get_many.__func__ is predis.Cache.get_many
        assert host.status() is None
        assert "predis-host" not in begun()


def test_a_plugin_that_watches_nothing_leaves_every_batch_as_it_was(shelf: Shelf) -> None:
    shelf.put("idle", "class Plugin:\n    def __init__(self, options): ...\n")
    with predis.open(configuration("idle")) as cache:
        assert type(cache) is HostedCache
        for verb in ("get_many", "set_many", "delete_many", "contains_many", "get_or_load_many"):
            assert getattr(type(cache), verb) is getattr(predis.Cache, verb)


def test_every_option_of_the_section_reaches_the_cache() -> None:
    clock = predis.ManualClock()
    given = {
        "name": "rows",
        "capacity": 50,
        "policy": "lru",
        "value": {"kind": "rows", "dtype": "float32", "shape": [2, 3]},
        "keys": "str",
        "ttl": "5m",
        "seed": 7,
        "device": "cpu",
    }
    with predis.open({"cache": given}, clock=clock) as cache:
        assert cache.name == "rows"
        assert cache.capacity == 50
        assert repr(cache).endswith("0/50 entries, policy lru, str keys, Rows('float32', (2, 3))>")
        cache["a"] = np.ones((2, 3), np.float32)
        assert cache.ttl_left("a") == 300.0
        twin = predis.Cache(50, keys="str", seed=7)
        assert cache._seed == twin._seed


def test_a_file_and_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "predis.toml"
    path.write_text('[cache]\ncapacity = 1_000\npolicy = "sieve"\n', encoding="utf-8")
    monkeypatch.setenv("PREDIS_CACHE__CAPACITY", "2000")
    for given in (path, str(path)):
        with predis.open(given) as cache:
            assert cache.capacity == 2_000
            assert "policy sieve" in repr(cache)


def test_what_the_cache_refuses_is_told_with_its_place(tmp_path: Path) -> None:
    path = tmp_path / "predis.toml"
    path.write_text('[cache]\ncapacity = 10\npolicy = "lur"\n', encoding="utf-8")
    with pytest.raises(ConfigurationError) as raised:
        predis.open(path)
    assert str(raised.value).startswith(f"{path}: cache.policy: no policy 'lur' among")
    with pytest.raises(ConfigurationError, match=r"cache\.policy: no policy 'lur'"):
        predis.open(configuration(policy="lur"))


def test_a_loader_of_a_plugin_and_one_of_the_call(shelf: Shelf) -> None:
    shelf.put(
        "source",
        """
        class Plugin:
            def __init__(self, options): ...

            @hookimpl
            def predis_register(self, registry):
                registry.add_loader("tens", lambda ids: [10 * int(i) for i in ids])
        """,
    )
    given = configuration("source", loader="tens")
    with predis.open(given) as cache:
        assert cache.get_or_load_many([1, 2]) == [10, 20]
    with predis.open(given, loader=lambda ids: [int(i) for i in ids]) as cache:
        assert cache.get_or_load_many([1, 2]) == [1, 2]
    with pytest.raises(ConfigurationError, match=r"loader 'ten' among tens; did you mean 'tens'\?"):
        predis.open(configuration("source", loader="ten"))
    with pytest.raises(ConfigurationError, match="no enabled plugin offers one"):
        predis.open(configuration(loader="tens"))


# ---------------------------------------------------------------------- what observers are told


def test_observers_are_told_of_every_verb(shelf: Shelf) -> None:
    module = diary(shelf)
    with predis.open(configuration("diary")) as cache:
        assert type(cache) is MeasuredCache
        cache.set_many([1, 2, 3], ["a", "b", "c"])
        cache.set_many([3], ["d"], return_evicted=True)
        cache.get_many([1, 9])
        cache.get_many(np.arange(4))
        cache.contains_many([1, 2, 9])
        cache.touch_many([1])
        cache.get_or_load_many([1, 8, 9], lambda ids: ["x"] * len(ids))
        cache.delete_many([1, 7])
        cache[4] = "e"
        assert cache.get(5) is None
        assert cache.pop(4) == "e"
        assert 2 in cache
        del cache[2]
    told = [entry[1] for entry in module.DIARY if entry[0] == "batch"]
    assert [(each.operation, each.keys, each.found) for each in told] == [
        ("set", 3, 3),
        ("set", 1, 1),
        ("get", 2, 1),
        ("get", 4, 3),
        ("contains", 3, 2),
        ("touch", 1, 1),
        ("load", 3, 1),
        ("delete", 2, 1),
        ("set", 1, 1),
        ("get", 1, 0),
        ("delete", 1, 1),
        ("contains", 1, 1),
        ("delete", 1, 1),
    ]
    assert {each.cache for each in told} == {"default"}
    assert all(0 < each.nanoseconds < 60e9 for each in told)


def test_observers_are_told_of_awaited_verbs(shelf: Shelf) -> None:
    module = diary(shelf)

    async def use(cache: Any) -> None:
        await cache.aset_many([1, 2], ["a", "b"])
        await cache.aget_many([1, 9])
        await cache.aget_or_load_many([1, 8, 9], lambda ids: ["x"] * len(ids))
        await cache.adelete_many([1])

    with predis.open(configuration("diary")) as cache:
        asyncio.run(use(cache))
    told = [entry[1] for entry in module.DIARY if entry[0] == "batch"]
    assert [(each.operation, each.keys, each.found) for each in told] == [
        ("set", 2, 2),
        ("get", 2, 1),
        ("load", 3, 1),
        ("delete", 1, 1),
    ]


def test_a_call_that_raises_is_not_told_of(shelf: Shelf) -> None:
    module = diary(shelf)
    with predis.open(configuration("diary")) as cache:
        with pytest.raises(predis.errors.KeyKindError):
            cache.get_many(["a"])
        with pytest.raises(predis.errors.LoaderError):
            cache.get_or_load_many([1], lambda ids: [])
    assert "batch" not in kinds(module)


def test_a_snapshot_holds_the_statistics_and_how_long_batches_took(shelf: Shelf) -> None:
    module = diary(shelf)
    with predis.open(configuration("diary")) as cache:
        cache.set_many([1, 2, 3], ["a", "b", "c"])
        cache.get_many([1, 9])
        cache.get_many([2])
        snapshot = module.VIEWS["default"].snapshot()
        stats = cache.stats()
    values = {(s.metric.name, s.labels): s.value for s in snapshot.samples}
    assert snapshot.cache == "default"
    assert abs(snapshot.time / 1e9 - predis.Clock().wall() / 1e9) < 60
    assert values["predis.cache.hits", ("default",)] == stats.hits == 2
    assert values["predis.cache.misses", ("default",)] == stats.misses == 1
    assert values["predis.cache.capacity", ("default",)] == 100
    assert values["predis.cache.memory", ("default",)] > 100 * 16
    batches = values["predis.cache.batch.duration", ("default", "get")]
    assert batches.count == 2
    assert 0 < batches.sum < 60
    assert values["predis.cache.batch.duration", ("default", "load")].count == 0
    info = next(s for s in snapshot.samples if s.metric.name == "predis.cache.info")
    assert info.labels[:4] == ("default", "density", "int64", "Objects()")
    assert values["predis.plugin.up", ("default", "diary")] == 1
    assert values["predis.plugin.failures", ("default", "diary")] == 0


def test_every_metric_of_the_catalogue_is_in_a_snapshot_and_no_other(shelf: Shelf) -> None:
    module = diary(shelf)
    shelf.put(
        "sampling",
        """
        class Sampler:
            def on_sample(self, sample): ...

        class Plugin:
            def __init__(self, options): ...

            @hookimpl
            def predis_samplers(self):
                return [Sampler()]

            @hookimpl
            def predis_prefetchers(self):
                return [Prefetcher()]

        class Prefetcher:
            name = "none"

            def observe(self, batch): ...

            def predict(self, limit):
                return [], []
        """,
    )
    with predis.open(configuration("diary", "sampling"), loader=list):
        snapshot = module.VIEWS["default"].snapshot()
    assert {s.metric for s in snapshot.samples} == set(CATALOGUE) - set(OF_TIERS.values())
    for sample in snapshot.samples:
        assert len(sample.labels) == len(sample.metric.labels)


# ---------------------------------------------------------------------- opening and closing


def test_plugins_hear_of_opening_and_closing_and_export_for_the_last_time(shelf: Shelf) -> None:
    module = diary(shelf)
    cache = predis.open(configuration("diary"))
    cache.set_many([1], ["a"])
    cache.close()
    assert kinds(module) == ["opened", "batch", "export", "closing", "close"]
    assert module.DIARY[0] == ("opened", "default", 0)
    assert module.DIARY[3] == ("closing", "default", "closed", 1)
    last = {s.metric.name: s.value for s in module.DIARY[2][1].samples}
    assert last["predis.cache.size"] == 1
    cache.close()
    assert len(module.DIARY) == 5
    with pytest.raises(CacheClosed):
        module.VIEWS["default"].stats()
    with pytest.raises(CacheClosed):
        module.VIEWS["default"].snapshot()


def test_plugins_begin_in_the_order_of_the_configuration_and_end_in_reverse(shelf: Shelf) -> None:
    first, second = diary(shelf, "zulu"), diary(shelf, "alpha")
    order: list[str] = []
    for name, module in (("zulu", first), ("alpha", second)):
        module.DIARY = _Told(order, name)
    with predis.open(configuration("zulu", "alpha")):
        pass
    assert [each for each in order if "export" not in each] == [
        "zulu opened",
        "alpha opened",
        "alpha closing",
        "zulu closing",
        "alpha close",
        "zulu close",
    ]


class _Told(list[Any]):
    """A diary that writes into another one, too."""

    def __init__(self, order: list[str], name: str) -> None:
        super().__init__()
        self._order, self._name = order, name

    def append(self, entry: Any) -> None:
        self._order.append(f"{self._name} {entry[0]}")
        super().append(entry)


def test_a_second_cache_joins_the_host(shelf: Shelf) -> None:
    module = diary(shelf)
    with (
        predis.open(configuration("diary", name="one")) as one,
        predis.open(configuration("diary", name="two")) as two,
    ):
        state = host.status()
        assert state is not None
        assert [cache.name for cache in state.caches] == ["one", "two"]
        assert [plugin.caches for plugin in state.plugins] == [("one", "two")]
        one.get_many([1])
        two.get_many([1, 2])
        told = [(e[1].cache, e[1].keys) for e in module.DIARY if e[0] == "batch"]
        assert told == [("one", 1), ("two", 2)]
    assert kinds(module).count("close") == 1
    assert kinds(module)[-1] == "close"


def test_the_cost_of_observers_is_per_batch_however_many_caches(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = shelf.module(
        shelf.put(
            "slow",
            """
            NOW = [1]

            class Observer:
                def on_batch(self, stats):
                    NOW[0] += 10_000_000

            class Plugin:
                def __init__(self, options): ...

                @hookimpl
                def predis_observers(self):
                    return [Observer()]
            """,
        )
    )
    monkeypatch.setattr("predis_core.host.guard.stopwatch", lambda: module.NOW[0])
    with (
        predis.open(configuration("slow", name="one")) as one,
        predis.open(configuration("slow", name="two")) as two,
    ):
        one.get_many([1])
        two.get_many([1])
        state = host.status()
        assert state is not None
        assert state.plugins[0].observer_seconds == 0.01


def test_a_plugin_that_two_caches_do_without_is_told_of_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def given(name: str) -> dict[str, Any]:
        return configuration(name=name) | {"plugins": {"absent": {"required": False}}}

    with predis.open(given("one")), predis.open(given("two")):
        state = host.status()
        assert state is not None
        assert [(plugin.name, plugin.state) for plugin in state.plugins] == [("absent", "skipped")]
    assert caplog.text.count("skipped, as it is not required") == 1


def test_a_cache_has_the_plugins_that_its_own_configuration_names(shelf: Shelf) -> None:
    module = diary(shelf)
    with (
        predis.open(configuration("diary", name="one")),
        predis.open(configuration(name="two")) as plain,
    ):
        assert type(plain) is predis.Cache
        plain.get_many([1])
    assert "batch" not in kinds(module)


def test_two_caches_of_one_name(shelf: Shelf) -> None:
    diary(shelf)
    with (
        predis.open(configuration("diary")),
        pytest.raises(
            ConfigurationError, match=r"cache\.name: a cache 'default' is open already; close it"
        ),
    ):
        predis.open(configuration("diary"))


def test_differing_sections_of_one_plugin(shelf: Shelf) -> None:
    diary(shelf)
    other = configuration("diary", name="two")
    with predis.open(configuration("diary", name="one")):
        for section in ({"word": "bye"}, {"word": "bye", "required": False}):
            other["plugins"]["diary"] = section
            with pytest.raises(ConfigurationError, match=r"plugins\.diary: differs from the sec"):
                predis.open(other)
        other["plugins"]["diary"] = {"required": False}
        with predis.open(other):
            pass


def test_differing_sections_of_the_host(shelf: Shelf) -> None:
    diary(shelf)
    with predis.open(configuration("diary", name="one") | {"host": {"deadline": "3s"}}):
        with predis.open(configuration("diary", name="two")):
            pass
        with pytest.raises(ConfigurationError, match="host: differs from the section"):
            predis.open(configuration("diary", name="two") | {"host": {"deadline": "4s"}})


def test_a_cache_that_cannot_be_built_leaves_nothing_open(shelf: Shelf) -> None:
    module = diary(shelf)
    with pytest.raises(ConfigurationError, match=r"cache\.policy"):
        predis.open(configuration("diary", policy="nope"))
    assert host.status() is None
    assert kinds(module) == ["close"]


@pytest.mark.watches_lifetime
def test_a_cache_that_nobody_holds_is_let_go(shelf: Shelf) -> None:
    module = diary(shelf)
    cache = predis.open(configuration("diary"))
    cache.set_many([1], ["a"])
    del cache
    gc.collect()
    wait_until(lambda: host.status() is None)
    wait_until(lambda: "close" in kinds(module))
    assert ("closing", "default", "collected", None) in module.DIARY


@pytest.mark.watches_lifetime
def test_the_name_of_a_cache_that_nobody_holds_is_free_at_once(shelf: Shelf) -> None:
    module = diary(shelf)
    cache = predis.open(configuration("diary"))
    del cache
    gc.collect()
    with predis.open(configuration("diary")) as again:
        again.get_many([1])
    assert [entry[2] for entry in module.DIARY if entry[0] == "closing"] == [
        "collected",
        "closed",
    ]


def test_no_thread_stays_behind(shelf: Shelf, begun: Callable[[], list[str]]) -> None:
    diary(shelf)
    with predis.open(configuration("diary")):
        assert begun() == ["predis-diary", "predis-drains", "predis-host"]
    wait_until(lambda: not begun())


def test_many_threads_open_use_and_close(shelf: Shelf, crew: Crew) -> None:
    module = diary(shelf)

    def work(number: int) -> None:
        for turn in range(5):
            with predis.open(configuration("diary", name=f"c{number}-{turn}")) as cache:
                cache.set_many([1, 2], ["a", "b"])
                assert cache.get_many([2])[0] == ["b"]

    crew.run(*(lambda number=number: work(number) for number in range(4)))
    assert kinds(module).count("opened") == kinds(module).count("closing") == 20
    assert host.status() is None


# ---------------------------------------------------------------------- events


def test_a_plugin_hears_the_events_of_others_and_not_its_own(shelf: Shelf) -> None:
    code = """
    HEARD = []
    VIEWS = []

    class Plugin:
        def __init__(self, options): ...

        @hookimpl
        def predis_cache_opened(self, cache):
            VIEWS.append(cache)

        @hookimpl
        def predis_event(self, cache, event):
            HEARD.append((cache.name, event))
    """
    one, two = (shelf.module(shelf.put(name, code)) for name in ("one", "two"))
    with predis.open(configuration("one", "two")):
        event = Event(kind="drift.noticed", message="It drifts.", data={"by": 3})
        one.VIEWS[0].emit(event)
        wait_until(lambda: bool(two.HEARD))
        ((cache, heard),) = two.HEARD
        assert one.HEARD == []
    assert cache == "default"
    assert (heard.kind, heard.message, heard.data) == ("drift.noticed", "It drifts.", {"by": 3})
    assert (heard.source, heard.cache) == ("one", "default")
    assert abs(heard.time / 1e9 - predis.Clock().wall() / 1e9) < 60


def test_events_that_nobody_takes_are_dropped_and_counted(shelf: Shelf) -> None:
    module = shelf.module(
        shelf.put(
            "slow",
            """
            RELEASE = threading.Event()
            VIEWS = []

            class Plugin:
                def __init__(self, options): ...

                @hookimpl
                def predis_cache_opened(self, cache):
                    VIEWS.append(cache)

                @hookimpl
                def predis_event(self, event):
                    RELEASE.wait()
            """,
        )
    )
    loud = shelf.module(
        shelf.put(
            "loud",
            """
            VIEWS = []

            class Plugin:
                def __init__(self, options): ...

                @hookimpl
                def predis_cache_opened(self, cache):
                    VIEWS.append(cache)
            """,
        )
    )
    event = Event(kind="noise", message="Noise.")

    def dropped() -> Any:
        samples = module.VIEWS[0].snapshot().samples
        return next(s.value for s in samples if s.metric.name == "predis.host.events_dropped")

    with predis.open(configuration("slow", "loud")):
        for _ in range(3_000):
            loud.VIEWS[0].emit(event)
        wait_until(lambda: dropped() >= 1_000)
        module.RELEASE.set()


# ---------------------------------------------------------------------- processes


def in_a_process(shelf: Shelf, script: str) -> str:
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(script)],
        cwd=shelf.folder,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    return result.stdout


EXIT = """
import predis_core as predis
import {module} as module

cache = predis.open({{"cache": {{"capacity": 100}}, "plugins": {{"diary": {{}}}}}})
cache.set_many([1], ["a"])
class Print(list):
    def append(self, entry):
        print(entry[0], entry[2] if entry[0] == "closing" else "")
module.DIARY = Print()
"""


def test_caches_that_are_open_at_the_end_of_the_process_are_taken_leave_of(shelf: Shelf) -> None:
    module = shelf.put("diary", DIARY, spec="config=Options")
    told = in_a_process(shelf, EXIT.format(module=module))
    assert [line.split() for line in told.splitlines()] == [
        ["export"],
        ["closing", "exit"],
        ["close"],
    ]


STARTER = """
    import atexit
    from predis_core.plugin import hookimpl

    class Plugin:
        def __init__(self, options):
            atexit.register(print, "what it started ends")

        @hookimpl
        def predis_cache_closing(self, reason):
            print(reason)
"""


def test_they_close_before_what_their_plugins_started_ends(shelf: Shelf) -> None:
    shelf.put("starter", STARTER)
    script = """
        import predis_core as predis
        cache = predis.open({"cache": {"capacity": 100}, "plugins": {"starter": {}}})
    """
    assert in_a_process(shelf, script).splitlines() == ["exit", "what it started ends"]


FORK = """
import os, warnings
import predis_core as predis
import {module}

warnings.simplefilter("ignore", DeprecationWarning)
given = {{"cache": {{"capacity": 100}}, "plugins": {{"diary": {{}}}}}}
cache = predis.open(given)
child = os.fork()
if child == 0:
    try:
        cache.get_many([1])
    except predis.errors.ForkedCache:
        cache.close()
        with predis.open(given) as own:
            own.set_many([1], ["a"])
            assert own.get_many([1])[0] == ["a"]
        print("child works", flush=True)
    os._exit(0)
os.waitpid(child, 0)
cache.set_many([1], ["a"])
cache.close()
print("parent works")
"""


def test_a_forked_child_begins_anew(shelf: Shelf) -> None:
    module = shelf.put("diary", DIARY, spec="config=Options")
    assert in_a_process(shelf, FORK.format(module=module)) == "child works\nparent works\n"


def test_only_plugins_that_are_named_are_imported(shelf: Shelf) -> None:
    shelf.put("bomb", "raise AssertionError('imported')")
    diary(shelf)
    with predis.open(configuration("diary")):
        pass
