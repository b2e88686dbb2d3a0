"""A rule that fires as the working set outgrows the cache, and ends as it fits again.

The alert goes to the log here; `[plugins.alerts.webhook]` would post it somewhere.
"""

from __future__ import annotations

import logging
import threading
from typing import Any

import predis_core as predis

told: list[str] = []
wake = threading.Event()


class Listener(logging.Handler):
    """Hears what the plugin writes to its log."""

    def emit(self, record: logging.LogRecord) -> None:
        """Take note of it."""
        told.append(record.getMessage())
        wake.set()


log = logging.getLogger("predis.alerts")
log.setLevel(logging.INFO)
log.propagate = False
log.addHandler(Listener())

RULE = {"name": "low-hit-ratio", "metric": "hit_ratio", "condition": "< 50%", "over": "200ms"}
configuration: dict[str, Any] = {
    "cache": {"name": "shop", "capacity": 1_000, "policy": "lru"},
    "plugins": {"alerts": {"interval": "50ms", "rules": [RULE | {"clear": "90%"}]}},
}


def serve(cache: predis.Cache[int, int], users: int, until: int) -> None:
    """Answer requests of so many users, one after the other, until so many notices were given."""
    while len(told) < until:
        for first in range(0, users, 500):
            cache.get_or_load_many(range(first, first + 500), lambda ids: ids)
        wake.wait(0.01)
        wake.clear()


with predis.open(configuration) as cache:
    serve(cache, users=5_000, until=1)  # never there when they come back
    serve(cache, users=500, until=2)

assert told[0].startswith("low-hit-ratio: hit_ratio of cache 'shop' is 0")
assert told[1].startswith("low-hit-ratio: over after")
for message in told:
    print(message)
