"""To Datadog itself, or what takes its place, by the HTTP API."""

from __future__ import annotations

import json
import math
import socket
import zlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import requests
from urllib3.exceptions import NewConnectionError

from predis_core.clock import NANOSECONDS, Clock
from predis_core.plugin import Event
from predis_datadog.config import DEFAULT_SITE, DatadogConfig
from predis_datadog.points import Point
from predis_datadog.transport import Fate, Outcome, key_of, text_of, title_of

SERIES_AT_MOST = 1_000
"""Series per request: some 200 kB before compression, of 3.2 MB that are taken."""

LONGEST_PAUSE = 300
"""Seconds for which nothing is sent at most, whatever an answer asks for."""

_ABOUT_STATUS = {
    401: ": the API key is refused",
    403: ": the API key is refused; look at api_key and site",
    404: ": there is no such API; look at endpoint",
}
_TRY_AGAIN = (401, 403, 404, 408, 429)
"""Of the statuses below 500, those that another time may do away with."""


class HttpTransport:
    """Sends series, events and checks, each request over a connection of its own.

    A connection that was kept might be gone by the next export, and a request would end without
    anybody knowing whether it had arrived. The functions of `datadog.api` are not used, as key,
    host, timeouts and pauses of these are variables of the process, and so the user's.

    Args:
        config: the section, completed by `with_environment`.
        clock: when a pause is over.
    """

    def __init__(self, config: DatadogConfig, clock: Clock | None = None) -> None:
        assert config.api_key is not None
        self._base = (config.endpoint or f"https://api.{config.site or DEFAULT_SITE}").rstrip("/")
        self._key = config.api_key
        self._host = config.host or socket.gethostname()
        self._tags = config.tags
        self._interval = max(1, round(config.interval))
        self._timeout = float(config.timeout)
        self._clock = clock or Clock()
        self._end = 0
        self._paused_until = 0
        self._paused_by = ""

    @property
    def target(self) -> str:
        """Where it leads, for people."""
        return self._base

    def begin(self) -> None:
        """An export begins; see `Transport`."""
        self._end = self._clock.monotonic() + round(self._timeout * NANOSECONDS)

    def send(self, points: Sequence[Point], second: int) -> Outcome:
        """Send points; see `Transport`."""
        arrived: list[Point] = []
        for first in range(0, len(points), SERIES_AT_MOST):
            some = points[first : first + SERIES_AT_MOST]
            series = [self._series(point, second) for point in some]
            answer = self._post("/api/v1/series", {"series": series})
            if answer.fate != "arrived":
                return Outcome(arrived, some if answer.fate == "unknown" else (), answer.reason)
            arrived += some
        return Outcome(arrived)

    def send_event(self, event: Event, tags: Sequence[str]) -> Fate:
        """Send an event; see `Transport`."""
        document = {
            "title": title_of(event),
            "text": text_of(event),
            "alert_type": event.severity,
            "aggregation_key": key_of(event),
            "date_happened": event.time // NANOSECONDS,
            "host": self._host,
            "tags": [*tags, *self._tags],
        }
        return self._post("/api/v1/events", document).fate

    def send_check(self, name: str, status: int, tags: Sequence[str], message: str) -> Fate:
        """Send the status of a service; see `Transport`."""
        document = {
            "check": name,
            "host_name": self._host,
            "status": status,
            "tags": [*tags, *self._tags],
            "message": message,
        }
        return self._post("/api/v1/check_run", document).fate

    def _series(self, point: Point, second: int) -> dict[str, Any]:
        series: dict[str, Any] = {
            "metric": point.name,
            "type": point.kind,
            "points": [[second, point.value]],
            "host": self._host,
            "tags": [*point.tags, *self._tags],
        }
        if point.kind == "count":
            series["interval"] = self._interval
        return series

    def _post(self, path: str, document: Any) -> _Answer:
        now = self._clock.monotonic()
        if now < self._paused_until:
            seconds = math.ceil((self._paused_until - now) / NANOSECONDS)
            return _Answer("failed", f"{self._paused_by}; paused for {seconds} s")
        left = (self._end - now) / NANOSECONDS
        if left <= 0:
            return _Answer("failed", "slow: the rest waits for the next export")
        headers = {
            "Content-Type": "application/json",
            "Content-Encoding": "deflate",
            "User-Agent": "predis-datadog",
            "DD-API-KEY": self._key.reveal(),
            "Connection": "close",
        }
        try:
            # No redirects: the key would go along. A stream: nobody waits for the answer's body.
            with requests.post(
                self._base + path,
                data=zlib.compress(json.dumps(document).encode()),
                headers=headers,
                timeout=(left / 2, left / 2),
                allow_redirects=False,
                stream=True,
            ) as response:
                return self._judged(response)
        except (requests.RequestException, ValueError) as error:
            answer = _judged_error(error)
            # What does not answer is not asked again at once, for the next cache of this process.
            self._pause(min(self._timeout, self._interval / 2), answer.reason)
            return answer

    def _judged(self, response: requests.Response) -> _Answer:
        status = response.status_code
        if 200 <= status < 300:
            return _Answer("arrived", "")
        reason = f"HTTP {status} {response.reason or ''}".rstrip() + _ABOUT_STATUS.get(status, "")
        if status in (429, 503):
            self._pause(_asked_pause(response), reason)
        if status >= 500:
            return _Answer("unknown", reason)
        return _Answer("failed" if status in _TRY_AGAIN else "refused", reason)

    def _pause(self, seconds: float, reason: str) -> None:
        self._paused_until = self._clock.monotonic() + round(seconds * NANOSECONDS)
        self._paused_by = reason


class _Answer(NamedTuple):
    fate: Fate
    reason: str


def _asked_pause(response: requests.Response) -> int:
    """Return the seconds for which an answer asks to be left alone."""
    for header in ("Retry-After", "X-RateLimit-Reset"):
        asked = response.headers.get(header, "")
        if asked.isdecimal():
            return min(int(asked), LONGEST_PAUSE)
    return 0


def _judged_error(error: Exception) -> _Answer:
    """Return what a request that has no answer came to: did it get as far as being sent?"""
    cause = getattr(error.args[0] if error.args else None, "reason", None)
    if isinstance(error, requests.ConnectTimeout):
        return _Answer("failed", "no connection in time")
    if isinstance(cause, NewConnectionError):
        return _Answer("failed", "no connection: " + str(cause).rpartition(": ")[2])
    if isinstance(error, requests.exceptions.SSLError):
        if "CERTIFICATE_VERIFY_FAILED" in str(error):
            return _Answer("failed", "TLS: the certificate is not trusted")
        return _Answer("unknown", "TLS: the connection cannot be used")
    if isinstance(error, requests.exceptions.ProxyError):
        return _Answer("failed", "the proxy cannot be used")
    if isinstance(error, requests.Timeout):
        return _Answer("unknown", "no answer in time")
    if isinstance(error, requests.ConnectionError):
        return _Answer("unknown", "the connection was broken off")
    return _Answer("failed", type(error).__name__)
