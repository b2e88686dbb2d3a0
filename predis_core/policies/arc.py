"""ARC: one list for what was used once and one for what was used again, a ghost list behind each,
and a target for the first list's length that every hit on a ghost moves.

Megiddo, Modha: "ARC: A Self-Tuning, Low Overhead Replacement Cache", FAST 2003.

Both lists are an order over the ways of a set. The ghosts of both share the set's FIFO; the state
keeps the order of their tags, from which the lengths of the two ghost lists follow. A ghost beyond
the length that the paper allows its list counts as forgotten. As a set is small, the target moves
by fractions of a way.
"""

from __future__ import annotations

from typing import Any

from predis_core.policies.contract import HOT_BITS, TAG_BITS, Policy

# meta: bit 0 used again (T2); the other hot bits and those above hold the tick of the last use, its
# upper bits lowest, because those seldom change and lie beside the keys.
_AGAIN = 1
_LOW_BITS = 32
_LOW = (1 << _LOW_BITS) - 1
_HIGH_BITS = HOT_BITS - 1
_HIGH = (1 << _HIGH_BITS) - 1
_TICK_BITS = _LOW_BITS + _HIGH_BITS
_TICKS = (1 << _TICK_BITS) - 1
_HALF = 1 << (_TICK_BITS - 1)
# state: a bit for each of 28 ghosts, newest lowest, set for T1's; how many there are; the target of
# T1's length in units of a way; two notes from on_insert to what follows it.
_GHOSTS = 28
_TAGS = (1 << _GHOSTS) - 1
_COUNT_SHIFT = _GHOSTS
_COUNT = 31
_TARGET_SHIFT = _COUNT_SHIFT + 5
_UNIT = 64
_TARGET_BITS = 11
_TARGET = (1 << _TARGET_BITS) - 1
_FROM_SECOND = 1 << (_TARGET_SHIFT + _TARGET_BITS)  # the key that comes in was a ghost of T2
_NO_GHOST = _FROM_SECOND << 1  # T1 has grown into the whole set: what leaves it leaves for good
_LIVE_SHIFT = 16  # total: entries of T1, and above this bit those of both
_ONCE = (1 << _LIVE_SHIFT) - 1
_OF_FIRST, _OF_SECOND = 1, 2


def _pack(tick: int) -> int:
    return ((tick & _LOW) << HOT_BITS) + (((tick >> _LOW_BITS) & _HIGH) << 1)


def _ones(bits: int) -> int:
    """Count the bits that are set, of up to 28."""
    bits = bits - ((bits >> 1) & 0x55555555)
    bits = (bits & 0x33333333) + ((bits >> 2) & 0x33333333)
    bits = (bits + (bits >> 4)) & 0x0F0F0F0F
    return (bits * 0x01010101 >> 24) & 0xFF


def tally(meta: int) -> int:
    """Count T1 and both together."""
    return (1 << _LIVE_SHIFT) + 1 - (meta & _AGAIN)


def _list_of(tag: int, state: int, total: int) -> int:
    """Which ghost list still has the ghost that was found: 1, 2, or 0 for none."""
    newer = (1 << (tag >> TAG_BITS)) - 1
    before = _ones(state & newer)
    first = _first_length(state, total)
    if tag & _OF_FIRST:
        return _OF_FIRST if before < first else 0
    return _OF_SECOND if (tag >> TAG_BITS) - before < (total >> _LIVE_SHIFT) - first else 0


def _first_length(state: int, total: int) -> int:
    """How many ghosts T1 has: together with T1, at most as many as the set has ways."""
    return min(_ones(state & _TAGS), (total >> _LIVE_SHIFT) - (total & _ONCE))


def _second_length(state: int, total: int) -> int:
    """How many ghosts T2 has: with T1's, at most as many as the set has ways."""
    count = ((state >> _COUNT_SHIFT) & _COUNT) - _ones(state & _TAGS)
    return min(count, (total >> _LIVE_SHIFT) - _first_length(state, total))


def _adapted(target: int, found: int, state: int, total: int, step: int) -> int:
    """Move the target towards the list whose ghost was asked for, faster the rarer that is."""
    first, second = _first_length(state, total), _second_length(state, total)
    if found == _OF_FIRST:
        return min((total >> _LIVE_SHIFT) * _UNIT, target + max(step, step * second // first))
    if found == _OF_SECOND:
        return max(0, target - max(step, step * first // second))
    return target


def _without_ghost(state: int, place: int) -> int:
    """Take the tag at a place out of the order."""
    newer = (1 << place) - 1
    tags = (state & newer) + ((state & _TAGS) >> (place + 1) << place)
    count = ((state >> _COUNT_SHIFT) & _COUNT) - 1
    return tags + (count << _COUNT_SHIFT)


def on_insert(
    tick: int, frequency: int, tag: int, state: int, total: int, parameters: Any
) -> tuple[int, int]:
    """Join T1, or T2 after a hit on a ghost, which also moves the target."""
    ghosts = state & (_TAGS + (_COUNT << _COUNT_SHIFT))
    target = (state >> _TARGET_SHIFT) & _TARGET
    found = 0
    if tag > 0:
        found = _list_of(tag, state, total)
        target = _adapted(target, found, state, total, parameters[0])
        ghosts = _without_ghost(state, tag >> TAG_BITS)
    notes = _FROM_SECOND if found == _OF_SECOND else 0
    if found == 0 and total & _ONCE == total >> _LIVE_SHIFT:
        notes = _NO_GHOST
    meta = _pack(tick) + (_AGAIN if found > 0 else 0)
    return meta, ghosts + (target << _TARGET_SHIFT) + notes


def on_hit(meta: int, tick: int, state: int, parameters: Any) -> int:
    """Become the most recent of T2."""
    return _pack(tick) + _AGAIN


def rank(meta: int, tick: int, state: int, total: int, parameters: Any) -> int:
    """Take the least recent of T1 if T1 is over its target, else of T2.

    Half of the ticks' range lies ahead, for calls that overlap.
    """
    once = (total & _ONCE) * _UNIT
    target = (state >> _TARGET_SHIFT) & _TARGET
    first_gives = once > target or (once == target and state & _FROM_SECOND != 0)
    later = meta & _AGAIN if first_gives else 1 - (meta & _AGAIN)
    used = (((meta >> 1) & _HIGH) << _LOW_BITS) + (meta >> HOT_BITS)
    return (later << _TICK_BITS) + ((used - tick + _HALF) & _TICKS)


def on_evict(meta: int, tick: int, state: int) -> tuple[int, int]:
    """Leave a ghost in the list behind the entry's own, and note its tag."""
    if meta & _AGAIN == 0 and state & _NO_GHOST:
        return state, 0
    of_first = 1 - (meta & _AGAIN)
    tags = ((state << 1) & _TAGS) + of_first
    count = min(_GHOSTS, ((state >> _COUNT_SHIFT) & _COUNT) + 1)
    above = state >> _TARGET_SHIFT << _TARGET_SHIFT
    return above + (count << _COUNT_SHIFT) + tags, _OF_FIRST if of_first else _OF_SECOND


POLICY = Policy(
    name="arc",
    slot_bits=HOT_BITS + _LOW_BITS,
    set_bits=_TARGET_SHIFT + _TARGET_BITS + 2,
    ghosts=True,
    parameters=(16,),  # the least that a hit on a ghost moves the target, in 1/64 ways
    tally=tally,
    on_insert=on_insert,
    on_hit=on_hit,
    rank=rank,
    on_evict=on_evict,
)
