"""OTLP exporters of the SDK, and what became of an export: they only log that."""

from __future__ import annotations

import logging
import ssl
import threading
from collections.abc import Callable
from typing import Any, Protocol

from opentelemetry.context import _SUPPRESS_INSTRUMENTATION_KEY, attach, detach, set_value

from predis_otel.config import Tls
from predis_otel.destination import Destination, Signal


class SdkExporter(Protocol):
    """What the SDK's exporters of metrics and of spans have in common."""

    def export(self, data: Any, /) -> Any: ...

    def shutdown(self) -> None: ...


class Sender:
    """Sends with an exporter of the SDK, and says why that failed.

    Args:
        destination: where to.
        signal: which of the SDK's exporters to make.

    Raises:
        ValueError: if a file of `tls` cannot be used; names the field.
    """

    def __init__(self, destination: Destination, signal: Signal) -> None:
        make = _by_grpc if destination.protocol == "grpc" else _by_http
        self._exporter, self._logger, self._problem = make(destination, signal)
        self._secrets = list(destination.headers.values())

    def send(self, data: Any) -> str:
        """Send, and try again within the timeout; return "", or the reason why it failed."""
        # Instrumented libraries below would make spans of this, and those would be sent as well.
        token = attach(set_value(_SUPPRESS_INSTRUMENTATION_KEY, True))
        try:
            with _Overheard(self._logger) as heard:
                result = self._exporter.export(data)
            if result.name == "SUCCESS":
                return ""
            return self._fit_to_be_shown(self._problem() or heard.error or "the export failed")
        except Exception as error:
            return self._fit_to_be_shown(f"{type(error).__name__}: {error}")
        finally:
            detach(token)

    def close(self) -> None:
        """Give connections up, and end an export that is under way."""
        self._exporter.shutdown()

    def _fit_to_be_shown(self, reason: str) -> str:
        for secret in self._secrets:
            if secret.reveal():
                reason = reason.replace(secret.reveal(), "***")
        return " ".join(reason.split())


class _Overheard(logging.Filter):
    """Takes what a logger is told in this thread, while it lasts, instead of a handler.

    Attributes:
        error: the last error.
    """

    def __init__(self, logger: logging.Logger) -> None:
        super().__init__()
        self._logger = logger
        self._thread = threading.get_ident()
        self.error = ""

    def __enter__(self) -> _Overheard:
        # The first one: the SDK has a filter there that swallows what is said twice.
        self._logger.filters.insert(0, self)
        return self

    def __exit__(self, *_: object) -> None:
        self._logger.removeFilter(self)

    def filter(self, record: logging.LogRecord) -> bool:
        """Take a warning or an error of this thread; leave the others."""
        if threading.get_ident() != self._thread or record.levelno < logging.WARNING:
            return True
        if record.levelno >= logging.ERROR:
            self.error = record.getMessage()
        return False


Made = tuple[SdkExporter, logging.Logger, Callable[[], str]]
"""An exporter, where it logs, and what says what was wrong with its last request, if it knows."""


def _by_grpc(destination: Destination, signal: Signal) -> Made:
    import grpc
    from opentelemetry.exporter.otlp.proto.grpc import exporter as logs

    if signal == "metrics":
        from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import (
            OTLPMetricExporter as Exporter,
        )
    else:
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import (  # type: ignore[assignment]
            OTLPSpanExporter as Exporter,
        )
    credentials = None
    if destination.tls is not None and destination.is_secure:
        contents = _contents(destination.tls)
        credentials = grpc.ssl_channel_credentials(
            contents.get("ca"), contents.get("key"), contents.get("cert")
        )
    none = grpc.Compression.NoCompression
    exporter: Any = Exporter(
        endpoint=destination.url,
        insecure=not destination.is_secure,
        credentials=credentials,
        headers=tuple(_revealed(destination).items()),
        timeout=destination.timeout,
        compression=grpc.Compression.Gzip if destination.gzip else none,
    )
    return exporter, logging.getLogger(logs.__name__), str


def _by_http(destination: Destination, signal: Signal) -> Made:
    import requests
    from opentelemetry.exporter.otlp.proto.http import Compression

    if signal == "metrics":
        from opentelemetry.exporter.otlp.proto.http.metric_exporter import (
            OTLPMetricExporter as Exporter,
        )
    else:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # type: ignore[assignment]
            OTLPSpanExporter as Exporter,
        )

    class Session(requests.Session):
        """One that keeps what was wrong: if there is no time for a second try, nobody logs that."""

        problem = ""

        def request(self, *arguments: Any, **named: Any) -> Any:
            try:
                response = super().request(*arguments, **named)
            except Exception as error:
                self.problem = f"{type(error).__name__}: {error}"
                raise
            self.problem = "" if response.ok else f"HTTP {response.status_code} {response.reason}"
            return response

        def merge_environment_settings(
            self, url: Any, proxies: Any, stream: Any, verify: Any, cert: Any
        ) -> Any:
            # REQUESTS_CA_BUNDLE would go over the authorities of the section.
            verify = self.verify if verify is None else verify
            return super().merge_environment_settings(url, proxies, stream, verify, cert)

    tls, session = destination.tls or Tls(), Session()
    _contents(tls)
    exporter: Any = Exporter(
        endpoint=destination.url,
        certificate_file=None if tls.ca is None else str(tls.ca),
        client_certificate_file=None if tls.cert is None else str(tls.cert),
        client_key_file=None if tls.key is None else str(tls.key),
        headers=_revealed(destination),
        timeout=destination.timeout,
        compression=Compression.Gzip if destination.gzip else Compression.NoCompression,
        session=session,
    )
    return exporter, logging.getLogger(Exporter.__module__), lambda: session.problem


def _revealed(destination: Destination) -> dict[str, str]:
    return {name: secret.reveal() for name, secret in destination.headers.items()}


def _contents(tls: Tls) -> dict[str, bytes]:
    """Return what the files of a section hold, by field.

    Raises:
        ValueError: if one cannot be read or is not what it should be; names the field.
    """
    found = {}
    for field in ("ca", "cert", "key"):
        path = getattr(tls, field)
        try:
            if path is not None:
                found[field] = path.read_bytes()
        except OSError as error:
            raise ValueError(
                f"tls.{field}: cannot read {str(path)!r}: {error.strerror}; name a file in PEM "
                "that this process may read"
            ) from error
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        if tls.ca is not None:
            context.load_verify_locations(tls.ca)
    except ssl.SSLError as error:
        raise ValueError(f"tls.ca: {str(tls.ca)!r} holds no certificate in PEM") from error
    try:
        if tls.cert is not None:
            context.load_cert_chain(tls.cert, tls.key, password=_refuse_password)
    except ssl.SSLError as error:
        raise ValueError(
            f"tls.cert, tls.key: {str(tls.cert)!r} and {str(tls.key)!r} are no certificate and "
            f"its key in PEM: {error.reason or error}"
        ) from error
    return found


def _refuse_password() -> str:
    """Raise, where OpenSSL would ask for a password on the terminal."""
    raise ValueError("tls.key: the key is encrypted; give one that is not")
