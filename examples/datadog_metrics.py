"""A cache whose metrics go to an agent of Datadog; here a few lines stand for the agent.

In a service `predis.toml` has the section `[plugins.datadog]`, and the agent is at 127.0.0.1:8125,
or where DD_AGENT_HOST says.
"""

from __future__ import annotations

import socket
from collections import Counter

import predis_core as predis


def received(agent: socket.socket) -> Counter[str]:
    """Return the sum of each count that was sent, by its name."""
    sums: Counter[str] = Counter()
    agent.setblocking(False)
    while True:
        try:
            lines = agent.recv(65_536).decode().splitlines()
        except BlockingIOError:
            return sums
        for line in lines:  # as "predis.cache.hits:7|c|#cache:squares,env:test"
            name, _, rest = line.partition(":")
            value, kind, *_ = rest.split("|")
            if kind == "c":
                sums[name] += int(float(value))


with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as agent:
    agent.bind(("127.0.0.1", 0))
    section = {"port": agent.getsockname()[1], "tags": ["env:test"], "service_check": False}
    configuration = {
        "cache": {"name": "squares", "capacity": 1_000},
        "plugins": {"datadog": section},
    }
    with predis.open(configuration) as cache:
        for first in range(0, 3_000, 100):
            keys = range(first, first + 200)
            cache.get_or_load_many(keys, lambda ids: [each * each for each in ids])
        stats = cache.stats()
    counts = received(agent)  # the last export is made when the cache closes

assert counts["predis.cache.hits"] == stats.hits
assert counts["predis.cache.loads"] == stats.loads
print(f"{stats.hits} hits and {stats.loads} loads, and as many at the agent")
