"""LRU: the entry whose last use is longest ago leaves.

Exact within a set: a hit writes the batch's tick, so keys of one batch are equally recent.
"""

from __future__ import annotations

from typing import Any

from predis_core.policies.contract import HOT_BITS, Policy

# meta: the tick of the last use; its upper bits lowest, because those seldom change and lie beside
# the keys, where a write would cost most.
_LOW_BITS = 32
_LOW = (1 << _LOW_BITS) - 1
_HIGH = (1 << HOT_BITS) - 1
_TICKS = (1 << (_LOW_BITS + HOT_BITS)) - 1
_HALF = 1 << (_LOW_BITS + HOT_BITS - 1)


def _pack(tick: int) -> int:
    return ((tick & _LOW) << HOT_BITS) + ((tick >> _LOW_BITS) & _HIGH)


def on_insert(
    tick: int, frequency: int, tag: int, state: int, total: int, parameters: Any
) -> tuple[int, int]:
    """Note when the entry was last used: now."""
    return _pack(tick), state


def on_hit(meta: int, tick: int, state: int, parameters: Any) -> int:
    """Note when the entry was last used: now."""
    return _pack(tick)


def rank(meta: int, tick: int, state: int, total: int, parameters: Any) -> int:
    """Order by last use; half of the ticks' range lies ahead, for calls that overlap."""
    used = ((meta & _HIGH) << _LOW_BITS) + (meta >> HOT_BITS)
    return (used - tick + _HALF) & _TICKS


POLICY = Policy(
    name="lru",
    slot_bits=HOT_BITS + _LOW_BITS,
    on_insert=on_insert,
    on_hit=on_hit,
    rank=rank,
)
