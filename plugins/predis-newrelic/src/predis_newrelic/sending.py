"""The way to New Relic: its telemetry SDK, within the time that there is."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

import urllib3
from newrelic_telemetry_sdk import EventClient, MetricClient

from predis_core.clock import NANOSECONDS, stopwatch
from predis_newrelic.config import NewRelicConfig

HOSTS = {
    "us": ("metric-api.newrelic.com", "insights-collector.newrelic.com"),
    "eu": ("metric-api.eu.newrelic.com", "insights-collector.eu01.nr-data.net"),
}
"""Of metrics and of events, by region."""

LONGEST_PAUSE = 300.0
"""Seconds for which New Relic may ask to be left alone, at most."""

_TOO_LARGE = 413
_REFUSED = {
    400: "what was sent is not understood",
    403: "license_key: New Relic refuses it",
    404: "nothing takes it there",
}
_PAUSE = 429

# Each failure is in the plugin's health and, once, in its log; the package's log would repeat it.
logging.getLogger("newrelic_telemetry_sdk").addHandler(logging.NullHandler())


class Outcome(NamedTuple):
    """What became of a request.

    Attributes:
        fate: "arrived"; "refused", as it will be again; "too_large"; or "failed".
        reason: why it did not arrive.
    """

    fate: Literal["arrived", "refused", "too_large", "failed"]
    reason: str = ""


class Way(Protocol):
    """A way to New Relic; all of it is used in the plugin's own thread.

    Attributes:
        target: where it leads, for people.
    """

    target: str

    def begin(self) -> None:
        """An export begins."""

    def send_metrics(self, bodies: Sequence[dict[str, Any]]) -> Outcome:
        """Send metrics, as the Metric API takes them."""

    def send_events(self, bodies: Sequence[dict[str, Any]]) -> Outcome:
        """Send events, as the Event API takes them."""

    def close(self) -> None:
        """Let go of what was opened for it."""


class Sender:
    """Sends to New Relic, or to whom stands in its place.

    Args:
        config: the section, completed by the environment.

    Raises:
        ValueError: if `ca` cannot be read.
    """

    def __init__(self, config: NewRelicConfig) -> None:
        assert config.license_key is not None
        self._timeout = float(config.timeout)
        self._until = 0
        self._paused = 0
        # One for all connections: what it knows of authorities takes 25 ms of CPU to read.
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._has_authorities = False
        options: dict[str, Any] = {"maxsize": 1, "ssl_context": self._tls}
        if config.host is not None:
            name, port = config.place
            options |= {"port": port}
            metrics = events = name
            if config.ca is not None:
                self._trust(config.ca)
        else:
            metrics, events = HOSTS[config.region or "us"]
        key = config.license_key.reveal()
        self.target = config.host or metrics
        self._metrics = MetricClient(key, host=metrics, **options)
        self._events = EventClient(key, host=events, **options)
        for client in (self._metrics, self._events):
            client.add_version_info("predis-newrelic", version("predis-newrelic"))
        self._common = {"attributes": dict(config.attributes)} if config.attributes else None
        self._attributes = config.attributes

    def _trust(self, ca: Path) -> None:
        try:
            self._tls.load_verify_locations(ca)
        except OSError as error:  # a file that is not PEM included
            raise ValueError(
                f"ca: cannot read {str(ca)!r}: {error.strerror}; name a file in PEM that this "
                "process may read"
            ) from error
        self._has_authorities = True

    def begin(self) -> None:
        """An export begins: from now on it has its time."""
        if not self._has_authorities:  # here, so that opening a cache does not wait for it
            self._tls.load_default_certs()
            self._has_authorities = True
        self._until = stopwatch() + round(self._timeout * NANOSECONDS)

    def send_metrics(self, bodies: Sequence[dict[str, Any]]) -> Outcome:
        """Send metrics in one request."""
        return self._sent(self._metrics, bodies, self._common)

    def send_events(self, bodies: Sequence[dict[str, Any]]) -> Outcome:
        """Send events in one request."""
        return self._sent(self._events, [self._attributes | body for body in bodies], None)

    def _sent(self, client: Any, bodies: Sequence[dict[str, Any]], common: Any) -> Outcome:
        now = stopwatch()
        if now < self._paused:
            left = (self._paused - now) / NANOSECONDS
            return Outcome("failed", f"New Relic asked to wait, {left:.0f} s more")
        left = (self._until - now) / NANOSECONDS
        if left <= 0:
            return Outcome("failed", f"there was no time left of {self._timeout:g} s")
        try:
            answer = client.send_batch(
                bodies, *(() if common is None else (common,)), timeout=urllib3.Timeout(total=left)
            )
        except (urllib3.exceptions.HTTPError, OSError) as error:
            return Outcome("failed", _told(error))
        if answer.ok:
            return Outcome("arrived")
        if answer.status == _TOO_LARGE:
            return Outcome("too_large", "one alone is too large for New Relic")
        if answer.status == _PAUSE:
            pause = _seconds(answer.headers.get("Retry-After"))
            self._paused = stopwatch() + round(pause * NANOSECONDS)
            return Outcome("failed", f"status 429: New Relic asks to wait {pause:.0f} s")
        reason = _REFUSED.get(answer.status, "no success")
        is_final = answer.status == 400
        return Outcome("refused" if is_final else "failed", f"status {answer.status}: {reason}")

    def close(self) -> None:
        """Let the connections go."""
        self._metrics.close()
        self._events.close()


def _seconds(retry_after: str | None) -> float:
    """Return for how long to wait; a date, or nothing, is a minute."""
    try:
        return min(LONGEST_PAUSE, max(0.0, float(retry_after or "")))
    except ValueError:
        return 60.0


def _told(error: Exception) -> str:
    """Return why there was no answer, without addresses of objects."""
    if isinstance(error, urllib3.exceptions.NewConnectionError):
        return "nobody listens there, or the name is unknown"
    if isinstance(error, urllib3.exceptions.TimeoutError):
        return "no answer in time"
    if isinstance(error, urllib3.exceptions.SSLError):
        return f"TLS: {error}"
    return f"{type(error).__name__}: the connection broke off"
