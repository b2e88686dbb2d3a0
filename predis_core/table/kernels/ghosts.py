"""A set's ghosts: tags and fingerprints of keys that left, newest first."""

from __future__ import annotations

from predis_core.policies.contract import TAG_BITS
from predis_core.table.intrinsics import called, load16, store16
from predis_core.table.layout import FINGERPRINT_BITS, WAYS

from .constants import GHOSTS, HAS_GHOSTS
from .places import FINGERPRINTS


@called
def take_ghost(record, fingerprint):
    """Remove a ghost; return its tag and, above that, its place; 0 if there is none."""
    if not HAS_GHOSTS:
        return 0
    for place in range(WAYS):
        ghost = load16(record + GHOSTS + 2 * place)
        if ghost == 0:
            return 0
        if ghost & FINGERPRINTS == fingerprint:
            for later in range(place, WAYS - 1):
                store16(record + GHOSTS + 2 * later, load16(record + GHOSTS + 2 * later + 2))
            store16(record + GHOSTS + 2 * WAYS - 2, 0)
            return (ghost >> FINGERPRINT_BITS) | (place << TAG_BITS)
    return 0


@called
def add_ghost(record, ghost):
    for place in range(WAYS - 1, 0, -1):
        store16(record + GHOSTS + 2 * place, load16(record + GHOSTS + 2 * place - 2))
    store16(record + GHOSTS, ghost)
