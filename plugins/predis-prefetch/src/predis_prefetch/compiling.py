"""How kernels are compiled: when their module is imported, and kept on disk."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from numba import njit

F = TypeVar("F", bound=Callable[..., Any])


def compiled(signature: Any) -> Callable[[F], F]:
    """Return a decorator that compiles a function for a signature; it runs without the GIL."""

    def compile_it(function: F) -> F:
        try:
            made: F = njit(signature, cache=True, nogil=True)(function)
        except RuntimeError:  # there is no folder that may be written
            made = njit(signature, nogil=True)(function)
        return made

    return compile_it
