"""What a policy is told of a value: how large it is and what it cost, as the table knows it."""

from __future__ import annotations

from predis_core.table import header as H
from predis_core.table.intrinsics import inlined, load8, load64

from .constants import HAS_ON_VALUE, ROW_BYTES, SLOT_MASK
from .metadata import GUESS, load_meta, store_meta
from .places import get, hot_of
from .policy import on_value
from .removals import size_at


@inlined
def valued(head, slot, meta, parameters):
    """Metadata that takes account of the value at a slot."""
    if not HAS_ON_VALUE:
        return meta
    size = ROW_BYTES if ROW_BYTES else size_at(head, slot)
    cost = load64(get(head, H.COSTS) + 8 * slot) if get(head, H.COSTS) else 0
    return on_value(meta, size, cost, parameters) & SLOT_MASK


@inlined
def note_value(head, group, record, slot, way, parameters):
    """Tell the policy of the value that a way of the set holds from now on; `slot` is the set's."""
    if HAS_ON_VALUE:
        meta = load_meta(group, record, way)
        new = valued(head, slot + way, meta, parameters)
        store_meta(group, record, way, meta, new, load8(hot_of(group, way)) & GUESS)
