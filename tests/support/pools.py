"""Small sets of keys of each kind, with everything in them that is easy to get wrong."""

from __future__ import annotations

import time
from typing import Any

INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1


class Colliding:
    """A key whose hash says little and whose comparison lets other threads run."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __hash__(self) -> int:
        return self.number % 3

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Colliding):
            return NotImplemented
        time.sleep(0)
        return self.number == other.number

    def __repr__(self) -> str:
        return f"Colliding({self.number})"


class Narrow:
    """A key that can be compared with its own kind only; a dict never asks it for more."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __hash__(self) -> int:
        return hash(("Narrow", self.number // 2))

    def __eq__(self, other: Any) -> bool:
        return bool(self.number == other.number)

    def __repr__(self) -> str:
        return f"Narrow({self.number})"


def _any_key(number: int) -> Any:
    kinds = (
        lambda n: n,
        lambda n: -n,
        lambda n: float(n),
        lambda n: n % 2 == 1,
        lambda n: n + 0.5,
        lambda n: (n % 7, "t"),
        lambda n: f"s{n}",
        lambda n: b"b%d" % n,
        Colliding,
        Narrow,
        lambda n: 2**61 - 1 + n,  # hashes as n does
        lambda n: frozenset((n, "f")),
    )
    return kinds[number % len(kinds)](number // len(kinds))


_STRINGS = ("", "\x00", "\udcff", "é", "𝄞", "a" * 31, "a" * 32, "b" * 255, "b" * 256)
_BYTES = (b"", b"\x00", b"\x00\x00", b"a" * 7, b"a" * 8, b"a" * 9, b"b" * 255, b"b" * 256)


def pool(kind: str, count: int) -> list[Any]:
    """Return `count` keys of a kind; those of "any" are not all different for a dict."""
    if kind == "int64":
        special: tuple[Any, ...] = (INT64_MIN, INT64_MAX, -1, -2)
        return [*special, *range(count)][:count]
    if kind == "str":
        return [*_STRINGS, *(f"key {number}" for number in range(count))][:count]
    if kind == "bytes":
        return [*_BYTES, *(b"key %d" % number for number in range(count))][:count]
    return [None, -1, -2, 0, 1, True, 1.0, *(_any_key(number) for number in range(count))][:count]
