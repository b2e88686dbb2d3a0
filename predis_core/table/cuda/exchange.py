"""Arrays of other libraries that lie on a GPU, as CuPy's and back: by DLPack, without a copy.

DLPack orders the two streams: what takes an array has its stream wait for what makes it. Memory is
another matter, for who frees it does not know of foreign streams. So work on PyTorch's tensors runs
on PyTorch's stream, and what other libraries lent is held until it has been read.
"""

from __future__ import annotations

import importlib
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

from predis_core.errors import DeviceError, PredisError

_ON_CUDA = (2, 13)
"""DLPack's numbers for memory of a GPU, and for memory that it shares with the host."""
_MAKERS = {"torch": "torch", "jax": "jax.dlpack", "jaxlib": "jax.dlpack"}
"""Modules whose `from_dlpack` makes arrays of a library, by the package of its arrays' type."""


def is_on_gpu(array: Any) -> bool:
    """Return whether an array lies on some GPU."""
    asked = getattr(array, "__dlpack_device__", None)
    if asked is None:
        return hasattr(array, "__cuda_array_interface__")
    return int(asked()[0]) in _ON_CUDA


def library_of(array: Any) -> str:
    """Return the package that an array's type is of."""
    return type(array).__module__.partition(".")[0]


def imported_cupy() -> Any:
    """Return the module; raises `DeviceError` if it cannot be imported."""
    try:
        import cupy
    except ImportError as error:
        # CuPy's own message is a page long; what it could not load is the cause.
        why = " ".join(str(error.__cause__ or error).split())
        raise DeviceError(
            f"a cache on a GPU needs CuPy ({why}); install predis-core[cuda13] or "
            "predis-core[cuda12], as the driver's version of CUDA is, or use device='cpu'"
        ) from error
    return cupy


def on_host(array: Any) -> Any:
    """Return a copy of an array of a GPU as NumPy's; waits for what makes it.

    Raises:
        ImportError: without CuPy.
    """
    import cupy

    has_dlpack = hasattr(array, "__dlpack__")
    taken = (cupy.from_dlpack if has_dlpack else cupy.asarray)(array)
    with taken.device:
        return cupy.asnumpy(taken)


class Exchange:
    """Takes arrays from callers, and gives them arrays of the same library. For any thread.

    Args:
        cupy: the module.
        number: of the GPU.
        failures: what CuPy raises if the GPU is lost, or has no memory left.
        failed: returns the error for one of them, and for what there was no room.
    """

    def __init__(
        self,
        cupy: Any,
        number: int,
        failures: tuple[type[Exception], ...],
        failed: Callable[[str, Exception], DeviceError],
    ) -> None:
        self._cupy, self._number = cupy, number
        self._failures, self._failed = failures, failed
        self._mine = threading.local()
        self._lent: deque[tuple[Any, list[Any]]] = deque()
        self._turn = threading.Lock()

    def take(self, array: Any, field: str, error: type[PredisError]) -> Any:
        """Return a caller's array as CuPy's, the same memory; within `beside` only.

        Raises:
            error: if it lies on another GPU, or its library does not lend it; names `field`.
        """
        cupy = self._cupy
        if isinstance(array, cupy.ndarray):
            taken = array
        else:
            try:
                has_dlpack = hasattr(array, "__dlpack__")
                taken = (cupy.from_dlpack if has_dlpack else cupy.asarray)(array)
            except self._failures:
                raise
            except (TypeError, ValueError, RuntimeError, BufferError) as cause:
                raise error(f"{field}: cannot be read on the GPU: {cause}") from cause
            if library_of(array) != "torch":
                self._mine.borrowed.append(array)
        if taken.device.id != self._number:
            raise error(
                f"{field}: lie on cuda:{taken.device.id}, and the cache on cuda:{self._number}; "
                "move them there first"
            )
        return taken

    def give(self, array: Any, like: Any) -> Any:
        """Return one of CuPy's arrays as one of the library of another, the same memory."""
        maker = _MAKERS.get(library_of(like))
        return array if maker is None else importlib.import_module(maker).from_dlpack(array)

    @contextmanager
    def beside(self, array: Any) -> Iterator[None]:
        """Have work done where the library of a caller's array does its own.

        That is PyTorch's current stream for its tensors, else CuPy's. What other libraries lend
        within is held until the work on it is done; nobody waits for that.

        Raises:
            DeviceError: if the GPU is lost, or its memory does not do.
        """
        before = getattr(self._mine, "borrowed", None)
        borrowed: list[Any] = []
        self._mine.borrowed = borrowed
        try:
            self._let_go()
            stream = self._stream_of(array)
            try:
                with self._cupy.cuda.Device(self._number), stream or nullcontext():
                    yield
            finally:
                if borrowed:
                    with self._cupy.cuda.Device(self._number):
                        event = self._cupy.cuda.Event(disable_timing=True)
                        event.record(stream or self._cupy.cuda.get_current_stream())
                    self._lent.append((event, borrowed))
        except self._failures as error:
            raise self._failed("room for the arrays of a batch", error) from error
        finally:
            self._mine.borrowed = before

    def _let_go(self) -> None:
        """Forget what was lent and has been read by now."""
        done = []
        with self._turn:
            while self._lent and self._lent[0][0].done:
                done.append(self._lent.popleft())
        # Here, where no lock is held, `done` drops them, and whoever lent them may run code.

    def _stream_of(self, array: Any) -> Any:
        if library_of(array) != "torch":
            return None
        theirs = importlib.import_module("torch").cuda.current_stream(self._number)
        pointer = int(theirs.cuda_stream)
        cuda = self._cupy.cuda
        return cuda.ExternalStream(pointer) if pointer else cuda.Stream.null
