"""Caches with a tier: a third of what fits has copies above it."""

from __future__ import annotations

from typing import Any

import predis_core as predis
from predis_core.tiers import in_memory
from tests.support.combinations import Combination


class Tiered(Combination):
    """Rows and int64 keys in a tier in host memory, under a table on a device."""

    def open(self, capacity: int, **options: Any) -> predis.Cache[Any, Any]:
        return open_tiered(max(1, capacity // 3), capacity, device=self.device, **options)


def open_tiered(above: int, below: int, **options: Any) -> predis.Cache[Any, Any]:
    """Return a cache of int64 rows with a tier, also where both tables are the CPU's.

    There the core's own tier would be all there is.
    """
    options = {"value": predis.Rows("int64"), "device": "cpu", "tier": in_memory} | options
    return predis.Cache(above, host_capacity=below, **options)
