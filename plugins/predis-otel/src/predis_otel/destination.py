"""Where one signal goes: the section, completed by OpenTelemetry's environment variables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

from opentelemetry.util.re import parse_env_headers

from predis_core.plugin import Secret
from predis_otel.config import OtelConfig, Tls, check_header

Signal = Literal["metrics", "traces"]

INTERVAL = 60.0
"""Seconds between exports of metrics, as OpenTelemetry has it."""

TIMEOUT = 5.0
"""Seconds that an export may take: OpenTelemetry's 10 would be all that the host grants a plugin
before it takes it for hung."""

_PROTOCOLS = {"grpc": "grpc", "http/protobuf": "http", "http": "http"}
_DEFAULTS = {"grpc": "http://localhost:4317", "http": "http://localhost:4318"}


class Destination(NamedTuple):
    """Where one signal goes.

    Attributes:
        protocol: "grpc" or "http".
        url: with the signal's path, if it is "http".
        headers: by names in lower case.
        timeout: seconds for an export with its retries.
        gzip: whether requests are compressed.
        tls: what the section says of it.
    """

    protocol: str
    url: str
    headers: dict[str, Secret]
    timeout: float
    gzip: bool
    tls: Tls | None

    @property
    def is_secure(self) -> bool:
        """Whether the connection is encrypted."""
        return self.url.startswith("https://")


def destination(config: OtelConfig, signal: Signal, environ: Mapping[str, str]) -> Destination:
    """Return where a signal goes.

    Raises:
        ValueError: naming the environment variable that does not fit.
    """

    def variable(name: str) -> tuple[str, str]:
        """Return a variable of this signal, or of all, and its value or ""."""
        for called in (f"OTEL_EXPORTER_OTLP_{signal.upper()}_{name}", f"OTEL_EXPORTER_OTLP_{name}"):
            if value := environ.get(called, "").strip():
                return called, value
        return f"OTEL_EXPORTER_OTLP_{name}", ""

    protocol = config.protocol or _protocol(*variable("PROTOCOL"))
    called, given = variable("HEADERS")
    headers = {name: Secret(v) for name, v in parse_env_headers(given, liberal=True).items()}
    for name, value in headers.items():
        check_header(called, name, value)
    headers |= {name.lower(): secret for name, secret in (config.headers or {}).items()}
    compression = config.compression or variable("COMPRESSION")[1].lower() or "none"
    timeout = config.timeout or min(TIMEOUT, _number(*variable("TIMEOUT"), TIMEOUT))
    url = _url(config.endpoint, protocol, signal, environ)
    return Destination(protocol, url, headers, float(timeout), compression == "gzip", config.tls)


def interval_of(config: OtelConfig, environ: Mapping[str, str]) -> float:
    """Return the seconds between exports of metrics.

    Raises:
        ValueError: as `destination`.
    """
    if config.interval is not None:
        return float(config.interval)
    name = "OTEL_METRIC_EXPORT_INTERVAL"
    return _number(name, environ.get(name, "").strip(), INTERVAL * 1e3) / 1e3


def wants_delta(config: OtelConfig, environ: Mapping[str, str]) -> bool:
    """Return whether counters are told as what came since the last export that arrived."""
    name = "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE"
    # "lowmemory" keeps what is read from elsewhere cumulative, and so are our counters.
    return (config.temporality or environ.get(name, "").strip().lower()) == "delta"


def _protocol(variable: str, value: str) -> str:
    if value and value not in _PROTOCOLS:
        raise ValueError(
            f"protocol: {variable} is {value!r}; it can be 'grpc' or 'http/protobuf' here"
        )
    return _PROTOCOLS[value or "grpc"]


def _number(variable: str, value: str, default: float) -> float:
    try:
        number = float(value or default)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise ValueError(f"{variable} in the environment: expected a number > 0, got {value!r}")
    return number


def _url(given: str | None, protocol: str, signal: Signal, environ: Mapping[str, str]) -> str:
    """Return the URL of a signal; the path of one that is meant for all comes behind it."""
    own = environ.get(f"OTEL_EXPORTER_OTLP_{signal.upper()}_ENDPOINT", "").strip()
    every = environ.get("OTEL_EXPORTER_OTLP_ENDPOINT", "").strip()
    url = given or own or every or _DEFAULTS[protocol]
    if "://" not in url:  # as gRPC is told of: host and port
        insecure = environ.get("OTEL_EXPORTER_OTLP_INSECURE", "").strip().lower() == "true"
        url = f"{'http' if insecure else 'https'}://{url}"
    if protocol == "grpc" or (own and not given):
        return url
    for path in ("/v1/metrics", "/v1/traces"):
        url = url.rstrip("/").removesuffix(path)
    return f"{url.rstrip('/')}/v1/{signal}"
