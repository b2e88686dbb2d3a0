"""A real Prometheus scrapes a cache, and knows what the cache knows."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import predis_core as predis
from predis_core import telemetry
from predis_prometheus.names import spelling_of

Eventually = Callable[[Callable[[], Any]], Any]


def opened(name: str, **section: Any) -> predis.Cache[Any, Any]:
    value = {"kind": "rows", "dtype": "int64"}
    cache = {"name": name, "capacity": 2_000, "value": value}
    return predis.open({"cache": cache, "plugins": {"prometheus": section}})


def traffic(*caches: predis.Cache[Any, Any], seconds: float) -> None:
    """Use caches while they are scraped, for so long and until entries were evicted."""
    generator = np.random.default_rng(7)
    end = time.monotonic() + seconds
    while time.monotonic() < end or not all(cache.stats().evictions for cache in caches):
        for cache in caches:
            keys = generator.integers(0, 5_000, 500)
            cache.get_or_load_many(keys, lambda ids: ids)
            cache.get_many(keys)
            cache.set_many(keys[:10], keys[:10])
            cache.delete_many(keys[:3])


def wanted_of(*caches: predis.Cache[Any, Any]) -> dict[tuple[str, str], float]:
    found = {}
    for cache in caches:
        stats = cache.stats()
        for field, metric in (*telemetry.COUNTERS.items(), *telemetry.GAUGES.items()):
            suffix = "_total" if metric.kind == "counter" else ""
            found[spelling_of(metric).name + suffix, cache.name] = float(getattr(stats, field))
    return found


def test_prometheus_has_every_counter_of_two_caches_to_the_unit(
    scraping: Callable[..., Any], free_port: int, eventually: Eventually
) -> None:
    with opened("one", port=free_port) as one, opened("two", port=free_port) as two:
        server = scraping(free_port)
        traffic(one, two, seconds=3)
        wanted = wanted_of(one, two)
        assert wanted["predis_cache_evictions_total", "one"] > 0
        names = "|".join(sorted({name for name, _ in wanted}))

        eventually(lambda: server.query(f'{{__name__=~"{names}"}}') == wanted)

        def of_both(expression: str) -> dict[tuple[str, str], float]:
            # After a scrape that came too late there is nothing, until the next one.
            both = {("", "one"), ("", "two")}

            def look() -> dict[tuple[str, str], float] | None:
                found = server.query(expression)
                return found if found.keys() == both else None

            found: dict[tuple[str, str], float] = eventually(look)
            return found

        ratio = of_both(
            "predis_cache_hits_total / (predis_cache_hits_total + predis_cache_misses_total)"
        )
        for cache in (one, two):
            assert ratio["", cache.name] == pytest.approx(cache.stats().hit_ratio)
        quantiles = of_both(
            "histogram_quantile(0.99, sum by (cache, le) "
            "(predis_cache_batch_duration_seconds_bucket))"
        )
        assert all(0 < quantiles["", name] < 60 for name in ("one", "two"))


def test_prometheus_scrapes_through_tls_with_a_password(
    scraping: Callable[..., Any],
    certificates: Any,
    free_port: int,
    eventually: Eventually,
) -> None:
    section = {
        "port": free_port,
        "tls": {"cert": certificates.cert, "key": certificates.key},
        "basic_auth": {"user": "scraper", "password": "hunter2"},
    }
    how = (
        "scheme: https\n"
        "    basic_auth: {username: scraper, password: hunter2}\n"
        f"    tls_config: {{ca_file: {certificates.cert}}}"
    )
    with opened("safe", **section) as cache:
        server = scraping(free_port, how)
        traffic(cache, seconds=1)
        wanted = wanted_of(cache)
        names = "|".join(sorted({name for name, _ in wanted}))
        eventually(lambda: server.query(f'{{__name__=~"{names}"}}') == wanted)
        eventually(lambda: server.query('up{job="predis"}') == {("up", ""): 1.0})
