"""W-TinyLFU: new entries prove themselves in a window; what falls out of it has to be asked for
more often than the main part's own victim to take that one's place. The window finds its own size.

Einziger, Friedman, Manes: "TinyLFU: A Highly Efficient Cache Admission Policy", ACM TOS 2017.
Einziger, Eytan, Friedman, Manes: "Adaptive Software Cache Management", Middleware 2018.

The window holds what was used since the last so many keys came into the set. The main part is a
segmented LRU; an entry that is too many in the protected segment is the main part's victim, where
the paper would first move it to the probation segment.

A set sees too few requests to climb by its hit ratio, as the second paper does. So ghosts steer the
window, as in ARC (Megiddo, Modha, FAST 2003): it grows when a key comes back that left from it, and
shrinks when one comes back that left from the main part, by more the rarer such ghosts are.
"""

from __future__ import annotations

from typing import Any

from predis_core.policies.contract import HOT_BITS, TAG_BITS, Policy

# meta: bits 0-1 the queue; bit 2 next to fall out of the window; from bit HOT_BITS the last key's
# number when it was used; above, the tick of that use.
_QUEUE = 3
_WINDOW, _PROBATION, _PROTECTED = 0, 1, 2
_NEXT_OUT = 4
_NUMBER_BITS = 8
_NUMBERS = (1 << _NUMBER_BITS) - 1
_TICK_SHIFT = HOT_BITS + _NUMBER_BITS
_TICK_BITS = 48
_TICKS = (1 << _TICK_BITS) - 1
_HALF = 1 << (_TICK_BITS - 1)
# state: the next key's number; by how much the window is longer than one key, in 1/64 keys; which
# share of the latest victims left from the window, of 1024.
_LONGER_SHIFT = _NUMBER_BITS
_LONGER_BITS = 12
_LONGER = (1 << _LONGER_BITS) - 1
_UNIT = 64
_SHARE_SHIFT = _LONGER_SHIFT + _LONGER_BITS
_ALL = 1024
_AVERAGED = 5  # the share is a moving average over 2**5 victims
_RAREST = _ALL >> _AVERAGED
# total: protected entries, those of the window, and all of them.
_WINDOW_SHIFT = 8
_LIVE_SHIFT = 16
_COUNT = (1 << _WINDOW_SHIFT) - 1
_FROM_WINDOW, _FROM_MAIN = 1, 2


def tally(meta: int) -> int:
    """Count the protected entries, those of the window, and all."""
    queue = meta & _QUEUE
    window = 1 << _WINDOW_SHIFT if queue == _WINDOW else 0
    return (1 << _LIVE_SHIFT) + window + (1 if queue == _PROTECTED else 0)


def _window(state: int) -> int:
    """How many keys come into the set before one that is not used leaves the window."""
    return 1 + ((state >> _LONGER_SHIFT) & _LONGER) // _UNIT


def _adapted(longer: int, tag: int, share: int, total: int, parameters: Any) -> int:
    """Move the window's length after a ghost came back."""
    step = int(parameters[1])
    if tag & ((1 << TAG_BITS) - 1) == _FROM_WINDOW:
        longer += max(step, step * (_ALL - share) // max(_RAREST, share))
    else:
        longer -= max(step, step * share // max(_RAREST, _ALL - share))
    longest = min(_LONGER, (total >> _LIVE_SHIFT) * int(parameters[2]) * _UNIT // 100)
    return max(0, min(longest, longer))


def _in_window(tick: int, state: int) -> int:
    """Metadata of an entry of the window that is used now; the state is that of the next key."""
    number = (state - 1) & _NUMBERS
    next_out = _NEXT_OUT if _window(state) == 1 else 0
    return ((tick & _TICKS) << _TICK_SHIFT) + (number << HOT_BITS) + next_out + _WINDOW


def on_insert(
    tick: int, frequency: int, tag: int, state: int, total: int, parameters: Any
) -> tuple[int, int]:
    """Come into the window, which a ghost makes longer or shorter."""
    share = state >> _SHARE_SHIFT
    longer = (state >> _LONGER_SHIFT) & _LONGER
    if tag > 0:
        longer = _adapted(longer, tag, share, total, parameters)
    following = (state + 1) & _NUMBERS
    state = (share << _SHARE_SHIFT) + (longer << _LONGER_SHIFT) + following
    return _in_window(tick, state), state


def on_hit(meta: int, tick: int, state: int, parameters: Any) -> int:
    """Become the most recent: of the window, or of the protected segment."""
    if meta & _QUEUE == _WINDOW:
        return _in_window(tick, state)
    return ((tick & _TICKS) << _TICK_SHIFT) + _PROTECTED


def rank(meta: int, tick: int, state: int, total: int, parameters: Any) -> int:
    """Take the least recent of probation, or of the protected if these have more than their share.

    The window's entries come last, unless they are next out: these are ranked among themselves.
    """
    main = (total >> _LIVE_SHIFT) - ((total >> _WINDOW_SHIFT) & _COUNT)
    too_many = (total & _COUNT) * 100 > main * parameters[0]
    queue = meta & _QUEUE
    later = 2
    if queue != _WINDOW:
        later = 1 if queue == (_PROBATION if too_many else _PROTECTED) else 0
    return (later << _TICK_BITS) + (((meta >> _TICK_SHIFT) - tick + _HALF) & _TICKS)


def segment(meta: int) -> int:
    """Tell what falls out of the window (1) from what stays in it and the main part (0)."""
    return 1 if meta & _NEXT_OUT else 0


def admit(frequency_0: int, frequency_1: int) -> int:
    """Let the main part's victim go only if what leaves the window is asked for more often."""
    return 0 if frequency_1 > frequency_0 else 1


def on_pass(meta: int, victim_meta: int, tick: int, state: int, total: int, parameters: Any) -> int:
    """Move on to probation what has left the window, and note what will leave it next."""
    if meta & _QUEUE != _WINDOW:
        return meta
    since = (state - 1 - (meta >> HOT_BITS)) & _NUMBERS
    stays = meta - (meta & _NEXT_OUT)
    if since >= _window(state):
        return stays + _PROBATION
    return stays + _NEXT_OUT if since == _window(state) - 1 else stays


def on_evict(meta: int, tick: int, state: int) -> tuple[int, int]:
    """Leave a ghost that tells the window from the main part."""
    from_window = meta & _QUEUE == _WINDOW
    share = state >> _SHARE_SHIFT
    share += (_RAREST if from_window else 0) - (share >> _AVERAGED)
    below = state & ((1 << _SHARE_SHIFT) - 1)
    return (share << _SHARE_SHIFT) + below, _FROM_WINDOW if from_window else _FROM_MAIN


POLICY = Policy(
    name="wtinylfu",
    slot_bits=_TICK_SHIFT + _TICK_BITS,
    set_bits=_SHARE_SHIFT + 11,
    ghosts=True,
    sketch=True,
    # The protected segment's share of the main part, in percent; the least by which a ghost moves
    # the window, in 1/64 keys; its longest, in percent of a set's ways.
    parameters=(80, 16, 50),
    tally=tally,
    on_insert=on_insert,
    on_hit=on_hit,
    rank=rank,
    segment=segment,
    admit=admit,
    on_pass=on_pass,
    on_evict=on_evict,
)
