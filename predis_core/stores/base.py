"""What a cache asks of the store that it was given as `value=`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Set, Sized
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from predis_core.errors import ValueShapeError
from predis_core.table.arena import Arena


class Holding(NamedTuple):
    """What a table holds values in.

    Attributes:
        column: the column of values, [slots, …]; None if there is none.
        limit: what all values may weigh together; None if they weigh nothing.
        arena: where blobs lie; None if values are none.
    """

    column: npt.NDArray[Any] | None = None
    limit: int | None = None
    arena: Arena | None = None


class Target(NamedTuple):
    """Where a lookup puts values.

    Attributes:
        array: n values in C order.
        buffer: the same memory as a table takes it: uint8[m] for rows, the array for objects and
            blobs, or a caller's `Packed`.
        zero: whether rows of misses are to be cleared.
        given: what the caller passed as `out=`, or None.
    """

    array: npt.NDArray[Any]
    buffer: Any
    zero: bool
    given: Any


def one_per_key(values: Any, n: int) -> Any:
    """Return n values of any kind, sized and in order.

    Raises:
        ValueShapeError: if they are not aligned with the keys, or not n.
    """
    if isinstance(values, str | bytes | Mapping | Set) or not isinstance(values, Iterable):
        raise ValueShapeError(
            f"values: expected a sequence of {n} values, got {type(values).__name__}; "
            "pass one value per key"
        )
    listed = values if isinstance(values, Sized) else list(values)
    if len(listed) != n:
        raise ValueShapeError(f"values: expected {n}, one per key, got {len(listed)}")
    return listed


class Store(ABC):
    """How values are laid out, and how a user's values become that and back."""

    default_keys: str

    @abstractmethod
    def hold(self, slots: int, budget: int | None) -> Holding:
        """Return what a table will hold values in.

        Args:
            slots: how many.
            budget: bytes that values may take, where they take more than their slots; or None.

        Raises:
            ConfigurationError: if the store cannot do with that.
        """

    @abstractmethod
    def bytes_per_slot(self, weighed: bool) -> int:
        """Return what a slot takes in the columns of values, if they are `weighed` or not."""

    @abstractmethod
    def coerce(self, values: Any, n: int) -> npt.NDArray[Any]:
        """Return n values of a user in the layout of the column, in C order.

        Raises:
            ValueShapeError: if the number, dtype or shape does not fit.
        """

    @abstractmethod
    def take_over(self, values: npt.NDArray[Any]) -> Any:
        """Return coerced values that an insert may keep for itself."""

    def admit(self, values: Any, n: int) -> Any:
        """Return n values of a user as an insert takes them; raises as `coerce` does."""
        return self.take_over(self.coerce(values, n))

    @abstractmethod
    def target(self, n: int, out: Any = None) -> Target:
        """Return where to put n values; `out` is the caller's own place for them.

        Raises:
            ValueShapeError: if `out` cannot be written in place.
        """

    @abstractmethod
    def present(self, values: Any) -> Any:
        """Return values as a user gets them: rows as an array, others as a list."""

    def blank(self, n: int) -> npt.NDArray[Any]:
        """Return n values without meaning."""
        return np.copy(self.target(n).array)
