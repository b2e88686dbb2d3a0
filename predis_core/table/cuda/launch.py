"""The device that is a GPU: CuPy's memory and streams, and cubins launched through the driver."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from predis_core.errors import DeviceError
from predis_core.policies.contract import Policy
from predis_core.table.cuda.built import built
from predis_core.table.cuda.device import Arguments
from predis_core.table.cuda.exchange import Exchange, imported_cupy
from predis_core.table.cuda.nvrtc import Nvrtc, nvrtc
from predis_core.table.cuda.source import THREADS, source
from predis_core.table.layout import Record

_THREADS_AT_ONCE = 2048
"""Threads that a processor of a GPU holds at most: with more, kernels take turns by themselves."""
_ALIGNMENT = 16
_PINNED_AT_MOST = 64 << 20
"""Bytes of a result up to which it lies in pinned memory, which the host cannot use otherwise."""


def cubin(
    policy: Policy,
    row_bytes: int,
    architecture: str,
    compiler: Nvrtc,
    record: Record | None = None,
    *,
    has_idents: bool = False,
) -> bytes:
    """Return the program of a table for one architecture, compiled unless it is on disk.

    Raises:
        PolicyError: if the policy cannot be translated.
        DeviceError: if the compiler refuses it.
    """
    text = source(policy, row_bytes, record, has_idents=has_idents)
    build = partial(_write_cubin, text, architecture, compiler)
    return built(text, f"{architecture}.cubin", build, compiler.version).read_bytes()


def _write_cubin(text: str, architecture: str, compiler: Nvrtc, path: Path) -> None:
    path.write_bytes(compiler.compile(text, architecture))


class CupyKernels:
    """A compiled program on a GPU.

    Args:
        cupy: the module.
        gpu: CuPy's device.
        code: the program, a cubin.
    """

    def __init__(self, cupy: Any, gpu: Any, code: bytes) -> None:
        self._gpu = gpu
        self._driver = cupy.cuda.driver
        self._stream = cupy.cuda.get_current_stream
        self._module = cupy.cuda.function.Module()
        self._most_blocks = gpu.attributes["MultiProcessorCount"] * (_THREADS_AT_ONCE // THREADS)
        self._functions: dict[str, Any] = {}
        try:
            with gpu:
                self._module.load(code)
        except self._driver.CUDADriverError as error:
            raise DeviceError(
                f"the driver (CUDA {_version(cupy.cuda.runtime.driverGetVersion())}) does not take "
                f"the program of the table ({error}); install a newer driver, or the extra of "
                "predis-core that fits the driver, or use device='cpu'"
            ) from error

    def launch(self, kernel: str, threads: int, arguments: Arguments) -> None:
        """See `device.Kernels`; on the current stream, and without waiting for anything.

        Raises:
            DeviceError: if the driver does not take it.
        """
        blocks = min(-(-threads // THREADS), self._most_blocks)
        try:
            with self._gpu:
                function = self._functions.get(kernel)
                if function is None:
                    function = self._module.get_function(f"predis_{kernel}")
                    self._functions[kernel] = function
                # fmt: off
                self._driver.launchKernel(
                    function.ptr, blocks, 1, 1, THREADS, 1, 1, 0, self._stream().ptr,
                    arguments.address, 0,
                )
                # fmt: on
        except self._driver.CUDADriverError as error:
            raise DeviceError(_lost(f"the kernel {kernel}", error)) from error


class CupyDevice:
    """A GPU's memory and its processors.

    Everything is asked for on CuPy's current stream, in whose order it happens; see `in_order`.

    Args:
        number: of the GPU, as CUDA counts them.

    Raises:
        DeviceError: if CuPy, the driver or the GPU is missing, or the driver is too old.
    """

    def __init__(self, number: int = 0) -> None:
        cupy = self._cupy = imported_cupy()
        try:
            count = cupy.cuda.runtime.getDeviceCount()
        except cupy.cuda.runtime.CUDARuntimeError as error:
            raise DeviceError(_unusable(cupy, error)) from error
        if not 0 <= number < count:
            raise DeviceError(
                f"device: there is no cuda:{number} among {count}; name one of "
                f"{', '.join(f'cuda:{each}' for each in range(count)) or 'none'}, or use 'cpu'"
            )
        self.number = number
        self._gpu = cupy.cuda.Device(number)
        self._latest = 0
        self._done: Any = None
        self._architecture = f"sm_{self._gpu.compute_capability}"
        self._failures = (
            cupy.cuda.memory.OutOfMemoryError,
            cupy.cuda.runtime.CUDARuntimeError,
            cupy.cuda.driver.CUDADriverError,
        )
        self.exchange: Exchange | None = Exchange(cupy, number, self._failures, self._failed)

    def zeros(self, count: int, dtype: Any) -> Any:
        """See `device.Device`; raises `DeviceError` if the memory does not do."""
        return self._room(self._cupy.zeros, count, dtype)

    def empty(self, count: int, dtype: Any) -> Any:
        """See `device.Device`; raises `DeviceError` if the memory does not do."""
        return self._room(self._cupy.empty, count, dtype)

    def _room(self, made: Any, count: int, dtype: Any) -> Any:
        try:
            with self._gpu:
                return made(count, dtype)
        except self._failures as error:
            size = count * np.dtype(dtype).itemsize
            raise self._failed(f"{size} bytes", error) from error

    def take(self, array: Any, dtype: Any) -> Any:
        """See `device.Device`; an array of the host is copied before this returns."""
        if self._is_ready(array, dtype):
            return array
        if not self.holds(array):  # as bytes: CuPy has fewer dtypes than NumPy
            array = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
        try:
            with self._gpu:
                array = self._cupy.ascontiguousarray(self._cupy.asarray(array))
                taken = array.reshape(-1).view(dtype)
                return taken if taken.data.ptr % _ALIGNMENT == 0 else taken.copy()
        except self._failures as error:
            raise self._failed(f"{array.nbytes} bytes", error) from error

    def _is_ready(self, array: Any, dtype: Any) -> bool:
        """Return whether `take` has nothing to do, as with most keys."""
        return (
            isinstance(array, self._cupy.ndarray)
            and array.ndim == 1
            and array.dtype == dtype
            and array.flags.c_contiguous
            and array.data.device_id == self.number
            and array.data.ptr % _ALIGNMENT == 0
        )

    def give(self, array: Any) -> npt.NDArray[Any]:
        """See `device.Device`; waits for the current stream."""
        try:
            with self._gpu:
                return self._given(array)
        except self._failures as error:
            raise self._failed(f"{array.nbytes} bytes", error) from error

    def _given(self, array: Any) -> npt.NDArray[Any]:
        found: npt.NDArray[Any]
        if not 0 < array.nbytes <= _PINNED_AT_MOST:
            found = self._cupy.asnumpy(array)
            return found
        # CuPy keeps pinned memory for the next who asks; the other way it goes through it itself.
        pinned = self._cupy.cuda.alloc_pinned_memory(array.nbytes)
        found = np.frombuffer(pinned, array.dtype, array.size).reshape(array.shape)
        array.get(out=found)
        return found

    @contextmanager
    def in_order(self) -> Iterator[None]:
        """See `device.Device`: have the current stream wait for what another was asked to do."""
        with self._gpu:
            stream = self._cupy.cuda.get_current_stream()
            try:
                if self._done is None:
                    self._done = self._cupy.cuda.Event(disable_timing=True)
                elif stream.ptr != self._latest:
                    stream.wait_event(self._done)
            except self._failures as error:
                raise self._failed("room for an event", error) from error
            try:
                yield
            finally:
                # If even that fails, the GPU is lost, and whatever comes next says so.
                with suppress(*self._failures):
                    self._done.record(stream)
                self._latest = stream.ptr

    def _failed(self, room: str, error: Exception) -> DeviceError:
        """Return the error for one of CuPy's. Args: room, what it was about."""
        if not isinstance(error, self._cupy.cuda.memory.OutOfMemoryError):
            return DeviceError(_lost("what was asked for", error))
        return DeviceError(
            f"cuda:{self._gpu.id} has no {room} left ({error}); lower the cache's capacity or "
            "memory, or use device='cpu'"
        )

    def holds(self, array: Any) -> bool:
        """See `device.Device`."""
        # CuPy makes up its interface anew whenever somebody looks.
        is_own = isinstance(array, self._cupy.ndarray)
        return is_own or hasattr(array, "__cuda_array_interface__")

    def address(self, array: Any) -> int:
        """See `device.Device`."""
        if isinstance(array, self._cupy.ndarray):
            return int(array.data.ptr)
        return int(array.__cuda_array_interface__["data"][0])

    def sort(self, array: Any) -> None:
        """See `device.Device`."""
        try:
            with self._gpu:
                array.sort()
        except self._failures as error:
            raise self._failed(f"room to sort {len(array)} positions", error) from error

    def load(
        self,
        policy: Policy,
        row_bytes: int,
        record: Record | None = None,
        *,
        has_idents: bool = False,
    ) -> CupyKernels:
        """See `device.Device`.

        Raises:
            PolicyError: if the policy cannot be translated.
            DeviceError: if there is no compiler, or it refuses the program.
        """
        compiler = nvrtc((_major(self._cupy),))
        about = (policy, row_bytes, self._architecture, compiler, record)
        code = cubin(*about, has_idents=has_idents)
        return CupyKernels(self._cupy, self._gpu, code)


def _lost(what: str, error: Exception) -> str:
    return (
        f"the GPU did not do {what} ({error}), and what it held may be lost; open the cache anew, "
        "or use device='cpu'"
    )


def _unusable(cupy: Any, error: Exception) -> str:
    """Return why CUDA finds no GPU, and the fix; CUDA itself does not tell these apart."""
    driver, made_for = 0, int(cupy.cuda.runtime.runtimeGetVersion())
    with suppress(cupy.cuda.runtime.CUDARuntimeError):
        driver = int(cupy.cuda.runtime.driverGetVersion())
    if driver == 0:
        return (
            f"there is no driver for a GPU ({error}); install NVIDIA's for CUDA "
            f"{_version(made_for)} or newer, or use device='cpu'"
        )
    if driver // 1000 < made_for // 1000:
        return (
            f"the driver is for CUDA {_version(driver)}, older than CuPy's {_version(made_for)} "
            f"({error}); install a newer driver, or predis-core[cuda{driver // 1000}], or use "
            "device='cpu'"
        )
    return (
        f"no GPU can be used ({error}); see whether nvidia-smi lists one and CUDA_VISIBLE_DEVICES "
        "leaves it in, or use device='cpu'"
    )


def _version(number: int) -> str:
    """Return a version of CUDA, such as 13020, as people write it."""
    return f"{number // 1000}.{number % 1000 // 10}"


def _major(cupy: Any) -> int:
    """Return the version of CUDA that CuPy is made for."""
    return int(cupy.cuda.runtime.runtimeGetVersion()) // 1000
