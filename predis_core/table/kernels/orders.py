"""During a change of policy: whether a set's metadata are of the new one, and how they become so.

`table.switching` tells the whole.
"""

from __future__ import annotations

from predis_core.policies.contract import HOT_BITS
from predis_core.table import header as H
from predis_core.table.intrinsics import called, inlined, load8, store8, zero_bytes
from predis_core.table.layout import SETTLED, WAYS

from .constants import COLUMN_BYTES, GHOSTS, HAS_TALLY, POLICY, SET_MASK, SLOT_MASK
from .metadata import GUESS, HOT, store_column, store_state
from .places import advance_tick, bit_of, flags_of, get, hot_of, word_of
from .policy import on_insert, tally
from .sketch import frequency_of
from .worth import valued


@inlined
def is_ours(head):
    """Whether the table has the policy of these kernels."""
    return get(head, H.POLICY) == POLICY


@inlined
def is_steady(head):
    """Whether all metadata of the table are of the policy of these kernels."""
    return is_ours(head) and get(head, H.ORDERS) == 0


@inlined
def is_settled(head, number):
    """Whether a set's metadata are those of the policy that the table has."""
    orders = get(head, H.ORDERS)
    return orders == 0 or load8(orders + WAYS * number) == SETTLED


@called
def settle(head, number, group, record, ways, slot, parameters):
    """Have a set's entries come in anew, in the order in which they would have left."""
    order = get(head, H.ORDERS) + WAYS * number
    tick = advance_tick(head, WAYS)
    state = total = placed = count = 0
    for k in range(2 * WAYS):
        # Those that came since the order was taken are last.
        way = load8(order + k) if k < WAYS else k - WAYS
        if way >= ways or (placed >> way) & 1 or not load8(flags_of(group, way)) & bit_of(way):
            continue
        placed |= 1 << way
        meta, state = on_insert(
            tick + count, frequency_of(head, word_of(group, way)), 0, state, total, parameters
        )
        meta, state = meta & SLOT_MASK, state & SET_MASK
        meta = valued(head, slot + way, meta, parameters)
        count += 1
        store8(hot_of(group, way), (meta & HOT) | (load8(hot_of(group, way)) & GUESS))
        if COLUMN_BYTES:
            store_column(record, way, meta >> HOT_BITS)
        if HAS_TALLY:
            total += tally(meta)
    store_state(record, state)
    if GHOSTS >= 0:
        zero_bytes(record + GHOSTS, 2 * WAYS)
    store8(order, SETTLED)
