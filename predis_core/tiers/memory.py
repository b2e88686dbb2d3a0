"""The tier in host memory."""

from __future__ import annotations

import numpy as np

from predis_core.table.cpu import CpuTable
from predis_core.tiers.base import TierRequest


def memory(request: TierRequest) -> CpuTable:
    """Return the table of the CPU that is asked for; its rows take memory as they are written."""
    base, shape = request.row.subdtype or (request.row, ())
    rows = np.zeros((request.layout.slots, *shape), base)
    policy = request.policy if request.given is None else request.given
    return CpuTable(request.layout, policy, request.seed, rows)
