"""Where a cache's memory goes, before there is a cache."""

from __future__ import annotations

import math
from typing import NamedTuple

from predis_core.config.quantities import ByteSize
from predis_core.errors import ConfigurationError
from predis_core.policies import Policy
from predis_core.policies.choice import candidates_of, sees_values
from predis_core.stores import Blobs, Objects, Rows, Store
from predis_core.table.layout import LINE_BYTES, MAX_CAPACITY, SET_BYTES, WAYS, record_of
from predis_core.table.sketch import ROWS, width_bits

_ALIGNMENT = 8 * LINE_BYTES
"""Bytes by which arrays begin later than their memory, all together at most."""
_DEADLINE_BYTES, _PIN_BYTES, _COST_BYTES = 8, 4, 8


class MemoryPlan(NamedTuple):
    """Where a cache's memory goes. All fields but `capacity` are bytes.

    Attributes:
        capacity: entries that fit.
        table: keys, metadata and what a policy keeps per set.
        extras: of entries, deadlines, pins and what they cost; taken when the first is needed.
        slots: of values: the rows themselves, references, or where blobs lie.
        values: what values may take besides; None if that is bounded by their number only.
    """

    capacity: int
    table: int
    extras: int
    slots: int
    values: int | None

    @property
    def parts(self) -> dict[str, int | None]:
        """The fields in bytes, by what they are for."""
        return {
            "table": self.table,
            "deadlines and pins": self.extras,
            "slots": self.slots,
            "values": self.values,
        }

    @property
    def total(self) -> int:
        """All of it."""
        return sum(size or 0 for size in self.parts.values())


def checked(store: Store, memory: int | str | None, weigher: object) -> int | None:
    """Return the bytes that a cache is given, or say what does not fit together.

    Raises:
        ConfigurationError: if `memory` is no size, or a weigher is missing or too much.
    """
    try:
        size = None if memory is None else int(ByteSize.parse(memory))
    except ValueError as error:
        raise ConfigurationError(f"memory: {error}") from None
    if isinstance(store, Objects):
        if size is not None and weigher is None:
            raise ConfigurationError(
                "weigher: a cache of Objects cannot tell what they take; give one with memory="
            )
        if size is None and weigher is not None:
            raise ConfigurationError("memory: say what entries may take, or leave weigher out")
        if weigher is not None and not callable(weigher):
            raise ConfigurationError(f"weigher: expected a callable, got {weigher!r}")
    elif weigher is not None:
        raise ConfigurationError(f"weigher: {store} takes what it takes; leave it out")
    elif isinstance(store, Blobs) and size is None:
        raise ConfigurationError(
            "memory: a cache of Blobs needs it, as in Cache(100_000, memory='64MiB', value=Blobs())"
        )
    return size


def plan(
    policy: Policy,
    store: Store,
    *,
    key_refs: bool,
    capacity: int | None,
    memory: int | None,
    costs: bool = False,
) -> MemoryPlan:
    """Return the plan of a cache.

    Args:
        policy: the eviction policy.
        store: what slots hold.
        key_refs: whether keys are Python objects; what these take by themselves is not planned.
        capacity: entries that must fit; None: as many rows as `memory` holds.
        memory: bytes; None: as many as the capacity needs.
        costs: whether what entries cost to load is kept even if the policy does not ask for it.

    Raises:
        ConfigurationError: if both are missing, or the capacity does not fit the memory.
    """
    costs = costs or sees_values(policy)
    if capacity is None:
        if memory is None:
            raise ConfigurationError("capacity: say how many entries fit, or give memory=")
        if not isinstance(store, Rows):
            raise ConfigurationError(
                f"capacity: values of {store} differ in size: say how many entries fit at most"
            )
        capacity = _most(policy, store, key_refs, costs, memory)
    fixed = _fixed(policy, store, key_refs, costs, capacity, memory is not None)
    if memory is None or isinstance(store, Rows):
        if memory is not None and fixed.total > memory:
            raise ConfigurationError(
                f"memory: {capacity} entries take {fixed.total} bytes; give as much, or leave "
                "capacity out"
            )
        return fixed
    left = memory - fixed.total
    if left <= 0:
        raise ConfigurationError(
            f"memory: the table alone takes {fixed.total} bytes for {capacity} entries; give more, "
            "or a smaller capacity"
        )
    return fixed._replace(values=left)


def _fixed(
    policy: Policy, store: Store, key_refs: bool, costs: bool, capacity: int, weighed: bool
) -> MemoryPlan:
    sets = math.ceil(capacity / WAYS)
    table = sets * (SET_BYTES + record_of(policy).stride) + (8 * capacity if key_refs else 0)
    if any(candidate.sketch for candidate in candidates_of(policy)):
        table += ROWS << width_bits(capacity)
    table += _ALIGNMENT
    slots = store.bytes_per_slot(weighed) * capacity
    extras = (_DEADLINE_BYTES + _PIN_BYTES + (_COST_BYTES if costs else 0)) * capacity
    return MemoryPlan(capacity, table, extras, slots, None)


def _most(policy: Policy, store: Store, key_refs: bool, costs: bool, memory: int) -> int:
    """Return the largest capacity that fits."""

    def needed(capacity: int) -> int:
        return _fixed(policy, store, key_refs, costs, capacity, weighed=False).total

    least, beyond = 0, min(memory // store.bytes_per_slot(False) + 1, MAX_CAPACITY)
    while beyond - least > 1:
        middle = (least + beyond) // 2
        if needed(middle) <= memory:
            least = middle
        else:
            beyond = middle
    if least == 0:
        raise ConfigurationError(
            f"memory: {memory} bytes do not hold a single entry; give at least {needed(1)}"
        )
    return least
