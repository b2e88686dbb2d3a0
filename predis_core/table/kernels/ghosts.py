"""A set's ghosts: tags and fingerprints of keys that left, newest first."""

from __future__ import annotations

from predis_core.policies.contract import TAG_BITS
from predis_core.table.intrinsics import (
    any_short,
    called,
    inlined,
    load16,
    move_bytes,
    store16,
)
from predis_core.table.layout import FINGERPRINT_BITS, WAYS

from .constants import GHOSTS, HAS_GHOSTS
from .places import FINGERPRINTS

_LAST = 2 * WAYS - 2


@inlined
def take_ghost(record, fingerprint):
    """Remove a ghost; return its tag and, above that, its place; 0 if there is none."""
    if not HAS_GHOSTS:
        return 0
    if not any_short(record + GHOSTS, FINGERPRINTS, fingerprint):
        return 0
    return _take(record, fingerprint)


@called
def _take(record, fingerprint):
    # Places without a ghost are 0, and come last.
    place = 0
    while load16(record + GHOSTS + 2 * place) & FINGERPRINTS != fingerprint:
        place += 1
    ghost = load16(record + GHOSTS + 2 * place)
    if ghost == 0:
        return 0
    for later in range(place, WAYS - 1):
        store16(record + GHOSTS + 2 * later, load16(record + GHOSTS + 2 * later + 2))
    store16(record + GHOSTS + _LAST, 0)
    return (ghost >> FINGERPRINT_BITS) | (place << TAG_BITS)


@inlined
def add_ghost(record, ghost):
    move_bytes(record + GHOSTS + 2, record + GHOSTS, _LAST)
    store16(record + GHOSTS, ghost)
