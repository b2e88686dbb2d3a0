"""An ASGI service with a cache, whose metrics are served beside the service's own at /metrics.

Any ASGI server serves it (`uvicorn asgi_metrics:app`); run by itself, it asks itself.
"""

from __future__ import annotations

import asyncio
from typing import Any

from prometheus_client import CollectorRegistry, Counter, make_asgi_app

import predis_core as predis

REGISTRY = CollectorRegistry()
answered = Counter("service_answers", "Answers given.", registry=REGISTRY)
metrics = make_asgi_app(REGISTRY)
cache: predis.Cache[int, int] = predis.open(
    {
        "cache": {"name": "squares", "capacity": 1_000},
        "plugins": {"prometheus": {"registry": f"{__name__}:REGISTRY"}},
    }
)


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Answer /metrics with the metrics, and /7 with 49."""
    if scope["path"] == "/metrics":
        await metrics(scope, receive, send)
        return
    number = int(scope["path"].removeprefix("/"))
    square = await asyncio.to_thread(cache.get_or_load, number, lambda key: key * key)
    answered.inc()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": str(square).encode()})


async def ask(path: str) -> str:
    """Return what the service answers, as a server would ask it."""
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request"}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": path, "query_string": b"", "headers": []}
    await app(scope, receive, send)
    return "".join(message.get("body", b"").decode() for message in sent)


if __name__ == "__main__":
    with cache:
        assert [asyncio.run(ask(path)) for path in ("/7", "/8", "/7")] == ["49", "64", "49"]
        lines = asyncio.run(ask("/metrics")).splitlines()
        for name in ("service_answers", "predis_cache_hits", "predis_cache_misses"):
            (line,) = (line for line in lines if line.startswith(f"{name}_total"))
            print(line)
