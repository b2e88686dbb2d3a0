"""Segmented LRU: an entry is on probation until its first hit; the protected ones, which were hit,
leave only where they are more than their share.

Karedla, Love, Wherry: "Caching Strategies to Improve Disk System Performance", IEEE Computer 1994.
A hit sees one entry only, so it cannot send the least recent protected entry back to probation; if
there are too many when the next key comes in, that entry is the victim.
"""

from __future__ import annotations

from typing import Any

from predis_core.policies.contract import HOT_BITS, Policy

# meta: bit 0 protected; the other hot bits and those above hold the tick of the last use, its upper
# bits lowest, because those seldom change and lie beside the keys.
_PROTECTED = 1
_LOW_BITS = 32
_LOW = (1 << _LOW_BITS) - 1
_HIGH_BITS = HOT_BITS - 1
_HIGH = (1 << _HIGH_BITS) - 1
_TICK_BITS = _LOW_BITS + _HIGH_BITS
_TICKS = (1 << _TICK_BITS) - 1
_HALF = 1 << (_TICK_BITS - 1)
_LIVE_SHIFT = 16  # total: protected entries, and above this bit all of them
_COUNT = (1 << _LIVE_SHIFT) - 1


def _pack(tick: int) -> int:
    return ((tick & _LOW) << HOT_BITS) + (((tick >> _LOW_BITS) & _HIGH) << 1)


def tally(meta: int) -> int:
    """Count the protected entries and all."""
    return (1 << _LIVE_SHIFT) + (meta & _PROTECTED)


def on_insert(
    tick: int, frequency: int, tag: int, state: int, total: int, parameters: Any
) -> tuple[int, int]:
    """Come in on probation."""
    return _pack(tick), state


def on_hit(meta: int, tick: int, state: int, parameters: Any) -> int:
    """Become the most recent protected entry."""
    return _pack(tick) + _PROTECTED


def rank(meta: int, tick: int, state: int, total: int, parameters: Any) -> int:
    """Take the least recent on probation, or of the protected if these have more than their share.

    Half of the ticks' range lies ahead, for calls that overlap.
    """
    too_many = (total & _COUNT) * 100 > (total >> _LIVE_SHIFT) * parameters[0]
    later = 1 - (meta & _PROTECTED) if too_many else meta & _PROTECTED
    used = (((meta >> 1) & _HIGH) << _LOW_BITS) + (meta >> HOT_BITS)
    return (later << _TICK_BITS) + ((used - tick + _HALF) & _TICKS)


POLICY = Policy(
    name="slru",
    slot_bits=HOT_BITS + _LOW_BITS,
    parameters=(80,),  # the protected segment's share of a set's ways, in percent
    tally=tally,
    on_insert=on_insert,
    on_hit=on_hit,
    rank=rank,
)
