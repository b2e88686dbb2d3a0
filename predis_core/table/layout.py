"""Where everything lies: regions of sets, sets of ways, the bytes of each.

A set is four lines of 64 bytes. A line holds seven int64 key words and one word of flags::

    word 0 … 6   key words of the line's seven ways
    word 7       byte 0      bits 0-6: which ways are live; bit 7: one of them has a deadline
                 byte 1 + w  of way w: bits 0-6 the lowest HOT_BITS of the policy's metadata,
                             bit 7 prefetched and not yet used

so that a lookup which finds its key in the first line it tries touches one cache line, and a GPU
warp reads a whole set as 32 coalesced words. What only writes need lies in a record per set::

    state        int64      the policy's, if it asked for set_bits
    conflicts    uint32     evictions from this set while the region was not full
    column       28 × 0, 1, 2, 4 or 8 bytes: metadata above HOT_BITS
    ghosts       28 × uint16, if the policy asked for them: tag << 14 | fingerprint, newest first

Values, references to keys and deadlines are columns over slots. Slots number the ways of a region
without a gap, so a column has exactly as many rows as the cache has entries.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import NamedTuple

from predis_core.errors import ConfigurationError
from predis_core.policies.choice import candidates_of
from predis_core.policies.contract import HOT_BITS, Policy

WAYS_PER_LINE = 7
LINES = 4
WAYS = LINES * WAYS_PER_LINE
LINE_BYTES = 64
SET_BYTES = LINES * LINE_BYTES
FINGERPRINT_BITS = 14
GUESS_SHARE = 4
"""Prefetched and unused entries hold at most one in this many of a set's ways."""

NO_WAY, SETTLED = 0xFE, 0xFF
"""In an order of ways: nothing more; and first of all, that the order is of no use any more."""

MAX_CAPACITY = 1 << 40


class Home(NamedTuple):
    """Where a hash belongs: set (numbered in its region), line tried first, ghost fingerprint."""

    number: int
    line: int
    fingerprint: int


@dataclass(frozen=True)
class Region:
    """A range of sets with a capacity of its own.

    Attributes:
        base: number of its first set in the table.
        first_slot: number of its first slot in the table.
        capacity: entries that fit; its ways are spread evenly over `sets`.
    """

    base: int
    first_slot: int
    capacity: int

    @property
    def sets(self) -> int:
        """How many sets: the fewest that hold the capacity."""
        return -(-self.capacity // WAYS)

    def ways(self, index: int) -> int:
        """Return how many ways the set at `index` of this region has (1 to WAYS)."""
        return self.capacity // self.sets + (index < self.capacity % self.sets)

    def slot(self, index: int, way: int) -> int:
        """Return the slot of a way of the set at `index` of this region."""
        quotient, remainder = divmod(self.capacity, self.sets)
        return self.first_slot + index * quotient + min(index, remainder) + way

    def home(self, hashed: int) -> Home:
        """Return where a 64-bit hash belongs."""
        index = (hashed * self.sets) >> 64
        lines = -(-self.ways(index) // WAYS_PER_LINE)
        line = ((hashed & 0xFFFF) * lines) >> 16
        return Home(index, line, (hashed >> 16) & ((1 << FINGERPRINT_BITS) - 1))

    def line_order(self, index: int, line: int) -> list[int]:
        """Return the ways of the set at `index` as a key whose home is `line` tries them."""
        ways = self.ways(index)
        lines = -(-ways // WAYS_PER_LINE)
        return [
            way
            for step in range(lines)
            for way in range(
                (line + step) % lines * WAYS_PER_LINE,
                min(ways, ((line + step) % lines + 1) * WAYS_PER_LINE),
            )
        ]


@dataclass(frozen=True)
class Layout:
    """The regions of a table, and their sums."""

    regions: tuple[Region, ...]

    @property
    def sets(self) -> int:
        """Sets of all regions."""
        return sum(region.sets for region in self.regions)

    @property
    def slots(self) -> int:
        """Slots of all regions: the table's capacity."""
        return sum(region.capacity for region in self.regions)

    @classmethod
    def build(cls, *capacities: int) -> Layout:
        """Lay out one region per capacity, in order.

        Raises:
            ConfigurationError: if a capacity is not an int from 1 to 2**40.
        """
        regions: list[Region] = []
        base = first_slot = 0
        for capacity in capacities:
            if isinstance(capacity, bool) or not hasattr(capacity, "__index__"):
                raise ConfigurationError(f"capacity: expected an int (entries), got {capacity!r}")
            capacity = operator.index(capacity)
            if not 1 <= capacity <= MAX_CAPACITY:
                raise ConfigurationError(f"capacity: expected 1 to 2**40 entries, got {capacity}")
            region = Region(base, first_slot, capacity)
            regions.append(region)
            base += region.sets
            first_slot += capacity
        return cls(tuple(regions))


class Record(NamedTuple):
    """Byte offsets in a set's record, and its length. An absent part has offset -1 or width 0."""

    state: int
    conflicts: int
    column: int
    column_bytes: int
    ghosts: int
    stride: int


def record_of(policy: Policy) -> Record:
    """Return the record that a set needs under a policy, or under any that it may choose."""
    policies = candidates_of(policy)
    state = 0 if any(policy.set_bits for policy in policies) else -1
    conflicts = 0 if state < 0 else 8
    above = max(policy.slot_bits for policy in policies) - HOT_BITS
    column_bytes = 0 if above <= 0 else next(b for b in (1, 2, 4, 8) if above <= 8 * b)
    column = conflicts + (8 if column_bytes == 8 else 4)
    end = column + WAYS * column_bytes
    ghosts = end if any(policy.ghosts for policy in policies) else -1
    end += 0 if ghosts < 0 else 2 * WAYS
    return Record(state, conflicts, column, column_bytes, ghosts, -(-end // 8) * 8)
