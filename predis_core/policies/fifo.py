"""FIFO: the entry that came first leaves first; a hit costs nothing and changes nothing."""

from __future__ import annotations

from typing import Any

from predis_core.policies.contract import HOT_BITS, Policy

# meta: from bit HOT_BITS the sequence number in the set. state: the next sequence number.
_SEQUENCE_BITS = 32
_SEQUENCES = (1 << _SEQUENCE_BITS) - 1


def on_insert(
    tick: int, frequency: int, tag: int, state: int, total: int, parameters: Any
) -> tuple[int, int]:
    """Note when the entry came."""
    return state << HOT_BITS, state + 1


def rank(meta: int, tick: int, state: int, total: int, parameters: Any) -> int:
    """Order by arrival."""
    return ((meta >> HOT_BITS) - state) & _SEQUENCES


POLICY = Policy(
    name="fifo",
    slot_bits=HOT_BITS + _SEQUENCE_BITS,
    hit_bits=0,
    set_bits=_SEQUENCE_BITS,
    on_insert=on_insert,
    rank=rank,
)
