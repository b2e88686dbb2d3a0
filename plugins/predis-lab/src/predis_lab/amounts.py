"""What values take and cost, for traces that do not say it: an amount for every key.

An amount follows from the key and a seed alone, so it is the same in every request, in every policy
and in every run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from predis_core.plugin import ByteSize, Duration
from predis_lab.traces import Keys

Amounts = Callable[[Keys], npt.NDArray[np.int64]]
"""Returns an amount, int64[n], for each of n keys: bytes or nanoseconds."""

_FIELDS = {"uniform": ("low", "high"), "lognormal": ("median", "sigma")}
_MOST = float(1 << 48)
_UNIT = 2.0**-53


def sizes(text: str) -> Amounts:
    """Read sizes: "4KiB", "uniform:low=1KiB,high=64KiB" or "lognormal:median=4KiB,sigma=1.5".

    Each may end with ",seed=7". Sizes are at least one byte. Raises ValueError.
    """
    return _amounts(text, ByteSize.parse, 0)


def costs(text: str) -> Amounts:
    """Read costs: "5ms", "uniform:low=1ms,high=1s" or "lognormal:median=5ms,sigma=1", as sizes."""
    return _amounts(text, lambda amount: Duration.parse(amount) * 1e9, 1)


@dataclass(frozen=True, slots=True)
class _Spread:
    """Amounts that are distributed: `low` to `high`, or lognormally about a median.

    Those of other streams, such as sizes and costs, have nothing to do with each other.
    """

    kind: str
    first: float
    second: float
    seed: int
    stream: int

    def __call__(self, keys: Keys) -> npt.NDArray[np.int64]:
        if self.kind == "uniform":
            amounts = self.first + (self.second - self.first) * self._shares(keys)
        else:
            # Box and Muller's normal numbers.
            radius = np.sqrt(-2 * np.log1p(-self._shares(keys)))
            normal = radius * np.cos(2 * np.pi * self._shares(keys, angle=True))
            amounts = self.first * np.exp(self.second * normal)
        return np.clip(np.rint(amounts), 1, _MOST).astype(np.int64)

    def _shares(self, keys: Keys, *, angle: bool = False) -> npt.NDArray[Any]:
        """Evenly distributed, from 0 to below 1."""
        number = 4 * self.seed + 2 * self.stream + angle + 1
        start = number * 0x9E3779B97F4A7C15 % 2**64
        mixed = keys.astype(np.uint64) + np.uint64(start)
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
            mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
        mixed ^= mixed >> np.uint64(31)
        shares: npt.NDArray[Any] = (mixed >> np.uint64(11)) * _UNIT
        return shares


def _amounts(text: str, read: Callable[[str], float], stream: int) -> Amounts:
    kind, colon, rest = text.strip().partition(":")
    try:
        if not colon:
            amount = read(kind)
            if amount < 1:
                raise ValueError("the amount must be above 0")
            return _Spread("uniform", amount, amount, 0, stream)
        if kind not in _FIELDS:
            raise ValueError(f"there is no distribution {kind!r}")
        return _spread(kind, _fields(rest), read, stream)
    except ValueError as error:
        raise ValueError(
            f"{text!r}: {error}; write an amount for all, uniform:low=…,high=… or "
            "lognormal:median=…,sigma=…"
        ) from None


def _fields(text: str) -> dict[str, str]:
    pairs = [part.partition("=") for part in text.split(",")]
    return {name.strip(): value.strip() for name, _, value in pairs}


def _spread(
    kind: str, fields: Mapping[str, str], read: Callable[[str], float], stream: int
) -> _Spread:
    names = _FIELDS[kind]
    if {*fields, "seed"} != {*names, "seed"}:
        raise ValueError(f"{kind} has {' and '.join(names)}, and may have a seed")
    first = read(fields[names[0]])
    is_even = kind == "uniform"
    second = read(fields[names[1]]) if is_even else float(fields[names[1]])
    if not 1 <= first < _MOST:
        raise ValueError(f"{names[0]} must be above 0")
    if not (first if is_even else 0) <= second < _MOST:
        raise ValueError(f"{names[1]} must not be below {names[0] if is_even else 0}")
    return _Spread(kind, first, second, int(fields.get("seed", "0")), stream)
