"""A shop's traffic turns into a scan, and the cache's log says so.

In a service, traffic is sampled at a lower rate; see `docs/how-to/notice-drift.md`.
"""

from __future__ import annotations

import logging
import threading
from typing import Any

import numpy as np

import predis_core as predis

told: list[str] = []
wake = threading.Event()


class Listener(logging.Handler):
    """Hears what the plugin writes to its log."""

    def emit(self, record: logging.LogRecord) -> None:
        """Take note of it."""
        told.append(record.getMessage())
        wake.set()


log = logging.getLogger("predis.drift")
log.propagate = False
log.addHandler(Listener())

configuration: dict[str, Any] = {
    "cache": {"name": "shop", "capacity": 2_000, "policy": "lru"},
    "plugins": {"drift": {"rate": 1.0, "window": 500, "features": ["new_keys", "reuse_distance"]}},
}
random = np.random.default_rng(7)
with predis.open(configuration) as cache:
    # Customers: few articles are asked for often, most of them rarely.
    for _ in range(400):
        articles = random.zipf(1.3, 50) % 5_000
        cache.get_or_load_many(articles.tolist(), lambda ids: ids)
    # Then a crawler reads the catalogue, article by article.
    article = 1_000_000
    while not told:
        cache.get_or_load_many(range(article, article + 50), lambda ids: ids)
        article += 50
        wake.wait(0.01)

assert told[0].startswith("cache 'shop': its workload changed: ")
assert "new_keys" in told[0]
print(told[0])
