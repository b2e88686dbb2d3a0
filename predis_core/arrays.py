"""Whatever holds numbers, as a NumPy array."""

from __future__ import annotations

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
    try:
        if hasattr(values, "__array__") or hasattr(values, "__array_interface__"):
            return np.asarray(values)
        if hasattr(values, "__dlpack__"):
            array: npt.NDArray[Any] = np.from_dlpack(values)
            return array
        return np.asarray(values if hasattr(values, "__len__") else list(values))
    except (TypeError, ValueError, RuntimeError, BufferError, OverflowError) as cause:
        raise error(f"{field}: cannot be read as an array: {cause}") from cause
