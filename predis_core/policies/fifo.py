"""FIFO: the entry that came first leaves first; a hit costs nothing and changes nothing."""

from __future__ import annotations

from typing import Any

from predis_core.policies.contract import HOT_BITS, Policy

_TICK_BITS = 32
_TICKS = (1 << _TICK_BITS) - 1
_HALF = 1 << (_TICK_BITS - 1)


def on_insert(
    tick: int, frequency: int, tag: int, state: int, total: int, parameters: Any
) -> tuple[int, int]:
    """Note when the entry came."""
    return (tick & _TICKS) << HOT_BITS, state


def rank(meta: int, tick: int, state: int, total: int, parameters: Any) -> int:
    """Order by arrival; half of the ticks' range lies ahead, for calls that overlap."""
    return ((meta >> HOT_BITS) - tick + _HALF) & _TICKS


POLICY = Policy(
    name="fifo",
    slot_bits=HOT_BITS + _TICK_BITS,
    hit_bits=0,
    on_insert=on_insert,
    rank=rank,
)
