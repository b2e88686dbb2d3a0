"""Integers that do what int64 does on the GPU: the oracle for translated functions."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any


def wrapped(value: int) -> int:
    """Return the int64 with the same lowest 64 bits."""
    return (int(value) + 2**63) % 2**64 - 2**63


class Int64(int):
    """An int whose arithmetic wraps; what Python raises for is 0."""


def _left(a: int, by: int) -> int:
    return a << by if 0 <= by < 64 else 0


def _right(a: int, by: int) -> int:
    return a >> by if by >= 0 else 0


def _binary(apply: Callable[[int, int], int]) -> tuple[Any, Any]:
    def plain(a: int, b: int) -> Int64:
        return Int64(wrapped(apply(int(a), int(b))))

    return plain, lambda a, b: plain(b, a)


for _name, _apply in {
    "add": operator.add,
    "sub": operator.sub,
    "mul": operator.mul,
    "and": operator.and_,
    "or": operator.or_,
    "xor": operator.xor,
    "lshift": _left,
    "rshift": _right,
    "floordiv": lambda a, b: a // b if b else 0,
    "mod": lambda a, b: a % b if b else 0,
}.items():
    _plain, _reflected = _binary(_apply)
    setattr(Int64, f"__{_name}__", _plain)
    setattr(Int64, f"__r{_name}__", _reflected)
for _name, _single in {"neg": operator.neg, "invert": operator.invert, "abs": abs}.items():
    setattr(Int64, f"__{_name}__", lambda a, _single=_single: Int64(wrapped(_single(int(a)))))
