"""The section: what fits, and what the environment adds."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

import predis_core as predis
from predis_core.config import decode_section, load
from predis_core.errors import ConfigurationError, PluginError
from predis_core.plugin import Secret
from predis_datadog import DatadogConfig
from predis_datadog.config import sends_distributions, with_environment

HTTP = {"transport": "http", "api_key": "k"}


def decoded(**section: Any) -> DatadogConfig:
    configuration = load({"cache": {"capacity": 1}, "plugins": {"datadog": section}})
    found = decode_section(configuration.plugins["datadog"], DatadogConfig)
    assert isinstance(found, DatadogConfig)
    return found


@pytest.mark.parametrize(
    ("section", "told"),
    [
        ({"transport": "udp"}, "transport: expected"),
        ({"port": 0}, "port: expected"),
        ({"port": 70_000}, "port: expected"),
        ({"address": ""}, "address: expected"),
        ({"interval": "0s"}, "interval: expected a duration"),
        ({"socket": "/x", "port": 1}, "socket: it takes the place of `address` and `port`"),
        ({"socket": "/x", "address": "a"}, "socket: it takes the place of `address` and `port`"),
        ({"prefix": "9"}, "prefix: expected letters, digits, '_' and '.', a letter first, got '9'"),
        ({"tags": ["env:a", ":b"]}, "tags: expected texts as \"team:search\", got ':b'"),
        ({"api_key": "k"}, 'api_key: it belongs to transport = "http", and the transport is '
         '"dogstatsd"; change that, or leave out `api_key`'),
        ({"site": "x.eu"}, 'site: it belongs to transport = "http"'),
        ({"endpoint": "http://x"}, 'endpoint: it belongs to transport = "http"'),
        (HTTP | {"port": 1}, 'port: it belongs to transport = "dogstatsd"'),
        (HTTP | {"socket": "/x"}, 'socket: it belongs to transport = "dogstatsd"'),
        (HTTP | {"endpoint": "x.eu"}, 'endpoint: expected a URL as "https://api.datadoghq.com"'),
        (HTTP | {"endpoint": "http://x", "site": "x"}, "endpoint: it takes the place of `site`"),
        (HTTP | {"distributions": True}, "distributions: over HTTP each observation would be sent"),
        (HTTP | {"interval": "500ms"}, "interval: Datadog keeps one value per second"),
        ({"prot": 1}, "prot: unknown key; did you mean 'port'?"),
    ],
)  # fmt: skip
def test_a_section_that_does_not_fit_is_refused(section: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigurationError) as error:
        decoded(**section)
    assert told in str(error.value)
    assert "plugins.datadog" in str(error.value)


@pytest.mark.parametrize("key", ["hun ter2", "hunter2\n", "hünter2"])
def test_a_key_that_cannot_be_sent_is_refused_and_not_shown(key: str) -> None:
    with pytest.raises(ConfigurationError) as error:
        decoded(transport="http", api_key=key)
    assert "api_key: expected one word of ASCII letters and digits" in str(error.value)
    assert key.strip() not in str(error.value)


def test_http_needs_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    section = {"cache": {"capacity": 10}, "plugins": {"datadog": {"transport": "http"}}}
    with pytest.raises(PluginError) as error:
        predis.open(section)
    told = 'api_key: with transport = "http" one is needed; give api_key = "${NAME}"'
    assert told in str(error.value)


def test_the_environment_completes_http() -> None:
    environ = {"DD_API_KEY": "hunter2", "DD_SITE": "datadoghq.eu", "DD_HOSTNAME": "web-1"}
    found = with_environment(decoded(transport="http"), environ)
    assert (found.site, found.host) == ("datadoghq.eu", "web-1")
    assert found.api_key == Secret("hunter2")
    assert "hunter2" not in repr(found)
    given = decoded(transport="http", api_key="k", site="s", host="h")
    kept = with_environment(given, environ)
    assert (kept.site, kept.host, kept.api_key) == ("s", "h", Secret("k"))
    elsewhere = with_environment(decoded(**HTTP, endpoint="http://x"), environ)
    assert (elsewhere.site, elsewhere.endpoint) == (None, "http://x")
    untouched = with_environment(decoded(), environ)
    assert untouched == decoded()


def test_the_environment_may_be_at_fault() -> None:
    with pytest.raises(ValueError) as error:
        with_environment(decoded(transport="http"), {"DD_API_KEY": "hunter2 "})
    assert str(error.value) == (
        "api_key: expected one word of ASCII letters and digits "
        "(the environment variables DD_… give it)"
    )


def test_tags_of_the_environment_give_way_to_those_of_the_section() -> None:
    environ = {
        "DD_ENV": "prod", "DD_SERVICE": "shop", "DD_VERSION": "7", "DATADOG_TAGS": "team:a, zone:b",
    }  # fmt: skip
    found = with_environment(decoded(tags=["env:test", "team:c"]), environ)
    assert found.tags == ("env:test", "team:c", "zone:b", "service:shop", "version:7")


@pytest.mark.parametrize(
    ("section", "sends"),
    [({}, True), ({"distributions": False}, False), (HTTP, False)],
)
def test_distributions_are_sent_where_that_is_bounded(section: dict[str, Any], sends: bool) -> None:
    assert sends_distributions(decoded(**section)) is sends


def test_a_secret_is_never_shown() -> None:
    config = decoded(transport="http", api_key="hunter2")
    assert "hunter2" not in repr(config)
    assert "hunter2" not in str(msgspec.structs.asdict(config))
