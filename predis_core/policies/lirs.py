"""LIRS: most ways belong to entries whose last two uses were close together (LIR), a few to the
rest (HIR), among which entries come and go.

Jiang, Zhang: "LIRS: An Efficient Low Inter-reference Recency Set Replacement Policy to Improve
Buffer Cache Performance", SIGMETRICS 2002.

In the clock form nothing moves: the stack S is the order of last uses, its HIR entries that are no
longer resident are the set's ghosts, and pruning raises a floor to the last use of the LIR entry
that left its bottom. A hit cannot push the bottom of the stack out, because it sees one entry only;
so there may be too many LIR entries until the next key comes in, for which the bottom one then
leaves (in the paper it would go through the queue first).
"""

from __future__ import annotations

from typing import Any

from predis_core.policies.contract import HOT_BITS, Policy

# meta: bit 0 LIR; the other hot bits and those above hold the tick of the last use, its upper bits
# lowest, because those seldom change and lie beside the keys.
# state: the floor of the stack, a tick; above: whether there is one, whether a LIR entry comes in.
_LIR = 1
_LOW_BITS = 32
_LOW = (1 << _LOW_BITS) - 1
_HIGH_BITS = HOT_BITS - 1
_HIGH = (1 << _HIGH_BITS) - 1
_TICK_BITS = _LOW_BITS + _HIGH_BITS
_TICKS = (1 << _TICK_BITS) - 1
_HALF = 1 << (_TICK_BITS - 1)
_HAS_FLOOR = 1 << _TICK_BITS
_LIR_COMES_IN = 1 << (_TICK_BITS + 1)
_LIVE_SHIFT = 16  # total: LIR entries, and above this bit all of them
_COUNT = (1 << _LIVE_SHIFT) - 1


def _pack(tick: int) -> int:
    return ((tick & _LOW) << HOT_BITS) + (((tick >> _LOW_BITS) & _HIGH) << 1)


def _used(meta: int) -> int:
    """Return the tick of an entry's last use."""
    return (((meta >> 1) & _HIGH) << _LOW_BITS) + (meta >> HOT_BITS)


def tally(meta: int) -> int:
    """Count the LIR entries and all."""
    return (1 << _LIVE_SHIFT) + (meta & _LIR)


def _lir_limit(total: int, parameters: Any) -> int:
    """How many entries may be LIR: all but the share of HIR ones."""
    live = total >> _LIVE_SHIFT
    return live - max(1, (live * int(parameters[0]) + 50) // 100)


def _in_stack(meta: int, state: int) -> bool:
    """Whether an entry's last use lies above the floor."""
    above = (_used(meta) - (state & _TICKS)) & _TICKS
    return state & _HAS_FLOOR == 0 or above < _HALF


def on_insert(
    tick: int, frequency: int, tag: int, state: int, total: int, parameters: Any
) -> tuple[int, int]:
    """Come in as HIR; as LIR if the key is still in the stack, or if LIR entries are too few."""
    lir = tag > 0 or total & _COUNT < _lir_limit(total, parameters)
    note = _LIR_COMES_IN if lir else 0
    floor = state & (_HAS_FLOOR + _TICKS)
    return _pack(tick) + (_LIR if lir else 0), floor + note


def on_hit(meta: int, tick: int, state: int, parameters: Any) -> int:
    """Move to the stack's top, and become LIR if the last use was in the stack."""
    if _used(meta) == tick & _TICKS:
        return meta
    lir = meta & _LIR > 0 or _in_stack(meta, state)
    return _pack(tick) + (_LIR if lir else 0)


def rank(meta: int, tick: int, state: int, total: int, parameters: Any) -> int:
    """Take the bottom of the stack if LIR entries are too many, else the first of the queue."""
    lir = (total & _COUNT) + (1 if state & _LIR_COMES_IN else 0)
    later = 1 - (meta & _LIR) if lir > _lir_limit(total, parameters) else meta & _LIR
    return (later << _TICK_BITS) + ((_used(meta) - tick + _HALF) & _TICKS)


def on_evict(meta: int, tick: int, state: int) -> tuple[int, int]:
    """Prune the stack below a LIR entry that leaves; keep a HIR one in it as a ghost."""
    if meta & _LIR:
        return (state & _LIR_COMES_IN) + _HAS_FLOOR + _used(meta), 0
    return state, 1 if _in_stack(meta, state) else 0


POLICY = Policy(
    name="lirs",
    slot_bits=HOT_BITS + _LOW_BITS,
    set_bits=_TICK_BITS + 2,
    ghosts=True,
    parameters=(5,),  # the HIR entries' share of a set's ways, in percent
    tally=tally,
    on_insert=on_insert,
    on_hit=on_hit,
    rank=rank,
    on_evict=on_evict,
)
