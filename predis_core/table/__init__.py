"""The set-associative table: its definition, its backends, and a way to open one by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from predis_core.table.interface import Counter
from predis_core.table.keys import codec, spread_seed
from predis_core.table.layout import Layout

if TYPE_CHECKING:
    from predis_core.policies import Policy
    from predis_core.table.cpu import CpuTable

__all__ = ["Counter", "Layout", "codec", "open_table"]


def open_table(
    capacity: int,
    policy: str | Policy | Any,
    seed: int = 0,
    *,
    limit: int | None = None,
) -> CpuTable:
    """Return a table of int64 keys without values: for replaying traces and for experiments.

    Args:
        capacity: entries that fit.
        policy: a built-in policy's name, or a policy.
        seed: fixes where keys go; another seed, other sets.
        limit: what all values would weigh together at most; None if they weigh nothing.

    Raises:
        ConfigurationError: if the capacity or the policy is not valid.
    """
    from predis_core import policies
    from predis_core.table.cpu import CpuTable

    layout = Layout.build(capacity)
    return CpuTable(layout, policies.get(policy), spread_seed(seed), limit=limit)
