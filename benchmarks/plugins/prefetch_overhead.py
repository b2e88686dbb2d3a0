"""Whether a prefetcher that is of no use makes batches slower.

    python benchmarks/plugins/prefetch_overhead.py [--blocks N] [--batch KEYS] [--one-core]
        [--json]

It proposes keys that nobody ever asks for, as many as it may, so that its guesses are wasted, it
becomes quiet, and is looked at again for a short stretch now and then. Its cache and plain ones
take turns (turns.py says how); printed is how many times as long the 99th percentile of its batches
of resident keys is, and that of an A/A control. Exit code 1 where it is beyond what is asked, 3
where the control is.
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from turns import CAPACITY, arguments, compared, verdict

import predis_core as predis
from predis_core.plugin import AccessBatch, NoOptions, PluginSpec, Prefetcher, hookimpl

NEVER = 1 << 40
"""The first of the keys that are proposed; those that are asked for are lower."""


class Useless(Prefetcher):
    """Proposes as much as it may of what nobody asks for."""

    name = "useless"

    def __init__(self) -> None:
        self._next = NEVER

    def observe(self, batch: AccessBatch) -> None:
        pass

    def predict(self, limit: int) -> tuple[Any, Any]:
        keys = np.arange(self._next, self._next + limit)
        self._next += limit
        return keys, np.ones(limit)


class Plugin:
    """Offers it."""

    def __init__(self, options: NoOptions) -> None: ...

    @hookimpl
    def predis_prefetchers(self) -> list[Prefetcher]:
        return [Useless()]


USELESS = PluginSpec(plugin="__main__:Plugin")


def main() -> int:
    given = arguments(__doc__).parse_args()
    loads: list[int] = []
    with shelf():
        pairs = compared(opened, lambda: opened("useless", loads=loads), given)
    if not sum(loads):
        raise SystemExit("nothing was ever loaded ahead: there is nothing to measure")
    return verdict("useless", pairs, given, keys_loaded_ahead=sum(loads))


@contextlib.contextmanager
def shelf() -> Iterator[None]:
    """Have the plugin of this file found as if it were installed."""
    with tempfile.TemporaryDirectory() as folder:
        info = Path(folder, "prefetch_overhead.dist-info")
        info.mkdir()
        info.joinpath("METADATA").write_text("Name: prefetch-overhead\nVersion: 1\n")
        lines = "[predis.plugins.v1]\nuseless = __main__:USELESS\n"
        info.joinpath("entry_points.txt").write_text(lines)
        sys.path.append(folder)
        yield
        sys.path.remove(folder)


@contextlib.contextmanager
def opened(*plugins: str, loads: list[int] | None = None) -> Iterator[Any]:
    """Open a cache that holds what is asked for; note in the end how much was loaded ahead."""
    section = {
        "capacity": CAPACITY,
        "policy": "s3fifo",
        "seed": 1,
        "value": {"kind": "rows", "dtype": "int64"},
    }
    enabled = {"cache": section, "plugins": {plugin: {} for plugin in plugins}}
    with predis.open(enabled, loader=lambda ids: ids) as cache:
        everything = np.arange(CAPACITY // 2)
        cache.set_many(everything, everything)
        yield cache
        if loads is not None:
            loads += [each.loads for each in cache.prefetch_stats()]


if __name__ == "__main__":
    raise SystemExit(main())
