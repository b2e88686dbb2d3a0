"""CLOCK: entries leave in the order of their arrival, but one that was used gets a second chance.

Corbató: "A Paging Experiment with the Multics System", 1968. The ring is kept as a queue: what the
hand passes over joins its tail. Entries that one choice passes over are equally new there, behind
all others and before the one that comes in.
"""

from __future__ import annotations

from typing import Any

from predis_core.policies.contract import HOT_BITS, Policy

# meta: bit 0 used; from bit HOT_BITS the place in the queue, a sequence number of the set.
# state: the next sequence number. They advance by two, so that what is passed over fits between.
_USED = 1
_SEQUENCE_BITS = 32
_SEQUENCES = (1 << _SEQUENCE_BITS) - 1


def on_insert(
    tick: int, frequency: int, tag: int, state: int, total: int, parameters: Any
) -> tuple[int, int]:
    """Join the queue, not used."""
    return state << HOT_BITS, (state + 2) & _SEQUENCES


def on_hit(meta: int, tick: int, state: int, parameters: Any) -> int:
    """Mark as used."""
    return meta | _USED


def _place(meta: int, state: int) -> int:
    """An entry's place in the queue: the older, the lower."""
    return ((meta >> HOT_BITS) - state) & _SEQUENCES


def rank(meta: int, tick: int, state: int, total: int, parameters: Any) -> int:
    """Take the oldest that was not used, else the oldest."""
    return ((meta & _USED) << _SEQUENCE_BITS) + _place(meta, state)


def on_pass(meta: int, victim_meta: int, tick: int, state: int, total: int, parameters: Any) -> int:
    """Forget the use of whatever the hand passed over, and queue it anew.

    A used victim means that the hand went around once: all are where they were.
    """
    if victim_meta & _USED:
        return meta - (meta & _USED)
    if _place(meta, state) < _place(victim_meta, state):
        return ((state - 3) & _SEQUENCES) << HOT_BITS
    return meta


POLICY = Policy(
    name="clock",
    slot_bits=HOT_BITS + _SEQUENCE_BITS,
    hit_bits=1,
    set_bits=_SEQUENCE_BITS,
    on_insert=on_insert,
    on_hit=on_hit,
    rank=rank,
    on_pass=on_pass,
)
