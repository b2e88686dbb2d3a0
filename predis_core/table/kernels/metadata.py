"""A slot's metadata and a set's state, and what a use does to them."""

from __future__ import annotations

from predis_core.policies.contract import HOT_BITS
from predis_core.table.intrinsics import (
    address,
    called,
    inlined,
    load8,
    load16,
    load32,
    load64,
    store8,
    store16,
    store32,
    store64,
    words_at,
)

from .constants import (
    COLUMN,
    COLUMN_BYTES,
    HAS_ON_HIT,
    PARAMETERS,
    SET_MASK,
    SLOT_MASK,
    STATE,
    VISIBLE_BITS,
)
from .places import hot_of
from .policy import on_hit, on_insert
from .sketch import frequency_of

HOT = (1 << HOT_BITS) - 1
GUESS = 1 << HOT_BITS
_VISIBLE = (1 << VISIBLE_BITS) - 1
_HITS_IN_LINE = VISIBLE_BITS <= HOT_BITS


parameters_at = words_at(PARAMETERS)
"""Load parameters as a tuple, so that loops over a set's ways keep them in registers."""


@inlined
def fixed(parameters):
    """Return the parameters of an array as a tuple."""
    return parameters_at(address(parameters))


@inlined
def load_column(record, way):
    if COLUMN_BYTES == 1:
        return load8(record + COLUMN + way)
    if COLUMN_BYTES == 2:
        return load16(record + COLUMN + 2 * way)
    if COLUMN_BYTES == 4:
        return load32(record + COLUMN + 4 * way)
    if COLUMN_BYTES == 8:
        return load64(record + COLUMN + 8 * way)
    return 0


@inlined
def store_column(record, way, value):
    if COLUMN_BYTES == 1:
        store8(record + COLUMN + way, value)
    elif COLUMN_BYTES == 2:
        store16(record + COLUMN + 2 * way, value)
    elif COLUMN_BYTES == 4:
        store32(record + COLUMN + 4 * way, value)
    elif COLUMN_BYTES == 8:
        store64(record + COLUMN + 8 * way, value)


@inlined
def load_meta(group, record, way):
    return (load8(hot_of(group, way)) & HOT) | (load_column(record, way) << HOT_BITS)


@inlined
def store_meta(group, record, way, old, new, guess):
    """Write what changed."""
    if (old ^ new) & HOT or guess != load8(hot_of(group, way)) & GUESS:
        store8(hot_of(group, way), (new & HOT) | guess)
    if old >> HOT_BITS != new >> HOT_BITS:
        store_column(record, way, new >> HOT_BITS)


@inlined
def load_state(record):
    return load64(record + STATE) if STATE >= 0 else 0


@inlined
def store_state(record, state):
    if STATE >= 0:
        store64(record + STATE, state & SET_MASK)


@inlined
def note_hit(hot_address, record, way, tick, parameters):
    """Tell the policy of a hit; write what changed, so that most hits leave their line clean."""
    if not HAS_ON_HIT:
        return
    hot = load8(hot_address)
    meta = hot & HOT
    if not _HITS_IN_LINE:
        meta |= load_column(record, way) << HOT_BITS
    new = on_hit(meta & _VISIBLE, tick, load_state(record), parameters)
    new = (meta & ~_VISIBLE) | (new & _VISIBLE)
    if (new ^ meta) & HOT:
        store8(hot_address, (hot & GUESS) | (new & HOT))
    if not _HITS_IN_LINE and new >> HOT_BITS != meta >> HOT_BITS:
        store_column(record, way, new >> HOT_BITS)


@called
def replay_insert(head, group, record, way, tick, word, parameters):
    """The first use of a guess: it comes in as if into an empty set."""
    frequency = frequency_of(head, word)
    new, _ = on_insert(tick, frequency, 0, load_state(record), 0, parameters)
    store_meta(group, record, way, load_meta(group, record, way), new & SLOT_MASK, 0)
