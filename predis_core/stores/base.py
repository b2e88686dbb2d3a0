"""What a cache asks of the store that it was given as `value=`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from predis_core.table.interface import Bools


class Target(NamedTuple):
    """Where a lookup puts values.

    Attributes:
        array: n values in C order.
        buffer: the same memory as a table takes it: uint8[m] for rows, the array for objects.
        zero: whether rows of misses are to be cleared.
        given: what the caller passed as `out=`, or None.
    """

    array: npt.NDArray[Any]
    buffer: npt.NDArray[Any]
    zero: bool
    given: Any


class Store(ABC):
    """How values are laid out, and how a user's values become that and back."""

    default_keys: str

    @abstractmethod
    def column(self, slots: int) -> npt.NDArray[Any]:
        """Return the column of values, [slots, …], that a table will own."""

    @abstractmethod
    def coerce(self, values: Any, n: int) -> npt.NDArray[Any]:
        """Return n values of a user in the layout of the column, in C order.

        Raises:
            ValueShapeError: if the number, dtype or shape does not fit.
        """

    @abstractmethod
    def take_over(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return coerced values that an insert may keep for itself."""

    @abstractmethod
    def target(self, n: int, out: Any = None) -> Target:
        """Return where to put n values; `out` is the caller's own place for them.

        Raises:
            ValueShapeError: if `out` cannot be written in place.
        """

    @abstractmethod
    def present(self, values: npt.NDArray[Any]) -> Any:
        """Return values as a user gets them: rows as an array, objects as a list."""

    def merge(
        self, values: npt.NDArray[Any], positions: Any, found: npt.NDArray[Any], where: Bools
    ) -> None:
        """Put `found[where]` at `positions[where]` of `values`."""
        values[positions[where]] = found[where]

    def blank(self, n: int) -> npt.NDArray[Any]:
        """Return n values without meaning."""
        return np.copy(self.target(n).array)
