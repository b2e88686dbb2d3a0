"""The section `[plugins.otel]`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from msgspec import Meta, Struct

from predis_core.plugin import Duration, Secret

_SENDING = ("endpoint", "protocol", "headers", "timeout", "tls", "compression", "resource")
"""Fields that say where and how the plugin itself sends."""

_METRICS = ("interval", "temporality")
"""Fields that say how the plugin itself sends metrics."""


class Tls(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an https endpoint is met with. The files are read once, as the plugin starts.

    Attributes:
        ca: file with the authorities, in PEM, of which the endpoint has to show a certificate;
            left out: the system's.
        cert: file with a certificate to show to the endpoint, in PEM; goes with `key`.
        key: file with that certificate's private key, in PEM and not encrypted.
    """

    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None

    def __post_init__(self) -> None:
        if (self.cert is None) != (self.key is None):
            given, lacking = ("cert", "key") if self.key is None else ("key", "cert")
            raise ValueError(f"{lacking}: goes with `{given}`; give both or neither")


class OtelConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where metrics and spans go, and how.

    What is left out is taken from the environment variables that OpenTelemetry has for it, and only
    then from the defaults named here.

    Attributes:
        endpoint: URL of the receiver, as "http://collector:4317"; with https the connection is
            encrypted. By HTTP, "/v1/metrics" and "/v1/traces" are put behind it. Left out:
            OTEL_EXPORTER_OTLP_ENDPOINT, or port 4317 (grpc) or 4318 (http) of this machine.
        protocol: "grpc" or "http" (protobuf). Left out: OTEL_EXPORTER_OTLP_PROTOCOL, or "grpc".
        headers: table of what every request carries, such as an API key; a value may be "${NAME}"
            or "file:/path". Those of OTEL_EXPORTER_OTLP_HEADERS go along.
        interval: time from one export of metrics to the next. Left out:
            OTEL_METRIC_EXPORT_INTERVAL (milliseconds), or 60 s.
        timeout: how long an export may take with all of its retries; keep it under `deadline` of
            `[host]`. Left out: OTEL_EXPORTER_OTLP_TIMEOUT (seconds), but at most 5 s, or 5 s.
        tls: `ca`, `cert` and `key`, files in PEM, for an https endpoint. Left out:
            OTEL_EXPORTER_OTLP_CERTIFICATE and its siblings, or the system's authorities.
        compression: "gzip" or "none". Left out: OTEL_EXPORTER_OTLP_COMPRESSION, or "none".
        temporality: "cumulative" (since the cache was opened) or "delta" (since the last export
            that arrived). Left out: OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE, or
            "cumulative".
        resource: table of attributes that describe this service; they go over those of
            OTEL_RESOURCE_ATTRIBUTES and OTEL_SERVICE_NAME.
        provider: "own": the plugin exports metrics itself; "global": they are observable
            instruments of the MeterProvider that your program sets, and `endpoint` and the like are
            that provider's business.
        traces: true for spans of loads, exported to the same endpoint; "global" for spans of the
            TracerProvider that your program sets.
        sample: share of the loads without a span around them, 0 to 1, that get one. With a span
            around them, that one's decision goes.
    """

    endpoint: str | None = None
    protocol: Literal["grpc", "http"] | None = None
    headers: dict[str, Secret] | None = None
    interval: Duration | None = None
    timeout: Duration | None = None
    tls: Tls | None = None
    compression: Literal["gzip", "none"] | None = None
    temporality: Literal["cumulative", "delta"] | None = None
    resource: dict[str, str | int | float | bool] | None = None
    provider: Literal["own", "global"] = "own"
    traces: bool | Literal["global"] = False
    sample: Annotated[float, Meta(ge=0, le=1)] = 0.01

    def __post_init__(self) -> None:
        if self.endpoint is not None:
            self._check_endpoint(self.endpoint)
        for name, value in (self.headers or {}).items():
            check_header("headers", name, value)
        if self.provider == "global":
            idle = _METRICS if self.traces is True else (*_SENDING, *_METRICS)
            for field in idle:
                if getattr(self, field) is not None:
                    raise ValueError(
                        f'{field}: with provider = "global" your MeterProvider sends the metrics; '
                        f'leave out `{field}`, or say provider = "own"'
                    )

    def _check_endpoint(self, endpoint: str) -> None:
        try:
            url = urlsplit(endpoint)
            fits = url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0
        except ValueError:
            fits = False
        if not fits:
            raise ValueError(
                f"endpoint: expected a URL as 'http://collector:4317', got {endpoint!r}"
            )
        if url.username is not None:
            raise ValueError("endpoint: a password does not belong there; give it in `headers`")
        if self.tls is not None and url.scheme != "https":
            raise ValueError("tls: goes with an endpoint that begins with https://")


def check_header(where: str, name: str, value: Secret) -> None:
    """Refuse what no request can carry; libraries below would, and would show the value.

    Raises:
        ValueError: naming where it came from, and the header.
    """
    if not re.fullmatch(r"[a-z0-9_.-]+", name, re.IGNORECASE | re.ASCII):
        raise ValueError(
            f"{where}: {name!r} is no name of a header; use letters, digits, '-', '_' and '.'"
        )
    if not re.fullmatch(r"[\x20-\x7e]*", value.reveal()):
        raise ValueError(
            f"{where}.{name}: the value has characters that no header can carry; "
            "give printable ASCII, and no line break at its end"
        )
