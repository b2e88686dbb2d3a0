"""Metrics for New Relic, to a receiver of this program's own that stands in its place."""

from __future__ import annotations

import json
import ssl
import subprocess
import tempfile
import threading
import zlib
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import predis_core as predis

received: dict[str, float] = {}


class Receiver(BaseHTTPRequestHandler):
    """Adds up the counts that arrive."""

    def do_POST(self) -> None:
        """Take a request of the Metric API."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        for metric in json.loads(zlib.decompress(body, 31))[0]["metrics"]:
            if metric.get("type") == "count":
                received[metric["name"]] = received.get(metric["name"], 0) + metric["value"]
        self.send_response(202)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


with tempfile.TemporaryDirectory() as folder:
    cert, key = Path(folder, "cert.pem"), Path(folder, "key.pem")
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost"]
    command += ["-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(cert)]
    subprocess.run(command, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    with HTTPServer(("127.0.0.1", 0), Receiver) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        host = f"localhost:{server.server_port}"
        section = {"license_key": "a-key", "host": host, "ca": str(cert)}
        configuration = {"cache": {"capacity": 1_000}, "plugins": {"newrelic": section}}
        with predis.open(configuration) as cache:  # a path, as "predis.toml", in a service
            cache.set_many(range(100), range(100))
            cache.get_many(range(150))
        server.shutdown()

print({name: value for name, value in received.items() if value})
assert received["predis.cache.hits"] == 100
assert received["predis.cache.misses"] == 50
