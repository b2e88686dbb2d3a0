"""The plugin at work in caches that `open` made."""

from __future__ import annotations

import logging
import os
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import prometheus_client
import pytest
from prometheus_client import CollectorRegistry, Counter, generate_latest
from prometheus_client.parser import text_string_to_metric_families

import predis_core as predis
from predis_core import telemetry
from predis_core.config import decode_section, load
from predis_core.errors import CacheClosed, ConfigurationError, PluginError
from predis_core.plugin import Health, Sample, Secret, Snapshot
from predis_prometheus import BasicAuth, PrometheusConfig, Tls
from predis_prometheus.config import port_of
from predis_prometheus.names import spelling_of
from predis_prometheus.plugin import Prometheus

Fetch = Callable[..., Any]
ROWS = {"kind": "rows", "dtype": "int64"}


def opened(name: str = "main", **section: Any) -> predis.Cache[Any, Any]:
    cache = {"name": name, "capacity": 1_000, "value": ROWS}
    return predis.open({"cache": cache, "plugins": {"prometheus": section}})


def traffic(cache: predis.Cache[Any, Any], seed: int) -> None:
    """Do something of everything that is counted."""
    generator = np.random.default_rng(seed)
    for _ in range(20):
        keys = generator.integers(0, 5_000, 200)
        cache.get_or_load_many(keys, lambda ids: ids * 2)
        cache.set_many(keys[:50], keys[:50])
        cache.get_many(generator.integers(0, 5_000, 300))
        cache.delete_many(keys[:5])
        cache.contains_many(keys)
        cache.touch_many(keys)


def series(text: str) -> dict[tuple[str, str], float]:
    """Return the values by name and label `cache`, of series without further labels."""
    return {
        (sample.name, sample.labels["cache"]): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if set(sample.labels) == {"cache"}
    }


def assert_exact(text: str, *caches: predis.Cache[Any, Any]) -> None:
    """Every counter and gauge of `Stats` is exposed as it is."""
    found = series(text)
    for cache in caches:
        stats = cache.stats()
        for field, metric in (*telemetry.COUNTERS.items(), *telemetry.GAUGES.items()):
            suffix = "_total" if metric.kind == "counter" else ""
            name = spelling_of(metric).name + suffix
            assert found[name, cache.name] == getattr(stats, field), field


@pytest.fixture
def module() -> Iterator[types.ModuleType]:
    """A module of the user's program."""
    made = types.ModuleType("users_service")
    sys.modules[made.__name__] = made
    yield made
    del sys.modules[made.__name__]


# ---- what is exposed -----------------------------------------------------------------------------


def test_a_scrape_has_the_values_of_its_moment_to_the_unit(fetch: Fetch, free_port: int) -> None:
    with opened(port=free_port) as cache:
        for seed in range(3):
            traffic(cache, seed)
            text = fetch(f"http://127.0.0.1:{free_port}/metrics").text
            assert_exact(text, cache)
        stats = cache.stats()
        assert min(stats.hits, stats.misses, stats.evictions, stats.loads, stats.deletions) > 0


OF_OTHER_PLUGINS = (  # nobody observes, samples or prefetches, and there is no tier
    *telemetry.PREFETCHED.values(),
    telemetry.PREFETCH_FAILURES,
    telemetry.PREFETCH_DROPPED,
    *telemetry.OF_TIERS.values(),
    telemetry.OBSERVER_SECONDS,
    telemetry.SAMPLER_EVENTS,
    telemetry.SAMPLER_DROPPED,
)


def test_what_a_snapshot_holds_is_exposed_exactly_once(fetch: Fetch, free_port: int) -> None:
    with opened(port=free_port):
        text = fetch(f"http://127.0.0.1:{free_port}/metrics").text
    declared = [line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")]
    wanted = [
        spelling_of(metric).name + ("_total" if metric.kind == "counter" else "")
        for metric in telemetry.CATALOGUE
        if metric not in OF_OTHER_PLUGINS
    ]
    assert sorted(declared) == sorted(wanted)


def test_batches_are_timed(fetch: Fetch, free_port: int) -> None:
    with opened(port=free_port) as cache:
        for _ in range(7):
            cache.get_many(np.arange(10))
        text = fetch(f"http://127.0.0.1:{free_port}/metrics").text
    name = "predis_cache_batch_duration_seconds"
    assert f'{name}_count{{cache="main",operation="get"}} 7.0' in text
    assert f'{name}_count{{cache="main",operation="set"}} 0.0' in text
    assert f'{name}_bucket{{cache="main",le="+Inf",operation="get"}} 7.0' in text


def test_two_caches_are_two_series_of_one_family(fetch: Fetch, free_port: int) -> None:
    url = f"http://127.0.0.1:{free_port}/metrics"
    with opened("one", port=free_port) as one:
        with opened("two", port=free_port) as two:
            traffic(one, 1)
            traffic(two, 2)
            text = fetch(url).text
            assert_exact(text, one, two)
            assert text.count("# TYPE predis_cache_hits_total counter") == 1
        assert_exact(fetch(url).text, one)
        assert 'cache="two"' not in fetch(url).text


def test_one_metric_may_be_asked_for_by_name(fetch: Fetch, free_port: int) -> None:
    with opened(port=free_port) as cache:
        traffic(cache, 1)
        text = fetch(f"http://127.0.0.1:{free_port}/metrics?name[]=predis_cache_hits_total").text
        assert series(text) == {("predis_cache_hits_total", "main"): cache.stats().hits}


class FakeView:
    """A cache that answers with a snapshot, or an error."""

    def __init__(self, name: str, answer: Snapshot | Exception) -> None:
        self.name = name
        self._answer = answer

    def snapshot(self) -> Snapshot:
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer


def test_a_cache_that_closes_during_a_scrape_is_left_out(
    started: Callable[..., Prometheus], fetch: Fetch
) -> None:
    plugin = started()
    size = Sample(telemetry.GAUGES["size"], ("there",), 7)
    plugin.predis_cache_opened(FakeView("gone", CacheClosed("closed")))
    plugin.predis_cache_opened(FakeView("there", Snapshot("there", 0, (size,))))
    answer = fetch(plugin.url)
    assert answer.status == 200
    assert series(answer.text) == {("predis_cache_size", "there"): 7.0}


def test_a_scrape_that_fails_says_so_and_the_next_one_works(
    started: Callable[..., Prometheus], fetch: Fetch, caplog: pytest.LogCaptureFixture
) -> None:
    plugin = started()
    broken = FakeView("broken", RuntimeError("no way"))
    plugin.predis_cache_opened(broken)
    answer = fetch(plugin.url)
    assert (answer.status, answer.text) == (500, "RuntimeError; see the log\n")
    assert "a scrape failed" in caplog.messages
    plugin.predis_cache_closing(broken)
    assert fetch(plugin.url).status == 200


def test_health_tells_of_metrics_that_are_left_out(started: Callable[..., Prometheus]) -> None:
    plugin = started()
    assert plugin.predis_health() == Health()
    plugin._names.leave_out(telemetry.MEMORY, "for a test")
    told = "metrics left out: predis.cache.memory (for a test)"
    assert plugin.predis_health() == Health("degraded", told)


# ---- where it is served --------------------------------------------------------------------------


def test_the_port_is_logged(caplog: pytest.LogCaptureFixture, fetch: Fetch) -> None:
    with caplog.at_level(logging.INFO, "predis.prometheus"), opened(port=0) as cache:
        (message,) = [text for text in caplog.messages if "served" in text]
        prefix = "metrics are served at http://127.0.0.1:"
        assert message.startswith(prefix)
        assert_exact(fetch(message.removeprefix("metrics are served at ")).text, cache)


def test_a_busy_port_fails_the_opening_and_names_whose_port_it_is(
    started: Callable[..., Prometheus], free_port: int
) -> None:
    started(port=free_port)
    with pytest.raises(PluginError) as error:
        opened(port=free_port)
    assert str(error.value).startswith("plugin 'prometheus' (distribution predis-prometheus 0.1.0")
    assert f"port: {free_port} of 127.0.0.1 is in use already; give another port" in str(
        error.value
    )
    with opened(port=free_port, required=False) as cache:
        traffic(cache, 1)


def test_a_closed_cache_leaves_neither_thread_nor_port(
    free_port: int,
    threads: Callable[[], list[str]],
    eventually: Callable[[Callable[[], Any]], Any],
) -> None:
    with opened(port=free_port):
        assert "predis-prometheus-server" in threads()
    eventually(lambda: not threads())
    with opened(port=free_port):
        pass


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_does_not_hold_the_port(free_port: int) -> None:
    cache = opened(port=free_port)
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.read(read, 1)  # lives on until the parent has looked
        os._exit(0)
    try:
        cache.close()
        with opened(port=free_port):
            pass
    finally:
        os.write(write, b".")
        os.waitpid(child, 0)
        os.close(read)
        os.close(write)


# ---- in the user's own registry ------------------------------------------------------------------


def test_the_users_registry_holds_the_metrics_and_no_server_is_started(
    module: types.ModuleType, threads: Callable[[], list[str]]
) -> None:
    module.REGISTRY = CollectorRegistry()  # type: ignore[attr-defined]
    requests = Counter("requests", "Requests.", registry=module.REGISTRY)
    with opened(registry="users_service:REGISTRY") as cache:
        traffic(cache, 1)
        requests.inc(3)
        text = generate_latest(module.REGISTRY).decode()
        assert_exact(text, cache)
        assert "requests_total 3.0" in text
        assert "predis-prometheus-server" not in threads()
    assert "predis" not in generate_latest(module.REGISTRY).decode()


def test_the_default_registry_and_a_server_for_it(fetch: Fetch, free_port: int) -> None:
    with opened(registry="default", port=free_port) as cache:
        traffic(cache, 1)
        text = fetch(f"http://127.0.0.1:{free_port}/metrics").text
        assert_exact(text, cache)
        assert "python_info" in text
    assert "predis" not in generate_latest(prometheus_client.REGISTRY).decode()


@pytest.mark.parametrize(
    ("reference", "told"),
    [
        (
            "users_service",
            'registry: expected "module:attribute" or "default", got \'users_service\'',
        ),
        (
            "no_such_module:REGISTRY",
            "registry: cannot import 'no_such_module:REGISTRY': ModuleNotFoundError: No module "
            "named 'no_such_module'; name a registry as \"module:attribute\"",
        ),
        (
            "users_service:NONE",
            "registry: cannot import 'users_service:NONE': AttributeError: module 'users_service' "
            "has no attribute 'NONE'; name a registry as \"module:attribute\"",
        ),
        (
            "users_service:NUMBER",
            "registry: 'users_service:NUMBER' has the type int; "
            "name a prometheus_client.CollectorRegistry",
        ),
    ],
)
def test_a_registry_that_is_none_is_named(
    module: types.ModuleType, reference: str, told: str
) -> None:
    module.NUMBER = 3  # type: ignore[attr-defined]
    with pytest.raises(ValueError) as error:
        Prometheus(PrometheusConfig(registry=reference))
    assert str(error.value) == told


def test_a_registry_with_the_same_names_is_refused(module: types.ModuleType) -> None:
    module.REGISTRY = CollectorRegistry()  # type: ignore[attr-defined]
    Counter("predis_cache_hits", "Mine.", registry=module.REGISTRY)
    with pytest.raises(ValueError, match=r"^registry: 'users_service:REGISTRY' has metrics of Pre"):
        Prometheus(PrometheusConfig(registry="users_service:REGISTRY"))


def test_a_busy_port_takes_the_metrics_out_of_the_registry_again(
    module: types.ModuleType, started: Callable[..., Prometheus], free_port: int
) -> None:
    module.REGISTRY = CollectorRegistry()  # type: ignore[attr-defined]
    started(port=free_port)
    section = PrometheusConfig(registry="users_service:REGISTRY", port=free_port)
    with pytest.raises(ValueError, match="in use already"):
        Prometheus(section)
    Counter("predis_cache_hits", "Free again.", registry=module.REGISTRY)


# ---- the section ---------------------------------------------------------------------------------

FILES = Tls(cert=Path("c"), key=Path("k"))


@pytest.mark.parametrize(
    ("section", "told"),
    [
        ({"port": 70_000}, "port: expected"),
        ({"port": "http"}, "port: expected"),
        ({"path": "metrics"}, "path: expected one as '/metrics', of letters, digits and -._~/, got "
         "'metrics'"),
        ({"path": "/a b"}, "path: expected one as '/metrics', of letters, digits and -._~/, got "
         "'/a b'"),
        ({"path": "/-/healthy"}, "path: '/-/healthy' tells whether the server lives; give another"),
        ({"address": ""}, "address: expected"),
        ({"registry": "default", "multiprocess": "/x"}, "registry, multiprocess: one process's"),
        ({"registry": "default", "tls": {"cert": "c", "key": "k"}}, "tls: there is no server that "
         "it could protect; give a `port`, or leave out `tls`"),
        ({"port": "none", "multiprocess": "/x", "basic_auth": {"user": "u", "password": "p"}},
         "basic_auth: there is no server that it could protect; give a `port`, or leave out "
         "`basic_auth`"),
        ({"port": 0, "multiprocess": "/x"}, "port: with `multiprocess` one process serves for all"),
        ({"basic_auth": {"user": "a:b", "password": "p"}}, "user: a name with ':' cannot be sent"),
        ({"tls": {"cert": "c"}}, "tls.key: missing"),
        ({"interval": "0s"}, "interval: expected a duration"),
        ({"prot": 1}, "prot: unknown key; did you mean 'port'?"),
    ],
)  # fmt: skip
def test_a_section_that_does_not_fit_is_refused(section: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigurationError) as error:
        opened(**section)
    assert told in str(error.value)
    assert "plugins.prometheus" in str(error.value)


def test_a_section_that_serves_nothing_is_refused() -> None:
    with pytest.raises(PluginError) as error:
        opened(port="none")
    assert str(error.value).endswith(
        'port: with port = "none" nothing is served; give a `port`, a `registry` or `multiprocess`'
    )


@pytest.mark.parametrize(
    ("fields", "port"),
    [({}, 9464), ({"registry": "default"}, None), ({"registry": "default", "port": 0}, 0),
     ({"port": "none"}, None), ({"port": 80}, 80), ({"multiprocess": Path("x")}, 9464)],
)  # fmt: skip
def test_which_port_a_section_means(fields: dict[str, Any], port: int | None) -> None:
    assert port_of(PrometheusConfig(**fields)) == port


@pytest.mark.parametrize(("text", "port"), [("19464", 19464), ("0", 0), ("none", "none")])
def test_the_environment_may_give_the_port(
    text: str, port: int | str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREDIS_PLUGINS__PROMETHEUS__PORT", text)
    decoded = load({"cache": {"capacity": 1}})
    section = decode_section(decoded.plugins["prometheus"], PrometheusConfig)
    assert section.port == port


def test_a_password_is_never_shown() -> None:
    section = {"basic_auth": {"user": "u", "password": "hunter2"}, "port": "none"}
    with pytest.raises(ConfigurationError) as error:
        opened(**section)
    assert "hunter2" not in str(error.value)
    auth = BasicAuth(user="u", password=Secret("hunter2"))
    assert "hunter2" not in repr(PrometheusConfig(basic_auth=auth))
