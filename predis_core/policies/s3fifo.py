"""S3-FIFO: a small queue lets one-hit wonders out fast, a main queue gives the rest more rounds,
and ghosts of the small queue bring back what left too early.

Yang, Zhang, Qiu, Yue, Vigfusson: "FIFO Queues are All You Need for Cache Eviction", SOSP 2023.

Both queues are an order over the ways of a set. One choice of a victim does at once what the
paper's loop does step by step: `rank` finds where the loop would end, `on_pass` applies what it
would have done to the entries on the way. Entries that one choice moves to the tail of the main
queue are as new there as the one that comes in.
"""

from __future__ import annotations

from typing import Any

from predis_core.policies.contract import HOT_BITS, Policy

# meta: bits 0-1 hits since it was queued (up to 3), bits 2-6 a stamp of the last one's tick;
# from bit HOT_BITS: in the main queue?; above: its sequence number in the set's queues.
# state: bit 0 tells that something had to leave this set; above: the next sequence number.
_COUNT = 3
_PROMOTED = 2  # hits that carry an entry from the small queue into the main one
_STAMP_BITS = 5
_STAMP = (1 << _STAMP_BITS) - 1
_MAIN = 1 << HOT_BITS
_QUEUED_SHIFT = HOT_BITS + 1
_SEQUENCE_BITS = 22  # with tiers above them, ranks leave 5 of 32 bits: tables use narrow lanes
_SEQUENCES = (1 << _SEQUENCE_BITS) - 1
# total: entries of the small queue; above these bits those of them that were hit often enough for
# the main one; and all entries.
_PROMOTED_SHIFT = 8
_LIVE_SHIFT = 16
_COUNTED = (1 << _PROMOTED_SHIFT) - 1
_LAST_TIER = 8
_EVICTED = 1


def _stamp(tick: int) -> int:
    """Five well-mixed bits of a tick: batches of equal length must not share a stamp."""
    return (((tick & 0xFFFFFF) * 0x9E3779B1) >> 27) & _STAMP


def tally(meta: int) -> int:
    """Count the small queue, what of it is to be promoted, and both queues together."""
    if meta & _MAIN:
        return 1 << _LIVE_SHIFT
    return (1 << _LIVE_SHIFT) + 1 + ((meta & _PROMOTED) << (_PROMOTED_SHIFT - 1))


def on_insert(
    tick: int, frequency: int, tag: int, state: int, total: int, parameters: Any
) -> tuple[int, int]:
    """Join the small queue, or the main one if the small one let go of this key too early.

    While nothing had to leave yet, what exceeds the small queue's share fills the main one.
    """
    main = tag > 0 or (state & _EVICTED == 0 and _small_lets_go(total, parameters))
    following = ((state >> 1) + 1) & _SEQUENCES
    return _queued(state >> 1) + (_MAIN if main else 0), (following << 1) + (state & _EVICTED)


def on_hit(meta: int, tick: int, state: int, parameters: Any) -> int:
    """Count up to three, once per tick."""
    count = meta & _COUNT
    stamp = _stamp(tick)
    if count == _COUNT or (count > 0 and (meta >> 2) & _STAMP == stamp):
        return meta
    return (stamp << 2) + count + 1


def _queued(sequence: int) -> int:
    """Metadata of an entry of the small queue without hits."""
    return (sequence & _SEQUENCES) << _QUEUED_SHIFT


def _place(meta: int, state: int) -> int:
    """An entry's place in its queue: the older, the lower."""
    return ((meta >> _QUEUED_SHIFT) - (state >> 1)) & _SEQUENCES


def _small_lets_go(total: int, parameters: Any) -> bool:
    """Whether the small queue has its share and so gives the victim."""
    small = total & _COUNTED
    share = ((total >> _LIVE_SHIFT) * parameters[0] + 50) // 100
    return bool(small >= max(1, share))


def _tier(meta: int, total: int, parameters: Any) -> int:
    """In which of the loop's rounds an entry would leave.

    Even tiers are the small queue's: 0 leaves at once; 2 is promoted first and would leave after
    the main entries without a hit. Odd ones are the main queue's, a round for each hit.
    """
    count = meta & _COUNT
    if meta & _MAIN:
        return 2 * count + 1
    if not _small_lets_go(total, parameters):
        return _LAST_TIER
    return 0 if count < _PROMOTED else 2


def rank(meta: int, tick: int, state: int, total: int, parameters: Any) -> int:
    """Order by round, then by place in the queue."""
    return (_tier(meta, total, parameters) << _SEQUENCE_BITS) + _place(meta, state)


def passes(victim_meta: int, tick: int, state: int, total: int, parameters: Any) -> int:
    """Not where the small queue's oldest leaves at once, and nothing before it is promoted."""
    leaves_at_once = _tier(victim_meta, total, parameters) == 0
    return 0 if leaves_at_once and (total >> _PROMOTED_SHIFT) & _COUNTED == 0 else 1


def on_pass(meta: int, victim_meta: int, tick: int, state: int, total: int, parameters: Any) -> int:
    """Promote, or spend hits for further rounds, as the loop does on its way to the victim."""
    victim_tier = _tier(victim_meta, total, parameters)
    older = _place(meta, state) < _place(victim_meta, state)
    requeued = _queued((state >> 1) - 1) + _MAIN
    if victim_tier == 0:
        # Most choices: of what came before it in the small queue, some is promoted.
        return requeued if older and meta & _MAIN == 0 and meta & _COUNT >= _PROMOTED else meta
    tier = _tier(meta, total, parameters)
    if tier == 2:
        return requeued
    if tier & 1 == 0:
        return meta
    spent = victim_tier >> 1
    if tier > victim_tier and (older or victim_tier == 2):
        if victim_tier != 2:
            spent += 1
        return requeued + (meta & _COUNT) - spent
    return meta - spent


def on_evict(meta: int, tick: int, state: int) -> tuple[int, int]:
    """Leave a ghost if the entry never got beyond the small queue."""
    return state | _EVICTED, 1 if meta & _MAIN == 0 and meta & _COUNT < _PROMOTED else 0


POLICY = Policy(
    name="s3fifo",
    slot_bits=_QUEUED_SHIFT + _SEQUENCE_BITS,
    hit_bits=HOT_BITS,
    set_bits=1 + _SEQUENCE_BITS,
    ghosts=True,
    parameters=(15,),  # the small queue's share of a set's ways, in percent
    tally=tally,
    on_insert=on_insert,
    on_hit=on_hit,
    rank=rank,
    passes=passes,
    on_pass=on_pass,
    on_evict=on_evict,
)
