"""LFU with dynamic ageing: the entry with the lowest sum of its uses and of its set's age at the
last of them leaves, and that sum becomes the set's age.

Arlitt, Cherkasova, Dilley, Friedrich, Jin: "Evaluating Content Management Techniques for Web Proxy
Caches", Performance Evaluation Review 2000 (LFU-DA). So what was popular once is overtaken by what
is popular now, and no pass over all entries halves their counts. Of equals, that in the lowest way
leaves.
"""

from __future__ import annotations

from typing import Any

from predis_core.policies.contract import Policy

# meta: bits 0-4 uses; bit 5 fresh; from bit 6 the priority (uses, and the set's age at the last of
# them); from bit 18 a stamp of its tick. A fresh entry has no priority yet: when it came, it was
# not known who would leave for it and how old that would make the set.
# state: the set's age. Nobody is further above it than the most uses, so that it may wrap around.
_MOST_USES = 31
_FRESH = 32
_PRIORITY_SHIFT = 6
_PRIORITY_BITS = 12
_PRIORITIES = (1 << _PRIORITY_BITS) - 1
_HALF = 1 << (_PRIORITY_BITS - 1)
_STAMP_SHIFT = _PRIORITY_SHIFT + _PRIORITY_BITS
_STAMP_BITS = 21
_STAMPS = (1 << _STAMP_BITS) - 1


def _stamp(tick: int) -> int:
    """Well-mixed bits of a tick: batches of equal length must not share a stamp."""
    return (((tick & 0xFFFFFF) * 0x9E3779B1) >> 9) & _STAMPS


def on_insert(
    tick: int, frequency: int, tag: int, state: int, total: int, parameters: Any
) -> tuple[int, int]:
    """Note the first use."""
    return (_stamp(tick) << _STAMP_SHIFT) + _FRESH + 1, state


def on_hit(meta: int, tick: int, state: int, parameters: Any) -> int:
    """Note a further use, once per tick."""
    stamp = _stamp(tick)
    if meta >> _STAMP_SHIFT == stamp:
        return meta
    uses = min(_MOST_USES, (meta & _MOST_USES) + 1)
    priority = (state + uses) & _PRIORITIES
    return (stamp << _STAMP_SHIFT) + (priority << _PRIORITY_SHIFT) + uses


def _priority(meta: int, age: int) -> int:
    if meta & _FRESH:
        return (age + 1) & _PRIORITIES
    return (meta >> _PRIORITY_SHIFT) & _PRIORITIES


def rank(meta: int, tick: int, state: int, total: int, parameters: Any) -> int:
    """Order by priority; half of its range lies below the age, for calls that overlap."""
    return (_priority(meta, state) - state + _HALF) & _PRIORITIES


def on_pass(meta: int, victim_meta: int, tick: int, state: int, total: int, parameters: Any) -> int:
    """Write down the priority of a fresh entry, before the set grows older."""
    if meta & _FRESH:
        return meta - _FRESH + (_priority(meta, state) << _PRIORITY_SHIFT)
    return meta


def on_evict(meta: int, tick: int, state: int) -> tuple[int, int]:
    """Let the set become as old as the victim's priority."""
    return _priority(meta, state), 0


POLICY = Policy(
    name="lfu",
    slot_bits=_STAMP_SHIFT + _STAMP_BITS,
    set_bits=_PRIORITY_BITS,
    on_insert=on_insert,
    on_hit=on_hit,
    rank=rank,
    on_pass=on_pass,
    on_evict=on_evict,
)
