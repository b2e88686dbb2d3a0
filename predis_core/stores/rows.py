"""Rows: a slot holds a fixed number of bytes, seen as an array of one dtype and shape."""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping, Set
from typing import Any

import numpy as np
import numpy.typing as npt

from predis_core.arrays import has_array_face, host_array
from predis_core.errors import ConfigurationError, ValueShapeError
from predis_core.stores.base import Holding, Store, Target
from predis_core.table.cuda.exchange import is_on_gpu, on_host


class Rows(Store):
    """Values of one dtype and shape, copied in and out.

    Args:
        dtype: anything that NumPy takes for one, except object.
        shape: the shape of one value; `()` for scalars.

    Values come in as whatever speaks DLPack, the array interface or the sequence protocol and casts
    to `dtype` without changing kind; floats beyond its range become infinite. They go out as NumPy
    arrays, which speak both, or into `out=`.
    """

    default_keys = "int64"

    def __init__(self, dtype: npt.DTypeLike, shape: tuple[int, ...] = ()) -> None:
        try:
            self.dtype: np.dtype[Any] = np.dtype(dtype)
        except TypeError as error:
            raise ConfigurationError(f"value: Rows: dtype {dtype!r}: {error}") from error
        if self.dtype.hasobject:
            raise ConfigurationError("value: Rows: dtype object holds references; use Objects()")
        if self.dtype.itemsize == 0 or self.dtype.subdtype is not None:
            raise ConfigurationError(
                f"value: Rows: dtype {dtype!r} has no size or a shape of its own; give the length, "
                "as in 'U16', or put the shape into shape="
            )
        lengths = shape if isinstance(shape, tuple | list) else (shape,)
        if not all(hasattr(length, "__index__") and length > 0 for length in lengths):
            raise ConfigurationError(
                f"value: Rows: shape must be a tuple of ints > 0, got {shape!r}; () for scalars"
            )
        self.shape = tuple(operator.index(length) for length in lengths)
        self._row_bytes = self.dtype.itemsize * math.prod(self.shape)

    def __repr__(self) -> str:
        return f"Rows({str(self.dtype)!r}, {self.shape})"

    def hold(self, slots: int, budget: int | None) -> Holding:
        """Return zeros [slots, *shape] that take no memory until they are written."""
        return Holding(np.zeros((slots, *self.shape), self.dtype))

    def bytes_per_slot(self, weighed: bool) -> int:
        """Return what a row takes."""
        return self._row_bytes

    def coerce(self, values: Any, n: int) -> npt.NDArray[Any]:
        """Return n rows; see `Store.coerce`."""
        array = self._read(values)
        if n == 0 and array.size == 0:
            return np.empty((0, *self.shape), self.dtype)
        if array.shape != (n, *self.shape):
            raise ValueShapeError(
                f"values: expected shape {(n, *self.shape)}, one row per key, got {array.shape}"
            )
        if array.dtype == self.dtype:
            if array.flags.carray:
                return array
        else:
            self._check_kind(array)
        with np.errstate(over="ignore"):
            # Writeable too: read-only arrays are another type to Numba.
            return np.require(array, self.dtype, ("C", "A", "W"))

    def _read(self, values: Any) -> npt.NDArray[Any]:
        if type(values) is np.ndarray:
            return values
        if not isinstance(values, list | tuple) and is_on_gpu(values):
            return _brought(values)
        if isinstance(values, Mapping | Set):
            raise ValueShapeError(
                f"values: a {type(values).__name__} is not aligned with the keys; pass a sequence"
            )
        if self.dtype.names and isinstance(values, list | tuple):
            try:
                return np.array(list(values), self.dtype)
            except (TypeError, ValueError) as error:
                raise ValueShapeError(f"values: {error}; the cache holds {self.dtype}") from error
        if isinstance(values, list | tuple) and values and has_array_face(values[0]):
            # NumPy looks into sequences of arrays, but not of what speaks DLPack only.
            values = [
                _brought(each) if is_on_gpu(each) else host_array(each, "values", ValueShapeError)
                for each in values
            ]
        array = host_array(values, "values", ValueShapeError)
        if (
            self.dtype.kind in "iu"
            and array.dtype.kind in "fO"
            and isinstance(values, list | tuple)
        ):
            # Python ints on both sides of an integer type's range become floats or objects.
            whole = np.array(values, object)
            if all(isinstance(value, int) for value in whole.ravel()):
                try:
                    return np.array(values, self.dtype)
                except OverflowError as error:
                    raise ValueShapeError(
                        f"values: {error}; the cache holds {self.dtype}"
                    ) from None
        return array

    def _check_kind(self, array: npt.NDArray[Any]) -> None:
        if array.dtype.kind in "iu" and self.dtype.kind in "iu":
            limits = np.iinfo(self.dtype)
            if array.size and not limits.min <= array.min() <= array.max() <= limits.max:
                raise ValueShapeError(
                    f"values: {array.min()} to {array.max()} do not all fit {self.dtype}"
                )
        elif array.dtype.kind == self.dtype.kind and self.dtype.kind in "SUV":
            # NumPy would cut their ends off without a word.
            if array.dtype.itemsize > self.dtype.itemsize and not _fits(array, self.dtype):
                raise ValueShapeError(f"values: some are too long for {self.dtype}")
        elif not np.can_cast(array.dtype, self.dtype, "same_kind"):
            raise ValueShapeError(
                f"values: {array.dtype} does not become {self.dtype} without changing kind; "
                "convert it first"
            )

    def take_over(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return the same rows: an insert copies them."""
        return values

    def target(self, n: int, out: Any = None) -> Target:
        """Return room for n rows, or a caller's `out` if it can be written in place."""
        shape = (n, *self.shape)
        if out is None:
            rows = np.empty(shape, self.dtype)
            flat = rows.reshape(-1) if self.shape else rows
            return Target(rows, flat.view(np.uint8), True, None)
        array = _writable(out)
        if array.shape != shape or array.dtype != self.dtype or not array.flags.c_contiguous:
            raise ValueShapeError(
                f"out: expected a C-contiguous array of {self.dtype} {shape}, got "
                f"{array.dtype} {array.shape}"
            )
        return Target(array, array.reshape(-1).view(np.uint8), False, out)

    def present(self, values: npt.NDArray[Any]) -> Any:
        """Return the rows as they are."""
        return values


def _brought(array: Any) -> npt.NDArray[Any]:
    """Return a copy in host memory of an array of a GPU."""
    try:
        brought: npt.NDArray[Any] = on_host(array)
    except (ImportError, TypeError, ValueError, RuntimeError, BufferError) as cause:
        raise ValueShapeError(f"values: cannot be read from the GPU: {cause}") from cause
    return brought


def _fits(array: npt.NDArray[Any], dtype: np.dtype[Any]) -> bool:
    return bool((array.astype(dtype).astype(array.dtype) == array).all())


def _writable(out: Any) -> npt.NDArray[Any]:
    # What only has `__array__` may hand out a copy, and what is written there would be lost.
    if not hasattr(out, "__array_interface__") and not hasattr(out, "__dlpack__"):
        raise ValueShapeError(
            f"out: expected an array or tensor to write into, got {type(out).__name__}"
        )
    array = host_array(out, "out", ValueShapeError)
    if not array.flags.writeable:
        raise ValueShapeError("out: the array is read-only; pass one that can be written")
    return array
