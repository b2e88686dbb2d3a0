"""An eviction policy in three functions of one line each, replayed against lru.

LIP, the "LRU insertion policy": a new entry is the first to leave until it is used again, from then
on the least recently used leaves. Qureshi, Jaleel, Patt, Steely, Emer: "Adaptive Insertion Policies
for High Performance Caching", ISCA 2007. It keeps a part of a loop that is larger than the cache,
where lru keeps nothing of use. The functions are compiled into the table's kernels.
"""

from __future__ import annotations

from typing import Any

from predis_core.policies import Policy
from predis_lab import replay
from predis_lab.workloads import Loop, Zipf


def on_insert(
    tick: int, frequency: int, tag: int, state: int, total: int, parameters: Any
) -> tuple[int, int]:
    """Come in as never used again (0); the set keeps no state."""
    return 0, state


def on_hit(meta: int, tick: int, state: int, parameters: Any) -> int:
    """Note the time of the use."""
    return tick


def rank(meta: int, tick: int, state: int, total: int, parameters: Any) -> int:
    """The lowest leaves: what was never used again, then what was used longest ago."""
    return meta


lip = Policy("lip", slot_bits=63, on_insert=on_insert, on_hit=on_hit, rank=rank)

for workload in (Loop(keys=10_000, rounds=10), Zipf(requests=200_000)):
    keys = workload.ids()
    missed = {
        policy if isinstance(policy, str) else policy.name: replay(keys, 1_000, policy).miss_ratio
        for policy in ("lru", lip)
    }
    assert missed["lip"] < missed["lru"]
    shown = ", ".join(f"{name} {ratio:.1%}" for name, ratio in missed.items())
    print(f"{type(workload).__name__}: misses with 1,000 entries: {shown}")
