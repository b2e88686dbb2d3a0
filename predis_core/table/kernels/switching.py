"""Verbs of a change of policy; `table.switching` tells how they follow one another."""

from __future__ import annotations

import numpy as np

from predis_core.table import header as H
from predis_core.table.intrinsics import address, load8, load64, store8, store64
from predis_core.table.layout import NO_WAY, SET_BYTES, WAYS
from predis_core.table.machine_code import njit

from .constants import CACHED, HAS_TALLY, HOLDS_GIL, POLICY, STRIDE
from .lock import lock_exclusive, lock_shared, unlock_exclusive, unlock_shared
from .metadata import GUESS, fixed, load_meta, load_state
from .orders import is_settled, settle
from .places import bit_of, flags_of, get, hot_of, region_block, ways_and_slot
from .policy import rank, tally


@njit(nogil=not HOLDS_GIL, cache=CACHED)
def order_sets(header, parameters, region, first, stop, orders):
    """Write for sets first to stop of a region the ways in the order in which they would leave.

    `orders` is uint8[sets of the table * WAYS]; after the live ways of a set comes NO_WAY.
    """
    head, out = address(header), address(orders)
    settings = fixed(parameters)
    block = region_block(head, region)
    metas, keys = np.empty(WAYS, np.int64), np.empty(WAYS, np.int64)
    lock_shared(head)
    tick = get(head, H.TICK)
    for index in range(first, stop):
        number = get(block, H.BASE) + index
        group = get(head, H.LINES) + number * SET_BYTES
        record = get(head, H.RECORDS) + number * STRIDE
        order = out + WAYS * number
        ways, _ = ways_and_slot(block, index)
        state, total, count = load_state(record), 0, 0
        for way in range(ways):
            if load8(flags_of(group, way)) & bit_of(way):
                metas[way] = load_meta(group, record, way)
                if HAS_TALLY:
                    total += tally(metas[way])
        for way in range(ways):
            if not load8(flags_of(group, way)) & bit_of(way):
                continue
            key = rank(metas[way], tick, state, total, settings)
            guess = load8(hot_of(group, way)) & GUESS
            # Insertion into those before; guesses leave first, and equal ranks by way.
            at = count
            while at > 0:
                other = load8(order + at - 1)
                unused = load8(hot_of(group, other)) & GUESS
                if unused > guess or (unused == guess and keys[at - 1] <= key):
                    break
                keys[at] = keys[at - 1]
                store8(order + at, other)
                at -= 1
            keys[at] = key
            store8(order + at, way)
            count += 1
        for at in range(count, WAYS):
            store8(order + at, NO_WAY)
    unlock_shared(head)
    orders[0] |= 0  # it is used by address until here


@njit(cache=CACHED)
def take_over(header, parameters, orders):
    """Give the table these kernels' policy; its sets are settled one by one, by `orders`."""
    head = address(header)
    lock_exclusive(head)
    store64(head + 8 * H.ORDERS, orders)
    store64(head + 8 * H.PARAMETERS, parameters)
    store64(head + 8 * H.POLICY, POLICY)
    unlock_exclusive(head)


@njit(nogil=not HOLDS_GIL, cache=CACHED)
def settle_sets(header, parameters, region, first, stop):
    """Settle sets first to stop of a region that are not."""
    head = address(header)
    settings = fixed(parameters)
    block = region_block(head, region)
    lock_exclusive(head)
    for index in range(first, stop):
        number = get(block, H.BASE) + index
        if not is_settled(head, number):
            group = get(head, H.LINES) + number * SET_BYTES
            record = get(head, H.RECORDS) + number * STRIDE
            ways, slot = ways_and_slot(block, index)
            settle(head, number, group, record, ways, slot, settings)
    unlock_exclusive(head)


@njit(cache=CACHED)
def forget_orders(header):
    """Say that every set is settled; return the address that was of use until now."""
    head = address(header)
    lock_exclusive(head)
    orders = load64(head + 8 * H.ORDERS)
    store64(head + 8 * H.ORDERS, 0)
    unlock_exclusive(head)
    return orders
