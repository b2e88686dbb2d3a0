"""GreedyDual-Size-Frequency: the entry that is worth least leaves: its uses, times what it cost to
load by its size, on top of its set's age at the last of them. That sum becomes the set's age.

Cherkasova: "Improving WWW Proxies Performance with Greedy-Dual-Size-Frequency Caching Policy", HP
Laboratories 1998; after Cao, Irani: "Cost-Aware WWW Proxy Caching Algorithms", USITS 1997. What is
known to have cost nothing, or not known at all, counts as a microsecond: without costs, small
values stay before large ones, which makes for fewer misses, but not for fewer bytes of them. Of
equals, that in the lowest way leaves.

The parameter says how much size counts, in quarters: 4 is the paper's; with 0 it does not count,
and what is worth most is a cost saved per entry instead of per byte.
"""

from __future__ import annotations

from typing import Any

from predis_core.policies.contract import Policy

# meta: bits 0-3 uses; bit 4 pending; from bit 5 what a use is worth, as a logarithm; from bit 13
# the priority; above, a stamp of the tick of the last use. A pending priority lacks the set's age:
# when the value came, it was not known who would leave for it and how old that would make the set.
# state: the set's age. Nobody is further above it than the most uses of the highest worth, so that
# it may wrap around.
_USES = 15
_PENDING = 16
_WORTH_SHIFT = 5
_WORTHS = 255
_PRIORITY_SHIFT = 13
_PRIORITY_BITS = 44
_PRIORITIES = (1 << _PRIORITY_BITS) - 1
_HALF = 1 << (_PRIORITY_BITS - 1)
_STAMP_SHIFT = _PRIORITY_SHIFT + _PRIORITY_BITS
_STAMP_BITS = 6
_STAMPS = (1 << _STAMP_BITS) - 1
_BUT_PRIORITY = _PENDING - 1 + (_WORTHS << _WORTH_SHIFT) + (_STAMPS << _STAMP_SHIFT)

# Logarithms to the base of 2, in quarters; in between they are linear.
_QUARTERS = 4
_ONE = 22 * _QUARTERS  # a microsecond for a byte: what is larger than 4 MiB counts as that
_HIGHEST = 38 * _QUARTERS + 3  # that often as there can be uses, it stays below _HALF
_MICROSECOND = 1_000
_MOST = 1 << 60


def _stamp(tick: int) -> int:
    """Well-mixed bits of a tick: batches of equal length must not share a stamp."""
    return (((tick & 0xFFFFFF) * 0x9E3779B1) >> 15) & _STAMPS


def _log(number: int) -> int:
    """The logarithm of a number; of what is below 1, that of 1."""
    number = max(1, min(_MOST, number))
    log, rest = 0, number
    if rest >> 32:
        rest >>= 32
        log += 32
    if rest >> 16:
        rest >>= 16
        log += 16
    if rest >> 8:
        rest >>= 8
        log += 8
    if rest >> 4:
        rest >>= 4
        log += 4
    if rest >> 2:
        rest >>= 2
        log += 2
    if rest >> 1:
        log += 1
    return (log - 1) * _QUARTERS + ((number * _QUARTERS) >> log)


def _amount(worth: int, uses: int) -> int:
    """What so many uses are worth, without the logarithm."""
    return uses * (((_QUARTERS + (worth & 3)) << (worth >> 2)) >> 2)


def on_insert(
    tick: int, frequency: int, tag: int, state: int, total: int, parameters: Any
) -> tuple[int, int]:
    """Note the first use; `on_value` says what it is worth."""
    return (_stamp(tick) << _STAMP_SHIFT) + 1, state


def on_value(meta: int, size: int, cost: int, parameters: Any) -> int:
    """Note what the uses are worth, from now on."""
    cheaper = _log(size) * int(parameters[0]) // _QUARTERS
    worth = max(0, min(_HIGHEST, _ONE + _log(cost // _MICROSECOND) - cheaper))
    uses = meta & _USES
    pending = (_amount(worth, uses) << _PRIORITY_SHIFT) + _PENDING
    return ((meta >> _STAMP_SHIFT) << _STAMP_SHIFT) + pending + (worth << _WORTH_SHIFT) + uses


def on_hit(meta: int, tick: int, state: int, parameters: Any) -> int:
    """Note a further use, once per tick."""
    stamp = _stamp(tick)
    uses = meta & _USES if meta >> _STAMP_SHIFT == stamp else min(_USES, (meta & _USES) + 1)
    worth = (meta >> _WORTH_SHIFT) & _WORTHS
    priority = (state + _amount(worth, uses)) & _PRIORITIES
    return (stamp << _STAMP_SHIFT) + (priority << _PRIORITY_SHIFT) + (worth << _WORTH_SHIFT) + uses


def _priority(meta: int, age: int) -> int:
    added = age if meta & _PENDING else 0
    return ((meta >> _PRIORITY_SHIFT) + added) & _PRIORITIES


def rank(meta: int, tick: int, state: int, total: int, parameters: Any) -> int:
    """Order by priority; half of its range lies below the age, for calls that overlap."""
    return (_priority(meta, state) - state + _HALF) & _PRIORITIES


def on_pass(meta: int, victim_meta: int, tick: int, state: int, total: int, parameters: Any) -> int:
    """Write down a pending priority, before the set grows older."""
    return (meta & _BUT_PRIORITY) + (_priority(meta, state) << _PRIORITY_SHIFT)


def on_evict(meta: int, tick: int, state: int) -> tuple[int, int]:
    """Let the set become as old as the victim's priority."""
    return _priority(meta, state), 0


POLICY = Policy(
    name="gdsf",
    slot_bits=_STAMP_SHIFT + _STAMP_BITS,
    set_bits=_PRIORITY_BITS,
    parameters=(4,),
    on_insert=on_insert,
    on_hit=on_hit,
    on_value=on_value,
    rank=rank,
    on_pass=on_pass,
    on_evict=on_evict,
)
