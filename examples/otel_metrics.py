"""A cache that sends its metrics and spans by OTLP, and who takes them, in one process.

The receiver stands for a Collector, which a service names as `endpoint`.
"""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

import predis_core as predis

metrics, spans = {}, []


class Receiver(BaseHTTPRequestHandler):
    """Keeps what it is sent."""

    def do_POST(self) -> None:
        """Take metrics or spans."""
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.path == "/v1/metrics":
            request = ExportMetricsServiceRequest.FromString(body)
            metrics.update(
                {each.name: each for each in request.resource_metrics[0].scope_metrics[0].metrics}
            )
        else:
            request = ExportTraceServiceRequest.FromString(body)
            spans.extend(request.resource_spans[0].scope_spans[0].spans)
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None: ...


receiver = HTTPServer(("127.0.0.1", 0), Receiver)
threading.Thread(target=receiver.serve_forever).start()
otel = {
    "endpoint": f"http://127.0.0.1:{receiver.server_port}",
    "protocol": "http",
    "traces": True,
    "sample": 1.0,
    "resource": {"service.name": "squares"},
}
with predis.open({"cache": {"capacity": 1_000}, "plugins": {"otel": otel}}) as cache:
    for _ in range(3):
        cache.get_or_load_many(range(100), lambda ids: [id * id for id in ids])
receiver.shutdown()
receiver.server_close()

for name in ("predis.cache.hits", "predis.cache.misses", "predis.cache.loads"):
    print(name, metrics[name].sum.data_points[0].as_int, metrics[name].unit)
print(sorted(span.name for span in spans))
assert metrics["predis.cache.hits"].sum.data_points[0].as_int == 200
