"""Whether an exporter whose endpoint never answers makes batches slower.

    python benchmarks/plugins/black_hole.py PLUGIN [--blocks N] [--batch KEYS] [--json]

The endpoint accepts connections and says nothing, and the exporter is due all the time, so that
it always hangs in an export. A cache with it and plain ones take turns on one core (turns.py says
how); printed is how many times as long the 99th percentile of its batches of resident keys is, and
that of an A/A control. Exit code 1 where it is beyond what is asked, 3 where the control is.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
from turns import CAPACITY, arguments, compared, verdict

import predis_core as predis


class BlackHole:
    """Takes connections and datagrams, and never says a word."""

    def __init__(self) -> None:
        self._streams = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = int(self._streams.getsockname()[1])
        self._kept: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                self._kept.append(self._streams.accept()[0])

    @property
    def taken(self) -> int:
        """Connections so far."""
        return len(self._kept)

    def close(self) -> None:
        for each in (self._streams, *self._kept):
            each.close()


def sections(port: int) -> dict[str, dict[str, Any]]:
    """What can be measured, and how it is led into the black hole."""
    url = f"http://127.0.0.1:{port}"
    return {
        "otel": {"endpoint": url, "protocol": "http", "interval": "100ms", "timeout": "2s"},
        "datadog": {
            "transport": "http",
            "api_key": "x",
            "endpoint": url,
            "interval": "1s",
            "timeout": "2s",
        },
        "newrelic": {
            "license_key": "x",
            "host": f"127.0.0.1:{port}",
            "interval": "100ms",
            "timeout": "2s",
        },
    }


def main() -> int:
    options = arguments(__doc__)
    options.add_argument("plugin", choices=sections(0))
    options.set_defaults(one_core=True)  # so that the exporter's thread is in the way if it can be
    given = options.parse_args()
    with contextlib.closing(BlackHole()) as hole:
        plugins = {given.plugin: sections(hole.port)[given.plugin]}
        pairs = compared(partial(opened, {}), partial(opened, plugins), given)
        connections = hole.taken
    if not connections:
        raise SystemExit(f"{given.plugin} never tried to reach the black hole")
    return verdict(given.plugin, pairs, given, connections=connections)


@contextlib.contextmanager
def opened(plugins: dict[str, Any]) -> Iterator[predis.Cache[Any, Any]]:
    """Open a cache that holds what is asked for."""
    section = {
        "name": "enabled" if plugins else "plain",
        "capacity": CAPACITY,
        "policy": "s3fifo",
        "seed": 1,
        "value": {"kind": "rows", "dtype": "int64"},
    }
    with predis.open({"cache": section, "plugins": plugins}) as cache:
        everything = np.arange(CAPACITY // 2)
        cache.set_many(everything, everything)
        yield cache


if __name__ == "__main__":
    raise SystemExit(main())
