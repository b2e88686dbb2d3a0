"""To an agent, by DogStatsD: over UDP, or a Unix socket of datagrams or of a stream."""

from __future__ import annotations

import contextlib
import errno
import math
import os
import socket
import struct
from collections.abc import Iterator, Sequence

from datadog.dogstatsd.base import DogStatsd

from predis_core.clock import NANOSECONDS, Clock
from predis_core.plugin import Event
from predis_datadog.config import DatadogConfig
from predis_datadog.points import Point
from predis_datadog.transport import Fate, Outcome, key_of, text_of, title_of

_LEAST = 1e-3
"""Seconds to wait for room in a socket when the time is up; 0 would mean something else."""


class DogStatsdTransport:
    """Puts lines together into packets of the size that fits, and sends these.

    Its socket is opened for an export and closed after it. So an agent that was restarted, or has
    another address by now, is found again.

    Args:
        config: the section; `tags` complete.
    """

    def __init__(self, config: DatadogConfig) -> None:
        self._client = _Client(config)

    @property
    def target(self) -> str:
        """Where it leads, for people."""
        client = self._client
        return client.socket_path or f"{client.host}:{client.port} (UDP)"

    def begin(self) -> None:
        """An export begins; see `Transport`."""
        self._client.begin()

    def send(self, points: Sequence[Point], second: int) -> Outcome:
        """Send points; see `Transport`. An agent gives them the time of their arrival.

        That a machine refuses a datagram is told at once if it is this one, and late or never
        otherwise; then what was sent counts as arrived.
        """
        with self._client.exporting() as client:
            for point in points:
                client.put(point)
            client.flush()
            arrived = [point for point, fate in zip(points, client.fates, strict=False) if fate]
            return Outcome(arrived, reason=client.reason)

    def send_event(self, event: Event, tags: Sequence[str]) -> Fate:
        """Send an event; see `Transport`."""
        with self._client.exporting() as client:
            try:
                client.event(
                    title_of(event),
                    text_of(event),
                    alert_type=event.severity,
                    aggregation_key=key_of(event),
                    date_happened=event.time // NANOSECONDS,
                    tags=list(tags),
                )
            except ValueError:  # over 8 KiB, with all the tags of the section
                return "refused"
            client.flush()
            return "failed" if client.reason else "arrived"

    def send_check(self, name: str, status: int, tags: Sequence[str], message: str) -> Fate:
        """Send the status of a service; see `Transport`."""
        with self._client.exporting() as client:
            client.service_check(name, status, tags=list(tags), message=message or None)
            client.flush()
            return "failed" if client.reason else "arrived"


class _Client(DogStatsd):
    """The `datadog` package's client: its lines and its connections; how it fares is told.

    It is an instance of the plugin's own, with neither thread nor telemetry. What the package does
    otherwise, dropping packets that cannot be sent and logging each, is what `_send_to_server` is
    overridden for.

    Attributes:
        fates: of each line of this export, in order, whether it was sent.
        reason: why not all were; "" if they were.
    """

    def __init__(self, config: DatadogConfig) -> None:
        super().__init__(
            host=config.address,
            port=config.port,
            socket_path=config.socket,
            disable_buffering=False,
            flush_interval=0,  # none: no thread flushes
            disable_aggregation=True,
            disable_telemetry=True,
            socket_timeout=float(config.timeout),
            track_instance=False,
        )
        # Those of the environment are among the section's, but for what only an agent makes use of.
        internal = [tag for tag in self.constant_tags if tag.startswith("dd.internal.")]
        self.constant_tags = [*config.tags, *internal]
        self.fates: list[bool] = []
        self.reason = ""
        self._clock = Clock()
        self._patience = float(config.timeout)
        self._end = 0

    def begin(self) -> None:
        """Begin with the time that there is for an export."""
        self._end = self._clock.monotonic() + round(self._patience * NANOSECONDS)

    @contextlib.contextmanager
    def exporting(self) -> Iterator[_Client]:
        """A context with a connection, and with `fates` and `reason` of what is sent in it."""
        self.fates = []
        self.reason = ""
        try:
            self.get_socket()  # its kind says how long a packet may be
        except (OSError, ValueError) as error:  # no name, or one that is none
            self.reason = _reason_of(error)
        try:
            yield self
        finally:
            self.close_socket()

    def put(self, point: Point) -> None:
        """Add a line for a point."""
        tags = list(point.tags)
        if point.kind == "count":
            self.count(point.name, point.value, tags)
        elif point.kind == "gauge":
            self.gauge(point.name, point.value, tags)
        else:
            # Not by the public method, which draws lots by the rate: here the rate says for how
            # many observations the value stands, and it is sent for certain.
            rate = rate_of(point.weight)
            self._report(point.name, "d", point.value, tags, rate, sampling=False)

    def _send_to_server(self, packet: str, timestamped: bool = False) -> bool:
        sent = not self.reason and self._sent(packet)
        self.fates += [sent] * (packet.count("\n") + 1)
        return sent

    def _sent(self, packet: str) -> bool:
        encoded = f"{packet}\n".encode()
        try:
            connected = self.get_socket()
            left = (self._end - self._clock.monotonic()) / NANOSECONDS
            connected.settimeout(max(left, _LEAST))
            if connected.type == socket.SOCK_STREAM:
                connected.sendall(struct.pack("<I", len(encoded)) + encoded)
            else:
                connected.send(encoded)
            # Where nobody listens on this machine, that is known by now.
            if refused := connected.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                raise OSError(refused, os.strerror(refused))
        except (OSError, ValueError) as error:
            self.reason = _reason_of(error)
        return not self.reason


def rate_of(weight: int) -> float:
    """Return the sample rate of which an agent makes that weight: it cuts 1 / rate to an int."""
    rate = 1 / weight
    while 1 / rate < weight:
        rate = math.nextafter(rate, 0.0)
    return rate


def _reason_of(error: OSError | ValueError) -> str:
    number = getattr(error, "errno", None)
    if isinstance(error, TimeoutError) or number in (errno.EAGAIN, errno.ENOBUFS):
        return "the agent does not read: its socket is full"
    return getattr(error, "strerror", None) or str(error)
