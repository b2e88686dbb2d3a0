"""Density: the entry that promises the fewest hits for the time that it would stay leaves. What was
used often ages slowly; how fast the rest ages, each set finds out by itself.

Beckmann, Chen, Cidon: "LHD: Improving Cache Hit Rate by Maximizing Hit Density", NSDI 2018.
Blankstein, Sen, Freedman: "Hyperbolic Caching: Flexible Caching for Web Applications", ATC 2017.

An entry's hit density is estimated as the reciprocal of the time since its last use, by a factor
for each further use: 4/3, up to seven times. Of uses between which no other key came into the set
only one counts, because such a burst tells little of what follows (the correlated references of
LRU-K: O'Neil, O'Neil, Weikum, SIGMOD 1993). A key that comes back after it had left tells more: its
ghost knows how often it was used, and the return counts twice.

The papers learn densities from the hits of all entries of a kind. A set has too few of them, but
its ghosts tell the two kinds apart that matter most: entries that were not used again age faster by
the set's haste, which shrinks when one comes back that left after a single use, and grows when one
comes back that left after more, by more the rarer such victims are (as in ARC: Megiddo, Modha, FAST
2003).
"""

from __future__ import annotations

from typing import Any

from predis_core.policies.contract import HOT_BITS, TAG_BITS, Policy

# meta: bits 0-2 further uses (up to 7); the other hot bits and those above hold the tick of the
# last use, its upper bits lowest, because those seldom change and lie beside the keys.
_USES_BITS = 3
_USES = (1 << _USES_BITS) - 1
_LOW_BITS = 32
_LOW = (1 << _LOW_BITS) - 1
_HIGH_BITS = HOT_BITS - _USES_BITS
_HIGH = (1 << _HIGH_BITS) - 1
_TICK_BITS = _LOW_BITS + _HIGH_BITS
_TICKS = (1 << _TICK_BITS) - 1
_AHEAD = 1 << (_TICK_BITS - 2)  # ticks that may lie ahead, for calls that overlap
_HALF = 1 << (_TICK_BITS - 1)
# state: the haste, in sixteenths of a power of two; the share of the latest victims that left after
# a single use, of 1024; the tick at which the last key came in. Haste and share do not begin at 0,
# and are kept as what differs from their beginnings.
_HASTE_BITS = 7
_HASTES = (1 << _HASTE_BITS) - 1
_FIRST_HASTE = 40
_OCTAVE_BITS = 4
_OCTAVE = 1 << _OCTAVE_BITS
_SHARE_BITS = 11
_SHARES = (1 << _SHARE_BITS) - 1
_CAME_SHIFT = _HASTE_BITS + _SHARE_BITS
_ALL = 1024
_FIRST_SHARE = _ALL >> 1
_AVERAGED = 5  # the share is a moving average over 2**5 victims
_RAREST = _ALL >> _AVERAGED
_MOST_MOVED = 4 * _OCTAVE
_SPEED_BITS = 8
_SPEED = (1 << _SPEED_BITS) - 1
_SPEEDS_MASK = (1 << 63) - 1
_SPEEDS = (64, 48, 36, 27, 20, 15, 11, 8)
_AFTER_ONE_USE = 1


def _pack(tick: int) -> int:
    return ((tick & _LOW) << HOT_BITS) + (((tick >> _LOW_BITS) & _HIGH) << _USES_BITS)


def _used(meta: int) -> int:
    """Return the tick of an entry's last use."""
    return (((meta >> _USES_BITS) & _HIGH) << _LOW_BITS) + (meta >> HOT_BITS)


def _haste(state: int) -> int:
    return (state & _HASTES) ^ _FIRST_HASTE


def _share(state: int) -> int:
    return ((state >> _HASTE_BITS) & _SHARES) ^ _FIRST_SHARE


def _state(came: int, haste: int, share: int) -> int:
    changed = ((share ^ _FIRST_SHARE) << _HASTE_BITS) + (haste ^ _FIRST_HASTE)
    return (came << _CAME_SHIFT) + changed


def _adapted(haste: int, left: int, share: int, parameters: Any) -> int:
    """Move the haste after a ghost came back."""
    once, more = max(_RAREST, share), max(_RAREST, _ALL - share)
    step = int(parameters[1])
    if left == _AFTER_ONE_USE:
        haste -= min(_MOST_MOVED, step * more // once)
    else:
        haste += min(_MOST_MOVED, step * once // more)
    return max(0, min(int(parameters[2]), haste))


def on_insert(
    tick: int, frequency: int, tag: int, state: int, total: int, parameters: Any
) -> tuple[int, int]:
    """Come in without further uses, or with those that a ghost tells of, which moves the haste."""
    haste, share = _haste(state), _share(state)
    left = tag & ((1 << TAG_BITS) - 1)
    further = 0
    if left > 0:
        haste = _adapted(haste, left, share, parameters)
        further = left + 1
    return _pack(tick) + further, _state(tick & _TICKS, haste, share)


def on_hit(meta: int, tick: int, state: int, parameters: Any) -> int:
    """Note the time, and a further use if another key came into the set since the last one."""
    if _used(meta) == tick & _TICKS:
        return meta
    since = ((state >> _CAME_SHIFT) - _used(meta)) & _TICKS
    return _pack(tick) + min(_USES, (meta & _USES) + (1 if 0 < since < _HALF else 0))


def rank(meta: int, tick: int, state: int, total: int, parameters: Any) -> int:
    """Order by age, which passes the faster the fewer the uses."""
    haste = _haste(state)
    # Without a sign, for AVX2 has no shift to the right that knows of one.
    speeds = int(parameters[0]) & _SPEEDS_MASK
    # The same for all ways, and so not worked out for each.
    single = (speeds & _SPEED) * (_OCTAVE + (haste & (_OCTAVE - 1))) << (haste >> _OCTAVE_BITS)
    uses = meta & _USES
    speed = ((speeds >> (_SPEED_BITS * uses)) & _SPEED) << _OCTAVE_BITS
    age = max(0, ((tick - _used(meta) + _AHEAD) & _TICKS) - _AHEAD)
    return -(age + 1) * (speed if uses else single)


def on_evict(meta: int, tick: int, state: int) -> tuple[int, int]:
    """Leave a ghost that tells how often the entry was used: once, twice or more often."""
    uses = meta & _USES
    share = _share(state)
    share += (0 if uses else _RAREST) - (share >> _AVERAGED)
    return _state(state >> _CAME_SHIFT, _haste(state), share), min(uses, 2) + _AFTER_ONE_USE


POLICY = Policy(
    name="density",
    slot_bits=HOT_BITS + _LOW_BITS,
    set_bits=_CAME_SHIFT + _TICK_BITS,
    ghosts=True,
    # How fast entries age, a byte for each number of further uses, the lowest for none; the step of
    # the haste where both kinds of victims are equally frequent; the highest haste.
    parameters=(sum(speed << (_SPEED_BITS * n) for n, speed in enumerate(_SPEEDS)), 8, 80),
    on_insert=on_insert,
    on_hit=on_hit,
    rank=rank,
    on_evict=on_evict,
)
