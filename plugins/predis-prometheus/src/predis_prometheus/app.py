"""What the server answers: a WSGI application around prometheus_client's own."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import html
import logging
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from prometheus_client import make_wsgi_app
from prometheus_client.registry import Collector

from predis_prometheus.config import HEALTH_PATH, BasicAuth

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

logger = logging.getLogger("predis.prometheus")

_PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>Predis</title></head>
<body><h1>Predis</h1><p><a href="{path}">Metrics</a></p></body></html>
"""

Answer = tuple[str, list[tuple[str, str]], bytes]
"""Status, headers and body."""


class Application:
    """Serves the metrics at one path, with an index page and a sign of life beside it.

    Args:
        registry: what is served.
        path: where.
        auth: what clients have to give.
    """

    def __init__(self, registry: Collector, path: str, auth: BasicAuth | None) -> None:
        self._metrics: WSGIApplication = make_wsgi_app(registry)
        self._path = path
        self._expected = None if auth is None else _digest_of(auth)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        status, headers, body = self._answer(environ)
        headers = [*headers, ("Content-Length", str(len(body)))]
        start_response(status, headers)
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]

    def _answer(self, environ: WSGIEnvironment) -> Answer:
        if not self._is_allowed(environ.get("HTTP_AUTHORIZATION", "")):
            challenge = ("WWW-Authenticate", 'Basic realm="predis", charset="UTF-8"')
            return _text("401 Unauthorized", "user and password are required", challenge)
        if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            return _text("405 Method Not Allowed", "use GET or HEAD", ("Allow", "GET, HEAD"))
        path = environ["PATH_INFO"]
        if path == self._path:
            return self._measured(environ)
        if path == HEALTH_PATH:
            return _text("200 OK", "healthy")
        if path == "/":
            page = _PAGE.format(path=html.escape(self._path)).encode()
            return "200 OK", [("Content-Type", "text/html; charset=utf-8")], page
        return _text("404 Not Found", f"nothing is here; the metrics are at {self._path}")

    def _is_allowed(self, authorization: str) -> bool:
        if self._expected is None:
            return True
        scheme, _, credentials = authorization.partition(" ")
        try:
            given = base64.b64decode(credentials.strip().encode("latin-1"), validate=True)
        except (binascii.Error, UnicodeEncodeError):
            given = b""
        # Digests: comparing the texts themselves would tell how long the right one is.
        is_right = hmac.compare_digest(hashlib.sha256(given).digest(), self._expected)
        return is_right and scheme.lower() == "basic"

    def _measured(self, environ: WSGIEnvironment) -> Answer:
        answer: list[Any] = []

        def start(status: str, headers: list[tuple[str, str]], *_: Any) -> Callable[..., Any]:
            answer.extend((status, headers))
            return lambda _: None

        try:
            body = b"".join(self._metrics(environ | {"REQUEST_METHOD": "GET"}, start))
        except Exception as error:
            logger.exception("a scrape failed")
            return _text("500 Internal Server Error", f"{type(error).__name__}; see the log")
        return answer[0], answer[1], body


def _text(status: str, text: str, *headers: tuple[str, str]) -> Answer:
    kind = ("Content-Type", "text/plain; charset=utf-8")
    return status, [kind, *headers], f"{text}\n".encode()


def _digest_of(auth: BasicAuth) -> bytes:
    return hashlib.sha256(f"{auth.user}:{auth.password.reveal()}".encode()).digest()
