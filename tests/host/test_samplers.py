"""Samplers: what they are given, how much of it, and what happens if they do not keep up."""

from __future__ import annotations

import asyncio
import gc
import re
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import predis_core as predis
from predis_core import host, showing
from predis_core.host import attachment, sampling
from predis_core.host.guard import Guard
from predis_core.host.sampling import NEVER, BatchStream, Draw, Drawn, Wish
from predis_core.hosted import HostedCache, MeasuredSampledCache, SampledCache
from predis_core.plugin import SAMPLE_INTERVAL, SAMPLE_RATE, BatchSample, KeySample, Sampler
from predis_core.table.cpu import CpuTable
from predis_core.table.interface import Keys
from predis_core.table.keys import mix, sample_bits, spread_seed
from tests.support.crew import PATIENCE, Crew, wait_until
from tests.support.shelf import Shelf

SAMPLING = """
GOT = []
HEARD = []
VIEWS = []
CACHES = []
RELEASE = threading.Event()

class Taker:
    stream = "{stream}"
    rate = {rate}
    interval = {interval}

    def on_sample(self, sample):
        GOT.append(sample)
        {body}

class Plugin:
    def __init__(self, options): ...

    @hookimpl
    def predis_samplers(self, cache):
        VIEWS.append(cache)
        return [Taker()]

    @hookimpl
    def predis_event(self, event):
        HEARD.append(event)

    @hookimpl
    def predis_cache_closing(self, cache):
        GOT.append("closing")
"""


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache that closes waits for its last drain, however slow the machine is."""
    monkeypatch.setattr(attachment, "_PATIENCE", PATIENCE)


def taker(
    shelf: Shelf,
    name: str = "taker",
    *,
    stream: str = "batches",
    rate: float = 1.0,
    interval: float = 3600.0,
    body: str = "pass",
) -> Any:
    code = SAMPLING.format(stream=stream, rate=rate, interval=interval, body=body)
    return shelf.module(shelf.put(name, code))


def configuration(*plugins: str, keys: str = "int64", **host_section: Any) -> dict[str, Any]:
    return {
        "host": {"deadline": PATIENCE} | host_section,
        "cache": {"capacity": 100, "keys": keys, "seed": 7},
        "plugins": {name: {} for name in plugins},
    }


def told(samples: list[Any]) -> list[tuple[str, list[Any], list[bool]]]:
    batches = [each for each in samples if isinstance(each, BatchSample)]
    return [(each.operation, list(each.keys), each.found.tolist()) for each in batches]


def metric(module: Any, name: str) -> Any:
    snapshot = module.VIEWS[0].snapshot()
    return {s.metric.name: s.value for s in snapshot.samples}[name]


# ---------------------------------------------------------------------- whole batches


@pytest.mark.parametrize("others", [(), ("watch",)], ids=["alone", "with an observer"])
def test_predis_samplers_are_given_batches_of_every_verb_whole(
    shelf: Shelf, others: tuple[str, ...]
) -> None:
    module = taker(shelf)
    shelf.put(
        "watch",
        """
        class Observer:
            def on_batch(self, stats): ...

        class Plugin:
            def __init__(self, options): ...

            @hookimpl
            def predis_observers(self):
                return [Observer()]
        """,
    )
    begin = predis.Clock().wall()
    with predis.open(configuration("taker", *others, keys="any")) as cache:
        assert type(cache) is (MeasuredSampledCache if others else SampledCache)
        cache.set_many(["a", "b"], [1, 2])
        cache.set_many(["b"], [3], return_evicted=True)
        assert cache.get_many(iter(["a", "c"]))[0] == [1, None]
        assert cache.get("b") == 3
        assert cache.contains_many(iter([0, "a"])).tolist() == [False, True]
        assert cache.touch_many(["a"]).all()
        assert cache.get_or_load_many(["a", "d"], lambda ids: [4] * len(ids)) == [1, 4]
        assert cache.pop("a") == 1
        assert cache.delete_many(["a", "d"]).tolist() == [False, True]
        assert module.GOT == []
    assert module.GOT.pop() == "closing"
    assert told(module.GOT) == [
        ("set", ["a", "b"], [True, True]),
        ("set", ["b"], [True]),
        ("get", ["a", "c"], [True, False]),
        ("get", ["b"], [True]),
        ("contains", [0, "a"], [False, True]),
        ("touch", ["a"], [True]),
        ("load", ["a", "d"], [True, False]),
        ("delete", ["a"], [True]),
        ("delete", ["a", "d"], [False, True]),
    ]
    assert {each.cache for each in module.GOT} == {"default"}
    times = [each.time for each in module.GOT]
    times = [begin, *times, predis.Clock().wall()]
    assert times == sorted(times)


def test_samplers_are_given_awaited_batches(shelf: Shelf) -> None:
    module = taker(shelf)

    async def use(cache: Any) -> None:
        await cache.aset_many([1, 2], ["a", "b"])
        await cache.aget_many([1, 9])
        await cache.aget_or_load_many([1, 8], lambda ids: ["x"] * len(ids))

    with predis.open(configuration("taker")) as cache:
        asyncio.run(use(cache))
    assert told(module.GOT) == [
        ("set", [1, 2], [True, True]),
        ("get", [1, 9], [True, False]),
        ("load", [1, 8], [True, False]),
    ]


def test_what_a_sampler_gets_is_nobody_elses(shelf: Shelf) -> None:
    module = taker(shelf)
    with predis.open(configuration("taker")) as cache:
        keys = np.array([1, 2, 3])
        _, hit = cache.get_many(keys)
        keys[:], hit[:] = 0, True
    (sample,) = module.GOT[:-1]
    assert (sample.keys.tolist(), sample.found.tolist()) == ([1, 2, 3], [False] * 3)
    for array in (sample.keys, sample.found):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 7


def test_a_batch_that_raises_is_not_sampled(shelf: Shelf) -> None:
    module = taker(shelf)
    with predis.open(configuration("taker")) as cache:
        with pytest.raises(predis.errors.KeyKindError):
            cache.get_many(["a"])
        with pytest.raises(predis.errors.LoaderError):
            cache.get_or_load_many([1], lambda ids: [])
    assert module.GOT == ["closing"]


def test_samples_come_every_interval_in_the_plugins_own_thread(
    shelf: Shelf, begun: Callable[[], list[str]]
) -> None:
    module = taker(shelf, interval=0.02, body="GOT.append(threading.current_thread().name)")
    with predis.open(configuration("taker")) as cache:
        cache.get_many([1])
        wait_until(lambda: len(module.GOT) == 2)
        cache.get_many([2, 3])
        wait_until(lambda: len(module.GOT) == 4)
        assert module.GOT[1::2] == ["predis-taker"] * 2
        assert begun() == ["predis-drains", "predis-host", "predis-taker"]
        # What a sampler was handed is counted when it has returned.
        wait_until(lambda: metric(module, "predis.sampler.events") == 3)
        assert metric(module, "predis.sampler.dropped") == 0
    wait_until(lambda: not begun())


def test_many_samples_have_several_turns(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BatchStream.deliver, "__defaults__", (2,))
    module = taker(shelf, interval=0.02)
    with predis.open(configuration("taker")) as cache:
        for key in range(9):
            cache.get_many([key])
        wait_until(lambda: len(module.GOT) == 9)
    assert [keys for _, keys, _ in told(module.GOT)] == [[key] for key in range(9)]


def test_a_sampler_may_close_the_cache(shelf: Shelf, begun: Callable[[], list[str]]) -> None:
    body = "RELEASE.wait() and CACHES and CACHES.pop().close()"
    module = taker(shelf, interval=0.01, body=body)
    cache = predis.open(configuration("taker"))
    for key in range(3):
        cache.get_many([key])
    module.CACHES.append(cache)
    module.RELEASE.set()
    wait_until(lambda: host.status() is None)
    assert told(module.GOT) == [("get", [key], [False]) for key in range(3)]
    wait_until(lambda: not begun())  # the sampler's thread may not be through with its `close()`


def test_threads_lose_nothing_at_rate_one(shelf: Shelf, crew: Crew) -> None:
    module = taker(shelf, interval=0.01)
    with predis.open(configuration("taker")) as cache:

        def work(number: int) -> None:
            for turn in range(500):
                cache.get_many([1_000 * number + turn])

        crew.run(*(lambda number=number: work(number) for number in range(4)))
    keys = sorted(key for _, (key,), _ in told(module.GOT))
    assert keys == [1_000 * number + turn for number in range(4) for turn in range(500)]


def test_each_sampler_has_its_own_rate_and_shares_what_both_want(shelf: Shelf) -> None:
    every, some = taker(shelf, "every"), taker(shelf, "some", rate=0.2)
    with predis.open(configuration("every", "some")) as cache:
        for key in range(500):
            cache.get_many([key])
    assert len(told(every.GOT)) == 500
    assert 50 <= len(told(some.GOT)) <= 160
    keys = {id(each.keys) for each in every.GOT[:-1]}
    assert all(id(each.keys) in keys for each in some.GOT[:-1])


def stream(rate: float, function: Any = lambda sample: None) -> BatchStream:
    worker: Any = None  # nothing is handed over
    return BatchStream("c", Guard("plugin", "sampler", function), Wish("", rate, 1.0), worker)


@pytest.mark.parametrize("rate", [1.0, 0.5, 1 / 8, 1e-3])
def test_every_batch_has_the_same_chance_whatever_the_period_of_the_work(rate: float) -> None:
    draw, period, batches = Draw([stream(rate)]), 8, 80_000
    taken = np.zeros(period)
    keys = Keys(np.array([1]))
    for _ in range(batches):
        number = next(draw.numbers)
        if number >= draw.due:
            waiting = draw._streams[0]._waiting
            before = len(waiting)
            draw.note(number, "get", 0, keys)(np.array([True]))
            taken[number % period] += len(waiting) - before
    expected = rate * batches / period
    deviation = (expected * (1 - rate)) ** 0.5
    assert np.all(np.abs(taken - expected) <= 6 * deviation)


def test_a_rate_may_be_as_low_as_one_likes() -> None:
    assert 0 < stream(5e-324).due < NEVER


def test_nobody_wants_anything_and_no_batch_is_due() -> None:
    assert Draw().due == NEVER


def test_a_finaliser_may_use_the_cache_while_its_thread_holds_the_locks(shelf: Shelf) -> None:
    module = taker(shelf)
    with predis.open(configuration("taker")) as cache:
        draw: Draw = cache._draw  # type: ignore[attr-defined]
        with draw._lock, draw._streams[0]._lock:
            cache.get_many([1])
    assert told(module.GOT) == [("get", [1], [False])]


# ---------------------------------------------------------------------- without samplers


def test_a_sampler_of_keys_leaves_every_batch_as_it_was(shelf: Shelf, notes: Notes) -> None:
    taker(shelf, stream="keys")
    with predis.open(configuration("taker")) as cache:
        assert type(cache) is HostedCache


def test_a_sampled_lookup_does_what_a_plain_one_does(shelf: Shelf) -> None:
    taker(shelf, rate=0.5)
    rows = {"capacity": 100, "seed": 7, "value": {"kind": "rows", "dtype": "int64", "shape": [2]}}
    plain = predis.open({"cache": rows})
    with predis.open(configuration("taker") | {"cache": rows}) as sampled:
        random = np.random.default_rng(0)
        for _ in range(300):
            keys = random.integers(0, 200, 10)
            values = np.repeat(keys[:, None], 2, axis=1)
            out, other = np.full((10, 2), -1), np.full((10, 2), -1)
            for cache, target in ((plain, out), (sampled, other)):
                assert cache.get_many(keys, out=target)[0] is target
                cache.set_many(keys, values)
            assert (out == other).all()
            mine, theirs = plain.get_many(keys + 1), sampled.get_many(keys + 1)
            assert (mine[0] == theirs[0]).all()
            assert (mine[1] == theirs[1]).all()
        assert plain.stats() == sampled.stats()


# ---------------------------------------------------------------------- too much, and too bad


def test_what_does_not_fit_is_dropped_and_counted(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sampling, "EVENTS", 10)
    module = taker(shelf)
    with predis.open(configuration("taker")) as cache:
        for first in range(0, 16, 4):
            cache.get_many(range(first, first + 4))
        cache.get_many([20, 21])
        assert metric(module, "predis.sampler.dropped") == 8
        state = host.status()
        assert state is not None
        assert (state.plugins[0].sampled, state.plugins[0].dropped) == (0, 8)
        text = showing.processes([state], [], shelf.folder)
        assert re.search(r"SAMPLED \(DROPPED\)\n.* 0 \(8\)$", text, re.MULTILINE)
    assert [keys for _, keys, _ in told(module.GOT)] == [[0, 1, 2, 3], [4, 5, 6, 7], [20, 21]]


def test_there_is_room_again_when_samples_were_handed_over(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sampling, "EVENTS", 3)
    module = taker(shelf, interval=0.01)
    with predis.open(configuration("taker")) as cache:
        for number in range(1, 6):
            cache.get_many([1, 2, 3])
            wait_until(lambda number=number: metric(module, "predis.sampler.events") == 3 * number)
        assert metric(module, "predis.sampler.dropped") == 0


def test_a_sampler_is_disabled_after_three_failures_and_nothing_more_is_drawn(
    shelf: Shelf,
) -> None:
    module = taker(shelf, interval=0.01, body="raise RuntimeError('sampler')")
    ear = taker(shelf, "ear", stream="batches", rate=1e-9)
    with predis.open(configuration("taker", "ear")) as cache:
        for _ in range(5):
            cache.get_many([1])
        wait_until(lambda: bool(ear.HEARD))
        (event,) = ear.HEARD
        assert event.kind == "plugin.disabled"
        assert event.message == (
            "sampler Taker of plugin 'taker' is disabled: RuntimeError: sampler"
        )
        assert len(module.GOT) == 3
        assert metric(module, "predis.sampler.events") == 0
        state = host.status()
        assert state is not None
        assert [plugin.state for plugin in state.plugins] == ["disabled", "healthy"]
        draw: Draw = cache._draw  # type: ignore[attr-defined]
        assert draw.due > 1_000
        assert cache.get_many([1])[1].tolist() == [False]
    assert module.GOT[3:] == ["closing"]


def test_a_sampler_that_hangs_holds_up_neither_batches_nor_other_samplers(shelf: Shelf) -> None:
    stuck = taker(shelf, "stuck", interval=0.01, body="RELEASE.wait()")
    well = taker(shelf, "well", interval=0.01)
    with predis.open(configuration("stuck", "well", deadline=0.1)) as cache:
        cache.get_many([0])
        wait_until(lambda: len(stuck.GOT) == 1)
        wait_until(lambda: _state("stuck") == "hung")
        for key in range(1, 20):
            assert cache.get_many([key])[1].tolist() == [False]
        wait_until(lambda: len(well.GOT) == 20)
        assert len(stuck.GOT) == 1
        stuck.RELEASE.set()
        wait_until(lambda: len(stuck.GOT) == 20)
        assert [keys for _, keys, _ in told(stuck.GOT)] == [[key] for key in range(20)]


def test_a_cache_closes_without_a_sampler_that_hangs(shelf: Shelf) -> None:
    module = taker(shelf, interval=0.01, body="RELEASE.wait()")
    cache = predis.open(configuration("taker", deadline=0.1))
    cache.get_many([0])
    wait_until(lambda: len(module.GOT) == 1)
    wait_until(lambda: _state("taker") == "hung")
    cache.close()
    assert host.status() is None
    module.RELEASE.set()
    wait_until(lambda: "predis-taker" not in {thread.name for thread in threading.enumerate()})


def _state(name: str) -> str:
    state = host.status()
    assert state is not None
    return next(plugin.state for plugin in state.plugins if plugin.name == name)


def test_strict_raises_at_close_what_a_sampler_raised(shelf: Shelf) -> None:
    taker(shelf, body="raise RuntimeError('in the background')")
    cache = predis.open(configuration("taker", strict=True))
    cache.get_many([1])
    with pytest.raises(RuntimeError, match="in the background"):
        cache.close()


@pytest.mark.parametrize(
    ("attributes", "error"),
    [
        ("", "TypeError: expected an object with on_sample(), got 'taker'"),
        ("stream = 'all'", "ValueError: stream: expected 'batches' or 'keys', got 'all'"),
        ("rate = 0", "ValueError: rate: expected a share above 0, at most 1, got 0"),
        ("rate = 1.5", "ValueError: rate: expected a share above 0, at most 1, got 1.5"),
        ("interval = 0.0", "ValueError: interval: expected seconds > 0, got 0.0"),
    ],
)
def test_a_sampler_that_does_not_fit_is_a_failure_of_its_plugin(
    shelf: Shelf, attributes: str, error: str
) -> None:
    shelf.put(
        "odd",
        f"""
        class Odd:
            {attributes}
            def on_sample(self, sample): ...

        class Plugin:
            def __init__(self, options): ...

            @hookimpl
            def predis_samplers(self):
                return [{"Odd()" if attributes else "'taker'"}]
        """,
    )
    with predis.open(configuration("odd")) as cache:
        assert type(cache) is HostedCache
        state = host.status()
        assert state is not None
        (function,) = state.plugins[0].functions
        assert function.last_error == error


def test_what_a_sampler_leaves_out_is_as_the_protocol_has_it() -> None:
    class Inheriting(Sampler):
        def on_sample(self, sample: Any) -> None: ...

    class Bare:
        def on_sample(self, sample: Any) -> None: ...

    default = ("batches", SAMPLE_RATE, SAMPLE_INTERVAL)
    assert default == ("batches", 1 / 1024, 1.0)
    assert sampling.wish_of(Inheriting()) == sampling.wish_of(Bare()) == default


# ---------------------------------------------------------------------- every lookup of some keys


class Notes:
    """What a table notes of the lookups of sampled keys; a test fills it."""

    def __init__(self) -> None:
        self.asked: list[tuple[float, int]] = []
        self.words: list[int] = []
        self.lost = 0

    def sample_keys(self, rate: float, capacity: int) -> None:
        self.asked.append((rate, capacity))

    def drain_sampled(self, since: int) -> tuple[Any, int, int]:
        until = len(self.words)  # once: the test may add some meanwhile
        words = np.array(self.words[since:until], np.int64)
        ticks = np.arange(since, until, dtype=np.int64)
        return (words, ticks, words % 2 == 0), until, self.lost


@pytest.fixture
def notes(monkeypatch: pytest.MonkeyPatch) -> Notes:
    found = Notes()
    for name in ("sample_keys", "drain_sampled"):
        monkeypatch.setattr(CpuTable, name, getattr(found, name), raising=False)
    return found


def test_samplers_of_keys_are_given_what_the_table_noted(shelf: Shelf, notes: Notes) -> None:
    module = taker(shelf, stream="keys", rate=0.25, interval=0.01)
    with predis.open(configuration("taker")):
        assert notes.asked == [(0.25, 1_000_000)]
        notes.words += [5, 6, 5]
        wait_until(lambda: len(module.GOT) == 1)
        notes.words.append(8)
        wait_until(lambda: metric(module, "predis.sampler.events") == 4)
    one, two, closing = module.GOT
    assert type(one) is KeySample
    assert (one.cache, one.rate) == ("default", 0.25)
    assert (one.words.tolist(), one.ticks.tolist()) == ([5, 6, 5], [0, 1, 2])
    assert one.hits.tolist() == [False, True, False]
    assert (two.words.tolist(), two.ticks.tolist()) == ([8], [3])
    assert closing == "closing"


def test_the_highest_rate_is_noted_and_a_lower_one_has_its_share_of_the_keys(
    shelf: Shelf, notes: Notes
) -> None:
    high = taker(shelf, "high", stream="keys", rate=0.5)
    low = taker(shelf, "low", stream="keys", rate=0.1)
    words = np.arange(20_000)
    with predis.open(configuration("high", "low")) as cache:
        assert notes.asked == [(0.5, 1_000_000)]
        bits = np.array([sample_bits(mix(int(word), spread_seed(cache._seed))) for word in words])
        notes.words += words[bits < 1 << 19].tolist()
        notes.lost = 100
    (everything, _), (some, _) = high.GOT, low.GOT
    assert everything.words.tolist() == notes.words
    limit = round(0.1 * 2**20)
    assert some.rate == limit / 2**20
    assert some.words.tolist() == words[bits < limit].tolist()
    assert (some.hits == (some.words % 2 == 0)).all()
    assert abs(len(some.words) / len(words) - 0.1) < 0.01


def test_what_was_overwritten_is_counted_in_the_share_of_the_rate(
    shelf: Shelf, notes: Notes
) -> None:
    high = taker(shelf, "high", stream="keys", rate=0.5, interval=0.01)
    low = taker(shelf, "low", stream="keys", rate=0.05, interval=0.01)
    with predis.open(configuration("high", "low")):

        def dropped() -> list[int]:
            samples = high.VIEWS[0].snapshot().samples
            return [s.value for s in samples if s.metric.name == "predis.sampler.dropped"]

        assert dropped() == [0, 0]
        notes.lost = 1_000
        wait_until(lambda: all(dropped()))
        notes.lost = 0
        most, least = dropped()
        assert most % 1_000 == least % 100 == 0
    assert low.GOT == high.GOT == ["closing"]


def test_nothing_is_noted_any_longer_when_no_sampler_of_keys_is_left(
    shelf: Shelf, notes: Notes
) -> None:
    body = "raise RuntimeError"
    module = taker(shelf, stream="keys", rate=0.5, interval=0.01, body=body)
    with predis.open(configuration("taker")):
        for number in range(1, 4):
            notes.words.append(number)
            wait_until(lambda number=number: len(module.GOT) == number)
        wait_until(lambda: len(notes.asked) == 2)
        assert notes.asked == [(0.5, 1_000_000), (0.0, 1_000_000)]


def test_the_lowest_rate_of_keys_is_one_in_a_million(shelf: Shelf, notes: Notes) -> None:
    taker(shelf, stream="keys", rate=1e-12)
    with predis.open(configuration("taker")):
        assert notes.asked == [(2**-20, 1_000_000)]


@pytest.mark.watches_lifetime
def test_samplers_do_not_keep_a_cache_alive(shelf: Shelf, notes: Notes) -> None:
    module = taker(shelf)
    taker(shelf, "keys", stream="keys", interval=0.01)
    cache = predis.open(configuration("taker", "keys"))
    cache.get_many([1, 2])
    del cache
    gc.collect()
    wait_until(lambda: host.status() is None)
    assert told(module.GOT) == [("get", [1, 2], [False, False])]


@pytest.mark.parametrize("kind", ["int64", "str"])
def test_a_table_notes_every_counted_lookup_of_sampled_keys(shelf: Shelf, kind: str) -> None:
    module = taker(shelf, stream="keys", rate=1.0)
    keys: list[Any] = [1, 2, 1] if kind == "int64" else ["1", "2", "1"]
    with predis.open(configuration("taker", keys=kind)) as cache:
        cache.set_many(keys[:1], [0])
        cache.get_many(keys)
        cache.get_or_load_many(keys[1:2], lambda ids: [0] * len(ids))
        cache.contains_many(keys)
        cache.touch_many(keys)
        cache.get_many(keys[1:2])
        words = cache._encode([*keys, keys[1], keys[1]]).words.tolist()
    samples = module.GOT[:-1]
    assert np.concatenate([each.words for each in samples]).tolist() == words
    hits = np.concatenate([each.hits for each in samples]).tolist()
    assert hits == [True, False, True, False, True]


def test_a_drawn_batch_counts_each_of_its_keys() -> None:
    waiting = stream(1.0)
    keys = Keys(np.arange(600_000))
    for _ in range(2):
        waiting.put(Drawn("get", 0, keys, np.ones(600_000, bool)))
    assert waiting.dropped == 600_000
