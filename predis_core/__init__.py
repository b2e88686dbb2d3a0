"""Predis: a set-associative cache that a Python program embeds, made for batches.

    import predis_core as predis

    cache = predis.Cache(capacity=100_000, value=predis.Rows("float32", (64,)))
    cache = predis.open("predis.toml")  # with plugins

Importing this package costs next to nothing: what it offers is imported when it is first named.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from predis_core import runtime

if TYPE_CHECKING:
    from predis_core import errors, policies
    from predis_core.adapt import MissRatioCurve
    from predis_core.cache import Cache
    from predis_core.clock import Clock, ManualClock
    from predis_core.host import status
    from predis_core.opening import open
    from predis_core.packed import Packed
    from predis_core.policies import Policy
    from predis_core.stores import Blobs, Objects, Rows
    from predis_core.types import Evicted, Removals, Stats, TierStats

__version__ = "0.1.0"

_HOMES = {
    "Blobs": "predis_core.stores",
    "Cache": "predis_core.cache",
    "Clock": "predis_core.clock",
    "Evicted": "predis_core.types",
    "ManualClock": "predis_core.clock",
    "MissRatioCurve": "predis_core.adapt",
    "Objects": "predis_core.stores",
    "Packed": "predis_core.packed",
    "Policy": "predis_core.policies",
    "Removals": "predis_core.types",
    "Rows": "predis_core.stores",
    "Stats": "predis_core.types",
    "TierStats": "predis_core.types",
    "open": "predis_core.opening",
    "status": "predis_core.host",
}
_MODULES = ("errors", "policies")

__all__ = [
    "Blobs",
    "Cache",
    "Clock",
    "Evicted",
    "ManualClock",
    "MissRatioCurve",
    "Objects",
    "Packed",
    "Policy",
    "Removals",
    "Rows",
    "Stats",
    "TierStats",
    "errors",
    "open",
    "policies",
    "status",
]

runtime.check()


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        found = getattr(importlib.import_module(_HOMES[name]), name)
    elif name in _MODULES:
        found = importlib.import_module(f"predis_core.{name}")
    else:
        raise AttributeError(f"module 'predis_core' has no attribute {name!r}")
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
