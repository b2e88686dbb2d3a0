"""The server: what it answers, whom it lets in, and what slow and wrong clients can do to it."""

from __future__ import annotations

import logging
import socket
import ssl
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from predis_core.plugin import Secret
from predis_prometheus import BasicAuth, Tls
from predis_prometheus import server as server_module
from predis_prometheus.plugin import Prometheus
from tests.support.counterparts import counterpart
from tests.support.crew import PATIENCE, Crew

Start = Callable[..., Prometheus]
Fetch = Callable[..., Any]
Threads = Callable[[], list[str]]
AUTH = BasicAuth(user="scraper", password=Secret("pass:wörd"))


def base_of(plugin: Prometheus) -> str:
    assert plugin.url is not None
    return plugin.url.removesuffix("/metrics")


# ---- what is answered ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "status", "part"),
    [
        ("/metrics", 200, ""),
        ("/metrics?name%5B%5D=predis_cache_hits_total", 200, ""),
        ("/", 200, '<a href="/metrics">'),
        ("/-/healthy", 200, "healthy\n"),
        ("/metrics/", 404, "nothing is here; the metrics are at /metrics\n"),
        ("/favicon.ico", 404, "nothing is here; the metrics are at /metrics\n"),
        ("/%2e%2e/etc/passwd", 404, "nothing is here; the metrics are at /metrics\n"),
    ],
)
def test_what_is_where(started: Start, fetch: Fetch, path: str, status: int, part: str) -> None:
    answer = fetch(base_of(started()) + path)
    assert answer.status == status
    assert part in answer.text
    assert int(answer.headers["Content-Length"]) == len(answer.text)


def test_the_metrics_may_be_at_the_root(started: Start, fetch: Fetch) -> None:
    plugin = started(path="/")
    assert plugin.url is not None
    assert fetch(plugin.url).headers["Content-Type"].startswith("text/plain; version=0.0.4")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_only_get_and_head_are_served(started: Start, fetch: Fetch, method: str) -> None:
    answer = fetch(started().url, method=method)
    assert (answer.status, answer.headers["Allow"]) == (405, "GET, HEAD")


def test_head_has_the_headers_of_get_and_no_body(started: Start, fetch: Fetch) -> None:
    base = base_of(started())
    got, head = fetch(f"{base}/"), fetch(f"{base}/", method="HEAD")
    assert head.text == ""
    assert head.headers["Content-Length"] == got.headers["Content-Length"] != "0"


def test_the_format_is_the_one_that_is_asked_for(started: Start, fetch: Fetch) -> None:
    plugin = started()
    plain = fetch(plugin.url)
    assert plain.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    asked = fetch(plugin.url, accept="application/openmetrics-text; version=1.0.0")
    assert asked.headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
    assert asked.text.endswith("# EOF\n")


def test_ipv6_works(started: Start, fetch: Fetch) -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6")
    plugin = started(address="::1")
    assert plugin.url is not None
    assert plugin.url.startswith("http://[::1]:")
    assert fetch(plugin.url).status == 200


# ---- whom it lets in -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "auth", [None, "", "scraper", "scraper:", "scraper:other", "other:pass:wörd", "scraper:pass"]
)
@pytest.mark.parametrize("path", ["/metrics", "/", "/-/healthy", "/else"])
def test_without_the_password_nothing_is_told(
    started: Start, fetch: Fetch, auth: str | None, path: str
) -> None:
    answer = fetch(base_of(started(basic_auth=AUTH)) + path, auth=auth)
    assert answer.status == 401
    assert answer.headers["WWW-Authenticate"] == 'Basic realm="predis", charset="UTF-8"'
    assert answer.text == "user and password are required\n"


def test_with_the_password_the_metrics_are_served(started: Start, fetch: Fetch) -> None:
    assert fetch(started(basic_auth=AUTH).url, auth="scraper:pass:wörd").status == 200


@pytest.mark.parametrize("header", ["Basic", "Basic !!!", "Bearer c2NyYXBlcg==", "Basic \xff"])
def test_a_malformed_authorization_is_refused(started: Start, header: str) -> None:
    plugin = started(basic_auth=AUTH)
    request = f"GET /metrics HTTP/1.0\r\nAuthorization: {header}\r\n\r\n".encode("latin-1")
    assert exchange(plugin, request).startswith(b"HTTP/1.0 401 ")


def test_https_with_a_certificate(started: Start, fetch: Fetch, certificates: Any) -> None:
    plugin = started(tls=Tls(cert=certificates.cert, key=certificates.key), basic_auth=AUTH)
    assert plugin.url is not None
    assert plugin.url.startswith("https://127.0.0.1:")
    context = certificates.client_context()
    assert fetch(plugin.url, auth="scraper:pass:wörd", context=context).status == 200
    assert fetch(plugin.url, context=context).status == 401
    with pytest.raises(OSError, match="CERTIFICATE_VERIFY_FAILED"):
        fetch(plugin.url, context=ssl.create_default_context())


def test_clients_may_have_to_show_a_certificate(
    started: Start, fetch: Fetch, certificates: Any
) -> None:
    files = Tls(cert=certificates.cert, key=certificates.key, client_ca=certificates.cert)
    plugin = started(tls=files)
    with pytest.raises(OSError):
        fetch(plugin.url, context=certificates.client_context())
    allowed = certificates.client_context(with_certificate=True)
    assert fetch(plugin.url, context=allowed).status == 200


def test_a_password_in_clear_text_is_warned_of(
    started: Start, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "predis.prometheus"):
        started(basic_auth=AUTH)
        assert caplog.messages == []
        started(basic_auth=AUTH, address="0.0.0.0")
    assert caplog.messages == [
        "basic_auth: without `tls` the password crosses the network in clear text"
    ]


@pytest.mark.parametrize("field", ["cert", "key", "client_ca"])
def test_a_file_that_is_not_there_is_named(started: Start, certificates: Any, field: str) -> None:
    files = {"cert": certificates.cert, "key": certificates.key, field: Path("/no/such.pem")}
    with pytest.raises(ValueError) as error:
        started(tls=Tls(**files))
    assert str(error.value) == (
        f"tls.{field}: cannot read '/no/such.pem': No such file or directory; "
        "name a file in PEM that this process may read"
    )


def test_files_that_hold_something_else_are_named(
    started: Start, certificates: Any, tmp_path: Path
) -> None:
    wrong = tmp_path / "wrong.pem"
    wrong.write_text("nothing of the kind")
    with pytest.raises(ValueError, match=r"^tls\.cert, tls\.key: .* are no certificate and its"):
        started(tls=Tls(cert=certificates.cert, key=wrong))
    with pytest.raises(ValueError, match=r"^tls\.client_ca: .* holds no certificate in PEM: "):
        started(tls=Tls(cert=certificates.cert, key=certificates.key, client_ca=wrong))


def test_an_encrypted_key_is_refused_and_nobody_asked_for_its_password(
    started: Start, certificates: Any, tmp_path: Path
) -> None:
    locked = tmp_path / "locked.pem"
    command = [counterpart("openssl"), "rsa", "-aes256", "-passout", "pass:secret"]
    files = ["-in", str(certificates.key), "-out", str(locked)]
    subprocess.run([*command, *files], check=True, capture_output=True, timeout=60)
    with pytest.raises(ValueError, match=r"^tls\.key: the key is encrypted; give one that is not$"):
        started(tls=Tls(cert=certificates.cert, key=locked))


# ---- slow, wrong and many clients ----------------------------------------------------------------


def exchange(plugin: Prometheus, request: bytes) -> bytes:
    """Send raw bytes; return all that comes back."""
    with connection_to(plugin) as connection:
        connection.sendall(request)
        return b"".join(iter(lambda: connection.recv(65_536), b""))


def connection_to(plugin: Prometheus) -> socket.socket:
    _, _, port = base_of(plugin).rpartition(":")
    return socket.create_connection(("127.0.0.1", int(port)), timeout=PATIENCE)


@pytest.fixture
def endless(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is let go for being slow, and closing waits until all threads have ended."""
    for name in ("PATIENCE", "_LONGEST_CLOSING"):
        monkeypatch.setattr(server_module, name, 3_600.0)
    monkeypatch.setattr(server_module._Handler, "timeout", 3_600.0)


@pytest.mark.usefixtures("endless")
def test_a_client_that_says_nothing_keeps_nobody_waiting(
    started: Start, fetch: Fetch, certificates: Any
) -> None:
    plugin = started(tls=Tls(cert=certificates.cert, key=certificates.key))
    with connection_to(plugin) as silent:  # not even the TLS handshake
        assert fetch(plugin.url, context=certificates.client_context()).status == 200
        silent.setblocking(False)
        with pytest.raises(BlockingIOError):  # it is still there
            silent.recv(1)


def test_a_client_that_says_nothing_is_let_go(
    started: Start, certificates: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "PATIENCE", 0.1)
    plugin = started(tls=Tls(cert=certificates.cert, key=certificates.key))
    with connection_to(plugin) as silent:
        assert silent.recv(1) == b""


@pytest.mark.parametrize(
    "request_", [b"\r\n", b"nonsense\r\n\r\n", b"GET\r\n\r\n", b"GET /metrics HTTP/9.9\r\n\r\n"]
)
def test_a_request_that_is_none_harms_nobody(
    started: Start, fetch: Fetch, request_: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    plugin = started()
    exchange(plugin, request_)
    assert fetch(plugin.url).status == 200
    assert capfd.readouterr().err == ""


def test_a_client_that_leaves_early_is_no_noise(
    started: Start, fetch: Fetch, capfd: pytest.CaptureFixture[str]
) -> None:
    plugin = started()
    for _ in range(5):
        with connection_to(plugin) as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            connection.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
    assert fetch(plugin.url).status == 200
    assert capfd.readouterr().err == ""


@pytest.mark.usefixtures("endless")
def test_clients_beyond_the_limit_are_turned_away_until_others_left(
    started: Start, fetch: Fetch, threads: Threads, eventually: Callable[[Callable[[], Any]], Any]
) -> None:
    plugin = started()
    held = [connection_to(plugin) for _ in range(server_module.REQUESTS_AT_MOST)]
    eventually(lambda: len(threads()) == 1 + len(held))
    with connection_to(plugin) as turned_away:
        assert turned_away.recv(1) == b""
    for connection in held:
        connection.close()
    eventually(lambda: len(threads()) == 1)
    assert fetch(plugin.url).status == 200


@pytest.mark.usefixtures("endless")
def test_closing_cuts_off_those_who_are_connected(
    started: Start, threads: Threads, eventually: Callable[[Callable[[], Any]], Any]
) -> None:
    plugin = started()
    with connection_to(plugin) as silent:
        eventually(lambda: len(threads()) == 2)
        Crew().start(plugin.close).result(PATIENCE)
        assert threads() == []
        assert silent.recv(1) == b""


def test_closing_gives_the_port_back_and_is_harmless_twice(
    started: Start, fetch: Fetch, free_port: int
) -> None:
    for _ in range(3):
        plugin = started(port=free_port)
        assert fetch(plugin.url).status == 200
        plugin.close()
        plugin.close()
        assert plugin.url is None
    socket.create_server(("127.0.0.1", free_port)).close()


# ---- where it cannot listen ----------------------------------------------------------------------


def test_a_port_in_use_is_named_with_the_ways_out(started: Start, threads: Threads) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(ValueError) as error:
            started(port=port)
    assert str(error.value) == (
        f"port: {port} of 127.0.0.1 is in use already; give another port, port = 0 for any free "
        "one, `multiprocess` if processes of one service share it, or required = false to go "
        "without"
    )
    assert threads() == []


@pytest.mark.parametrize("address", ["no.such.host.invalid", "192.0.2.1", "::g"])
def test_an_address_of_elsewhere_is_named(started: Start, address: str) -> None:
    with pytest.raises(ValueError, match=r"^address: .*; give") as error:
        started(address=address)
    assert repr(address) in str(error.value)
