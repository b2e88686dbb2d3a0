"""Parts of a batch of keys."""

from __future__ import annotations

from predis_core.table.interface import Bools, Int64s, Keys


def part_of(keys: Keys, where: slice | Int64s | Bools) -> Keys:
    """Return some keys of a batch: a slice, the places of some, or a mask."""
    return Keys(keys.words[where], None if keys.refs is None else keys.refs[where])
