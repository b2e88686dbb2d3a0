"""From what a cache is asked to be to its table."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from predis_core import devices, planning
from predis_core.errors import ConfigurationError
from predis_core.planning import MemoryPlan
from predis_core.policies import Policy
from predis_core.policies.choice import candidates_of
from predis_core.stores import Rows, Store
from predis_core.table.cpu import CpuTable
from predis_core.table.interface import CacheTable
from predis_core.table.keys import KeyCodec
from predis_core.table.layout import Layout
from predis_core.tiers.base import MEMORY, NamedTier, TierFactory, TierRequest
from predis_core.tiers.memory import memory as memory_tier
from predis_core.tiers.tiered import TieredTable

TIERS: dict[str, TierFactory] = {MEMORY: memory_tier}
"""Those of the core, by name."""


class TierWish(NamedTuple):
    """What tier a cache is to have.

    Attributes:
        capacity: entries that fit; None: as many rows as the memory holds.
        memory: bytes for its table and values, checked; None: what the capacity needs.
        kind: what makes it.
        name: what it is called.
    """

    capacity: int | None
    memory: int | None
    kind: TierFactory
    name: str


def tier_wish(
    store: Store, keys: str, capacity: int | None, memory: Any, kind: Any
) -> TierWish | None:
    """Return the tier that the arguments of a cache ask for, checked; None if they ask for none.

    Args:
        store, keys: what is held, and by which kind of keys.
        capacity, memory, kind: `host_capacity`, `host_memory` and `tier` of `Cache`.

    Raises:
        ConfigurationError: naming the argument and the fix.
    """
    if capacity is None and memory is None:
        if kind is None:
            return None
        raise ConfigurationError("host_capacity: say how many entries the tier is to hold")
    field = "host_memory" if capacity is None else "host_capacity"
    if type(store) is not Rows or keys != "int64":
        raise ConfigurationError(
            f"{field}: a cache with a tier holds Rows(dtype, shape) by int64 keys, got {store} by "
            f"{keys!r}; leave it out"
        )
    known = MEMORY if kind is None else kind
    if isinstance(known, str) and known not in TIERS:
        raise ConfigurationError(f"tier: expected {MEMORY!r} or a function, got {kind!r}")
    factory = TIERS[known] if isinstance(known, str) else known
    if not callable(factory):
        raise ConfigurationError(f"tier: expected {MEMORY!r} or a function, got {kind!r}")
    try:
        size = planning.checked(store, memory, None)
    except ConfigurationError as error:
        raise ConfigurationError(f"host_{error}") from None
    if isinstance(known, NamedTier):
        name = known.name
    else:
        name = known if isinstance(known, str) else getattr(known, "__name__", "tier")
    return TierWish(capacity, size, factory, name)


def plans(
    policy: Policy,
    store: Store,
    tier: TierWish | None,
    *,
    key_refs: bool,
    capacity: int | None,
    memory: int | None,
    costs: bool = False,
) -> tuple[MemoryPlan, MemoryPlan]:
    """Return where the memory of a cache's table goes, and that of its tier; the same without one.

    Args: as for `planning.plan`, `capacity` as a user gives it.

    Raises:
        ConfigurationError: as that, or if the tier is the smaller one.
    """

    def plan(capacity: int | None, memory: int | None) -> MemoryPlan:
        slots = None if capacity is None else Layout.build(capacity).slots
        return planning.plan(
            policy, store, key_refs=key_refs, capacity=slots, memory=memory, costs=costs
        )

    planned = plan(capacity, memory)
    if tier is None:
        return planned, planned
    try:
        below = plan(tier.capacity, tier.memory)
    except ConfigurationError as error:
        raise ConfigurationError(f"host_{error}") from None
    if below.capacity < planned.capacity:
        raise ConfigurationError(
            f"host_capacity: a tier holds all that is above it, but {below.capacity} entries fit, "
            f"and {planned.capacity} above; give it more, or leave it out"
        )
    return planned, below


def table(
    *,
    name: str,
    device: Any,
    store: Store,
    codec: KeyCodec,
    policy: Policy,
    seed: int,
    capacity: int | None,
    memory: int | None,
    costs: bool,
    tier: TierWish | None = None,
) -> CacheTable:
    """Return the table of a cache.

    Args:
        name, device, store, capacity: as for `Cache`.
        codec: of its keys.
        policy: the eviction policy.
        seed: int64, fixes where keys go.
        memory: bytes for table and values, checked; None: what the capacity needs.
        costs: whether what entries cost to load is kept even if the policy does not ask for it.
        tier: what is to lie under it. On the CPU, the tier in host memory is all there is.

    Raises:
        ConfigurationError: naming the argument and the fix.
        DeviceError, PolicyError: if it cannot be on the device that is named.
    """

    def on_cpu(planned: MemoryPlan) -> CpuTable:
        holding = store.hold(planned.capacity, planned.values)
        return CpuTable(
            Layout.build(planned.capacity),
            policy,
            seed,
            holding.column,
            key_refs=codec.has_refs,
            limit=holding.limit,
            arena=holding.arena,
        )

    planned, below = plans(
        policy,
        store,
        tier,
        key_refs=codec.has_refs,
        capacity=capacity,
        memory=memory,
        costs=costs,
    )
    is_memory = tier is None or tier.kind is TIERS[MEMORY]
    upper = devices.table(
        device,
        lambda: on_cpu(below if is_memory else planned),
        name=name,
        layout=Layout.build(planned.capacity),
        policy=policy,
        seed=seed,
        store=store,
        keys=codec.kind,
    )
    if tier is None or (is_memory and isinstance(upper, CpuTable)):
        return upper
    assert isinstance(store, Rows)
    row = np.dtype((store.dtype, store.shape))
    layout = Layout.build(below.capacity)
    lower = tier.kind(TierRequest(name, layout, candidates_of(policy)[0], seed, row, policy))
    kind = tier.kind if isinstance(tier.kind, NamedTier) else NamedTier(tier.name, tier.kind)
    return TieredTable(upper, lower, row, kind, policy, seed)
