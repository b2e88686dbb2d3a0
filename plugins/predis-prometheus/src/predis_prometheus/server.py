"""The HTTP server: a thread that accepts, and one per request."""

from __future__ import annotations

import contextlib
import errno
import io
import ipaddress
import logging
import os
import socket
import ssl
import threading
import weakref
from socketserver import TCPServer, ThreadingMixIn
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from predis_core.clock import NANOSECONDS, stopwatch
from predis_prometheus.config import Tls

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication

logger = logging.getLogger("predis.prometheus")

PATIENCE = 10.0
"""Seconds for which the server waits for a client that says nothing."""

REQUESTS_AT_MOST = 32
"""Requests that are served at a time; a client beyond them is turned away."""

_POLL = 0.05
_LONGEST_CLOSING = 2.0


class _Handler(WSGIRequestHandler):
    timeout = PATIENCE

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing: a scrape is no event."""

    def get_stderr(self) -> Any:
        # Where wsgiref would write the traceback of a client that went away.
        return io.StringIO()


class _Server(ThreadingMixIn, WSGIServer):
    """Accepts in its own thread and does all else, the TLS handshake included, in another."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = REQUESTS_AT_MOST
    context: ssl.SSLContext | None = None

    def __init__(self, family: int, address: tuple[Any, ...]) -> None:
        self.address_family = family
        self.serving: dict[socket.socket, threading.Thread] = {}
        self.slots = threading.BoundedSemaphore(REQUESTS_AT_MOST)
        super().__init__(address, _Handler)

    def server_bind(self) -> None:
        # Not HTTPServer's: it asks the name service for the address's name, which may take long.
        TCPServer.server_bind(self)
        self.server_name, self.server_port = self.server_address[:2]  # type: ignore[assignment]
        self.setup_environ()

    def get_request(self) -> tuple[Any, Any]:
        request, address = self.socket.accept()
        request.settimeout(PATIENCE)
        if self.context is not None:
            request = self.context.wrap_socket(
                request, server_side=True, do_handshake_on_connect=False
            )
        return request, address

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self.slots.acquire(blocking=False):
            self.shutdown_request(request)
            return
        thread = threading.Thread(
            target=self.process_request_thread,
            args=(request, client_address),
            name="predis-prometheus-request",
            daemon=True,
        )
        self.serving[request] = thread
        thread.start()

    def finish_request(self, request: Any, client_address: Any) -> None:
        if isinstance(request, ssl.SSLSocket):
            request.do_handshake()
        super().finish_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        super().shutdown_request(request)
        if self.serving.pop(request, None) is not None:
            self.slots.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        logger.debug("a request of %s failed", client_address[0], exc_info=True)


class Server:
    """Listens from its construction on until it is closed.

    Args:
        application: what answers.
        address: name or IP address of the interface.
        port: 0 for any free one.
        tls: with it, HTTPS.

    Raises:
        ValueError: if it cannot listen there, or a file of `tls` cannot be used; names the field.
        BusyPort: if something listens there already.
    """

    def __init__(
        self, application: WSGIApplication, address: str, port: int, tls: Tls | None
    ) -> None:
        context = None if tls is None else context_of(tls)
        self._server = _bound(address, port)
        self._server.context = context
        self._server.set_app(application)
        self.port: int = self._server.server_address[1]
        host = f"[{address}]" if ":" in address else address
        self.url = f"{'http' if tls is None else 'https'}://{host}:{self.port}"
        self._thread = threading.Thread(
            target=self._server.serve_forever,
            args=(_POLL,),
            name="predis-prometheus-server",
            daemon=True,
        )
        self._thread.start()
        _servers.add(self)

    @property
    def is_local(self) -> bool:
        """Whether only this machine reaches it."""
        return ipaddress.ip_address(str(self._server.server_address[0])).is_loopback

    def close(self) -> None:
        """Give up the port and end every thread; requests that are being served are cut off."""
        _servers.discard(self)
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(_LONGEST_CLOSING)
        serving = list(self._server.serving.items())
        for request, _ in serving:
            with contextlib.suppress(OSError):
                # Not SSLSocket's own: the thread that uses it would find it half gone.
                socket.socket.shutdown(request, socket.SHUT_RDWR)
        end = stopwatch() + round(_LONGEST_CLOSING * NANOSECONDS)
        for _, thread in serving:
            thread.join(max(0, end - stopwatch()) / NANOSECONDS)

    def _forked(self) -> None:
        """In a child process: let go of the parent's port."""
        self._server.server_close()


class BusyPort(ValueError):
    """Something listens on the port already."""


def context_of(tls: Tls) -> ssl.SSLContext:
    """Return the TLS context that a section describes.

    Raises:
        ValueError: if a file cannot be used; names the field.
    """
    for name in ("cert", "key", "client_ca"):
        path = getattr(tls, name)
        try:
            if path is not None:
                path.read_bytes()
        except OSError as error:
            raise ValueError(
                f"tls.{name}: cannot read {str(path)!r}: {error.strerror}; name a file in PEM that "
                "this process may read"
            ) from error
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(tls.cert, tls.key, password=_refuse_password)
    except ssl.SSLError as error:
        raise ValueError(
            f"tls.cert, tls.key: {str(tls.cert)!r} and {str(tls.key)!r} are no certificate and its "
            f"key in PEM: {error.reason or error}"
        ) from error
    if tls.client_ca is not None:
        try:
            context.load_verify_locations(tls.client_ca)
        except ssl.SSLError as error:
            raise ValueError(
                f"tls.client_ca: {str(tls.client_ca)!r} holds no certificate in PEM: "
                f"{error.reason or error}"
            ) from error
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def _refuse_password() -> str:
    """Raise, where OpenSSL would ask for a password on the terminal."""
    raise ValueError("tls.key: the key is encrypted; give one that is not")


def _bound(address: str, port: int) -> _Server:
    try:
        family, _, _, _, where = socket.getaddrinfo(
            address, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except OSError as error:
        raise ValueError(
            f"address: {address!r} is no address of this machine: {error.strerror}; "
            'give one, as "127.0.0.1" or "0.0.0.0"'
        ) from error
    try:
        return _Server(family, where)
    except OSError as error:
        raise _listening_failed(error, address, port) from error


def _listening_failed(error: OSError, address: str, port: int) -> ValueError:
    if error.errno == errno.EADDRINUSE:
        return BusyPort(
            f"port: {port} of {address} is in use already; give another port, port = 0 for any "
            "free one, `multiprocess` if processes of one service share it, or required = false "
            "to go without"
        )
    if error.errno == errno.EACCES:
        return ValueError(f"port: {port} is not allowed to this user; give one from 1024 up")
    return ValueError(
        f"address: cannot listen on {address!r}: {error.strerror}; "
        'give an address of this machine, as "127.0.0.1" or "0.0.0.0"'
    )


_servers: weakref.WeakSet[Server] = weakref.WeakSet()


def _after_fork() -> None:
    for server in list(_servers):
        server._forked()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
