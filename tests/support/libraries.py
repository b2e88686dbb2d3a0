"""What of PyTorch and JAX is needed to lend and take arrays of a GPU, over the CuPy of the host."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

from tests.support.cupy import Array, _aligned

STREAM_OF_TORCH = 9


class Lent:
    """An array of a GPU that speaks DLPack, and nothing else."""

    number = 0

    def __init__(self, array: Array) -> None:
        self.array = array

    def __dlpack__(self, **_: Any) -> Array:
        return self.array

    def __dlpack_device__(self) -> tuple[int, int]:
        return 2, self.number

    def tolist(self) -> Any:
        return self.array.tolist()


def on_gpu(values: Any, dtype: Any = None) -> Array:
    """Return an array of the GPU."""
    given = np.asarray(values, dtype)
    found = _aligned(given.size, given.dtype, 0).reshape(given.shape)
    found[...] = given
    return found


def library(name: str) -> Any:
    """Return a module with a `from_dlpack` that makes arrays of its own, and their type."""
    kind = type("Tensor", (Lent,), {"__module__": f"{name}.arrays"})
    cuda = SimpleNamespace(
        current_stream=lambda number: SimpleNamespace(cuda_stream=STREAM_OF_TORCH)
    )
    return SimpleNamespace(Tensor=kind, from_dlpack=lambda array: kind(array), cuda=cuda)
