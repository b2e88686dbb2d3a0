"""The section `[plugins.newrelic]`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec
from msgspec import Struct

from predis_core.plugin import Duration, Secret

KEY_VARIABLE = "NEW_RELIC_LICENSE_KEY"
NAME_VARIABLE = "NEW_RELIC_APP_NAME"
SERVICE = "service.name"

_DIRECT = ("license_key", "region", "host", "ca")
"""Fields that say where the plugin itself sends."""

_EUROPEAN = re.compile(r"eu\d\dxx")


class NewRelicConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where metrics and events go, and what they carry.

    Attributes:
        mode: "telemetry": to New Relic's APIs, without an agent; "agent": through the APM agent
            (package `newrelic`) that your program runs, whose own configuration then says where to.
        start_agent: with mode = "agent", whether the agent is started here, by its own
            configuration, if your program has not done so.
        segments: with mode = "agent", whether calls of a loader become datastore segments of the
            transaction in which they happen.
        license_key: the license key of your account, "${NAME}" or "file:/path"; by default
            NEW_RELIC_LICENSE_KEY.
        region: "us" or "eu", the data centre of your account; by default what the key says.
        host: "NAME:PORT" to send to in place of New Relic's, by TLS: a proxy, or a receiver of
            your own.
        ca: file with the authorities, in PEM, of which that host has to show a certificate; by
            default the system's.
        interval: time from one export to the next.
        timeout: how long an export may take in all; keep it under `deadline` of `[host]`.
        attributes: table of what every metric and event carries, as { team = "search" };
            "service.name" is by default the first name of NEW_RELIC_APP_NAME. With mode = "agent"
            only events carry them.
        events: whether events of the core and of other plugins are sent, as `PredisEvent`.
    """

    mode: Literal["telemetry", "agent"] = "telemetry"
    start_agent: bool = False
    segments: bool = True
    license_key: Secret | None = None
    region: Literal["us", "eu"] | None = None
    host: str | None = None
    ca: Path | None = None
    interval: Duration = Duration(30)
    timeout: Duration = Duration(5)
    attributes: dict[str, str | int | float | bool] = {}
    events: bool = True

    def __post_init__(self) -> None:
        if self.mode == "agent":
            for field in _DIRECT:
                if getattr(self, field) is not None:
                    raise ValueError(
                        f'{field}: with mode = "agent" the agent has a configuration of its own '
                        "for it; leave it out"
                    )
            return
        if self.start_agent:
            raise ValueError('start_agent: it goes with mode = "agent"')
        if self.license_key is not None and not re.fullmatch(r"[!-~]+", self.license_key.reveal()):
            raise ValueError("license_key: expected one word of ASCII letters and digits")
        if self.host is None:
            if self.ca is not None:
                raise ValueError("ca: it goes with a `host` of your own; give one, or leave it out")
            return
        if self.region is not None:
            raise ValueError("host: it takes the place of `region`; give one of them")
        if not re.fullmatch(r"[^\s/:@]+(:\d{1,5})?", self.host):
            raise ValueError(
                f'host: expected a name and a port, as "proxy.example.org:8443", got {self.host!r}'
            )

    @property
    def place(self) -> tuple[str, int]:
        """Host and port of `host`."""
        name, _, port = (self.host or "").partition(":")
        return name, int(port or 443)


def with_environment(config: NewRelicConfig, environ: Mapping[str, str]) -> NewRelicConfig:
    """Return a section with a key and a region, and the name of the service.

    One of mode "agent" is complete as it is.

    Raises:
        ValueError: if there is no key; names the field.
    """
    if config.mode == "agent":
        return config
    found: dict[str, Any] = {}
    key = config.license_key
    if key is None:
        if not environ.get(KEY_VARIABLE):
            raise ValueError(
                'license_key: one is needed; give license_key = "${NAME}" or "file:/path", or set '
                f"{KEY_VARIABLE}"
            )
        key = found["license_key"] = Secret(environ[KEY_VARIABLE], f"${{{KEY_VARIABLE}}}")
    if config.region is None and config.host is None:
        found["region"] = "eu" if _EUROPEAN.match(key.reveal()) else "us"
    name = environ.get(NAME_VARIABLE, "").partition(";")[0].strip()
    if name and SERVICE not in config.attributes:
        found["attributes"] = {SERVICE: name} | config.attributes
    try:
        return msgspec.structs.replace(config, **found)
    except ValueError as error:
        raise ValueError(f"{error} ({KEY_VARIABLE} in the environment gives it)") from error
