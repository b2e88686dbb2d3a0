"""The section `[plugins.datadog]`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from predis_core.plugin import Duration, Secret

DEFAULT_SITE = "datadoghq.com"

_Text = Annotated[str, Meta(min_length=1)]

_FIELDS_OF = {
    "dogstatsd": ("address", "port", "socket"),
    "http": ("site", "api_key", "endpoint", "host"),
}

_HTTP_VARIABLES = {"site": "DD_SITE", "api_key": "DD_API_KEY", "host": "DD_HOSTNAME"}

_TAGS_OF_VARIABLES = {"DD_ENV": "env", "DD_SERVICE": "service", "DD_VERSION": "version"}
"""Datadog's unified service tagging: the tag that each environment variable gives."""


class DatadogConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the metrics go, and how they are named.

    Attributes:
        transport: "dogstatsd", to an agent; or "http", to Datadog itself, without an agent.
        address: name or IP address of the agent; by default what the environment variable
            DD_DOGSTATSD_URL or DD_AGENT_HOST says, else this machine.
        port: the agent's UDP port; by default DD_DOGSTATSD_URL's or DD_DOGSTATSD_PORT, else 8125.
        socket: path of the agent's Unix socket, of datagrams or of a stream, in place of `address`
            and `port`; "unixgram:///path" and "unixstream:///path" say which.
        site: with "http", Datadog's site; by default DD_SITE, else "datadoghq.com".
        api_key: with "http", the API key, "${NAME}" or "file:/path"; by default DD_API_KEY.
        endpoint: with "http", the URL to which "/api/v1/series" is appended, in place of the
            site's; for a proxy or a receiver of one's own.
        host: with "http", the name of the machine in Datadog; by default DD_HOSTNAME, else that of
            the system. An agent knows it by itself.
        prefix: put before the name of every metric, with a dot between.
        tags: put on everything that is sent, as ["team:search"]. DD_ENV, DD_SERVICE and DD_VERSION
            give the tags `env`, `service` and `version`, DATADOG_TAGS gives others, unless `tags`
            has one of that name.
        interval: time from one export to the next; with "http" at least a second.
        timeout: how long an export waits, in all: for connections, answers, room in a socket.
        distributions: whether durations are sent as a distribution too, of which Datadog computes
            percentiles over several machines; with "dogstatsd" true by default, with "http" false,
            because what is taken there has a cost per observation.
        events: whether events of the core and of other plugins are sent as Datadog's events.
        service_check: whether `predis.cache.up` is sent with every export.
        apm: whether loads become spans, in a program that has imported `ddtrace`.
    """

    transport: Literal["dogstatsd", "http"] = "dogstatsd"
    address: _Text | None = None
    port: Annotated[int, Meta(ge=1, le=65535)] | None = None
    socket: _Text | None = None
    site: _Text | None = None
    api_key: Secret | None = None
    endpoint: _Text | None = None
    host: _Text | None = None
    prefix: str = ""
    tags: tuple[str, ...] = ()
    interval: Duration = Duration(10)
    timeout: Duration = Duration(4)
    distributions: bool | None = None
    events: bool = True
    service_check: bool = True
    apm: bool = True

    def __post_init__(self) -> None:
        self._check_transport()
        _check_prefix(self.prefix)
        for tag in self.tags:
            if not re.match(r"[^\W\d_]", tag):
                raise ValueError(f'tags: expected texts as "team:search", got {tag!r}')
        if self.socket is not None and (self.address is not None or self.port is not None):
            raise ValueError("socket: it takes the place of `address` and `port`; give one of them")
        if self.endpoint is not None and not re.match(r"https?://[^/]", self.endpoint):
            raise ValueError(
                f'endpoint: expected a URL as "https://api.datadoghq.com", got {self.endpoint!r}'
            )
        if self.endpoint is not None and self.site is not None:
            raise ValueError("endpoint: it takes the place of `site`; give one of them")
        # Checked here, as what would send it shows what it could not send.
        if self.api_key is not None and not re.fullmatch(r"[!-~]+", self.api_key.reveal()):
            raise ValueError("api_key: expected one word of ASCII letters and digits")

    def _check_transport(self) -> None:
        other = "http" if self.transport == "dogstatsd" else "dogstatsd"
        for name in _FIELDS_OF[other]:
            if getattr(self, name) is not None:
                raise ValueError(
                    f'{name}: it belongs to transport = "{other}", and the transport is '
                    f'"{self.transport}"; change that, or leave out `{name}`'
                )
        if self.transport == "http" and self.interval < 1:
            raise ValueError(
                "interval: Datadog keeps one value per second of each series; give 1s or more"
            )
        if self.transport == "http" and self.distributions:
            raise ValueError(
                "distributions: over HTTP each observation would be sent by itself, without bound; "
                'leave it out, or use transport = "dogstatsd"'
            )


def _check_prefix(prefix: str) -> None:
    if prefix and not re.fullmatch(r"[A-Za-z][A-Za-z0-9_.]*", prefix):
        raise ValueError(
            f"prefix: expected letters, digits, '_' and '.', a letter first, got {prefix!r}"
        )


def sends_distributions(config: DatadogConfig) -> bool:
    """Return whether durations are sent as distributions too."""
    if config.distributions is None:
        return config.transport == "dogstatsd"
    return config.distributions


def with_environment(config: DatadogConfig, environ: Mapping[str, str]) -> DatadogConfig:
    """Return a section whose tags are complete, and, for HTTP, its `site`, `api_key` and `host`.

    Where an agent is, the `datadog` package reads from the environment by itself.

    Raises:
        ValueError: if there is no API key, and for what a variable says that does not fit; names
            the field and the variable.
    """
    found: dict[str, Any] = {"tags": _all_tags(config.tags, environ)}
    if config.transport == "http":
        for name, variable in _HTTP_VARIABLES.items():
            text = environ.get(variable)
            if text and getattr(config, name) is None:
                found[name] = Secret(text, f"${{{variable}}}") if name == "api_key" else text
        if config.endpoint is not None:
            found.pop("site", None)
        if config.api_key is None and "api_key" not in found:
            raise ValueError(
                'api_key: with transport = "http" one is needed; give api_key = "${NAME}" or '
                '"file:/path", or set DD_API_KEY'
            )
    try:
        return msgspec.structs.replace(config, **found)
    except ValueError as error:
        raise ValueError(f"{error} (the environment variables DD_… give it)") from error


def _all_tags(given: tuple[str, ...], environ: Mapping[str, str]) -> tuple[str, ...]:
    """Return the tags of a section, then those of the environment whose names it has not."""
    more = [text.strip() for text in environ.get("DATADOG_TAGS", "").split(",")]
    for variable, name in _TAGS_OF_VARIABLES.items():
        if environ.get(variable):
            more.append(f"{name}:{environ[variable]}")
    mine = {tag.partition(":")[0] for tag in given}
    return (*given, *(tag for tag in more if tag and tag.partition(":")[0] not in mine))
