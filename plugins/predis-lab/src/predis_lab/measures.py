"""What the caches that a trace was replayed into are compared by: requests, bytes, costs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from predis_core.plugin import ByteSize
from predis_lab.replaying import Point


class Measure(NamedTuple):
    """A ratio of a point: its name in a title, and the ratio itself."""

    name: str
    of: Callable[[Point], float]


def measures(points: Sequence[Point]) -> list[Measure]:
    """Those that are known of all points: requests missed, bytes missed, and the cost of misses."""
    found: list[tuple[str, Callable[[Point], Any]]] = [
        ("Miss ratio", lambda point: point.miss_ratio),
        ("Byte miss ratio", lambda point: point.byte_miss_ratio),
        ("Cost miss ratio", lambda point: point.cost_miss_ratio),
    ]
    return [Measure(name, of) for name, of in found if all(of(p) is not None for p in points)]


def shown_entries(point: Point) -> str:
    """How large the cache was: entries, and what values could take, if that was bounded."""
    entries = f"{point.entries:,}"
    return entries if point.memory is None else f"{entries} in {_rounded(point.memory)}"


def _rounded(memory: int) -> str:
    """Bytes to three digits or so, in the unit in which that is above 1."""
    for unit in ("TiB", "GiB", "MiB", "KiB"):
        factor = ByteSize.parse(f"1{unit}")
        if memory >= factor:
            return f"{memory / factor:.3g} {unit}"
    return f"{memory} B"
