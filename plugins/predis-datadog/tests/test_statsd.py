"""npm's statsd, which takes DogStatsD's tags, gets what caches measured."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.datadog import counts_of, gauges_of, opened, traffic
from tests.support.statsd import Statsd, running_statsd

Eventually = Callable[[Callable[[], Any]], Any]


@pytest.fixture
def statsd(tmp_path: Path) -> Iterator[Statsd]:
    with running_statsd(tmp_path) as running:
        yield running


def test_statsd_has_every_counter_of_two_caches_to_the_unit(
    statsd: Statsd, eventually: Eventually
) -> None:
    where = {"address": "127.0.0.1", "port": statsd.port}
    # It knows neither events nor checks.
    section: dict[str, Any] = where | {"tags": ["env:test"], "service_check": False}
    # Few packets, for what a stalled receiver's buffer does not take is lost.
    section["interval"] = "1s"
    with opened("one", **section) as one, opened("two", **section) as two:
        for seed in range(5):
            traffic(one, seed)
            traffic(two, seed + 5)
        hits = "predis.cache.hits;cache={};env=test"
        eventually(lambda: hits.format("one") in statsd.values("counters"))
        eventually(lambda: hits.format("two") in statsd.values("counters"))
        traffic(one, 10)
        traffic(two, 11)
        stats = {"one": one.stats(), "two": two.stats()}
        assert stats["one"].evictions > 0
    for name, known in stats.items():
        counts = {f"{key};cache={name};env=test": v for key, v in counts_of(known).items()}
        gauges = {f"{key};cache={name};env=test": v for key, v in gauges_of(known).items()}

        def arrived(counts: dict[str, float] = counts, gauges: dict[str, float] = gauges) -> bool:
            found = statsd.values("counters")
            held = statsd.values("gauges")
            return {key: found.get(key) for key in counts} == counts and {
                key: held.get(key) for key in gauges
            } == gauges

        eventually(arrived)
        found = statsd.values("counters")
        tags = f"cache={name};operation=get;env=test"
        assert found[f"predis.cache.batch.duration.count;{tags}"] == 120
        # It adds a distribution up, as it does not know that kind: value by weight.
        total = found[f"predis.cache.batch.duration.sum;{tags}"]
        assert found[f"predis.cache.batch.duration;{tags}"] == pytest.approx(total)
    assert found["statsd.bad_lines_seen"] == 0
