"""Whatever holds numbers, as a NumPy array."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from predis_core.errors import PredisError


def host_array(values: Any, field: str, error: type[PredisError]) -> npt.NDArray[Any]:
    """Return what speaks DLPack, the array interface or the sequence protocol as an array.

    No copy is made of what lies in host memory as an array already.

    Raises:
        error: if the values have no common shape or lie on another device; names `field`.
    """
    if type(values) is np.ndarray:
        return values
    if not has_array_face(values) and not isinstance(values, Sequence):
        if not isinstance(values, Iterable):
            raise error(f"{field}: expected an array or a sequence, got {values!r}")
        values = list(values)
    try:
        if not hasattr(values, "__array__") and hasattr(values, "__dlpack__"):
            array: npt.NDArray[Any] = np.from_dlpack(values)
            return array
        return np.asarray(values)
    except (TypeError, ValueError, RuntimeError, BufferError, OverflowError) as cause:
        raise error(f"{field}: cannot be read as an array: {cause}") from cause


def has_array_face(values: Any) -> bool:
    """Return whether values speak DLPack or the array interface."""
    return any(hasattr(values, face) for face in ("__array__", "__array_interface__", "__dlpack__"))


def address(array: npt.NDArray[Any]) -> int:
    """Return where an array's data begins."""
    found: int = array.__array_interface__["data"][0]
    return found
