"""The section and OpenTelemetry's environment: what goes where, and what is refused."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import predis_core as predis
from predis_core.config import decode_section, load
from predis_core.errors import ConfigurationError, PluginError
from predis_core.plugin import Secret
from predis_otel import OtelConfig
from predis_otel.destination import destination, interval_of, wants_delta


def section(**fields: Any) -> OtelConfig:
    """Return a section as a configuration gives it."""
    loaded = load({"cache": {"capacity": 10}, "plugins": {"otel": fields}})
    return decode_section(loaded.plugins["otel"], OtelConfig)


# ---- the section ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"endpoint": "collector:4317"}, "endpoint: expected a URL as 'http://collector:4317'"),
        ({"endpoint": "ftp://collector"}, "endpoint: expected a URL"),
        ({"endpoint": "http://collector:port"}, "endpoint: expected a URL"),
        ({"endpoint": "http://me:pw@collector"}, "endpoint: a password does not belong there"),
        ({"endpoint": "http://collector", "tls": {}}, "tls: goes with an endpoint that begins"),
        ({"tls": {"cert": "c.pem"}}, "tls: key: goes with `cert`; give both or neither"),
        ({"tls": {"key": "k.pem"}}, "tls: cert: goes with `key`; give both or neither"),
        ({"protocol": "http/json"}, "protocol: "),
        ({"headers": {"api key": "x"}}, "headers: 'api key' is no name of a header"),
        ({"headers": {"api-key": "hunter2\n"}}, "headers.api-key: the value has characters"),
        ({"sample": 1.5}, "sample: "),
        ({"interval": "0s"}, "interval: "),
        ({"provider": "global", "endpoint": "http://c"}, 'endpoint: with provider = "global"'),
        ({"provider": "global", "interval": "1s"}, 'interval: with provider = "global"'),
        ({"provider": "global", "traces": True, "interval": "1s"}, "interval: with provider"),
    ],
)
def test_what_does_not_fit_is_named_and_no_secret_shown(fields: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigurationError) as error:
        section(**fields)
    assert told in str(error.value).replace("otel.tls:", "tls:")
    assert "hunter2" not in str(error.value)


def test_secrets_come_from_the_environment_and_are_not_shown(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("API_KEY", "hunter2")
    (tmp_path / "token").write_text("hunter3\n")
    config = section(headers={"api-key": "${API_KEY}", "token": f"file:{tmp_path / 'token'}"})
    assert "hunter" not in repr(config)
    where = destination(config, "metrics", {})
    assert where.headers == {"api-key": Secret("hunter2"), "token": Secret("hunter3")}
    assert "hunter" not in repr(where)


def test_the_check_command_shows_no_header(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("API_KEY", "hunter2")
    toml = '[cache]\ncapacity = 10\n[plugins.otel]\nheaders = {a = "${API_KEY}", b = "hunter3"}\n'
    (tmp_path / "predis.toml").write_text(toml)
    program = "from predis_core.cli import main; main()"
    told = subprocess.run(
        [sys.executable, "-c", program, "check", "predis.toml"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "${API_KEY}" in told.stdout
    assert "hunter" not in told.stdout + told.stderr


@pytest.mark.parametrize("field", ["ca", "cert", "key"])
def test_a_file_that_is_not_there_is_named(certificates: Any, field: str) -> None:
    files = {"ca": certificates.cert, "cert": certificates.cert, "key": certificates.key}
    tls = {name: str(path) for name, path in files.items()} | {field: "/no/such.pem"}
    fields = {"endpoint": "https://localhost:4317", "tls": tls}
    configuration = {"cache": {"capacity": 10}, "plugins": {"otel": fields}}
    with pytest.raises(PluginError, match=rf"tls\.{field}: cannot read '/no/such\.pem'"):
        predis.open(configuration)


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_files_that_hold_something_else_are_named(
    certificates: Any, tmp_path: Path, protocol: str
) -> None:
    wrong = tmp_path / "wrong.pem"
    wrong.write_text("nothing of the kind")
    for tls, told in (
        ({"ca": str(wrong)}, r"tls\.ca: .* holds no certificate in PEM"),
        ({"cert": str(certificates.cert), "key": str(wrong)}, r"tls\.cert, tls\.key: .* are no"),
    ):
        fields = {"endpoint": "https://localhost:4317", "protocol": protocol, "tls": tls}
        with pytest.raises(PluginError, match=told):
            predis.open({"cache": {"capacity": 10}, "plugins": {"otel": fields}})


@pytest.mark.parametrize(
    ("endpoint", "warns"),
    [("http://192.0.2.1:4317", True), ("http://localhost:1", False), ("https://a.test", False)],
)
def test_secrets_in_clear_text_are_warned_of(
    endpoint: str, warns: bool, caplog: pytest.LogCaptureFixture
) -> None:
    fields = {"endpoint": endpoint, "headers": {"api-key": "hunter2"}, "timeout": "10ms"}
    with caplog.at_level(logging.WARNING, "predis.otel"):
        predis.open({"cache": {"capacity": 10}, "plugins": {"otel": fields}}).close()
    told = "headers: without https they cross the network in clear text"
    assert (told in caplog.messages) == warns
    assert "hunter2" not in caplog.text


# ---- the environment -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "environ", "protocol", "url"),
    [
        ({}, {}, "grpc", "http://localhost:4317"),
        ({"protocol": "http"}, {}, "http", "http://localhost:4318/v1/metrics"),
        ({}, {"PROTOCOL": "http/protobuf"}, "http", "http://localhost:4318/v1/metrics"),
        ({}, {"METRICS_PROTOCOL": "http/protobuf", "PROTOCOL": "grpc"}, "http", None),
        ({"protocol": "grpc"}, {"PROTOCOL": "http/protobuf"}, "grpc", None),
        ({}, {"ENDPOINT": "http://c:1"}, "grpc", "http://c:1"),
        ({}, {"ENDPOINT": "c:1"}, "grpc", "https://c:1"),
        ({}, {"ENDPOINT": "c:1", "INSECURE": "true"}, "grpc", "http://c:1"),
        ({"protocol": "http"}, {"ENDPOINT": "http://c/x/"}, "http", "http://c/x/v1/metrics"),
        ({"protocol": "http"}, {"METRICS_ENDPOINT": "http://c/x"}, "http", "http://c/x"),
        ({"endpoint": "http://a"}, {"METRICS_ENDPOINT": "http://c"}, "grpc", "http://a"),
        ({"endpoint": "http://a/", "protocol": "http"}, {}, "http", "http://a/v1/metrics"),
        ({"endpoint": "http://a/v1/traces", "protocol": "http"}, {}, "http", "http://a/v1/metrics"),
    ],
)
def test_where_metrics_go(
    fields: dict[str, Any], environ: dict[str, str], protocol: str, url: str | None
) -> None:
    environ = {f"OTEL_EXPORTER_OTLP_{name}": value for name, value in environ.items()}
    where = destination(section(**fields), "metrics", environ)
    assert where.protocol == protocol
    assert url is None or where.url == url


def test_traces_have_variables_of_their_own() -> None:
    environ = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://both",
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://traces/in",
        "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf",
        "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT": "2",
        "OTEL_EXPORTER_OTLP_TRACES_COMPRESSION": "gzip",
    }
    traces, metrics = (destination(section(), of, environ) for of in ("traces", "metrics"))
    assert (traces.protocol, traces.url, traces.timeout) == ("http", "http://traces/in", 2.0)
    assert (metrics.protocol, metrics.url, metrics.timeout) == ("grpc", "http://both", 5.0)
    assert (traces.gzip, metrics.gzip) == (True, False)


def test_headers_of_the_environment_go_along() -> None:
    environ = {"OTEL_EXPORTER_OTLP_HEADERS": "a=1,B=two%20words"}
    where = destination(section(headers={"A": "mine"}), "metrics", environ)
    assert where.headers == {"a": Secret("mine"), "b": Secret("two words")}


@pytest.mark.parametrize(
    ("fields", "value", "timeout"),
    [({}, "", 5.0), ({}, "3", 3.0), ({}, "10000", 5.0), ({"timeout": "8s"}, "3", 8.0)],
)
def test_the_timeout_of_the_environment_keeps_under_the_hosts_deadline(
    fields: dict[str, Any], value: str, timeout: float
) -> None:
    environ = {"OTEL_EXPORTER_OTLP_TIMEOUT": value}
    assert destination(section(**fields), "metrics", environ).timeout == timeout


def test_interval_and_temporality_have_variables_too() -> None:
    environ = {
        "OTEL_METRIC_EXPORT_INTERVAL": "1500",
        "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": "DELTA",
    }
    assert (interval_of(section(), environ), interval_of(section(), {})) == (1.5, 60.0)
    assert interval_of(section(interval="7s"), environ) == 7.0
    assert (wants_delta(section(), environ), wants_delta(section(), {})) == (True, False)
    assert not wants_delta(section(temporality="cumulative"), environ)


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json", "OTEL_EXPORTER_OTLP_PROTOCOL is 'http/json'"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "soon", "OTEL_EXPORTER_OTLP_TIMEOUT in the environment"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "key=hunter2%0Ax", "OTEL_EXPORTER_OTLP_HEADERS.key: the"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "-1", "OTEL_METRIC_EXPORT_INTERVAL in the environment"),
    ],
)
def test_a_variable_that_does_not_fit_is_named(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, told: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(PluginError, match=told) as error:
        predis.open({"cache": {"capacity": 10}, "plugins": {"otel": {}}})
    assert "hunter2" not in str(error.value)
