"""The plugin in a cache, live, and its prefetchers at an engine, inline."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import predis_core as predis
from predis_core.errors import ConfigurationError
from predis_core.prefetching import PrefetchingCache
from predis_prefetch.association import Association
from predis_prefetch.config import AssociationConfig, ReadaheadConfig
from predis_prefetch.readahead import Readahead
from tests.support.crew import wait_until
from tests.support.prefetchers import Driven

ACCESSES = 5_000


def load(keys: Any) -> dict[Any, Any]:
    return {key: len(str(key)) for key in (keys.tolist() if hasattr(keys, "tolist") else keys)}


def opened(cache: dict[str, Any] | None = None, **section: Any) -> PrefetchingCache[Any, Any]:
    """Open a cache of int64 rows with the plugin."""
    found = predis.open(
        {
            "cache": {
                "capacity": 10_000,
                "policy": "fifo",
                "device": "cpu",
                "value": {"kind": "rows", "dtype": "int64"},
                **(cache or {}),
            },
            "plugins": {"prefetch": section},
        },
        loader=load,
    )
    assert isinstance(found, PrefetchingCache)
    return found


def ask(cache: PrefetchingCache[Any, Any], keys: Any) -> None:
    """Ask for keys one by one, and wait until the prefetchers have heard of them."""
    followed = cache._prefetched.engine.ledger
    before = followed.accesses
    for key in keys:
        cache.get_or_load(key)
    wait_until(lambda: followed.accesses == before + len(keys))


def names(cache: Any) -> list[str]:
    return [stats.prefetcher for stats in cache.prefetch_stats()]


def test_a_scan_is_loaded_ahead() -> None:
    with opened() as cache:
        for key in range(0, 30, 10):
            cache.get_or_load(key)
        wait_until(lambda: 30 in cache)
        for key in range(30, 1_000, 10):
            cache.get_or_load(key)
            wait_until(lambda key=key: key + 10 in cache)
        wait_until(lambda: cache.prefetch_stats()[1].used > 60)
        assert cache.stats().loads < 30


def test_what_follows_what_is_loaded_ahead() -> None:
    random = np.random.default_rng(1)
    objects = random.permutation(100_000)[:200].reshape(20, 10).tolist()
    with opened({"capacity": 1_000}, prefetchers=["association"]) as cache:
        for _ in range(3):
            for keys in objects:
                ask(cache, keys)
            # Of which none is asked for again, and so what was there leaves.
            ask(cache, random.integers(1 << 30, 1 << 40, 2_000).tolist())
        assert objects[0][0] not in cache
        ask(cache, objects[0][:1])
        wait_until(lambda: objects[0][1] in cache)


@pytest.mark.parametrize("kind", ["str", "bytes", "any"])
def test_keys_of_any_kind_are_loaded_as_they_are(kind: str) -> None:
    made = {"str": str, "bytes": lambda n: str(n).encode(), "any": lambda n: ("key", n)}[kind]
    section = {"capacity": 600, "policy": "fifo", "keys": kind, "value": {"kind": "objects"}}
    with opened(section) as cache:
        assert names(cache) == ["association"]
        noise = iter(range(1_000, 1_000_000))
        for _ in range(3):
            ask(cache, [made(number) for number in range(10)])
            ask(cache, [made(next(noise)) for _ in range(1_500)])
        assert made(1) not in cache
        cache.get_or_load(made(0))
        wait_until(lambda: made(1) in cache)
        assert cache[made(1)] == load([made(1)])[made(1)]


def test_each_namespace_learns_by_itself() -> None:
    with opened({"namespaces": {"a": {}, "b": {}}}, prefetchers=["readahead"]) as cache:
        one, other = cache.namespace("a"), cache.namespace("b")
        for key in range(0, 300, 100):
            one.get_or_load(key)
        for key in (5, 800, 17, 6_000):
            other.get_or_load(key)
        wait_until(lambda: 300 in one)
        assert [stats.loads for stats in other.prefetch_stats()] == [0]
        assert 300 not in cache


def test_prefetchers_are_those_of_the_section() -> None:
    with opened() as cache:
        assert names(cache) == ["association", "readahead"]
    with opened(prefetchers=["readahead"]) as cache:
        assert names(cache) == ["readahead"]
    with predis.open(
        {"cache": {"capacity": 10, "policy": "fifo"}, "plugins": {"prefetch": {"prefetchers": []}}}
    ) as plain:
        assert not isinstance(plain, PrefetchingCache)


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"prefetchers": ["psychic"]}, "plugins.prefetch.prefetchers"),
        ({"association": {"memory": "1KiB"}}, "memory: expected at least 4KiB, got 1KiB"),
        ({"association": {"confidence": 1}}, "plugins.prefetch.association.confidence"),
        ({"readahead": {"streams": 0}}, "plugins.prefetch.readahead.streams"),
        ({"readahead": {"windw": 1}}, "did you mean 'window'"),
    ],
)
def test_what_is_wrong_in_the_section_is_named(section: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        opened(**section)


def hostile(length: int) -> Any:
    """Return a stream in which scans and pairs begin, and never go on."""
    random = np.random.default_rng(5)
    starts = random.integers(0, 1 << 40, length // 4) * 1_000
    scans = starts[:, None] + np.arange(3)
    leads = random.integers(0, 50, length // 4) - 1_000  # each is followed by something new
    return np.concatenate([scans, leads[:, None]], axis=1).ravel()


STREAMS = {
    "once": np.random.default_rng(1).permutation(ACCESSES) * 3,
    "random": np.random.default_rng(2).integers(0, 8_000, ACCESSES),
    "hostile": hostile(ACCESSES),
}


@pytest.mark.parametrize("stream", STREAMS)
def test_what_cannot_be_foretold_wastes_little_and_a_scan_that_follows_is_loaded(
    stream: str,
) -> None:
    driven = Driven([Association(AssociationConfig()), Readahead(ReadaheadConfig())])
    missed = driven.run(STREAMS[stream])
    plain = Driven([]).run(STREAMS[stream])
    assert missed <= 1.01 * plain
    assert driven.inline.fetched < 200
    scan = np.arange(1 << 45, (1 << 45) + 1_500)
    assert driven.run(scan) < 500
    driven.cache.check_invariants()
