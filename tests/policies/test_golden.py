"""Exact miss counts of the shipped policies: they change only if a policy or the layout does.

The streams are made with integers only, so the counts are the same on every machine.
"""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
import pytest

from predis_core import policies
from predis_core.table import Counter, Layout, open_table
from predis_core.table.keys import mix, spread_seed
from tests.support import streams
from tests.support.set_models import MODELS, SetModel, one_set, sets_of

STREAMS = {
    "zipf": lambda: streams.zipf(60_000, 9_000, 1),
    "loop": lambda: np.concatenate(
        [streams.loop(30_000, 1_100, 2), streams.zipf(30_000, 3_000, 2)]
    ),
    "scans": lambda: streams.scans(60_000, 6_000, 3),
}
MISSES = {
    "zipf": {
        "arc": 16_461,
        "clock": 18_461,
        "density": 16_105,
        "fifo": 21_501,
        "gdsf": 17_050,
        "lfu": 17_049,
        "lirs": 16_603,
        "lru": 18_960,
        "s3fifo": 16_313,
        "sieve": 16_346,
        "slru": 16_477,
        "wtinylfu": 16_659,
    },
    "loop": {
        "arc": 28_935,
        "clock": 29_283,
        "density": 28_627,
        "fifo": 30_556,
        "gdsf": 21_602,
        "lfu": 21_487,
        "lirs": 12_943,
        "lru": 29_474,
        "s3fifo": 14_985,
        "sieve": 28_756,
        "slru": 28_867,
        "wtinylfu": 17_535,
    },
    "scans": {
        "arc": 25_303,
        "clock": 28_360,
        "density": 25_575,
        "fifo": 29_314,
        "gdsf": 27_095,
        "lfu": 27_083,
        "lirs": 25_243,
        "lru": 28_442,
        "s3fifo": 25_205,
        "sieve": 25_289,
        "slru": 25_418,
        "wtinylfu": 26_160,
    },
}
ENTRIES = 1_000  # 36 sets of 27 or 28 ways
SEED = 1


def test_the_streams_are_what_they_were() -> None:
    assert {name: int(make()[::1000].sum()) for name, make in STREAMS.items()} == {
        "zipf": 45_250,
        "loop": 30_401,
        "scans": 648_356,
    }


@pytest.mark.parametrize("policy", policies.names())
@pytest.mark.parametrize("stream", STREAMS)
def test_misses(stream: str, policy: str) -> None:
    table = open_table(ENTRIES, policy, SEED)
    hits = table.replay(STREAMS[stream]())
    counters = table.counters()
    misses = int((~hits).sum())
    assert (counters[Counter.MISSES], counters[Counter.INSERTIONS]) == (misses, misses)
    assert misses == MISSES[stream][policy]


@pytest.mark.parametrize("policy", policies.names())
def test_the_models_miss_as_often(policy: str) -> None:
    """A model for each of the sets: the counts do not rest on the kernels alone."""
    (region,) = Layout.build(ENTRIES).regions
    seed = spread_seed(SEED)
    sets = [MODELS[policy](place) for place in sets_of(region, seed)]
    requests = [
        (key, sets[region.home(mix(key, seed)).number]) for key in STREAMS["scans"]().tolist()
    ]
    assert requests_missed(requests) == MISSES["scans"][policy]


def requests_missed(requests: list[tuple[int, SetModel]]) -> int:
    """Get, then insert if absent, at the ticks of batches of one."""
    misses = tick = 0
    for key, model in requests:
        tick += 1
        if not model.get(key, tick - 1):
            model.insert(key, tick)
            misses += 1
            tick += 1
    return misses


@pytest.mark.parametrize("entries", [1, 2, 7, 27, 28])
@pytest.mark.parametrize("policy", ["fifo", "lru"])
def test_one_set_is_fully_associative(policy: str, entries: int) -> None:
    requests = streams.mix(8_000, 60, entries)
    cached: OrderedDict[int, None] = OrderedDict()
    expected = []
    for key in requests.tolist():
        expected.append(key in cached)
        if key not in cached:
            if len(cached) == entries:
                cached.popitem(last=False)
            cached[key] = None
        elif policy == "lru":
            cached.move_to_end(key)
    assert open_table(entries, policy).replay(requests).tolist() == expected


@pytest.mark.parametrize("entries", [1, 10, 28])
@pytest.mark.parametrize("policy", policies.names())
def test_one_set_does_as_its_model(policy: str, entries: int) -> None:
    """The kernel that replays traces, against the queues of the papers."""
    requests = streams.mix(8_000, 60, entries)
    model = MODELS[policy](one_set(entries, spread_seed(0)))
    misses = requests_missed([(key, model) for key in requests.tolist()])
    table = open_table(entries, policy, seed=0)
    assert (~table.replay(requests)).sum() == misses
    assert sorted(model.seats) == sorted(table.export(0).keys.words.tolist())
