"""Python objects: a slot holds a reference."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set, Sized
from typing import Any

import numpy as np
import numpy.typing as npt

from predis_core.errors import ValueShapeError
from predis_core.stores.base import Store, Target


class Objects(Store):
    """Any Python values, by reference. `get_many` returns a list, with None for a miss."""

    default_keys = "any"

    def __repr__(self) -> str:
        return "Objects()"

    def column(self, slots: int) -> npt.NDArray[Any]:
        """Return object[slots], filled with None."""
        return np.empty(slots, object)

    def coerce(self, values: Any, n: int) -> npt.NDArray[Any]:
        """Return n objects; see `Store.coerce`."""
        if isinstance(values, str | bytes | Mapping | Set) or not isinstance(values, Iterable):
            raise ValueShapeError(
                f"values: expected a sequence of {n} values, got {type(values).__name__}; "
                "pass one value per key"
            )
        listed = values if isinstance(values, Sized) else list(values)
        if len(listed) != n:
            raise ValueShapeError(f"values: expected {n}, one per key, got {len(listed)}")
        return np.fromiter(listed, object, n)

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
