"""One lock per table, shared for what only touches metadata, exclusive for what moves entries.

Where kernels hold the GIL, that is the lock, and these do nothing.
"""

from __future__ import annotations

from predis_core.table.intrinsics import (
    atomic_add,
    atomic_load,
    atomic_swap_if,
    inlined,
    yield_thread,
)

from .constants import HOLDS_GIL

_WRITER = 1 << 62
_SPINS = 64


@inlined
def _relax(spins):
    if spins > _SPINS:
        yield_thread()
    return spins + 1


@inlined
def lock_shared(head):
    if HOLDS_GIL:
        return
    spins = 0
    while True:
        seen = atomic_load(head)
        if seen < _WRITER and atomic_swap_if(head, seen, seen + 1):
            return
        spins = _relax(spins)


@inlined
def unlock_shared(head):
    if not HOLDS_GIL:
        atomic_add(head, -1)


@inlined
def lock_exclusive(head):
    if HOLDS_GIL:
        return
    spins = 0
    while True:
        seen = atomic_load(head)
        if seen < _WRITER and atomic_swap_if(head, seen, seen + _WRITER):
            break
        spins = _relax(spins)
    while atomic_load(head) != _WRITER:
        spins = _relax(spins)


@inlined
def unlock_exclusive(head):
    if not HOLDS_GIL:
        atomic_add(head, -_WRITER)
