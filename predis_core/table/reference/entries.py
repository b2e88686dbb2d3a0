"""What a reference table holds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from predis_core.errors import PolicyError
from predis_core.table.interface import Reason


@dataclass
class Entry:
    """What a live way holds."""

    word: int
    ref: Any
    meta: int
    guess: bool
    deadline: int
    cost: int
    value: Any
    size: int


@dataclass
class Set:
    """One set: its ways, the policy's state, ghosts (newest first), conflicts."""

    ways: list[Entry | None]
    state: int = 0
    ghosts: list[tuple[int, int]] = field(default_factory=list)
    conflicts: int = 0

    def live(self) -> list[tuple[int, Entry]]:
        """Return the live ways with their numbers."""
        return [(way, entry) for way, entry in enumerate(self.ways) if entry is not None]


@dataclass
class Left:
    """An entry that left, and why, and for which position of a batch."""

    reason: Reason
    at: int
    entry: Entry


def is_expired(entry: Entry, now: int) -> bool:
    """Return whether an entry's time is over."""
    return 0 < entry.deadline <= now


def checked_int64(value: int) -> int:
    """Refuse what int64 cannot hold: a compiled policy would silently wrap."""
    if not isinstance(value, int | np.integer) or not -(2**63) <= value < 2**63:
        raise PolicyError(f"policy: a function returned {value!r}, which is no int64")
    return int(value)
