"""What samples of keys do not tell, and counters do: sizes of values, and namespaces.

Both are known per drain, not per look-up, so that the look-ups of a drain get its mean size, and
its namespaces in proportion.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from predis_core.plugin import Snapshot
from predis_drift.features import BINS

_COUNTERS = {
    f"predis.cache.{name}": name
    for name in ("hits", "misses", "insertions", "hit_bytes", "inserted_bytes")
}
_GOLDEN = (5**0.5 - 1) / 2


class Totals:
    """Reads snapshots of a cache, one after the other."""

    def __init__(self) -> None:
        self._before: dict[str, dict[str, int]] = {}
        self._places: dict[str, int] = {}

    def since(
        self, snapshot: Snapshot, count: int
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64] | None]:
        """Return float64[count] sizes and int64[count] namespaces since the snapshot before.

        The sizes are NaN if there were no values with one; the namespaces are None in a cache that
        has none.
        """
        now: dict[str, dict[str, int]] = {}
        for sample in snapshot.samples:
            name = _COUNTERS.get(sample.metric.name)
            if name is not None:
                now.setdefault(sample.labels[0], {})[name] = int(sample.value)  # type: ignore[arg-type]
        grown = {
            space: {
                name: value - self._before.get(space, {}).get(name, 0) for name, value in of.items()
            }
            for space, of in now.items()
        }
        self._before = now
        moved = sum(each["hits"] + each["insertions"] for each in grown.values())
        weighed = sum(each["hit_bytes"] + each["inserted_bytes"] for each in grown.values())
        mean = weighed / moved if moved > 0 and weighed > 0 else np.nan
        return np.full(count, mean), self._spaces(grown, count)

    def _spaces(self, grown: dict[str, dict[str, int]], count: int) -> Any:
        for space in grown:
            self._places.setdefault(space, min(len(self._places), BINS - 1))
        if len(grown) < 2:
            return None
        requests = np.array([max(0, each["hits"] + each["misses"]) for each in grown.values()])
        if not requests.any():
            return None
        edges = np.cumsum(requests) / requests.sum()
        # Well spread over the drain, so that each block of it has the same mixture.
        drawn = np.searchsorted(edges, (np.arange(count) + 0.5) * _GOLDEN % 1, side="right")
        places = np.array([self._places[space] for space in grown], np.int64)
        return places[np.minimum(drawn, len(places) - 1)]
