"""LRU: the entry whose last use is longest ago leaves.

Exact within a set: a hit writes the batch's tick, so keys of one batch are equally recent.
"""

from __future__ import annotations

from typing import Any

from predis_core.policies.contract import HOT_BITS, Policy

_TICK_BITS = 32
_TICKS = (1 << _TICK_BITS) - 1
_HALF = 1 << (_TICK_BITS - 1)


def on_insert(
    tick: int, frequency: int, tag: int, state: int, total: int, parameters: Any
) -> tuple[int, int]:
    """Note when the entry was last used: now."""
    return (tick & _TICKS) << HOT_BITS, state


def on_hit(meta: int, tick: int, state: int, parameters: Any) -> int:
    """Note when the entry was last used: now."""
    return (tick & _TICKS) << HOT_BITS


def rank(meta: int, tick: int, state: int, total: int, parameters: Any) -> int:
    """Order by last use; half of the ticks' range lies ahead, for calls that overlap."""
    return ((meta >> HOT_BITS) - tick + _HALF) & _TICKS


POLICY = Policy(
    name="lru",
    slot_bits=HOT_BITS + _TICK_BITS,
    on_insert=on_insert,
    on_hit=on_hit,
    rank=rank,
)
