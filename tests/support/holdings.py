"""Combinations with blobs among them, for promises about what is held and what leaves."""

from __future__ import annotations

from typing import Any

import predis_core as predis
from tests.support.combinations import Combination

MEMORY = "64KiB"
"""Of caches of blobs: much more than the small values below take."""


class Holding(Combination):
    """A store, blobs included, with a kind of keys; lru, so that there is no doubt who leaves."""

    def open(self, capacity: int, **options: Any) -> predis.Cache[Any, Any]:
        options.setdefault("policy", "lru")
        if self.store != "blobs":
            return super().open(capacity, **options)
        options.setdefault("memory", MEMORY)
        return predis.Cache(capacity, value=predis.Blobs(), keys=self.kind, **options)

    def value(self, n: int) -> Any:
        return b"value-%d" % n if self.store == "blobs" else super().value(n)

    def value_number(self, value: Any) -> int:
        """Return the n of a value."""
        if self.store == "blobs":
            return int(value.removeprefix(b"value-"))
        return int(value[1]) if self.store == "objects" else (int(value) - 1) // 3


HOLDINGS = [
    Holding(store, kind) for store in ("objects", "rows", "blobs") for kind in ("int64", "any")
]
