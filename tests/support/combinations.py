"""Each store with each kind of keys, and entries whose value tells which key it belongs to."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import predis_core as predis


@dataclass(frozen=True)
class Combination:
    """A store with a kind of keys, on a device.

    Rows are 8 bytes wide here and in the tests beside: kernels are made per width.
    """

    store: str
    kind: str
    device: str = "cpu"

    def __str__(self) -> str:
        return f"{self.store}-{self.kind}"

    @property
    def holds_rows(self) -> bool:
        return self.store == "rows"

    def open(self, capacity: int, **options: Any) -> predis.Cache[Any, Any]:
        if self.store == "blobs":
            memory = (1 << 20) + 256 * capacity
            options = {"value": predis.Blobs(), "memory": memory} | options
        elif self.holds_rows:
            options = {"value": predis.Rows("int64", ())} | options
        return predis.Cache(capacity, keys=self.kind, device=self.device, **options)

    def key(self, n: int) -> Any:
        if self.kind == "int64":
            return n
        if self.kind == "str":
            return f"key-{n}"
        if self.kind == "bytes":
            return b"key-%d" % n
        return (n, f"key-{n}", ("key", n))[n % 3]

    def keys(self, numbers: Iterable[int]) -> list[Any]:
        return [self.key(n) for n in numbers]

    def value(self, n: int) -> Any:
        if self.store == "blobs":
            return b"value" * (n % 7) + b"-%d" % n
        return 3 * n + 1 if self.holds_rows else ("value", n)

    def size(self, *numbers: int) -> int:
        """Return what values weigh together."""
        if self.store == "blobs":
            return sum(len(self.value(n)) for n in numbers)
        return 8 * len(numbers) if self.holds_rows else 0

    def values(self, numbers: Iterable[int]) -> list[Any]:
        return [self.value(n) for n in numbers]

    def entries(self, numbers: Iterable[int]) -> dict[Any, Any]:
        return {self.key(n): self.value(n) for n in numbers}

    def number(self, key: Any) -> int:
        """Return the n of a key."""
        if isinstance(key, tuple):
            return int(key[1])
        text = key.decode() if isinstance(key, bytes) else str(key)
        return int(text.removeprefix("key-"))

    def load(self, ids: Iterable[Any]) -> list[Any]:
        """Return the values of ids, as a loader does."""
        return [self.value(self.number(key)) for key in ids]


COMBINATIONS = [
    Combination(store, kind)
    for store in ("objects", "rows")
    for kind in ("int64", "str", "bytes", "any")
] + [Combination("blobs", kind) for kind in ("int64", "any")]


def plain(values: Any) -> list[Any]:
    """Return keys or values of any store as a list of plain Python objects."""
    listed: list[Any] = values.tolist() if hasattr(values, "tolist") else list(values)
    return listed
