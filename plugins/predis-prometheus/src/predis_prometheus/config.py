"""The section `[plugins.prometheus]`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta, Struct

from predis_core.plugin import Duration, Secret

DEFAULT_PORT = 9464
HEALTH_PATH = "/-/healthy"

_Text = Annotated[str, Meta(min_length=1)]


class Tls(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The server's certificate. The files are read once, as the plugin starts.

    Attributes:
        cert: file with the certificate, and the chain up to its authority, in PEM.
        key: file with the certificate's private key, in PEM and not encrypted.
        client_ca: file with the authorities, in PEM, of which a client has to show a certificate;
            left out: clients need none.
    """

    cert: Path
    key: Path
    client_ca: Path | None = None


class BasicAuth(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a client has to give by HTTP basic authentication.

    Attributes:
        user: the user's name, without ":".
        password: the password; "${NAME}" is the content of an environment variable, "file:/path"
            that of a file.
    """

    user: _Text
    password: Secret

    def __post_init__(self) -> None:
        if ":" in self.user:
            raise ValueError("user: a name with ':' cannot be sent; give one without")


class PrometheusConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where and how the metrics are served.

    Attributes:
        port: TCP port of the plugin's own server, 1 to 65535; 0 is any free one, which is logged
            (level INFO); "none" is no server. Left out: 9464, or no server if `registry` is given.
        address: name or IP address on which the server listens; "0.0.0.0" or "::" is every
            interface.
        path: path of the metrics, beginning with "/".
        tls: `cert` and `key`, files in PEM, and with it HTTPS in place of HTTP; `client_ca` names
            the authorities of which clients then need a certificate.
        basic_auth: `user` and `password` that every request has to carry; the password may be
            "${NAME}" or "file:/path".
        registry: a `prometheus_client.CollectorRegistry` of your program, as "module:attribute",
            or "default" for `prometheus_client.REGISTRY`: the metrics are added to it, to be served
            with your own. Not together with `multiprocess`.
        multiprocess: folder, made if it is not there, in which the processes of a service leave
            their metrics, so that one of them serves the sum; empty it when the service starts.
            Left out: the environment variable PROMETHEUS_MULTIPROC_DIR, if it is set.
        interval: with `multiprocess`, the time from one writing of the metrics to the next.
        exemplars: link latencies to traces of OpenTelemetry, for scrapes of OpenMetrics; batches
            then have an observer. Not together with `multiprocess`.
    """

    port: Annotated[int, Meta(ge=0, le=65535)] | Literal["none"] | None = None
    address: _Text = "127.0.0.1"
    path: str = "/metrics"
    tls: Tls | None = None
    basic_auth: BasicAuth | None = None
    registry: _Text | None = None
    multiprocess: Path | None = None
    interval: Duration = Duration(1)
    exemplars: bool = False

    def __post_init__(self) -> None:
        if not re.fullmatch(r"/[A-Za-z0-9._~/-]*", self.path):
            raise ValueError(
                f"path: expected one as '/metrics', of letters, digits and -._~/, got {self.path!r}"
            )
        if self.path == HEALTH_PATH:
            raise ValueError(f"path: {HEALTH_PATH!r} tells whether the server lives; give another")
        if self.registry is not None and self.multiprocess is not None:
            raise ValueError(
                "registry, multiprocess: one process's registry cannot hold the sum over all; "
                "leave out `registry` and register a MultiProcessCollector of the folder instead"
            )
        if self.exemplars and self.multiprocess is not None:
            raise ValueError(
                "exemplars, multiprocess: the files of processes have no place for exemplars; "
                "leave one of the two out"
            )
        if port_of(self) is None:
            self._check_without_server()
        elif self.port == 0 and self.multiprocess is not None:
            raise ValueError(
                "port: with `multiprocess` one process serves for all, so the port has to be known "
                'beforehand; give one, or port = "none"'
            )

    def _check_without_server(self) -> None:
        for name in ("tls", "basic_auth"):
            if getattr(self, name) is not None:
                raise ValueError(
                    f"{name}: there is no server that it could protect; give a `port`, or leave "
                    f"out `{name}`"
                )


def port_of(config: PrometheusConfig) -> int | None:
    """Return the port of the plugin's server; None if it has none."""
    if config.port is None:
        return DEFAULT_PORT if config.registry is None else None
    return None if config.port == "none" else config.port
