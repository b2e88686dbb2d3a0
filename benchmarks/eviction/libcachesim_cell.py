"""Replay one trace into one cache of libcachesim, and print the miss ratio.

    python libcachesim_cell.py TRACE CLASS ENTRIES

TRACE is an oracleGeneral file; every object has size 1. A program of its own, because it runs in
libcachesim's environment, and because a cache that crashes must take nothing else with it.
"""

from __future__ import annotations

import importlib
import sys

# Of the hash table at the beginning; the default takes 128 MiB, whatever the cache's size.
HASH_BITS = 18


def main(trace: str, name: str, entries: str) -> None:
    """Replay and print."""
    library = importlib.import_module("libcachesim")
    reader = library.TraceReader(
        trace, library.TraceType.ORACLE_GENERAL_TRACE, library.ReaderInitParam(ignore_obj_size=True)
    )
    cache = getattr(library, name)(cache_size=int(entries), hashpower=HASH_BITS)
    missed, _ = cache.process_trace(reader)
    print(f"{missed:.6f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
