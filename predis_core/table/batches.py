"""Parts of a batch of keys, and several batches as one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from predis_core.table.interface import Bools, Int64s, Keys


def part_of(keys: Keys, where: slice | Int64s | Bools) -> Keys:
    """Return some keys of a batch: a slice, the places of some, or a mask."""
    return Keys(keys.words[where], None if keys.refs is None else keys.refs[where])


def joined(batches: Sequence[Keys]) -> Keys:
    """Return the keys of batches, one at least and all of a kind, one after the other."""
    if len(batches) == 1:
        return batches[0]
    refs = [batch.refs for batch in batches if batch.refs is not None]
    words = np.concatenate([batch.words for batch in batches])
    return Keys(words, np.concatenate(refs) if refs else None)
