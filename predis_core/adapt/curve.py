"""Miss-ratio curves: how much a cache would have missed at other sizes."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from predis_core.errors import CurveError
from predis_core.table.interface import Int64s

Floats = npt.NDArray[np.float64]

_ROUNDING = 1e-9
"""What sums of ratios and sizes may be off by, as numbers go."""


class MissRatioCurve(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """The miss ratio of the requests that there were, by the size of the cache.

    Attributes:
        policy: name of the eviction policy that it is the curve of.
        sizes: int64[m], entries, ascending.
        miss_ratios: float64[m], misses per request of a cache that was empty at first, and of which
            nothing expired or was deleted.
        error: float64[m], the standard error that sampling leaves; 0.0 where all keys are sampled.
        requests: lookups that it tells of, of all keys.
        sampled: lookups from which it was estimated.
        rate: share of the keys that are sampled.
        lost: lookups of sampled keys that came too fast to be read.
        live: the curve of the cache's own policy, at the sizes that were simulated; None if this
            is one.
    """

    policy: str
    sizes: Int64s
    miss_ratios: Floats
    error: Floats
    requests: int
    sampled: int
    rate: float
    lost: int = 0
    live: MissRatioCurve | None = None

    def miss_ratio(self, size: Any) -> Any:
        """Return the miss ratio of a cache of `size` entries; of an array of sizes, float64[k].

        Between sizes of the curve lies a straight line over their logarithms, and from 1.0 at
        size 0 to the first one over the sizes.
        """
        first = self.sizes[0]
        before = 1.0 - (1.0 - self.miss_ratios[0]) * np.clip(size, 0, first) / first
        after = np.interp(np.log(np.maximum(size, first)), np.log(self.sizes), self.miss_ratios)
        found = np.where(np.less(size, first), before, after)
        return found if np.ndim(size) else float(found)

    def size_for(self, hit_ratio: float) -> int:
        """Return the fewest entries with which that share of the requests would have been hits.

        Raises:
            CurveError: if `hit_ratio` is none, or no size of the curve reaches it.
        """
        need_ratio(hit_ratio)
        wanted = 1.0 - hit_ratio
        reached = np.flatnonzero(self.miss_ratios <= wanted + _ROUNDING)
        if not reached.size:
            raise CurveError(
                f"hit_ratio: {hit_ratio:g} is out of reach: {self.policy} has a hit ratio of "
                f"{1.0 - self.miss_ratios[-1]:.4f} with {self.sizes[-1]:,} entries, the largest "
                "size of its curve"
            )
        at = int(reached[0])
        high, below = float(self.sizes[at]), self.miss_ratios[at]
        if not at:
            found = high * hit_ratio / (1.0 - below) if below < 1.0 else 0.0
        else:
            low, above = float(self.sizes[at - 1]), self.miss_ratios[at - 1]
            found = low * (high / low) ** ((above - wanted) / (above - below))
        return max(1, min(int(high), math.ceil(found - _ROUNDING)))

    def as_dict(self) -> dict[str, Any]:
        """Return all of it, as JSON can carry it."""
        found = msgspec.structs.asdict(self)
        found |= {name: found[name].tolist() for name in ("sizes", "miss_ratios", "error")}
        return found | {"live": None if self.live is None else self.live.as_dict()}

    def __repr__(self) -> str:
        return (
            f"<MissRatioCurve of {self.policy}: {self.miss_ratios[0]:.1%} misses with "
            f"{self.sizes[0]:,} entries, {self.miss_ratios[-1]:.1%} with {self.sizes[-1]:,}; "
            f"{self.sampled:,} of {self.requests:,} requests sampled>"
        )


def need_ratio(hit_ratio: object) -> None:
    """Refuse what is no hit ratio.

    Raises:
        CurveError: naming it.
    """
    is_number = isinstance(hit_ratio, int | float) and not isinstance(hit_ratio, bool)
    if not is_number or not 0.0 <= hit_ratio <= 1.0:  # type: ignore[operator]
        raise CurveError(f"hit_ratio: expected a number from 0 to 1, got {hit_ratio!r}")
