"""Tables under a cache's own, which hold all of it: host memory under a GPU's, or a plugin's."""

from __future__ import annotations

from typing import Any

from predis_core.tiers.base import (
    ResizableTier,
    SwitchableTier,
    Tier,
    TierFactory,
    TierMove,
    TierRequest,
)

__all__ = [
    "ResizableTier",
    "SwitchableTier",
    "Tier",
    "TierFactory",
    "TierMove",
    "TierRequest",
    "in_memory",
]


def in_memory(request: TierRequest) -> Any:
    """Return the table of the CPU that is asked for: a tier to build another on."""
    from predis_core.tiers import memory

    return memory.memory(request)
