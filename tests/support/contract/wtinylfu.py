"""W-TinyLFU: new entries prove themselves in a small window; the least recent of it then has to be
asked for more often than the main part's own victim to take that one's place.

Einziger, Friedman, Manes: "TinyLFU: A Highly Efficient Cache Admission Policy", ACM TOS 2017.

The window is the paper's 1 % of the cache, which is one way of a set: after a choice, only the key
that comes in is in it. The main part is a segmented LRU; an entry that is too many in the protected
segment is the main part's victim, where the paper would first move it to the probation segment.
"""

from __future__ import annotations

from typing import Any

from predis_core.policies.contract import HOT_BITS, Policy

# meta: bits 0-1 the queue; from bit HOT_BITS the tick of the last use.
_QUEUE = 3
_WINDOW, _PROBATION, _PROTECTED = 0, 1, 2
_TICK_BITS = 48
_TICKS = (1 << _TICK_BITS) - 1
_HALF = 1 << (_TICK_BITS - 1)
_LIVE_SHIFT = 16  # total: protected entries, and above this bit all of them
_COUNT = (1 << _LIVE_SHIFT) - 1


def tally(meta: int) -> int:
    """Count the protected entries and all."""
    return (1 << _LIVE_SHIFT) + (1 if meta & _QUEUE == _PROTECTED else 0)


def on_insert(
    tick: int, frequency: int, tag: int, state: int, total: int, parameters: Any
) -> tuple[int, int]:
    """Come into the window."""
    return ((tick & _TICKS) << HOT_BITS) + _WINDOW, state


def on_hit(meta: int, tick: int, state: int, parameters: Any) -> int:
    """Become the most recent: of the window, or of the protected segment."""
    queue = _WINDOW if meta & _QUEUE == _WINDOW else _PROTECTED
    return ((tick & _TICKS) << HOT_BITS) + queue


def rank(meta: int, tick: int, state: int, total: int, parameters: Any) -> int:
    """Take the least recent of probation, or of the protected if these have more than their share.

    The window's rank counts within the window only.
    """
    main = (total >> _LIVE_SHIFT) - 1
    too_many = (total & _COUNT) * 100 > main * parameters[0]
    later = 1 if meta & _QUEUE == (_PROBATION if too_many else _PROTECTED) else 0
    return (later << _TICK_BITS) + (((meta >> HOT_BITS) - tick + _HALF) & _TICKS)


def segment(meta: int) -> int:
    """Tell the window (1) from the main part (0)."""
    return 1 if meta & _QUEUE == _WINDOW else 0


def admit(frequency_0: int, frequency_1: int) -> int:
    """Let the main part's victim go only if the window's is asked for more often."""
    return 0 if frequency_1 > frequency_0 else 1


def on_pass(meta: int, victim_meta: int, tick: int, state: int, total: int, parameters: Any) -> int:
    """Leave the window to the key that comes in."""
    return meta + _PROBATION if meta & _QUEUE == _WINDOW else meta


POLICY = Policy(
    name="wtinylfu",
    slot_bits=HOT_BITS + _TICK_BITS,
    sketch=True,
    parameters=(80,),  # the protected segment's share of the main part, in percent
    tally=tally,
    on_insert=on_insert,
    on_hit=on_hit,
    rank=rank,
    segment=segment,
    admit=admit,
    on_pass=on_pass,
)
