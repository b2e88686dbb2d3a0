"""Python objects: a slot holds a reference."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from predis_core.errors import ValueShapeError
from predis_core.stores.base import Holding, Store, Target, one_per_key


class Objects(Store):
    """Any Python values, by reference. `get_many` returns a list, with None for a miss."""

    default_keys = "any"

    def __repr__(self) -> str:
        return "Objects()"

    def hold(self, slots: int, budget: int | None) -> Holding:
        """Return object[slots], filled with None; see `Store.hold`."""
        return Holding(np.empty(slots, object), limit=budget)

    def bytes_per_slot(self, weighed: bool) -> int:
        """Return what a reference takes, and its weight."""
        return 16 if weighed else 8

    def coerce(self, values: Any, n: int) -> npt.NDArray[Any]:
        """Return n objects; see `Store.coerce`."""
        return np.fromiter(one_per_key(values, n), object, n)

    def take_over(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return a copy: an insert swaps what it displaces into the array that it is given."""
        return values.copy()

    def target(self, n: int, out: Any = None) -> Target:
        """Return object[n], filled with None; objects know no `out`."""
        if out is not None:
            raise ValueShapeError(
                "out: a cache of Objects returns a list; leave out= to caches of Rows"
            )
        array = np.empty(n, object)
        return Target(array, array, False, None)

    def present(self, values: npt.NDArray[Any]) -> Any:
        """Return a list."""
        return values.tolist()
