"""SIEVE: a hand sweeps from the oldest entry to the newest, forgives visited ones once, takes the
first that was not visited, and stays there.

Zhang, Yang, Yue, Vigfusson, Rashmi: "SIEVE is Simpler than LRU", NSDI 2024. Entries keep the order
of their arrival (a sequence number), not that of their ways: the latter would be CLOCK.
"""

from __future__ import annotations

from typing import Any

from predis_core.policies.contract import HOT_BITS, Policy

# meta: bit 0 visited, from bit HOT_BITS the sequence number in the set.
# state: the next sequence number; from bit _SEQUENCE_BITS the hand (what it examines next).
_VISITED = 1
_SEQUENCE_BITS = 31
_SEQUENCES = (1 << _SEQUENCE_BITS) - 1


def on_insert(
    tick: int, frequency: int, tag: int, state: int, total: int, parameters: Any
) -> tuple[int, int]:
    """Come in as the newest, not visited; a hand that fell off the newest end begins anew."""
    sequence = state & _SEQUENCES
    following = (sequence + 1) & _SEQUENCES
    hand = state >> _SEQUENCE_BITS
    if hand == sequence:
        hand = following
    return sequence << HOT_BITS, (hand << _SEQUENCE_BITS) + following


def on_hit(meta: int, tick: int, state: int, parameters: Any) -> int:
    """Mark as visited."""
    return meta | _VISITED


def _steps(meta: int, state: int) -> int:
    """How far the hand is from an entry."""
    return ((meta >> HOT_BITS) - (state >> _SEQUENCE_BITS)) & _SEQUENCES


def rank(meta: int, tick: int, state: int, total: int, parameters: Any) -> int:
    """Take the first that the hand meets and that was not visited, else the first."""
    return ((meta & _VISITED) << _SEQUENCE_BITS) + _steps(meta, state)


def on_pass(meta: int, victim_meta: int, tick: int, state: int, total: int, parameters: Any) -> int:
    """Forget the visit of whatever the hand went over; a visited victim means: of all."""
    if victim_meta & _VISITED or _steps(meta, state) < _steps(victim_meta, state):
        return meta - (meta & _VISITED)
    return meta


def on_evict(meta: int, tick: int, state: int) -> tuple[int, int]:
    """Leave the hand after the victim; past the newest entry it starts again at the oldest."""
    incoming = ((state & _SEQUENCES) - 1) & _SEQUENCES
    hand = ((meta >> HOT_BITS) + 1) & _SEQUENCES
    if hand == incoming:
        hand = (incoming + 1) & _SEQUENCES
    return (hand << _SEQUENCE_BITS) + (state & _SEQUENCES), 0


POLICY = Policy(
    name="sieve",
    slot_bits=HOT_BITS + _SEQUENCE_BITS,
    hit_bits=1,
    set_bits=2 * _SEQUENCE_BITS,
    on_insert=on_insert,
    on_hit=on_hit,
    rank=rank,
    on_pass=on_pass,
    on_evict=on_evict,
)
