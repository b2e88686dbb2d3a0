"""Plain records that cross rooms."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec


class Stats(msgspec.Struct, frozen=True, kw_only=True):
    """What a cache did since it was opened. All fields count entries, never batches.

    Attributes:
        requests: keys looked up by a `get` of any face (`hits + misses`).
        hits: looked-up keys that were found.
        misses: looked-up keys that were absent or expired.
        insertions: keys stored that were not resident before.
        updates: resident keys whose value was replaced.
        evictions: live entries that left to make room.
        conflicts: evictions from a full set at a time when the cache as a whole was not full.
        expirations: expired entries whose slot was reclaimed.
        deletions: entries removed by `delete`, `pop` or `clear`.
        refusals: entries that could not be stored.
        loads: ids that a loader was asked for.
        load_failures: ids whose load raised or did not fit.
        loads_saved: ids that waited for a load already under way instead of starting another.
        size: entries held now, expired ones that were not reclaimed yet included.
        capacity: entries that fit.
    """

    hits: int
    misses: int
    insertions: int
    updates: int
    evictions: int
    conflicts: int
    expirations: int
    deletions: int
    refusals: int
    loads: int
    load_failures: int
    loads_saved: int
    size: int
    capacity: int

    @property
    def requests(self) -> int:
        """Keys looked up."""
        return self.hits + self.misses

    @property
    def hit_ratio(self) -> float:
        """Hits per request; 0.0 before the first request."""
        return self.hits / self.requests if self.requests else 0.0

    @property
    def miss_ratio(self) -> float:
        """Misses per request; 0.0 before the first request."""
        return self.misses / self.requests if self.requests else 0.0


class Evicted(NamedTuple):
    """The entries that a write displaced to make room, in the order of the write.

    Attributes:
        keys: int64[m] for int64 keys, else a list.
        values: an array [m, *shape] for Rows, else a list.
    """

    keys: Any
    values: Any
